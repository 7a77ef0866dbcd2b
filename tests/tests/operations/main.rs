//! The server as its operator meets it: a process with folders, a disk that fills up or fails,
//! signals, a log to be read.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod damage;
mod disk_failure;
mod disk_full;
mod json_log;
mod kill;
mod reaping;
mod sessions;
mod start;

use std::{collections::BTreeMap, io};

use quorate_protocol::OpCode;
use quorate_tests::{
    Body, Connection, Op, Reply, Server, Session,
    wait::{self, PATIENCE},
};

/// Lets sessions outlive whatever a test does to their server.
const LONG_SESSIONS: &str = "maxSessionTimeout=60000";
/// Such a session's timeout.
const LONG_MS: i32 = 60_000;
/// `SYSTEMERROR`, the answer to a write that cannot be logged.
const SYSTEM_ERROR: i32 = -1;
const NO_NODE: i32 = -101;

/// A client whose session outlives what its server goes through.
fn connect(server: &Server) -> Connection {
    Connection::with_new_session(server.addr(), LONG_MS).expect("the server accepts a session")
}

/// Attaches to a session again; the answer may be a refusal.
fn attach(server: &Server, session: &Session, last_zxid: i64) -> io::Result<(Connection, Session)> {
    let mut connection = Connection::open(server.addr())?;
    let session = connection.attach(session, last_zxid)?;
    Ok((connection, session))
}

/// Attaches to the session of a connection that broke.
fn attach_again(server: &Server, old: &Connection) -> Connection {
    let (connection, session) =
        attach(server, &old.session, old.last_zxid).expect("the server knows all it has told");
    assert!(session.is_accepted(), "the session has survived");
    assert_eq!((session.id, &session.passwd), (old.session.id, &old.session.passwd));
    connection
}

fn call(connection: &mut Connection, op: &Op) -> Reply {
    connection.call(op).expect("the server answers").parse(op)
}

/// A request that must succeed.
fn done(connection: &mut Connection, op: &Op) -> Reply {
    let reply = call(connection, op);
    assert_eq!(reply.error, 0, "{op:?}");
    reply
}

fn exists(connection: &mut Connection, path: &str) -> bool {
    let reply = call(connection, &Op::exists(path));
    assert!(matches!(reply.error, 0 | NO_NODE), "{reply:?}");
    reply.error == 0
}

fn data(connection: &mut Connection, path: &str) -> Vec<u8> {
    match done(connection, &Op::get(path)).body {
        Body::Data(data, _) => data.unwrap_or_default(),
        body => panic!("{body:?}"),
    }
}

/// The children of a node, in order.
fn children(connection: &mut Connection, path: &str) -> Vec<String> {
    match done(connection, &Op::children(path)).body {
        Body::Names(mut names, _) => {
            names.sort();
            names
        }
        body => panic!("{body:?}"),
    }
}

/// The paths of the session's ephemeral nodes, in order.
fn ephemerals(connection: &mut Connection) -> Vec<String> {
    match done(connection, &Op::Path(OpCode::GetEphemerals, "/".into())).body {
        Body::Names(mut names, _) => {
            names.sort();
            names
        }
        body => panic!("{body:?}"),
    }
}

/// Waits until the server has said something, `count` times in all.
fn wait_until_said(server: &Server, what: &str, count: usize) {
    wait::until(what, PATIENCE, || (said(server, what) >= count).then_some(()));
}

/// In how many lines the server has said something.
fn said(server: &Server, what: &str) -> usize {
    server.said().lines().filter(|line| line.contains(what)).count()
}

/// What a client was promised: nodes and their data.
#[derive(Debug, Default)]
struct Promised {
    nodes: BTreeMap<String, Vec<u8>>,
    next: u8,
}

impl Promised {
    /// Creates a node, or sets it if it is there, to `size` bytes not used before. Answers the
    /// error; only what succeeded is a promise.
    fn put(&mut self, connection: &mut Connection, path: &str, size: usize) -> i32 {
        self.try_put(connection, path, size).expect("the server answers")
    }

    /// As [`Self::put`], with a server that may end meanwhile.
    fn try_put(&mut self, connection: &mut Connection, path: &str, size: usize) -> io::Result<i32> {
        self.next = self.next.wrapping_add(1);
        let data = vec![self.next; size];
        let is_there = self.nodes.contains_key(path);
        let op = if is_there { Op::set(path, &data) } else { Op::create(path, &data, 0) };
        let error = connection.call(&op).map(|reply| reply.error);
        match error {
            Ok(0) => drop(self.nodes.insert(path.to_owned(), data)),
            Ok(_) => {}
            // It may have happened or not.
            Err(_) => drop(self.nodes.remove(path)),
        }
        error
    }

    /// Takes what is there, whatever it is, for promised.
    fn take_over(&mut self, connection: &mut Connection, path: &str) {
        self.nodes.insert(path.to_owned(), data(connection, path));
    }

    /// Everything promised is there.
    fn check(&self, connection: &mut Connection) {
        for (path, promised) in &self.nodes {
            let found = data(connection, path);
            let value = |data: &[u8]| (data.len(), data.first().copied());
            assert_eq!(value(&found), value(promised), "{path}");
            assert_eq!(&found, promised, "{path}");
        }
    }

    /// Everything promised is there, and of these nodes no other.
    fn check_exactly(&self, connection: &mut Connection) {
        self.check(connection);
        let names = children(connection, "/").into_iter();
        let found: Vec<_> = names.map(|n| format!("/{n}")).filter(|n| n != "/zookeeper").collect();
        let promised: Vec<_> = self.nodes.keys().cloned().collect();
        assert_eq!(found, promised);
    }
}
