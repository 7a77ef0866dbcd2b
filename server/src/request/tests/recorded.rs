//! Against a real server: the same requests make the same transactions and replies, byte for
//! byte, however many of them are outstanding.

use proptest::prelude::*;

use super::*;
use crate::txn::{CloseSessionTxn, TxnDigest};

/// Requests with what Apache ZooKeeper 3.9.5 logged and answered, by `testdata/record.py`.
const SCRIPTED: &str = include_str!("../testdata/zookeeper-3.9.5.requests");
const RANDOM: &str = include_str!("../testdata/zookeeper-3.9.5.random.requests");

struct Recorded {
    /// Whether everything before it was applied when it was prepared.
    settled: bool,
    request: Request,
    txn: Vec<u8>,
    /// Whether ZooKeeper logged a digest that its own tree then did not have.
    wrong_digest: bool,
    reply: Option<Vec<u8>>,
}

fn recorded(text: &str) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    let mut settled = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "settle" => settled = true,
            "request" => {
                let request = read(&words);
                let (txn, wrong_digest, reply) = (vec![], false, None);
                all.push(Recorded { settled, request, txn, wrong_digest, reply });
                settled = false;
            }
            "txn" => all.last_mut().unwrap().txn = in_our_order(unhex(words[1])),
            "wrong-digest" => {
                let last = all.last_mut().unwrap();
                last.txn = unhex(words[1]);
                last.wrong_digest = true;
            }
            "reply" => all.last_mut().unwrap().reply = Some(unhex(words[1])),
            _ => panic!("{line:?}"),
        }
    }
    all
}

fn read(words: &[&str]) -> Request {
    let body = if words[4] == "-" { vec![] } else { unhex(words[4]) };
    let ids = words[5..].iter().map(|id| id.split_once(':').unwrap());
    Request {
        session: SessionId(u64::from_str_radix(words[1], 16).unwrap().cast_signed()),
        conn: ConnId(1),
        xid: Xid(words[2].parse().unwrap()),
        op: OpCode::from_wire(words[3].parse().unwrap()).unwrap(),
        body: body.into(),
        auth: ids.map(|(scheme, id)| Id::new(scheme, id)).collect(),
        is_local: false,
    }
}

/// `Compat:` ZooKeeper lists the nodes of a session in the order of a hash set. Any order does; ours
/// is sorted.
fn in_our_order(txn: Vec<u8>) -> Vec<u8> {
    let record = TxnRecord::from_bytes(&txn).unwrap();
    let Txn::CloseSession(close) = record.txn else { return txn };
    let mut paths: Vec<_> = close.paths().collect();
    paths.sort_unstable();
    let mut out = record.header.to_bytes();
    CloseSessionTxn::write(paths.iter().map(|path| &**path), &mut out);
    record.digest.unwrap().encode(&mut out);
    out.to_vec()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn replay(text: &str, lag: usize) {
    let mut server = Server::new(all_on());
    let mut expected = VecDeque::new();
    for Recorded { settled, request, txn, wrong_digest, reply } in recorded(text) {
        while settled && !server.waiting.is_empty() {
            check_reply(&mut server, expected.pop_front().unwrap());
        }
        let time_ms = TxnRecord::from_bytes(&txn).unwrap().header.time_ms;
        let made = server.prepare(&request, time_ms).unwrap();
        let compared = if wrong_digest { txn.len() - TxnDigest::SIZE } else { txn.len() };
        assert!(
            made[..compared] == txn[..compared] && made.len() == txn.len(),
            "lag {lag}: {request:?}\nmade     {made:x?}\nexpected {txn:x?}"
        );
        expected.push_back((request, reply));
        while server.waiting.len() > lag {
            check_reply(&mut server, expected.pop_front().unwrap());
        }
    }
    for expected in expected {
        check_reply(&mut server, expected);
    }
}

fn check_reply(server: &mut Server, (request, reply): (Request, Option<Vec<u8>>)) {
    let frame = server.apply();
    if let Some(reply) = reply {
        let length = u32::from_be_bytes(frame[..4].try_into().unwrap());
        assert_eq!(length as usize, frame.len() - 4);
        assert_eq!(frame[4..], reply, "{request:?}");
    }
}

#[test]
fn applied_at_once() {
    replay(SCRIPTED, 0);
    replay(RANDOM, 0);
}

#[test]
fn some_outstanding() {
    for lag in 1..10 {
        replay(SCRIPTED, lag);
        replay(RANDOM, lag);
    }
}

#[test]
fn all_outstanding() {
    replay(SCRIPTED, usize::MAX);
    replay(RANDOM, usize::MAX);
}

proptest! {
    /// Requests with bytes changed and cut off still become transactions that fit.
    #[test]
    fn damaged(damage in prop::collection::vec((any::<u16>(), any::<u16>(), any::<u8>()), 1..80)) {
        let mut all = recorded(SCRIPTED);
        for (request, place, byte) in damage {
            let request = usize::from(request) % all.len();
            let request = &mut all[request].request;
            let mut body = request.body.to_vec();
            let place = usize::from(place) % (body.len() + 1);
            match body.get_mut(place) {
                Some(old) if byte % 4 > 0 && request.op != OpCode::CreateSession => *old ^= byte,
                Some(_) if request.op != OpCode::CreateSession => body.truncate(place),
                _ => {}
            }
            request.body = body.into();
        }
        let mut server = Server::new(all_on());
        for (i, Recorded { request, .. }) in all.iter().enumerate() {
            let _ = server.prepare(request, NOW_MS);
            if i % 7 == 0 {
                server.apply_all();
            }
        }
        server.apply_all();
        prop_assert!(server.preparer.is_settled());
    }
}
