//! Containers and TTL nodes: removed when their time has come, not before, and across restarts.

use quorate_protocol::OpCode;
use quorate_tests::{
    Op, Server, Subject,
    op::NewNode,
    wait::{self, PATIENCE, Stopwatch},
};

use crate::{LONG_SESSIONS, attach_again, connect, done, exists};
use std::time::Duration;

const SETTINGS: [&str; 4] = [
    LONG_SESSIONS,
    "extendedTypesEnabled=true",
    "znode.container.checkIntervalMs=50",
    "znode.container.maxNeverUsedIntervalMs=300",
];
const CONTAINER: i32 = 4;
const PERSISTENT_WITH_TTL: i32 = 5;

fn container(path: &str) -> Op {
    Op::Create(OpCode::CreateContainer, NewNode::open(path, b"", CONTAINER))
}

fn ttl(path: &str, ttl_ms: i64) -> Op {
    Op::CreateTtl(NewNode::open(path, b"", PERSISTENT_WITH_TTL), ttl_ms)
}

#[test]
fn containers_go_when_their_last_child_has_gone() {
    let mut server = Server::start(Subject::Quorate, &SETTINGS);
    let mut client = connect(&server);
    for path in ["/used", "/emptied", "/unused"] {
        done(&mut client, &container(path));
    }
    done(&mut client, &Op::create("/used/child", b"", 0));
    done(&mut client, &Op::create("/emptied/child", b"", 0));
    let gone = |client: &mut _, path: &str| {
        wait::until("a node to be reaped", PATIENCE, || (!exists(client, path)).then_some(()));
    };
    gone(&mut client, "/unused");
    assert!(exists(&mut client, "/emptied"));
    done(&mut client, &Op::delete("/emptied/child"));
    gone(&mut client, "/emptied");
    assert!(exists(&mut client, "/used/child"));
    server.kill();
    server.restart();
    let mut client = attach_again(&server, &client);
    assert!(!exists(&mut client, "/unused") && !exists(&mut client, "/emptied"));
    assert!(exists(&mut client, "/used/child"));
    done(&mut client, &Op::delete("/used/child"));
    gone(&mut client, "/used");
}

#[test]
fn ttl_nodes_go_when_nothing_has_changed_for_so_long() {
    const TTL_MS: i64 = 500;
    let mut server = Server::start(Subject::Quorate, &SETTINGS);
    let mut client = connect(&server);
    let watch = Stopwatch::start();
    for path in ["/quiet", "/parent", "/touched"] {
        done(&mut client, &ttl(path, TTL_MS));
    }
    done(&mut client, &ttl("/later", 3_600_000));
    done(&mut client, &Op::create("/parent/child", b"", 0));
    let gone = |client: &mut _, path: &str| {
        wait::until("a node to be reaped", PATIENCE, || (!exists(client, path)).then_some(()));
    };
    wait::until("a node to be reaped", PATIENCE, || {
        done(&mut client, &Op::set("/touched", b"x"));
        (!exists(&mut client, "/quiet")).then_some(())
    });
    assert!(watch.elapsed() >= Duration::from_millis(TTL_MS.unsigned_abs()));
    for path in ["/parent", "/touched", "/later"] {
        assert!(exists(&mut client, path), "{path}");
    }
    server.kill();
    server.restart();
    let mut client = attach_again(&server, &client);
    gone(&mut client, "/touched");
    assert!(exists(&mut client, "/parent/child") && exists(&mut client, "/later"));
    done(&mut client, &Op::delete("/parent/child"));
    gone(&mut client, "/parent");
    assert!(exists(&mut client, "/later"));
}
