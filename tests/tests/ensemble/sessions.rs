//! Sessions that move between servers of both kinds, end on one and are gone on all, and outlive
//! the leader that knew them.

use quorate_protocol::{OpCode, SessionId};
use quorate_tests::{
    Body, Ensemble, Op, Subject,
    wait::{self, PATIENCE},
};

use crate::{
    LONG_SESSIONS, are_installed, attach_again, call, connect, done, same_tree, start_led_by_last,
};

/// Two ticks of the harness's servers.
const SHORT_MS: i32 = 400;
const EPHEMERAL: i32 = 1;

#[test]
fn sessions_move_between_the_kinds_under_java() {
    sessions_move("QJJ");
}

#[test]
fn sessions_move_between_the_kinds_under_quorate() {
    sessions_move("JQQ");
}

/// A session goes from server to server with its ephemeral node; one that nobody keeps alive
/// expires, and one that is closed ends, at all of them.
fn sessions_move(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    for from in ensemble.ids() {
        let path = format!("/moves-{from}");
        let mut client = connect(&ensemble, from);
        done(&mut client, &Op::create(&path, b"", EPHEMERAL));
        for to in ensemble.others(from) {
            client = attach_again(&ensemble, to, &client);
            assert_eq!(owner(&ensemble, to, &path), Some(client.session.id));
            done(&mut client, &Op::set(&path, to.to_string().as_bytes()));
        }
        done(&mut client, &Op::Plain(OpCode::CloseSession));
        assert_gone(&ensemble, &path);
        expire(&ensemble, from);
    }
}

/// A session that is left alone at a server: all see its node, and then none does.
fn expire(ensemble: &Ensemble, at: u8) {
    let path = format!("/expires-{at}");
    let mut client = ensemble.connect(at, SHORT_MS);
    done(&mut client, &Op::create(&path, b"", EPHEMERAL));
    // A watch of a client that stays tells when it is over.
    let mut watcher = connect(ensemble, at);
    done(&mut watcher, &Op::Path(OpCode::Sync, "/".into()));
    if watcher.call(&Op::Read(OpCode::Exists, path.clone(), true)).unwrap().error == 0 {
        assert!(watcher.read_frame().unwrap().is_event());
    }
    assert_gone(ensemble, &path);
}

#[test]
fn sessions_outlive_a_java_leader_that_quorate_follows() {
    sessions_outlive_the_leader("JQJ", Subject::Quorate);
}

#[test]
fn sessions_outlive_a_quorate_leader_that_java_follows() {
    sessions_outlive_the_leader("QJQ", Subject::ZooKeeper);
}

/// The leader dies, and a server of the other kind takes over with all sessions.
fn sessions_outlive_the_leader(kinds: &str, successor: Subject) {
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    let leader = ensemble.wait_for_leader();
    let mut clients: Vec<_> = ensemble.ids().map(|id| (id, connect(&ensemble, id))).collect();
    for (id, client) in &mut clients {
        done(client, &Op::create(&format!("/kept-{id}"), b"", EPHEMERAL));
    }
    let mut left = ensemble.connect(1, 5 * SHORT_MS);
    done(&mut left, &Op::create("/left", b"", EPHEMERAL));
    // Of those that have the same, the larger number is elected.
    wait_until_level(&ensemble);
    ensemble.kill(leader);
    drop(left);
    let next = ensemble.wait_for_leader();
    assert_eq!(ensemble.server(next).subject(), successor);
    for to in ensemble.others(leader) {
        ensemble.server_mut(to).wait_until_serving();
        for (id, client) in &mut clients {
            *client = attach_again(&ensemble, to, client);
            assert_eq!(owner(&ensemble, to, &format!("/kept-{id}")), Some(client.session.id));
        }
    }
    // The new leader lets expire what nobody came back for.
    wait::until("the session left alone to expire", PATIENCE, || {
        owner(&ensemble, next, "/left").is_none().then_some(())
    });
    ensemble.restart(&[leader]);
    assert_eq!(same_tree(&ensemble).owned().len(), clients.len());
}

/// Waits until all servers have applied the same.
fn wait_until_level(ensemble: &Ensemble) {
    wait::until("all servers to have the same", PATIENCE, || {
        let mut zxids = ensemble.ids().map(|id| {
            let answer = ensemble.server(id).word("srvr");
            answer.lines().find(|line| line.starts_with("Zxid: ")).map(str::to_owned)
        });
        let first = zxids.next()?;
        (first.is_some() && zxids.all(|zxid| zxid == first)).then_some(())
    });
}

/// Whose a node is, as a server says behind a `sync`; `None` when it is not there.
fn owner(ensemble: &Ensemble, id: u8, path: &str) -> Option<SessionId> {
    let mut client = connect(ensemble, id);
    done(&mut client, &Op::Path(OpCode::Sync, "/".into()));
    let reply = call(&mut client, &Op::exists(path));
    match reply.body {
        Body::Stat(stat) if reply.error == 0 => Some(stat.ephemeral_owner),
        _ => None,
    }
}

/// No server shows a node.
fn assert_gone(ensemble: &Ensemble, path: &str) {
    for id in ensemble.ids() {
        assert_eq!(owner(ensemble, id, path), None, "server {id}");
    }
}
