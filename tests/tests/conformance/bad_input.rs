//! Malformed, oversized, unknown, slow: every bad input gets ZooKeeper's answer, costs little
//! memory and does nothing to another session.

use std::{slice, thread, time::Duration};

use bytes::BytesMut;
use quorate_protocol::{ErrorCode, OpCode, codec::PutJute};
use quorate_tests::{
    Body, Connection, Op, Server, Session, Subject,
    op::{NewNode, open_acl},
    wait::{self, PATIENCE},
    wire::{self, framed, put_request},
};

/// `jute.maxbuffer` by default.
const MAX_FRAME: usize = 0xf_ffff;
const TIMEOUT_MS: i32 = 4_000;
const MIB: u64 = 1 << 20;

/// A session that nothing bad is done to, which therefore must notice nothing.
struct Witness(Connection);

impl Witness {
    fn new(server: &Server) -> Self {
        let mut connection = connect(server);
        ok(&mut connection, &Op::create("/witness", b"unharmed", 1));
        Self(connection)
    }

    fn is_unharmed(&mut self, after: &str) {
        let answer = self.0.call(&Op::get("/witness")).unwrap_or_else(|e| panic!("{after}: {e}"));
        let Body::Data(data, stat) = answer.parse(&Op::get("/witness")).body else {
            panic!("{after}: {answer:?}")
        };
        assert_eq!(data.as_deref(), Some(&b"unharmed"[..]), "{after}");
        assert_eq!(stat.ephemeral_owner, self.0.session.id, "{after}");
    }
}

fn connect(server: &Server) -> Connection {
    Connection::with_new_session(server.addr(), TIMEOUT_MS).expect("the server accepts sessions")
}

fn ok(connection: &mut Connection, op: &Op) {
    let reply = connection.call(op).expect("the server answers");
    assert_eq!(reply.error, 0, "{op:?}");
}

#[test]
fn a_bad_first_frame_closes_the_connection_without_an_answer() {
    let mut short_connect = wire::connect_frame(&Session::new(TIMEOUT_MS), 0);
    short_connect.truncate(4 + 20);
    short_connect[..4].copy_from_slice(&20_i32.to_be_bytes());
    let password_of = |length: i32| {
        framed(|out| {
            out.put_int(0);
            out.put_long(0);
            out.put_int(TIMEOUT_MS);
            out.put_long(0);
            out.put_int(length);
        })
    };
    let first_frames: &[(&str, &[u8])] = &[
        ("a negative length", b"\xff\xff\xff\xfe"),
        ("the smallest length", b"\x80\0\0\0"),
        ("the largest length", b"\x7f\xff\xff\xff"),
        ("one more than jute.maxbuffer", b"\0\x10\0\0"),
        ("an empty frame", b"\0\0\0\0"),
        ("a connect record cut short", &short_connect),
        ("a password of negative length", &password_of(-7)),
        ("a password longer than the frame", &password_of(i32::MAX)),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
        ("an unknown word", b"abcd"),
        ("telnet's way to hang up", b"\xff\xf4\xff\xfd"),
    ];
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        let mut witness = Witness::new(&server);
        for (what, bytes) in first_frames {
            let mut connection = Connection::open(server.addr()).expect("the server listens");
            connection.send_raw(bytes).expect("there is room for a few bytes");
            let end = connection.read_payload().expect_err(what);
            assert!(wire::is_closed(&end), "{subject:?}, {what}: {end}");
            witness.is_unharmed(what);
        }
    }
}

#[test]
fn a_bad_frame_of_a_session_closes_its_connection_without_an_answer() {
    let frames: &[(&str, &[u8])] = &[
        ("a negative length", b"\xff\xff\xff\xff"),
        ("the largest length", b"\x7f\xff\xff\xff"),
        ("one more than jute.maxbuffer", b"\0\x10\0\0"),
        ("an empty frame", b"\0\0\0\0"),
        ("half a header", b"\0\0\0\x07\0\0\0\x01\0\0\0"),
        ("an auth packet cut short", b"\0\0\0\x0a\xff\xff\xff\xfc\0\0\0\x64\0\0"),
    ];
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        let mut witness = Witness::new(&server);
        for (what, bytes) in frames {
            let mut connection = connect(&server);
            ok(&mut connection, &Op::ping());
            connection.send_raw(bytes).expect("there is room for a few bytes");
            let frames = connection.read_to_end().expect(what);
            assert_eq!(frames, [], "{subject:?}, {what}");
            // The session outlives its connection.
            let mut again = Connection::open(server.addr()).expect("the server listens");
            let session = again.attach(&connection.session, 0).expect("the server answers");
            assert!(session.is_accepted(), "{subject:?}, {what}");
            witness.is_unharmed(what);
        }
    }
}

#[test]
fn a_body_that_cannot_be_read_gets_an_error_and_the_session_goes_on() {
    let null_path = |op: OpCode| Op::Raw(op.wire(), vec![0xff, 0xff, 0xff, 0xff, 0]);
    let announced =
        |op: OpCode, prefix: &[u8]| Op::Raw(op.wire(), [prefix, &i32::MAX.to_be_bytes()].concat());
    let mut cut_short = BytesMut::new();
    Op::create("/cut", b"short", 0).encode(&mut cut_short);
    cut_short.truncate(cut_short.len() - 1);
    let bodies = [
        Op::Raw(OpCode::Create.wire(), cut_short.into()),
        Op::Raw(OpCode::Create.wire(), vec![]),
        Op::Raw(OpCode::Delete.wire(), b"\0\0\0\x02/a".to_vec()),
        Op::Raw(OpCode::SetData.wire(), b"\0\0\0\x02/a\0\0\0\x05abcde\0\0".to_vec()),
        announced(OpCode::GetData, b""),
        announced(OpCode::SetData, b"\0\0\0\x02/a"),
        announced(OpCode::Create, b"\0\0\0\x02/a\0\0\0\0"),
        announced(OpCode::SetAcl, b"\0\0\0\x02/a"),
        announced(OpCode::SetWatches, b"\0\0\0\0\0\0\0\0"),
        announced(OpCode::SetWatches2, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        null_path(OpCode::GetData),
        null_path(OpCode::Exists),
        null_path(OpCode::GetChildren),
        null_path(OpCode::GetChildren2),
        Op::AddWatch("/a".to_owned(), 2),
        Op::Watches(OpCode::RemoveWatches, "/a".to_owned(), 0),
        Op::Multi(OpCode::Multi, vec![Op::SetAcl("/a".to_owned(), open_acl(), -1)]),
        Op::Multi(OpCode::Multi, vec![Op::Raw(888, vec![])]),
    ];
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        let mut witness = Witness::new(&server);
        let mut connection = connect(&server);
        for op in &bodies {
            let reply = connection.call(op).unwrap_or_else(|e| panic!("{op:?}: {e}"));
            let wanted = (ErrorCode::MarshallingError.wire(), &[][..]);
            assert_eq!((reply.error, &reply.body[..]), wanted, "{subject:?}, {op:?}");
            ok(&mut connection, &Op::ping());
        }
        witness.is_unharmed("bodies that cannot be read");
    }
}

#[test]
fn an_unknown_operation_gets_an_error_and_ends_the_connection() {
    let unknown = [
        Op::Raw(888, vec![]),
        Op::Raw(-2, vec![]),
        Op::Raw(i32::MIN, vec![1, 2, 3]),
        Op::Check("/".to_owned(), -1),
    ];
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        let mut witness = Witness::new(&server);
        for op in &unknown {
            let mut connection = connect(&server);
            let xids = connection.send(&[Op::exists("/"), op.clone()]).expect("it can be sent");
            let frames = connection.read_to_end().expect("the server closes the connection");
            let seen: Vec<_> = frames.iter().map(|f| (f.xid, f.error)).collect();
            let wanted = [(xids[0], 0), (xids[1], ErrorCode::Unimplemented.wire())];
            if subject == Subject::ZooKeeper {
                // It may refuse it ahead of what is pending, whose answer may be lost then.
                assert!(seen.contains(&wanted[1]), "{op:?}: {seen:?}");
            } else {
                assert_eq!(seen, wanted, "{op:?}");
            }
            let refusal = frames.iter().find(|frame| frame.xid == xids[1]);
            assert_eq!(refusal.map(|frame| frame.zxid), Some(-1), "{subject:?}, {op:?}");
            witness.is_unharmed("an unknown operation");
        }
    }
}

#[test]
fn the_largest_request_is_served_and_a_larger_one_closes_the_connection() {
    let create_of = |frame_length: usize| {
        let overhead = {
            let mut out = BytesMut::new();
            put_request(&mut out, 1, &Op::create("/large", b"", 0));
            out.len() - 4
        };
        Op::create("/large", &vec![b'x'; frame_length - overhead], 0)
    };
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        let mut witness = Witness::new(&server);
        let mut connection = connect(&server);
        ok(&mut connection, &create_of(MAX_FRAME));
        ok(&mut connection, &Op::delete("/large"));
        let sent = connection.send(&[create_of(MAX_FRAME + 1)]).map(drop);
        let end = sent.and_then(|()| connection.read_to_end().map(|frames| frames.len()));
        assert!(matches!(&end, Ok(0)) || end.as_ref().is_err_and(wire::is_closed), "{end:?}");
        let after = witness.0.call(&Op::exists("/large")).expect("the server answers");
        assert_eq!(after.error, ErrorCode::NoNode.wire());
        witness.is_unharmed("a request that is too large");
    }
}

#[test]
fn frames_may_be_cut_and_joined_in_any_way() {
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        // Byte by byte, the connect record too.
        let mut connection = Connection::open(server.addr()).expect("the server listens");
        let mut bytes = wire::connect_frame(&Session::new(TIMEOUT_MS), 0);
        put_request(&mut bytes, 1, &Op::create("/a", b"data", 0));
        for byte in &bytes {
            connection.send_raw(slice::from_ref(byte)).expect("the server reads");
        }
        assert!(connection.read_connect_response().expect("it answers").is_accepted());
        assert_eq!(connection.read_frame().expect("it answers").error, 0);
        // A connect record and a thousand requests at once.
        let mut connection = Connection::open(server.addr()).expect("the server listens");
        let mut bytes = wire::connect_frame(&Session::new(TIMEOUT_MS), 0);
        for xid in 1..=1000 {
            put_request(&mut bytes, xid, &Op::set("/a", &xid.to_be_bytes()));
        }
        connection.send_raw(&bytes).expect("the server reads");
        assert!(connection.read_connect_response().expect("it answers").is_accepted());
        for xid in 1..=1000 {
            let reply = connection.read_frame().expect("it answers");
            assert_eq!((reply.xid, reply.error), (xid, 0), "{subject:?}");
        }
    }
}

#[test]
fn bytes_behind_a_record_are_ignored() {
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        let mut connection = connect(&server);
        let mut body = BytesMut::new();
        Op::Create(OpCode::Create, NewNode::open("/a", b"", 0)).encode(&mut body);
        body.extend_from_slice(b"left over");
        ok(&mut connection, &Op::Raw(OpCode::Create.wire(), body.into()));
        ok(&mut connection, &Op::exists("/a"));
    }
}

#[test]
fn connections_that_never_finish_a_request_are_closed() {
    for subject in Subject::available() {
        let server = Server::start(subject, &["nio.sessionlessCnxnTimeout=400"]);
        let mut witness = Witness::new(&server);
        let frame = wire::connect_frame(&Session::new(TIMEOUT_MS), 0);
        let mut silent = Connection::open(server.addr()).expect("the server listens");
        let mut half = Connection::open(server.addr()).expect("the server listens");
        half.send_raw(&frame[..frame.len() / 2]).expect("the server reads");
        let mut dribbling =
            Connection::with_new_session(server.addr(), 400).expect("the server accepts");
        dribbling.send_raw(b"\0\0\x10\0").expect("the server reads");
        wait::until("the dribbling connection to be closed", PATIENCE, || {
            witness.is_unharmed("somebody dribbles");
            dribbling.send_raw(b"x").err()
        });
        for (what, connection) in [("a silent", &mut silent), ("half a", &mut half)] {
            let end = connection.read_payload().expect_err(what);
            assert!(wire::is_closed(&end), "{subject:?}, {what} connect record: {end}");
        }
    }
}

#[test]
fn before_a_session_a_connection_holds_a_kilobyte_at_most() {
    let server = Server::start(Subject::Quorate, &[]);
    let before = server.resident_bytes();
    let mut connections: Vec<_> = (0..400)
        .map(|_| {
            let mut connection = Connection::open(server.addr()).expect("the server listens");
            // A length within jute.maxbuffer, but no connect record is that long. The server may
            // have hung up before all is sent.
            let _ = connection.send_raw(b"\0\x0f\xff\xff");
            let _ = connection.send_raw(&vec![0; 100_000]);
            connection
        })
        .collect();
    for connection in &mut connections {
        let end = connection.read_payload().expect_err("no answer is due");
        assert!(wire::is_closed(&end), "{end}");
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * MIB, "400 connections cost {grown} bytes");
}

#[test]
fn a_length_announced_costs_no_memory() {
    let server = Server::start(Subject::Quorate, &[]);
    let mut connections: Vec<_> = (0..300).map(|_| connect(&server)).collect();
    let before = server.resident_bytes();
    for connection in &mut connections {
        connection.send_raw(b"\0\x0f\xff\xff\0\0\0\x01").expect("the server reads");
    }
    // An answer to another session shows that the bytes before were looked at.
    Witness::new(&server).is_unharmed("lengths announced");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "300 MB announced cost {grown} bytes");
}

#[test]
fn a_reader_that_does_not_read_costs_little_memory_and_holds_nobody_up() {
    let mut server = Server::start(Subject::Quorate, &[]);
    let mut witness = Witness::new(&server);
    ok(&mut witness.0, &Op::create("/big", &vec![b'x'; 500_000], 0));
    let before = server.resident_bytes();
    // Half a gigabyte of replies, asked for and never read.
    let mut deaf = connect(&server);
    deaf.stream().set_write_timeout(Some(Duration::from_millis(300))).expect("a valid timeout");
    for _ in 0..1000 {
        if deaf.send(&[Op::get("/big")]).is_err() {
            break; // The server has stopped reading from it, or has hung up.
        }
    }
    for _ in 0..100 {
        witness.is_unharmed("somebody does not read");
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "replies nobody reads cost {grown} bytes");
    server.assert_running();
}

#[test]
fn a_watcher_that_does_not_read_costs_little_memory_and_holds_nobody_up() {
    let mut server = Server::start(Subject::Quorate, &[]);
    let mut witness = Witness::new(&server);
    let long = format!("/{}", "n".repeat(20_000));
    ok(&mut witness.0, &Op::create(&long, b"", 0));
    let mut deaf = connect(&server);
    ok(&mut deaf, &Op::AddWatch("/".to_owned(), 1));
    let before = server.resident_bytes();
    // 400 MB of events.
    let sets = vec![Op::set(&long, b"changed"); 100];
    for _ in 0..200 {
        witness.0.send(&sets).expect("the server reads");
        for _ in 0..sets.len() {
            assert_eq!(witness.0.read_frame().expect("the server answers").error, 0);
        }
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB, "events nobody reads cost {grown} bytes");
    witness.is_unharmed("somebody does not read events");
    server.assert_running();
}

#[test]
fn random_bytes_do_nothing_to_others() {
    let mut server = Server::start(Subject::Quorate, &[]);
    let mut witness = Witness::new(&server);
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..300 {
        let mut connection = if rng.bool() {
            connect(&server)
        } else {
            Connection::open(server.addr()).expect("the server listens")
        };
        for _ in 0..rng.usize(1..20) {
            let sent = connection.send_raw(&random_frame(&mut rng));
            assert!(sent.as_ref().map_or_else(wire::is_closed, |()| true), "{sent:?}");
        }
        drop(connection);
        witness.is_unharmed(&format!("round {round} of random bytes"));
    }
    server.assert_running();
    assert!(server.resident_bytes() < 256 * MIB);
}

/// A frame whose length is right, mostly, with a known operation, mostly, and a random body.
fn random_frame(rng: &mut fastrand::Rng) -> BytesMut {
    let mut frame = framed(|out| {
        out.put_int(rng.i32(-10..100));
        let op = if rng.u8(..) < 200 { rng.i32(0..24) } else { rng.i32(100..110) };
        out.put_int(op);
        for _ in 0..rng.usize(..64) {
            let byte = rng.u8(..);
            // Small numbers make plausible lengths.
            out.extend_from_slice(&[if byte < 160 { 0 } else { byte % 16 }]);
        }
    });
    if rng.u8(..) < 10 {
        frame[rng.usize(..4)] ^= 1 << rng.u8(..8);
    }
    frame
}

#[test]
fn a_hundred_connections_that_break_off_leave_nothing_behind() {
    let server = Server::start(Subject::Quorate, &[]);
    let mut witness = Witness::new(&server);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for i in 0..25 {
                    let mut connection = connect(&server);
                    let half = connection.send_raw(&b"\0\0\0\x20\0\0\0\x01\0\0\0\x03"[..3 + i % 9]);
                    half.expect("the server reads");
                }
            });
        }
    });
    // Their sessions end in time, and only they.
    wait::until("the sessions to expire", PATIENCE, || {
        witness.0.call(&Op::ping()).expect("the witness lives");
        server.word("cons").lines().filter(|line| !line.is_empty()).count().eq(&2).then_some(())
    });
    witness.is_unharmed("connections that broke off");
}
