//! Sessions and restarts: they survive, they expire once, and never by half.

use std::time::Duration;

use fastrand::Rng;
use quorate_protocol::OpCode;
use quorate_tests::{
    Body, Connection, Op, Server, Subject,
    wait::{self, PATIENCE, Stopwatch},
};

use crate::{
    LONG_SESSIONS, attach, attach_again, children, connect, done, ephemerals, exists, said,
};

/// Two ticks of the harness's servers.
const SHORT_MS: i32 = 400;

#[test]
fn many_sessions_and_their_nodes_survive_restarts() {
    const SESSIONS: usize = 300;
    const NODES: usize = 5;
    let settings = [LONG_SESSIONS, "snapCount=500"];
    let mut server = Server::start(Subject::Quorate, &settings);
    let mut clients: Vec<_> = (0..SESSIONS).map(|_| connect(&server)).collect();
    let paths = |i: usize| (0..NODES).map(|n| format!("/s{i}-{n}")).collect::<Vec<_>>();
    for (i, client) in clients.iter_mut().enumerate() {
        let creates = paths(i).into_iter().map(|path| Op::create(&path, b"", 1)).collect();
        done(client, &Op::Multi(OpCode::Multi, creates));
    }
    for polite in [false, true, false] {
        if polite {
            assert!(server.terminate().success());
        } else {
            server.kill();
        }
        server.restart();
        for (i, client) in clients.iter_mut().enumerate() {
            *client = attach_again(&server, client);
            assert_eq!(ephemerals(client), paths(i));
        }
    }
    // Ending one is known after a restart, and no other went with it.
    done(&mut clients[0], &Op::Plain(OpCode::CloseSession));
    server.kill();
    server.restart();
    let (_, refused) = attach(&server, &clients[0].session, 0).unwrap();
    assert!(!refused.is_accepted());
    let mut other = attach_again(&server, &clients[1]);
    assert_eq!(children(&mut other, "/").len(), (SESSIONS - 1) * NODES + 1);
    assert_eq!(said(&server, "session expired"), 0);
}

#[test]
fn a_session_expires_once_after_a_restart() {
    let mut server = Server::start(Subject::Quorate, &[LONG_SESSIONS]);
    let watcher = connect(&server);
    let mut short = Connection::with_new_session(server.addr(), SHORT_MS).unwrap();
    done(&mut short, &Op::create("/short", b"", 1));
    server.kill();
    server.restart();
    let restarted = Stopwatch::start();
    let mut watcher = attach_again(&server, &watcher);
    done(&mut watcher, &Op::AddWatch("/short".into(), 0));
    assert!(exists(&mut watcher, "/short"), "every session has its whole timeout again");
    let event = watcher.read_frame().unwrap();
    let expired_after = restarted.elapsed();
    let deleted = Body::Event(2, 3, "/short".into());
    assert!(event.is_event());
    assert_eq!(event.parse(&Op::ping()).body, deleted);
    assert!(expired_after < PATIENCE / 2, "{expired_after:?}");
    let (_, refused) = attach(&server, &short.session, 0).unwrap();
    assert!(!refused.is_accepted());
    // Nothing more happens to the node, nor to the session, now and after another restart.
    let mut events = Vec::new();
    watcher.call_collecting(&Op::exists("/"), &mut events).unwrap();
    assert_eq!(events, []);
    server.kill();
    server.restart();
    let mut watcher = attach_again(&server, &watcher);
    wait_for_another_expiry(&server);
    assert!(!exists(&mut watcher, "/short"));
    assert_eq!(said(&server, &format!("session expired session={}", short.session.id)), 1);
}

/// Waits until a session that began now has expired: by then an older one would have, too.
fn wait_for_another_expiry(server: &Server) {
    let before = said(server, "session expired");
    drop(Connection::with_new_session(server.addr(), SHORT_MS).unwrap());
    wait::until("a session to expire", PATIENCE, || {
        (said(server, "session expired") > before).then_some(())
    });
}

#[test]
fn a_kill_while_sessions_expire_leaves_none_by_half() {
    const SESSIONS: usize = 20;
    const NODES: usize = 10;
    let mut rng = Rng::with_seed(3);
    let mut server = Server::start(Subject::Quorate, &[LONG_SESSIONS]);
    let mut watcher = connect(&server);
    for round in 0..6 {
        for i in 0..SESSIONS {
            let mut client = Connection::with_new_session(server.addr(), SHORT_MS).unwrap();
            let create = |n| Op::create(&format!("/r{round}-s{i:02}-{n}"), b"", 1);
            done(&mut client, &Op::Multi(OpCode::Multi, (0..NODES).map(create).collect()));
        }
        // The first ones go; the others are about to.
        let before = said(&server, "session expired");
        wait::until("sessions to expire", PATIENCE, || {
            (said(&server, "session expired") > before).then_some(())
        });
        wait::pause(Duration::from_micros(rng.u64(0..2000)));
        server.kill();
        server.restart();
        watcher = attach_again(&server, &watcher);
        let left = children(&mut watcher, "/").len() - 1;
        assert_eq!(left % NODES, 0, "a session's nodes go together");
        wait::until("the nodes of all sessions to go", PATIENCE, || {
            (children(&mut watcher, "/").len() == 1).then_some(())
        });
    }
}
