use bytes::BytesMut;
use proptest::prelude::*;
use quorate_protocol::{Decoder, Encode, Id, Zxid};

use super::*;
use crate::zab::{Features, Member, ServerId};

const LIMIT: usize = 1000;

fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(epoch, counter)
}

fn from_learner(bytes: &[u8]) -> Result<Packet<'_>, PacketError> {
    let mut input = Decoder::new(bytes);
    let packet = decode_from_learner(&mut input);
    assert_eq!(input.remaining(), 0);
    packet
}

fn from_leader(bytes: &[u8]) -> Result<Packet<'_>, PacketError> {
    let mut input = Decoder::new(bytes);
    let packet = decode_from_leader(&mut input);
    assert_eq!(input.remaining(), 0);
    packet
}

/// A packet as `QuorumPacket` writes it, without authinfo.
fn raw(kind: i32, zxid: i64, data: Option<&[u8]>) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend(zxid.to_be_bytes());
    match data {
        None => out.extend([0xff; 4]),
        Some(data) => {
            out.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
            out.extend(data);
        }
    }
    out.extend([0xff; 4]);
    out
}

/// The packet has these bytes, and these bytes are the packet.
#[track_caller]
fn check_from_leader(packet: Packet<'_>, bytes: &[u8]) {
    assert_eq!(packet.to_bytes(), bytes);
    assert_eq!(from_leader(bytes), Ok(packet));
    assert_eq!(peek_packet(bytes, LIMIT), Ok(Some(bytes.len())));
}

#[track_caller]
fn check_from_learner(packet: Packet<'_>, bytes: &[u8]) {
    assert_eq!(packet.to_bytes(), bytes);
    assert_eq!(from_learner(bytes), Ok(packet));
    assert_eq!(peek_packet(bytes, LIMIT), Ok(Some(bytes.len())));
}

#[test]
fn what_a_leader_says() {
    let zxid = z(3, 7);
    let number = 0x3_0000_0007;
    let zab = |message, bytes: &[u8]| check_from_leader(Packet::Zab(message), bytes);
    zab(Message::Proposal { zxid, txn: b"txn" }, &raw(2, number, Some(b"txn")));
    zab(Message::Commit { zxid }, &raw(4, number, None));
    zab(Message::Inform { zxid, txn: b"txn" }, &raw(8, number, Some(b"txn")));
    zab(Message::NewLeader { epoch: 3, config: b"c" }, &raw(10, 3 << 32, Some(b"c")));
    zab(Message::UpToDate, &raw(12, -1, None));
    zab(Message::Diff { last: zxid }, &raw(13, number, None));
    zab(Message::Trunc { to: zxid }, &raw(14, number, None));
    zab(Message::Snap { zxid }, &raw(15, number, None));
    let leader_info = |features| Message::LeaderInfo { epoch: 3, features };
    zab(leader_info(Features::NONE), &raw(17, 3 << 32, Some(&[0, 1, 0, 0])));
    let extended = b"\0\x01\0\0QRTE\0\0\0\x03";
    zab(leader_info(Features(3)), &raw(17, 3 << 32, Some(extended)));
    let to = ServerId(-2);
    zab(Message::HandOver { to }, &raw(64, -1, Some(&(-2_i64).to_be_bytes())));

    check_from_leader(Packet::Synced, &raw(7, 0, None));
    let revalidated = Packet::Revalidated { session: SessionId(5), valid: true };
    check_from_leader(revalidated, &raw(6, -1, Some(b"\0\0\0\0\0\0\0\x05\x01")));
    let leader = ServerId(2);
    let activate = Packet::Zab(Message::CommitAndActivate { zxid, leader });
    check_from_leader(activate, &raw(9, number, Some(b"\0\0\0\0\0\0\0\x02")));
    let activate = Packet::Zab(Message::InformAndActivate { zxid, leader, txn: b"txn" });
    check_from_leader(activate, &raw(19, number, Some(b"\0\0\0\0\0\0\0\x02txn")));
}

#[test]
fn what_a_learner_says() {
    let zxid = z(3, 7);
    let number = 0x3_0000_0007;
    let zab = |message, bytes: &[u8]| check_from_learner(Packet::Zab(message), bytes);
    zab(Message::Ack { zxid }, &raw(3, number, None));
    let ack_epoch = |current_epoch| Message::AckEpoch { current_epoch, last: zxid };
    zab(ack_epoch(Some(2)), &raw(18, number, Some(&[0, 0, 0, 2])));
    zab(ack_epoch(None), &raw(18, number, Some(&[0xff; 4])));
    let info = |member, features| Message::LearnerInfo {
        server: ServerId(9),
        member,
        accepted_epoch: 4,
        config_version: 0x10,
        features,
    };
    let mut data = b"\0\0\0\0\0\0\0\x09\0\x01\0\0\0\0\0\0\0\0\0\x10".to_vec();
    zab(info(Member::Participant, Features::NONE), &raw(11, 4 << 32, Some(&data)));
    zab(info(Member::Observer, Features::NONE), &raw(16, 4 << 32, Some(&data)));
    data.extend(b"QRTE\0\0\0\x05");
    zab(info(Member::Participant, Features(5)), &raw(11, 4 << 32, Some(&data)));
    let revalidate = Packet::Revalidate { session: SessionId(5), timeout_ms: 9 };
    check_from_learner(revalidate, &raw(6, -1, Some(b"\0\0\0\0\0\0\0\x05\0\0\0\x09")));
}

#[test]
fn pings_carry_the_sessions_heard_of_back() {
    let question = raw(5, 77, None);
    let asked = Packet::Zab(Message::Ping { round: 77, sessions: &[] });
    assert_eq!(from_leader(&question), Ok(asked));

    let heard = [(SessionId(1), 4000), (SessionId(-1), 6000)];
    let mut out = BytesMut::new();
    put_ping_answer(&mut out, 77, heard.into_iter());
    let Ok(Packet::Zab(Message::Ping { round: 77, sessions })) = from_learner(&out) else {
        panic!("{out:?}")
    };
    assert_eq!(out, raw(5, 77, Some(sessions)));
    assert_eq!(HeardSessions::new(sessions).collect::<Vec<_>>(), heard);

    // Null data would end a ZooKeeper leader's thread for this learner.
    out.clear();
    put_ping_answer(&mut out, 77, std::iter::empty());
    assert_eq!(out, raw(5, 77, Some(b"")));

    let incomplete = from_learner(&raw(5, 77, Some(&[0; 25]))).err();
    assert!(matches!(incomplete, Some(PacketError::Data { .. })));
}

#[test]
fn requests_carry_who_asks() {
    let ids = [Id::new("ip", "10.0.0.1"), Id::new("digest", "u:p")];
    let mut out = BytesMut::new();
    put_request(&mut out, SessionId(6), Xid(-8), OpCode::SetData, b"body", &ids);
    let data = b"\0\0\0\0\0\0\0\x06\xff\xff\xff\xf8\0\0\0\x05body";
    let mut expected = raw(1, -1, Some(data));
    expected.truncate(expected.len() - 4);
    expected.extend(b"\0\0\0\x02\0\0\0\x02ip\0\0\0\x0810.0.0.1\0\0\0\x06digest\0\0\0\x03u:p");
    assert_eq!(out, expected);
    let packet = from_learner(&out).unwrap();
    let Packet::Request { session, cxid, op, body, ids: read } = packet else { panic!() };
    assert_eq!((session, cxid, op), (SessionId(6), Xid(-8), OpCode::SetData));
    assert_eq!((body, read.to_vec()), (&b"body"[..], ids.to_vec()));
    assert_eq!(packet.to_bytes(), expected);

    // ZooKeeper's learners send null for themselves.
    let own = raw(1, -1, Some(b"\0\0\0\0\0\0\0\x06\0\0\0\0\xff\xff\xff\xf5"));
    let Ok(Packet::Request { op: OpCode::CloseSession, ids, .. }) = from_learner(&own) else {
        panic!()
    };
    assert_eq!(ids.iter().count(), 0);
    out.clear();
    put_request(&mut out, SessionId(6), Xid(0), OpCode::CloseSession, b"", &[]);
    assert!(out.ends_with(&[0; 4]));
}

#[test]
fn learner_info_as_it_was_in_each_time() {
    let mut data = 9_i64.to_be_bytes().to_vec();
    let old = |data: Option<&[u8]>| from_learner(&raw(11, 0, data)).err();
    assert_eq!(old(None), Some(PacketError::OldProtocol { version: 1 }));
    assert_eq!(old(Some(&data)), Some(PacketError::OldProtocol { version: 1 }));
    data.extend([0, 0, 0xff, 0xff]);
    assert_eq!(old(Some(&data)), Some(PacketError::OldProtocol { version: 0xffff }));
    data[8..].copy_from_slice(&[0, 1, 0, 0]);
    let of_3_4 = raw(11, 4 << 32, Some(&data));
    let Ok(Packet::Zab(Message::LearnerInfo { server, config_version, .. })) =
        from_learner(&of_3_4)
    else {
        panic!()
    };
    assert_eq!((server, config_version), (ServerId(9), 0));
    data.extend([0; 8]);
    // What somebody else may put there one day.
    for unknown in [&b"QRT"[..], b"QRTE\0\0\0", b"ABCD\0\0\0\x01"] {
        let packet = raw(11, 0, Some(&[&data[..], unknown].concat()));
        let Ok(Packet::Zab(Message::LearnerInfo { features, .. })) = from_learner(&packet) else {
            panic!()
        };
        assert_eq!(features, Features::NONE);
    }
    assert!(old(Some(&data[..15])).is_some_and(|error| error.is_skippable()));
}

#[test]
fn nobody_says_what_is_the_others_to_say() {
    for &kind in Kind::ALL {
        let bytes = raw(kind.wire(), 1, Some(&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]));
        let unexpected = Err(PacketError::UnexpectedKind { kind: PacketType(kind.wire()) });
        let is_from_learner = from_learner(&bytes) != unexpected;
        let is_from_leader = from_leader(&bytes) != unexpected;
        let both = [Kind::Ping, Kind::Revalidate].contains(&kind);
        assert_eq!(is_from_learner && is_from_leader, both, "{kind:?}");
        assert!(is_from_learner || is_from_leader, "{kind:?}");
    }
    let unknown = raw(65, 1, None);
    let unexpected = PacketError::UnexpectedKind { kind: PacketType(65) };
    assert_eq!(from_leader(&unknown), Err(unexpected.clone()));
    assert_eq!(unexpected.to_string(), "packet 65 is not expected from there");
    let of_leader = from_learner(&raw(2, 1, Some(b"txn"))).unwrap_err();
    assert_eq!(of_leader.to_string(), "packet PROPOSAL is not expected from there");
}

#[test]
fn data_that_must_be_there_and_is_not() {
    for kind in [1, 6, 18] {
        assert!(matches!(from_learner(&raw(kind, 1, None)), Err(PacketError::Data { .. })));
    }
    for kind in [2, 6, 8, 9, 17, 19, 64] {
        assert!(matches!(from_leader(&raw(kind, 1, None)), Err(PacketError::Data { .. })));
    }
    let no_such_op = raw(1, -1, Some(b"\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\x03\xe8"));
    let error = from_learner(&no_such_op).unwrap_err();
    assert_eq!(error.to_string(), "packet REQUEST: operation has no meaning 1000");
    let mut null_scheme = raw(1, -1, Some(&[0; 16]));
    null_scheme.truncate(32);
    null_scheme.extend(b"\0\0\0\x01\xff\xff\xff\xff\0\0\0\0");
    assert!(matches!(from_learner(&null_scheme), Err(PacketError::Data { .. })));
}

#[test]
fn an_end_too_far_away_is_refused_as_soon_as_it_is_seen() {
    let length = |bytes: &[u8], limit| match peek_packet(bytes, limit) {
        Err(PacketError::Length { kind: PacketType(2), length, .. }) => Some(length),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    };
    let head = |length: i32| [&[0, 0, 0, 2][..], &[0; 8], &length.to_be_bytes()].concat();
    assert_eq!(length(&head(101), 100), Some(101));
    assert_eq!(length(&head(-2), 100), Some(-2));
    assert_eq!(length(&head(100), 100), None);
    assert_eq!(length(&head(101)[..15], 100), None);

    let ids = |count: i32, rest: &[u8]| [&head(-1)[..], &count.to_be_bytes(), rest].concat();
    assert_eq!(length(&ids(13, &[]), 100), Some(104));
    assert_eq!(length(&ids(12, &[]), 100), None);
    assert_eq!(length(&ids(i32::MAX, &[]), 100), Some(8 * i64::from(i32::MAX)));
    assert_eq!(length(&ids(1, &101_i32.to_be_bytes()), 100), Some(101));
    assert_eq!(length(&ids(1, &(-7_i32).to_be_bytes()), 100), Some(-7));
    let two = [&93_i32.to_be_bytes()[..], &[b'a'; 93], &[0; 4]].concat();
    assert_eq!(length(&ids(1, &two), 100), Some(101));
    // As in Java, other negative counts are empty vectors.
    let empty = ids(-2, &[]);
    assert_eq!(peek_packet(&empty, 100), Ok(Some(empty.len())));
    assert!(from_leader(&[&head(0)[..], &(-2_i32).to_be_bytes()].concat()).is_ok());
}

proptest! {
    /// However much of a packet is there, its end is not seen before it has come, and not missed
    /// when more has.
    #[test]
    fn packets_end_where_they_end(
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
        ids in prop::option::of(prop::collection::vec(("[a-z]{0,9}", "[a-z:]{0,9}"), 0..4)),
        kind in any::<i32>(),
    ) {
        let mut bytes = raw(kind, 1, data.as_deref());
        if let Some(ids) = ids {
            bytes.truncate(bytes.len() - 4);
            let ids: Vec<_> = ids.iter().map(|(scheme, id)| Id::new(scheme, id)).collect();
            let mut out = BytesMut::new();
            Ids::put(&ids, &mut out);
            bytes.extend_from_slice(&out);
        }
        for cut in 0..bytes.len() {
            prop_assert_eq!(peek_packet(&bytes[..cut], 100), Ok(None));
            let decoded = decode_from_learner(&mut Decoder::new(&bytes[..cut]));
            prop_assert!(decoded.is_err_and(|error| !error.is_skippable()));
        }
        let end = bytes.len();
        bytes.extend([0xff; 30]);
        prop_assert_eq!(peek_packet(&bytes, 100), Ok(Some(end)));
        let mut input = Decoder::new(&bytes);
        let decoded = decode_from_leader(&mut input);
        prop_assert!(decoded.is_ok() || decoded.is_err_and(|error| error.is_skippable()));
        prop_assert_eq!(input.offset(), end);
    }
}
