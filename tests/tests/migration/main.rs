//! From ZooKeeper's files to Quorate's and back, with a real ZooKeeper at the other end.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod damage;
mod export;
mod import;
#[path = "../ensemble/tree.rs"]
mod tree;

use std::{
    env,
    process::{Command, Output},
};

use quorate_protocol::OpCode;
use quorate_tests::{
    Connection, Op, Reply, Server, Session, Subject, foreign,
    op::{self, NewNode},
    server::quorate_binary,
};

use self::tree::Tree;

/// Sessions outlive whatever a test does to their server, every kind of node can be made, and
/// snapshots are taken often.
const SETTINGS: [&str; 3] =
    ["maxSessionTimeout=60000", "extendedTypesEnabled=true", "snapCount=40"];
const LONG_MS: i32 = 60_000;
/// What the server says once, at its first start.
const IMPORTED: &str = "the data of ZooKeeper is imported";

fn is_zookeeper_installed() -> bool {
    foreign::require("ZooKeeper", foreign::zookeeper_class_path()).is_some()
}

fn start(subject: Subject, more: &[&str]) -> Server {
    Server::start(subject, &[&SETTINGS[..], more].concat())
}

fn connect(server: &Server) -> Connection {
    Connection::with_new_session(server.addr(), LONG_MS).unwrap()
}

fn done(connection: &mut Connection, op: &Op) -> Reply {
    let reply = connection.call(op).unwrap().parse(op);
    assert_eq!(reply.error, 0, "{op:?}");
    reply
}

fn read(server: &Server) -> Tree {
    Tree::read(&mut connect(server))
}

/// A tree of every kind of node, by every kind of transaction. Gives the session that the
/// ephemeral nodes belong to, whose client is gone.
fn fill(server: &Server) -> Session {
    let mut client = connect(server);
    let create = |path: &str| Op::create(path, path.as_bytes(), 0);
    done(&mut client, &create("/a"));
    for child in 0..60 {
        let path = format!("/a/{child}");
        done(&mut client, &create(&path));
        if child % 3 == 0 {
            done(&mut client, &Op::set(&path, b"other data"));
        }
        if child % 4 == 0 {
            done(&mut client, &Op::delete(&path));
        }
    }
    done(&mut client, &Op::create("/a/s-", b"", 2));
    let acl = [(31, "digest", "u:6ZtWm8WyU7CbS8Qqp0qGlZwSYxg="), (1, "world", "anyone")];
    let guarded = NewNode { path: "/guarded".into(), data: None, acl: op::acl(&acl), flags: 0 };
    done(&mut client, &Op::Create(OpCode::Create2, guarded));
    let open = [(31, "world", "anyone"), (1, "ip", "10.1.2.3/16")];
    done(&mut client, &Op::SetAcl("/a/1".into(), op::acl(&open), -1));
    done(&mut client, &Op::Create(OpCode::CreateContainer, NewNode::open("/box", b"c", 4)));
    done(&mut client, &create("/box/lid"));
    done(&mut client, &Op::CreateTtl(NewNode::open("/ttl", b"t", 5), 600_000));
    let parts =
        vec![create("/m"), create("/m/1"), Op::set("/a", b"by a multi"), Op::delete("/a/1")];
    done(&mut client, &Op::Multi(OpCode::Multi, parts));
    // This one fails as a whole, and is in the log.
    let parts = vec![create("/n"), Op::delete("/none"), create("/o")];
    client.call(&Op::Multi(OpCode::Multi, parts)).unwrap();
    client.call(&Op::delete("/none")).unwrap();
    for path in ["/zookeeper/quota/a", "/zookeeper/quota/a/zookeeper_stats"] {
        done(&mut client, &Op::create(path, b"", 0));
    }
    let limits = b"count=1000,bytes=100000";
    done(&mut client, &Op::create("/zookeeper/quota/a/zookeeper_limits", limits, 0));
    done(&mut client, &create("/a/counted"));
    let mut gone = connect(server);
    done(&mut gone, &Op::create("/gone", b"", 1));
    done(&mut gone, &Op::Plain(OpCode::CloseSession));
    let mut owner = connect(server);
    for name in 0..5 {
        done(&mut owner, &Op::create(&format!("/e{name}"), b"mine", 1));
    }
    owner.session.clone()
}

/// Whether the session can still be continued.
fn is_alive(server: &Server, session: &Session) -> bool {
    let mut client = Connection::open(server.addr()).unwrap();
    let continued = client.attach(session, 0).unwrap();
    continued.id == session.id && continued.is_accepted()
}

/// Runs one of the commands besides serving; gives its exit code and what it said.
fn command(args: &[&str]) -> (i32, String) {
    let mut command = Command::new(quorate_binary());
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"QUORATE_") {
            command.env_remove(name);
        }
    }
    let Output { status, stdout, stderr } = command.args(args).output().unwrap();
    let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (status.code().unwrap(), said)
}

/// As [`command`]; it must succeed.
fn succeed(args: &[&str]) -> String {
    let (code, said) = command(args);
    assert_eq!(code, 0, "{args:?}: {said}");
    said
}

/// A path below the server's folder, as an argument.
fn within(server: &Server, path: &str) -> String {
    server.dir().join(path).to_str().unwrap().to_owned()
}

/// Starts a server that must refuse to; answers what it said this time.
fn refused(server: &mut Server) -> String {
    let before = server.said().len();
    server.spawn();
    let status = server.wait_for_end();
    let said = server.said()[before..].to_owned();
    assert_eq!(status.code(), Some(1), "{said}");
    said
}
