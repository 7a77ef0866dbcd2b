//! The bytes of the election port.
//!
//! Who connects says who it is ([`hello`]) and gets no answer to that. After it both sides send
//! notifications ([`encode`]), each behind its length. Decoding takes what has come off the front
//! of a buffer, asks for more by `None`, and holds nothing that was only announced.

use std::net::IpAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_protocol::{Decoder, Zxid};

use super::vote::{Notification, PeerState, Vote};
use crate::zab::{configuration::HostPort, types::ServerId};

/// A hello with one address, since ZooKeeper 3.5.
const HELLO_V1: i64 = -65536;
/// A hello with several addresses, since ZooKeeper 3.6.
const HELLO_V2: i64 = -65535;
/// The longest text of addresses.
const ADDRESSES_MAX: usize = 2048;
/// The longest notification.
const NOTIFICATION_MAX: usize = 512 * 1024;

/// A notification without an epoch, before ZooKeeper 3.4.
const LEN_WITHOUT_EPOCH: usize = 28;
/// A notification as of ZooKeeper 3.4.6: with a version, which nobody reads at this length.
const LEN_WITHOUT_CONFIG: usize = 40;
/// The version of notifications that carry a configuration.
const VERSION_WITH_CONFIG: i32 = 2;

/// What a connecting server says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Who it is.
    pub server: ServerId,
    /// Where it can be reached for elections. Empty if it did not say.
    pub addresses: Vec<HostPort>,
}

/// What a frame held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A notification.
    Notification(Notification),
    /// Something else, to be passed over.
    ///
    /// Compat: such frames do not end the connection in ZooKeeper; servers of 3.4.0 to 3.4.5 send
    /// nothing else.
    Unreadable,
}

/// Why a connection of the election port must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The first number is neither a server's nor a version that is known.
    #[error("unknown version {0} of the election protocol")]
    Version(i64),
    /// Not a server's number.
    #[error("{0} is no server's number")]
    Server(i64),
    /// A length beyond what is sent in its place.
    #[error("length {len} is outside 1..={max}")]
    Length {
        /// As it came.
        len: i32,
        /// The greatest that makes sense.
        max: usize,
    },
    /// The addresses are not `host:port`, with `|` between.
    #[error("expected host:port as the election address")]
    Address,
}

/// The first words of a connecting server. With one address they are understood by ZooKeeper 3.5
/// and later, with more by 3.6 and later.
pub fn hello(server: ServerId, addresses: &[HostPort]) -> Bytes {
    let text: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let text = text.join("|");
    let mut out = BytesMut::with_capacity(20 + text.len());
    out.put_i64(if addresses.len() > 1 { HELLO_V2 } else { HELLO_V1 });
    out.put_i64(server.0);
    put_with_len(&mut out, text.as_bytes());
    out.freeze()
}

/// Takes a hello off the front of what has come.
pub fn decode_hello(input: &mut BytesMut) -> Result<Option<Hello>, WireError> {
    let mut d = Decoder::new(input);
    let Ok(version) = d.long() else { return Ok(None) };
    if version >= 0 {
        // Compat: before ZooKeeper 3.5 there was only the server's number.
        let server = server_id(version)?;
        input.advance(8);
        return Ok(Some(Hello { server, addresses: Vec::new() }));
    }
    if version != HELLO_V1 && version != HELLO_V2 {
        return Err(WireError::Version(version));
    }
    let Ok(server) = d.long() else { return Ok(None) };
    let server = server_id(server)?;
    let Ok(len) = d.int() else { return Ok(None) };
    let Ok(text) = d.take(checked_len(len, ADDRESSES_MAX)?) else { return Ok(None) };
    let addresses = parse_addresses(text).ok_or(WireError::Address)?;
    let end = d.offset();
    input.advance(end);
    Ok(Some(Hello { server, addresses }))
}

/// A notification with its length in front.
pub fn encode(notification: &Notification) -> Bytes {
    let Notification { state, vote, round, config } = notification;
    let mut body = BytesMut::with_capacity(LEN_WITHOUT_CONFIG + 4 + config.len());
    body.put_i32(state_number(*state));
    body.put_i64(vote.leader.0);
    body.put_i64(vote.zxid.0);
    body.put_i64(*round);
    // Compat: ZooKeeper's observers have no epoch.
    body.put_i64(if *vote == Vote::OBSERVER { i64::MIN } else { vote.epoch.into() });
    if config.is_empty() {
        body.put_i32(VERSION_WITH_CONFIG - 1);
    } else {
        body.put_i32(VERSION_WITH_CONFIG);
        put_with_len(&mut body, config);
    }
    let mut out = BytesMut::with_capacity(4 + body.len());
    put_with_len(&mut out, &body);
    out.freeze()
}

/// Takes a frame off the front of what has come.
pub fn decode(input: &mut BytesMut) -> Result<Option<Frame>, WireError> {
    let mut d = Decoder::new(input);
    let Ok(len) = d.int() else { return Ok(None) };
    let Ok(body) = d.take(checked_len(len, NOTIFICATION_MAX)?) else { return Ok(None) };
    let frame = decode_body(body).map_or(Frame::Unreadable, Frame::Notification);
    let end = d.offset();
    input.advance(end);
    Ok(Some(frame))
}

/// Compat: what is in a notification is told by its length first, and by its version only then.
fn decode_body(body: &[u8]) -> Option<Notification> {
    let mut d = Decoder::new(body);
    let state = match d.int().ok()? {
        0 => PeerState::Looking,
        1 => PeerState::Following,
        2 => PeerState::Leading,
        3 => PeerState::Observing,
        _ => return None,
    };
    let leader = ServerId(d.long().ok()?);
    let zxid = Zxid(d.long().ok()?);
    let round = d.long().ok()?;
    let epoch = if body.len() == LEN_WITHOUT_EPOCH {
        zxid.epoch()
    } else {
        // Servers that do not vote have no epoch.
        u32::try_from(d.long().ok()?.max(0)).ok()?
    };
    let has_version = body.len() != LEN_WITHOUT_EPOCH && body.len() != LEN_WITHOUT_CONFIG;
    let config = if has_version && d.int().ok()? >= VERSION_WITH_CONFIG {
        let len = usize::try_from(d.int().ok()?).ok()?;
        d.take(len).ok()?.to_vec()
    } else {
        Vec::new()
    };
    Some(Notification { state, vote: Vote { leader, zxid, epoch }, round, config })
}

fn state_number(state: PeerState) -> i32 {
    match state {
        PeerState::Looking => 0,
        PeerState::Following => 1,
        PeerState::Leading => 2,
        PeerState::Observing => 3,
    }
}

/// The greatest number is no server: observers without a number said it before ZooKeeper 3.5.
fn server_id(number: i64) -> Result<ServerId, WireError> {
    if (0..i64::MAX).contains(&number) {
        Ok(ServerId(number))
    } else {
        Err(WireError::Server(number))
    }
}

fn checked_len(len: i32, max: usize) -> Result<usize, WireError> {
    let checked = usize::try_from(len).ok().filter(|len| (1..=max).contains(len));
    checked.ok_or(WireError::Length { len, max })
}

/// Where nobody can connect to is left out.
fn parse_addresses(text: &[u8]) -> Option<Vec<HostPort>> {
    let addresses = str::from_utf8(text).ok()?.split('|').map(str::parse);
    let mut addresses: Vec<HostPort> = addresses.collect::<Result<_, _>>().ok()?;
    addresses.retain(|address| !address.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()));
    Some(addresses)
}

fn put_with_len(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).expect("configurations are short"));
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> HostPort {
        text.parse().unwrap()
    }

    /// Bytes from hexadecimal digits, with words between quotes as they are.
    fn bytes(text: &str) -> BytesMut {
        let mut out = BytesMut::new();
        for (index, part) in text.split('\'').enumerate() {
            if index % 2 == 1 {
                out.put_slice(part.as_bytes());
                continue;
            }
            let digits: Vec<char> = part.chars().filter(|c| !c.is_whitespace()).collect();
            out.extend(
                digits
                    .chunks(2)
                    .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()),
            );
        }
        out
    }

    #[track_caller]
    fn check_hello(text: &str, expected: Result<Option<(i64, &[&str])>, WireError>) {
        let mut input = bytes(text);
        let whole = input.clone();
        let expected = expected.map(|hello| {
            hello.map(|(server, addresses)| Hello {
                server: ServerId(server),
                addresses: addresses.iter().map(|text| address(text)).collect(),
            })
        });
        let decoded = decode_hello(&mut input);
        assert_eq!(decoded, expected, "{text}");
        if let Ok(Some(_)) = decoded {
            assert!(input.is_empty());
            for len in 0..whole.len() {
                let mut input = BytesMut::from(&whole[..len]);
                assert_eq!(decode_hello(&mut input), Ok(None), "of {text} {len} bytes");
                assert_eq!(input.len(), len);
            }
        }
    }

    #[test]
    fn hellos_of_each_version() {
        check_hello("0000000000000003", Ok(Some((3, &[]))));
        let v1 = "ffffffffffff0000 0000000000000005 00000009 'host:3888'";
        check_hello(v1, Ok(Some((5, &["host:3888"]))));
        assert_eq!(hello(ServerId(5), &[address("host:3888")]), bytes(v1));
        let v2 = "ffffffffffff0001 0000000000000005 00000010 'a:3888|[::1]:388'";
        check_hello(v2, Ok(Some((5, &["a:3888", "[::1]:388"]))));
        assert_eq!(hello(ServerId(5), &[address("a:3888"), address("[::1]:388")]), bytes(v2));
    }

    #[test]
    fn hellos_from_everywhere_and_of_nobody() {
        let to = "ffffffffffff0001 0000000000000005";
        check_hello(&format!("{to} 0000000e '0.0.0.0:1|b:22'"), Ok(Some((5, &["b:22"]))));
        check_hello(&format!("{to} 00000006 '[::]:1'"), Ok(Some((5, &[]))));
        check_hello(&format!("{to} 00000004 'host'"), Err(WireError::Address));
        check_hello(&format!("{to} 00000005 'a:b:1'"), Err(WireError::Address));
        check_hello(&format!("{to} 00000006 'h:1|: '"), Err(WireError::Address));
        check_hello(&format!("{to} 00000004 'h:99'"), Ok(Some((5, &["h:99"]))));
        check_hello(&format!("{to} 00000007 'h:99999'"), Err(WireError::Address));
        check_hello(&format!("{to} 00000003 ff'h:'"), Err(WireError::Address));
        for len in [0, -1, 2049, i32::MAX] {
            let expected = Err(WireError::Length { len, max: 2048 });
            check_hello(&format!("{to} {:08x}", len.cast_unsigned()), expected);
        }
        check_hello("ffffffffffff0002", Err(WireError::Version(-65534)));
        check_hello("'GET / HT'", Ok(Some((0x4745_5420_2f20_4854, &[]))));
        check_hello("7fffffffffffffff", Err(WireError::Server(i64::MAX)));
        check_hello("ffffffffffff0000 ffffffffffffffff", Err(WireError::Server(-1)));
    }

    #[track_caller]
    fn check_frame(text: &str, expected: Option<(PeerState, i64, i64, u32, &str)>) {
        let body = bytes(text);
        let mut input = BytesMut::new();
        put_with_len(&mut input, &body);
        for len in 0..input.len() {
            let mut input = BytesMut::from(&input[..len]);
            assert_eq!(decode(&mut input), Ok(None), "{len} bytes");
        }
        input.put_slice(b"next");
        let expected = expected.map(|(state, leader, zxid, epoch, config)| Notification {
            state,
            vote: Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch },
            round: 0x21,
            config: config.as_bytes().to_vec(),
        });
        let expected = expected.map_or(Frame::Unreadable, Frame::Notification);
        assert_eq!(decode(&mut input), Ok(Some(expected)), "{text}");
        assert_eq!(&input[..], b"next");
    }

    #[test]
    fn notifications_by_their_length() {
        let common = "00000001 0000000000000003 0000000500000007 0000000000000021";
        let following =
            |epoch, config| Some((PeerState::Following, 3, 0x5_0000_0007, epoch, config));
        check_frame(common, following(5, ""));
        check_frame(&common[..common.len() - 2], None);
        check_frame(&format!("{common} 0000"), None);
        let with_epoch = &format!("{common} 0000000000000006");
        check_frame(with_epoch, None);
        check_frame(&format!("{with_epoch} 00000001"), following(6, ""));
        check_frame(&format!("{with_epoch} 00000002"), following(6, ""));
        check_frame(&format!("{with_epoch} 00000001 00"), following(6, ""));
        check_frame(&format!("{with_epoch} 00000002 000000"), None);
        check_frame(&format!("{with_epoch} 00000002 00000000"), following(6, ""));
        check_frame(&format!("{with_epoch} 00000002 00000003 'abc'"), following(6, "abc"));
        check_frame(&format!("{with_epoch} 00000002 00000002 'abc'"), following(6, "ab"));
        check_frame(&format!("{with_epoch} 00000002 00000004 'abc'"), None);
        check_frame(&format!("{with_epoch} 00000002 ffffffff 'abc'"), None);
        check_frame(&format!("{with_epoch} 00000002 7fffffff 'abc'"), None);
        check_frame(&format!("{common} 0000000100000000 00000001"), None);
        check_frame(&with_epoch.replacen("00000001", "00000004", 1), None);
    }

    #[test]
    fn a_vote_of_an_observer() {
        let observer = "00000000 8000000000000000 8000000000000000 0000000000000021 \
                        8000000000000000 00000002 00000001 'c'";
        check_frame(observer, Some((PeerState::Looking, i64::MIN, i64::MIN, 0, "c")));
        let notification = Notification {
            state: PeerState::Looking,
            vote: Vote::OBSERVER,
            round: 0x21,
            config: b"c".to_vec(),
        };
        assert_eq!(encode(&notification)[4..], bytes(observer));
    }

    #[test]
    fn a_vote_of_a_voter() {
        let notification = Notification {
            state: PeerState::Leading,
            vote: Vote { leader: ServerId(2), zxid: Zxid(-1), epoch: u32::MAX },
            round: 1,
            config: b"version=0".to_vec(),
        };
        let expected = "00000035 00000002 0000000000000002 ffffffffffffffff 0000000000000001 \
                        00000000ffffffff 00000002 00000009 'version=0'";
        assert_eq!(encode(&notification), bytes(expected));
        let without = Notification { config: Vec::new(), ..notification };
        assert_eq!(encode(&without).len(), 4 + 40);
        let mut input = BytesMut::from(encode(&without));
        assert_eq!(decode(&mut input), Ok(Some(Frame::Notification(without))));
    }

    #[test]
    fn frames_that_cannot_be() {
        for len in [0, -1, 524_289, i32::MAX] {
            let mut input = bytes(&format!("{:08x}", i32::cast_unsigned(len)));
            assert_eq!(decode(&mut input), Err(WireError::Length { len, max: 524_288 }));
        }
        let mut input = bytes("00080000");
        assert_eq!(decode(&mut input), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_something(
            version in prop_oneof![Just(HELLO_V1), Just(HELLO_V2), any::<i64>()],
            len in prop_oneof![0..64i32, any::<i32>()],
            rest in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut input = BytesMut::new();
            input.put_i64(version);
            input.put_i64(1);
            input.put_i32(len);
            input.put_slice(&rest);
            let _ = decode_hello(&mut input);
            let mut input = BytesMut::new();
            input.put_i32(len);
            input.put_slice(&rest);
            while let Ok(Some(_)) = decode(&mut input) {}
        }

        #[test]
        fn what_is_encoded_is_decoded(
            state in prop::sample::select(vec![
                PeerState::Looking, PeerState::Following, PeerState::Leading, PeerState::Observing,
            ]),
            leader: i64, zxid: i64, epoch: u32, round: i64, config: Vec<u8>,
        ) {
            let vote = Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch };
            let notification = Notification { state, vote, round, config };
            let mut input = BytesMut::from(encode(&notification));
            prop_assert_eq!(decode(&mut input), Ok(Some(Frame::Notification(notification))));
            prop_assert!(input.is_empty());
        }
    }
}
