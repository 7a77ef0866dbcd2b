//! The read-only mode: a server without a quorum serves clients that are content with reading. What
//! is expected of Quorate is expected of ZooKeeper too.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use quorate_protocol::{ErrorCode, OpCode, Zxid};
use quorate_tests::{
    Body, Connection, Ensemble, Op, Session, Subject, foreign,
    wait::{self, PATIENCE},
    wire::is_closed,
};

use crate::{LONG_MS, LONG_SESSIONS, are_installed, call, connect, done, start_led_by_last};

const ENABLED: &str = "readonlymode.enabled=true";
const LOCAL: &str = "localSessionsEnabled=true";
const NOT_READ_ONLY: i32 = ErrorCode::NotReadOnly.wire();

#[test]
fn quorate_is_read_only_without_a_quorum() {
    read_only("QQQ");
}

#[test]
fn zookeeper_is_read_only_without_a_quorum() {
    read_only("JJJ");
}

#[test]
fn an_observer_is_read_only_without_a_quorum() {
    let mut ensemble = start_led_by_last("QQQq", &[LONG_SESSIONS, ENABLED, LOCAL]);
    for id in 1..=3 {
        ensemble.kill(id);
    }
    wait_until_read_only(&ensemble, 4);
    let mut client = read_only_client(&ensemble, 4);
    assert_eq!(call(&mut client, &Op::get("/")).error, 0);
    wait::until("the server to say why", PATIENCE, || {
        let why = "there is no leader: this server has no vote; not reached at the election port: 1, 2, 3";
        ensemble.server(4).said().contains(why).then_some(())
    });
}

/// A server that alone is left of three: who is let in, what it does for them, and what becomes of
/// them when the others are back.
fn read_only(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = left_alone(kinds, &[LONG_SESSIONS, ENABLED, LOCAL]);
    let server = ensemble.server(1);
    let subject = server.subject();
    assert!(cut_off(&ensemble, |conn| conn.attach(&Session::new(LONG_MS), 0)));
    let far = i64::MAX;
    assert!(cut_off(&ensemble, |conn| Ok(conn.attach_read_only(&Session::new(LONG_MS), far)?.0)));

    let mut client = read_only_client(&ensemble, 1);
    let seen = done(&mut client, &Op::get("/a")).zxid;
    done(&mut client, &Op::ping());
    done(&mut client, &Op::Auth("digest".into(), Some(b"a:b".to_vec())));
    done(&mut client, &Op::Read(OpCode::GetData, "/a".into(), true));
    done(&mut client, &Op::Multi(OpCode::MultiRead, vec![Op::get("/a")]));
    let ephemeral = Op::create("/e", b"", 1);
    for op in [
        Op::set("/a", b"2"),
        Op::create("/b", b"", 0),
        ephemeral.clone(),
        Op::delete("/a"),
        Op::SetAcl("/a".into(), quorate_tests::op::open_acl(), -1),
        Op::Multi(OpCode::Multi, vec![ephemeral]),
        Op::Path(OpCode::Sync, "/".into()),
        Op::Reconfig([None, None, None], -1),
    ] {
        let reply = call(&mut client, &op);
        assert_eq!((reply.error, reply.zxid), (NOT_READ_ONLY, seen), "{op:?}");
    }

    let srvr = ensemble.server(1).word("srvr");
    assert_eq!(srvr.lines().nth(1), Some("READ-ONLY mode; serving only read-only clients"));
    assert!(srvr.contains("\nMode: read-only\n"), "{srvr}");
    let mntr = ensemble.server(1).word("mntr");
    assert!(mntr.contains("zk_server_state\tread-only\n"), "{mntr}");
    assert!(mntr.contains("zk_local_sessions\t1\n") && !mntr.contains("zk_peer_state"), "{mntr}");
    let dump = ensemble.server(1).word("dump");
    assert!(dump.contains("Local Session Sets") && dump.contains("Global Sessions("), "{dump}");

    let mut again = Connection::open(ensemble.server(1).addr()).unwrap();
    let answer = again.attach_read_only(&client.session, client.last_zxid).unwrap();
    assert_eq!(answer, (client.session.clone(), true));
    let mut ends = read_only_client(&ensemble, 1);
    assert_eq!(call(&mut ends, &Op::Plain(OpCode::CloseSession)).error, 0);
    assert_eq!(ends.read_to_end().unwrap(), []);

    ensemble.restart(&[2, 3]);
    ensemble.server_mut(1).wait_until_serving();
    wait::until("the mode to end", PATIENCE, || {
        (ensemble.server(1).word("isro") == "rw").then_some(())
    });
    // Nobody can be told of what has changed meanwhile, so all are sent away.
    assert_eq!(again.read_to_end().unwrap(), []);
    let mut late = Connection::open(ensemble.server(1).addr()).unwrap();
    let (answer, is_read_only) = late.attach_read_only(&again.session, 0).unwrap();
    assert!(!is_read_only);
    // Beyond ZooKeeper: local sessions last as long as their server.
    assert_eq!(answer.is_accepted(), subject == Subject::Quorate);
    let mut client = connect(&ensemble, 1);
    assert_eq!(Zxid(done(&mut client, &Op::set("/a", b"2")).zxid).counter(), 1);
}

/// Refusals keep their place among the answers.
#[test]
fn refusals_stand_in_line() {
    let ensemble = left_alone("QQQ", &[LONG_SESSIONS, ENABLED, LOCAL]);
    let mut client = read_only_client(&ensemble, 1);
    let ops = [
        Op::get("/a"),
        Op::set("/a", b""),
        Op::exists("/a"),
        Op::Path(OpCode::Sync, "/".into()),
        Op::children("/"),
        Op::Plain(OpCode::CloseSession),
    ];
    let xids = client.send(&ops).unwrap();
    let replies = client.read_to_end().unwrap();
    assert_eq!(replies.iter().map(|reply| reply.xid).collect::<Vec<_>>(), xids);
    let errors: Vec<_> = replies.iter().map(|reply| reply.error).collect();
    assert_eq!(errors, [0, NOT_READ_ONLY, 0, NOT_READ_ONLY, 0, 0]);
}

#[test]
fn quorate_has_no_new_sessions_without_local_ones() {
    sessions_of_all_servers("QQQ");
}

#[test]
fn zookeeper_has_no_new_sessions_without_local_ones() {
    sessions_of_all_servers("JJJ");
}

/// Without local sessions nobody gets a new one, and who has one is sent on; it is there when the
/// others are back.
fn sessions_of_all_servers(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS, ENABLED]);
    let mut client = connect(&ensemble, 1);
    done(&mut client, &Op::create("/a", b"1", 1));
    leave_alone(&mut ensemble);
    let session = client.session.clone();
    assert!(cut_off(&ensemble, |conn| Ok(conn.attach_read_only(&session, 0)?.0)));
    let mut refused = Connection::open(ensemble.server(1).addr()).unwrap();
    let error = refused.attach_read_only(&Session::new(LONG_MS), 0).unwrap_err().to_string();
    // The header of a reply, in the place of the answer: xid 0, a zxid, the error.
    assert!(error.starts_with(r#"no connect response: b"\0\0\0\0\0\0\0\x01"#), "{error}");
    assert!(error.ends_with(r#"\xff\xff\xff\x89""#), "{error}");
    ensemble.restart(&[2, 3]);
    let mut client = crate::attach_again(&ensemble, 1, &client);
    let Body::Stat(stat) = call(&mut client, &Op::exists("/a")).body else { panic!("it exists") };
    assert_eq!(stat.ephemeral_owner, session.id);
}

#[test]
fn kazoo_reads_on() {
    let python = foreign::home().join("kazoo/bin/python");
    let python = foreign::require("kazoo", python.exists().then_some(python));
    let Some(python) = python else { return };
    let script = foreign::root().join("tests/clients/kazoo/read_only.py");
    client_reads_on(Command::new(python).arg(script));
}

#[test]
fn the_java_client_reads_on() {
    let class_path = foreign::require("ZooKeeper", foreign::zookeeper_class_path());
    let Some(class_path) = class_path else { return };
    let program = foreign::root().join("tests/clients/java/ReadOnly.java");
    client_reads_on(Command::new("java").args(["-cp", &class_path]).arg(program));
}

/// A client that is content with reading: it says `read-only` when it found the server to be so, and
/// ends when it has written, which it can once the other servers are back.
fn client_reads_on(program: &mut Command) {
    let mut ensemble = left_alone("QQQ", &[LONG_SESSIONS, ENABLED, LOCAL]);
    let mut client = program
        .arg(ensemble.server(1).addr().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the client");
    let said = BufReader::new(client.stdout.take().unwrap()).lines().next();
    assert_eq!(said.and_then(Result::ok).as_deref(), Some("read-only"));
    ensemble.restart(&[2, 3]);
    writeln!(client.stdin.take().unwrap(), "writable").expect("the client waits for this");
    assert!(client.wait().unwrap().success());
}

/// The first of three servers, alone and read-only, with a node `/a`.
fn left_alone(kinds: &str, settings: &[&str]) -> Ensemble {
    let mut ensemble = start_led_by_last(kinds, settings);
    let mut client = connect(&ensemble, 1);
    done(&mut client, &Op::create("/a", b"1", 0));
    done(&mut client, &Op::Plain(OpCode::CloseSession));
    leave_alone(&mut ensemble);
    ensemble
}

fn leave_alone(ensemble: &mut Ensemble) {
    ensemble.kill(2);
    ensemble.kill(3);
    wait_until_read_only(ensemble, 1);
}

fn wait_until_read_only(ensemble: &Ensemble, id: u8) {
    wait::until("the read-only mode", PATIENCE, || {
        (ensemble.server(id).word("isro") == "ro").then_some(())
    });
}

fn read_only_client(ensemble: &Ensemble, id: u8) -> Connection {
    let mut client = Connection::open(ensemble.server(id).addr()).unwrap();
    let (session, is_read_only) = client.attach_read_only(&Session::new(LONG_MS), 0).unwrap();
    assert!(session.is_accepted() && is_read_only);
    client
}

/// Whether the server closes a connection without an answer to this connect record.
fn cut_off(
    ensemble: &Ensemble,
    attach: impl FnOnce(&mut Connection) -> std::io::Result<Session>,
) -> bool {
    let mut conn = Connection::open(ensemble.server(1).addr()).unwrap();
    attach(&mut conn).is_err_and(|error| is_closed(&error))
}
