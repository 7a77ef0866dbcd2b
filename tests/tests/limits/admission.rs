//! Who may connect, and who may ask.

use quorate_protocol::{ErrorCode, OpCode, codec::PutJute};
use quorate_tests::{Connection, Op, Server, Session, Subject, wire::connect_frame};

use super::{client, gets_a_session, metric};

const DIGEST_ONLY: &[&str] = &["enforce.auth.enabled=true", "enforce.auth.schemes=digest"];

fn log_in() -> Op {
    Op::Auth("digest".into(), Some(b"user:password".to_vec()))
}

#[test]
fn new_connections_pay_with_tokens() {
    let server = Server::start(
        Subject::Quorate,
        &["connection_throttle_tokens=2", "connection_throttle_fill_time=3600000"],
    );
    assert!(gets_a_session(&server) && gets_a_session(&server));
    assert!(!gets_a_session(&server), "the bucket is empty");
    assert_eq!(metric(&server, "connection_rejected"), 1);
}

#[test]
fn who_has_not_authenticated_is_told_so_and_let_go() {
    let server = Server::start(Subject::Quorate, DIGEST_ONLY);
    for op in [Op::ping(), Op::exists("/"), Op::create("/a", b"", 0), Op::Raw(888, vec![])] {
        let mut client = client(&server);
        let xid = client.send(std::slice::from_ref(&op)).expect("send")[0];
        client.send(&[Op::exists("/")]).expect("send");
        let frames = client.read_to_end().expect("the server closes");
        let [frame] = &frames[..] else { panic!("one answer to {op:?}, not {frames:?}") };
        let code = ErrorCode::SessionClosedRequireSaslAuth.wire();
        assert_eq!((frame.xid, frame.zxid, frame.error), (xid, 0, code), "{op:?}");
    }
    let mut client = client(&server);
    assert_eq!(client.call(&Op::Sasl(Some(vec![]))).expect("sasl").error, 0);
    assert_eq!(client.call(&log_in()).expect("auth").error, 0);
    assert_eq!(client.call(&Op::exists("/")).expect("exists").error, 0);
    let created = client.call(&Op::create("/a", b"", 0)).expect("create");
    assert_eq!(created.error, 0, "nobody else created it");
}

#[test]
fn authentication_may_come_right_behind_the_connect_record() {
    let server = Server::start(Subject::Quorate, DIGEST_ONLY);
    let mut client = Connection::open(server.addr()).expect("connect");
    client.send_raw(&connect_frame(&Session::new(4000), 0)).expect("send");
    let xids = client.send(&[log_in(), Op::create("/a", b"", 0), Op::get("/a")]).expect("send");
    assert!(client.read_connect_response().expect("a session").is_accepted());
    for xid in xids {
        let frame = client.read_frame().expect("an answer");
        assert_eq!((frame.xid, frame.error), (xid, 0));
    }
}

#[test]
fn a_scheme_that_is_null_is_refused_and_one_that_is_missing_is_not_answered() {
    let server = Server::start(Subject::Quorate, &[]);
    let mut null = bytes::BytesMut::new();
    null.put_int(0);
    null.put_int(-1);
    null.put_buffer(Some(b"x"));
    for (body, answers) in [(null.to_vec(), 1), (vec![0; 5], 0)] {
        let mut client = client(&server);
        client.send(&[Op::Raw(OpCode::Auth.wire(), body)]).expect("send");
        let frames = client.read_to_end().expect("the server closes");
        assert_eq!(frames.len(), answers);
        let refused = (0, ErrorCode::AuthFailed.wire());
        assert!(frames.iter().all(|frame| (frame.zxid, frame.error) == refused), "{frames:?}");
    }
}
