//! Links as a whole: what real servers said to each other, and any way it can arrive.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use quorate_protocol::{Decode, Decoder, Encode, OpCode, SessionId, Xid, Zxid};

use super::{
    packet::{self, HeardSessions, decode_from_leader, decode_from_learner},
    snapshot::SnapshotWriter,
    testdata::{FROM_FOLLOWER, FROM_OBSERVER, TO_FOLLOWER, TO_OBSERVER},
    *,
};
use crate::{
    tree::Tree,
    txn::TxnRecord,
    zab::{Features, Message},
};

const LIMIT: usize = 1 << 16;

/// What came of a link: packets as bytes, and snapshots.
#[derive(Debug)]
enum Came {
    Packet(Bytes),
    Snapshot(Zxid, Box<Tree>),
}

/// Everything that a stream holds, and the error that it ended with.
fn all<'p>(
    mut decoder: LinkDecoder,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<Came>, Option<LinkError>) {
    let (mut came, mut input) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(FromLink::Packets(mut packets))) => {
                    while !packets.is_empty() {
                        let end = packet::peek_packet(&packets, LIMIT).unwrap();
                        came.push(Came::Packet(packets.split_to(end.expect("whole packets"))));
                    }
                }
                Ok(Some(FromLink::Snapshot { zxid, tree })) => {
                    came.push(Came::Snapshot(zxid, tree));
                }
                Err(error) => return (came, Some(error)),
            }
        }
    }
    (came, None)
}

/// A learner that does as the packets say, and counts them.
#[derive(Default)]
struct Learner {
    tree: Option<Box<Tree>>,
    proposed: Vec<Vec<u8>>,
    new_leader: Option<(u32, Vec<u8>)>,
    up_to_date: bool,
    applied: usize,
    synced: usize,
    revalidated: Vec<(SessionId, bool)>,
}

impl Learner {
    fn told(bytes: &[u8]) -> Self {
        let (came, error) = all(LinkDecoder::from_leader(LIMIT, 1), [bytes]);
        assert_eq!(error, None);
        let mut learner = Self::default();
        for came in came {
            learner.take(came);
        }
        learner
    }

    fn take(&mut self, came: Came) {
        let bytes = match came {
            Came::Packet(bytes) => bytes,
            Came::Snapshot(zxid, mut tree) => {
                assert_eq!((tree.last_zxid(), self.tree.is_none()), (zxid, true));
                tree.set_lenient(false);
                self.tree = Some(tree);
                return;
            }
        };
        let packet = decode_from_leader(&mut Decoder::new(&bytes)).unwrap();
        if !matches!(packet, Packet::Zab(Message::Ping { .. })) {
            assert_eq!(packet.to_bytes(), bytes, "{packet:?}");
        }
        match packet {
            Packet::Zab(Message::LeaderInfo { epoch, features }) => {
                assert_eq!((epoch, features), (1, Features::NONE));
            }
            Packet::Zab(Message::Proposal { txn, .. }) => self.proposed.push(txn.to_vec()),
            Packet::Zab(Message::Commit { zxid }) => {
                let txn = self.proposed.remove(0);
                self.apply(zxid, &txn);
            }
            Packet::Zab(Message::Inform { zxid, txn }) => self.apply(zxid, txn),
            Packet::Zab(Message::NewLeader { epoch, config }) => {
                self.new_leader = Some((epoch, config.to_vec()));
            }
            Packet::Zab(Message::UpToDate) => self.up_to_date = true,
            Packet::Zab(Message::Ping { round, sessions }) => {
                assert_eq!((round >> 32, sessions), (1, &b""[..]));
            }
            Packet::Zab(Message::Snap { .. }) => {}
            Packet::Synced => self.synced += 1,
            Packet::Revalidated { session, valid } => self.revalidated.push((session, valid)),
            _ => panic!("{packet:?}"),
        }
    }

    fn apply(&mut self, zxid: Zxid, txn: &[u8]) {
        let record = TxnRecord::from_bytes(txn).unwrap();
        assert_eq!(record.header.zxid, zxid);
        let outcome = self.tree.as_mut().unwrap().apply(&record, &mut |_| {});
        assert_eq!(outcome.digest_mismatch, None, "{record:?}");
        self.applied += 1;
    }
}

#[test]
fn what_a_real_leader_said_to_a_follower() {
    let follower = Learner::told(TO_FOLLOWER);
    assert_eq!((follower.applied, follower.proposed.len(), follower.up_to_date), (44, 0, true));
    let (epoch, config) = follower.new_leader.unwrap();
    assert_eq!(epoch, 1);
    assert!(config.starts_with(b"server.1=127.0.0.1:23301:23401:participant\n"));
    let tree = follower.tree.unwrap();
    assert_eq!(tree.last_zxid(), Zxid::new(1, 44));
    assert_eq!(tree.verify_digests(), Ok(()));
    assert_eq!(follower.revalidated.len(), 1);
    assert!(follower.revalidated[0].1);
}

#[test]
fn what_a_real_leader_said_to_an_observer() {
    let observer = Learner::told(TO_OBSERVER);
    assert_eq!((observer.applied, observer.synced, observer.up_to_date), (42, 1, true));
    let follower = Learner::told(TO_FOLLOWER);
    assert_eq!(observer.tree.unwrap().digest(), follower.tree.unwrap().digest());
}

/// What a learner said, in words.
fn said(bytes: &[u8]) -> Vec<String> {
    let (came, error) = all(LinkDecoder::from_learner(LIMIT), [bytes]);
    assert_eq!(error, None);
    let mut lines: Vec<String> = Vec::new();
    for came in came {
        let Came::Packet(bytes) = came else { panic!() };
        let packet = decode_from_learner(&mut Decoder::new(&bytes)).unwrap();
        assert_eq!(packet.to_bytes(), bytes, "{packet:?}");
        let line = match packet {
            Packet::Zab(Message::LearnerInfo {
                server,
                member,
                accepted_epoch,
                config_version,
                ..
            }) => {
                format!("{member:?} {server} has accepted {accepted_epoch}, knows {config_version}")
            }
            Packet::Zab(Message::AckEpoch { current_epoch, last }) => {
                format!("has {current_epoch:?} to {last}")
            }
            Packet::Zab(Message::Ack { zxid }) => format!("ack {zxid}"),
            Packet::Zab(Message::Ping { sessions, .. }) => {
                let heard = HeardSessions::new(sessions);
                format!("ping {:?}", heard.map(|(_, timeout_ms)| timeout_ms).collect::<Vec<_>>())
            }
            Packet::Request { op, body, ids, .. } => {
                let ids: Vec<_> = ids.iter().map(|(scheme, _)| scheme.into_owned()).collect();
                format!("{op} of {} bytes by {ids:?}", body.len())
            }
            Packet::Revalidate { timeout_ms, .. } => format!("revalidate {timeout_ms}"),
            _ => panic!("{packet:?}"),
        };
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines
}

#[test]
fn what_a_real_follower_said() {
    let lines = said(FROM_FOLLOWER);
    let expected = [
        "Participant 1 has accepted 0, knows 0",
        "has Some(0) to 0x0",
        "ack 0x100000000",
        "ping []",
        "createSession of 4 bytes by []",
        "ping [20000]",
        "ack 0x100000001",
        "create of 47 bytes by [\"ip\"]",
    ];
    assert_eq!(lines[..8], expected);
    assert!(lines.contains(&"revalidate 20000".to_owned()));
    assert_eq!(lines.iter().filter(|line| line.starts_with("ack")).count(), 45);
}

#[test]
fn what_a_real_observer_said() {
    let lines = said(FROM_OBSERVER);
    assert_eq!(lines[0], "Observer 3 has accepted 0, knows 0");
    for line in [
        "createTTL of 55 bytes by [\"ip\", \"digest\"]",
        "sync of 8 bytes by [\"ip\", \"digest\"]",
        "closeSession of 0 bytes by [\"ip\"]",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:#?}");
    }
}

/// A leader's stream: packets, and perhaps snapshots of a few nodes among them.
fn stream() -> impl Strategy<Value = (Vec<Vec<u8>>, BytesMut)> {
    prop::collection::vec((0_u8..10, 0_usize..200), 0..20).prop_map(|parts| {
        let (mut packets, mut stream) = (Vec::new(), BytesMut::new());
        for (kind, size) in parts {
            let zxid = Zxid::new(1, u32::from(kind));
            let txn = vec![kind; size];
            let message = match kind {
                0 => Message::Snap { zxid },
                1..4 => Message::Proposal { zxid, txn: &txn },
                4..7 => Message::Commit { zxid },
                _ => Message::UpToDate,
            };
            let packet = message.to_bytes();
            packets.push(packet.to_vec());
            stream.extend_from_slice(&packet);
            if kind == 0 {
                let goes_on = SnapshotWriter::new(Tree::new(1)).write(&mut stream, usize::MAX);
                assert!(!goes_on);
            }
        }
        (packets, stream)
    })
}

proptest! {
    /// However a stream arrives, the same comes of it; and of one that breaks off or turns into
    /// something else, what was in front.
    #[test]
    fn a_stream_can_arrive_in_any_pieces(
        (packets, stream) in stream(),
        cuts in prop::collection::vec(1_usize..400, 1..50),
        end in 0_usize..3,
    ) {
        let mut stream = stream;
        match end {
            0 => {}
            1 => stream.put_slice(&[0; 9]),
            _ => stream.put_slice(&[0x80; 16]),
        }
        let (mut rest, mut pieces) = (&stream[..], Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        let (came, error) = all(LinkDecoder::from_leader(LIMIT, 1), pieces);
        prop_assert_eq!(error.is_some(), end == 2);
        let mut snapshots = 0;
        let mut left = packets.iter();
        for came in &came {
            match came {
                Came::Packet(bytes) => prop_assert_eq!(Some(&bytes[..]), left.next().map(|p| &p[..])),
                Came::Snapshot(zxid, tree) => {
                    snapshots += 1;
                    prop_assert_eq!((*zxid, tree.digest()), (Zxid::new(1, 0), 1_371_985_504));
                }
            }
        }
        prop_assert_eq!(left.next(), None);
        prop_assert_eq!(snapshots, packets.iter().filter(|packet| packet[3] == 15).count());
    }
}

#[test]
fn packets_share_the_memory_they_arrived_in() {
    let mut input = BytesMut::new();
    packet::put_ack(&mut input, Zxid(1));
    packet::put_request(&mut input, SessionId(1), Xid(1), OpCode::Sync, b"body", &[]);
    input.extend_from_slice(&[0; 7]);
    let arrived_at = input.as_ptr();
    let came = LinkDecoder::from_learner(LIMIT).next(&mut input).unwrap();
    let Some(FromLink::Packets(bytes)) = came else { panic!() };
    assert_eq!((bytes.as_ptr(), input.len()), (arrived_at, 7));
}

#[test]
fn a_learner_sends_no_snapshots() {
    let mut input = Message::Snap { zxid: Zxid(1) }.to_bytes();
    packet::put_ack(&mut input, Zxid(1));
    let mut decoder = LinkDecoder::from_learner(LIMIT);
    let came = decoder.next(&mut input).unwrap();
    let Some(FromLink::Packets(bytes)) = came else { panic!() };
    assert_eq!((bytes.len(), decoder.is_in_snapshot()), (40, false));
    assert!(decode_from_learner(&mut Decoder::new(&bytes)).is_err());
}

#[test]
fn errors_say_what_is_wrong() {
    let error =
        |bytes: &[u8]| all(LinkDecoder::from_leader(LIMIT, 1), [bytes]).1.unwrap().to_string();
    let no_packet = [0x80; 16];
    assert_eq!(
        error(&no_packet),
        "data of packet -2139062144 has length -2139062144, which is outside 0..=65536"
    );
    let mut no_snapshot = Message::Snap { zxid: Zxid(1) }.to_bytes();
    no_snapshot.put_slice(&[0; 8]);
    no_snapshot.put_i32(-1);
    assert_eq!(error(&no_snapshot), "snapshot: path of length -1, which is outside 0..=65536");
}
