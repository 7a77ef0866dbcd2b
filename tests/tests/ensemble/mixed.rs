//! Servers of both kinds in one ensemble: the same writes, trees, and watches on each of them.

use std::thread;

use quorate_protocol::OpCode;
use quorate_tests::{
    Body, Connection, Ensemble, Op,
    op::{NewNode, acl},
};

use crate::{LONG_SESSIONS, are_installed, call, connect, done, same_tree, start_led_by_last};

const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;
const EPHEMERAL_SEQUENTIAL: i32 = 3;
const BAD_VERSION: i32 = -103;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
/// The mode of `addWatch` that fires for a node and all below it, again and again.
const PERSISTENT_RECURSIVE: i32 = 1;

#[test]
fn a_quorate_follower_under_a_java_leader() {
    works_as_one("QJJ");
}

#[test]
fn a_java_follower_under_a_quorate_leader() {
    works_as_one("JQQ");
}

#[test]
fn two_java_followers_under_a_quorate_leader() {
    works_as_one("JJQ");
}

#[test]
fn observers_of_both_kinds_under_a_java_leader() {
    works_as_one("JJqj");
}

#[test]
fn observers_of_both_kinds_under_a_quorate_leader() {
    works_as_one("QQqj");
}

/// Clients of all servers write at the same time, and each sees everything.
fn works_as_one(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    let mut clients: Vec<_> = ensemble.ids().map(|id| (id, connect(&ensemble, id))).collect();
    done(&mut clients[0].1, &Op::create("/written", b"", 0));
    let watchers: Vec<_> = ensemble.ids().map(|id| watch(&ensemble, id, "/written")).collect();
    thread::scope(|scope| {
        for (id, client) in &mut clients {
            scope.spawn(move || write(client, &format!("/written/{id}")));
        }
    });
    done(&mut clients[0].1, &Op::create("/written/end", b"", 0));
    let seen: Vec<_> = watchers.into_iter().map(|w| events_until(w, "/written/end")).collect();
    for events in &seen {
        assert_eq!(events, &seen[0]);
    }
    let tree = same_tree(&ensemble);
    assert_eq!(tree.owned().len(), 2 * clients.len(), "{:?}", tree.owned());
    for (_, client) in &mut clients {
        done(client, &Op::Plain(OpCode::CloseSession));
    }
    assert_eq!(same_tree(&ensemble).owned(), [""; 0]);
    for id in ensemble.ids() {
        ensemble.server_mut(id).assert_running();
    }
}

/// A client that is told of everything that happens below a node.
fn watch(ensemble: &Ensemble, id: u8, path: &str) -> Connection {
    let mut client = connect(ensemble, id);
    done(&mut client, &Op::Path(OpCode::Sync, "/".into()));
    done(&mut client, &Op::AddWatch(path.into(), PERSISTENT_RECURSIVE));
    client
}

/// What a client is told up to the creation of a node.
fn events_until(mut watcher: Connection, last: &str) -> Vec<Body> {
    let mut events = Vec::new();
    loop {
        let event = watcher.read_frame().expect("an event comes").parse(&Op::ping()).body;
        let ends = matches!(&event, Body::Event(1, _, path) if path == last);
        events.push(event);
        if ends {
            return events;
        }
    }
}

/// Writes of every kind below a node, those that fail included, with their answers.
pub(crate) fn write(client: &mut Connection, at: &str) {
    done(client, &Op::create(at, b"", 0));
    let path = |name: &str| format!("{at}/{name}");
    let named = |reply: &Body| match reply {
        Body::Path(path, _) => path.clone(),
        body => panic!("{body:?}"),
    };
    for i in 0..20 {
        let node = path(&format!("n{i}"));
        done(client, &Op::create(&node, b"first", 0));
        assert_eq!(call(client, &Op::create(&node, b"again", 0)).error, NODE_EXISTS);
        done(client, &Op::SetData(node.clone(), Some(b"second".to_vec()), 0));
        let stale = Op::SetData(node.clone(), Some(b"third".to_vec()), 0);
        assert_eq!(call(client, &stale).error, BAD_VERSION);
        if i % 2 == 0 {
            done(client, &Op::delete(&node));
        }
        let sequential = done(client, &Op::create(&path("s-"), b"", SEQUENTIAL)).body;
        // Deletes count in the parent's version, not in its children's numbers.
        assert_eq!(named(&sequential), path(&format!("s-{:010}", 2 * i + 1)));
    }
    assert_eq!(call(client, &Op::delete(at)).error, NOT_EMPTY);
    done(client, &Op::create(&path("mine"), b"", EPHEMERAL));
    done(client, &Op::create(&path("e-"), b"", EPHEMERAL_SEQUENTIAL));
    let multi = vec![
        Op::Check(at.into(), 0),
        Op::create(&path("m1"), b"1", 0),
        Op::set(&path("m1"), b"2"),
        Op::delete(&path("n1")),
    ];
    done(client, &Op::Multi(OpCode::Multi, multi));
    let refused = vec![Op::create(&path("m2"), b"", 0), Op::Check(at.into(), 7)];
    let Body::Results(results) = done(client, &Op::Multi(OpCode::Multi, refused)).body else {
        panic!("a multi has results");
    };
    assert_eq!(results[1].1, BAD_VERSION);
    let container = NewNode::open(&path("container"), b"", 4);
    done(client, &Op::Create(OpCode::CreateContainer, container));
    done(client, &Op::SetAcl(path("m1"), acl(&[(1, "world", "anyone")]), 0));
    // What was written here is read here without a sync.
    assert_eq!(call(client, &Op::exists(&path("m1"))).error, 0);
    assert_ne!(call(client, &Op::exists(&path("m2"))).error, 0);
}
