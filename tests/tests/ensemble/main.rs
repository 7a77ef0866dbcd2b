//! Ensembles of real processes: Quorate's servers among themselves, and mixed with ZooKeeper's.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod mixed;
mod tree;

use quorate_tests::{Connection, Ensemble, Member, Op, Reply, Subject, foreign};

use self::tree::Tree;

/// Lets sessions outlive whatever a test does to their servers.
const LONG_SESSIONS: &str = "maxSessionTimeout=60000";
/// Such a session's timeout.
const LONG_MS: i32 = 60_000;

/// Whether ZooKeeper is here to be mixed with.
fn zookeeper_is_installed() -> bool {
    foreign::require("ZooKeeper", foreign::zookeeper_class_path()).is_some()
}

/// Voting servers from a string as "QJJ": `Q` is Quorate, `J` (for Java) is ZooKeeper; small letters are
/// observers.
fn members(kinds: &str) -> Vec<Member> {
    let member = |kind| match kind {
        'Q' => Member::participant(Subject::Quorate),
        'J' => Member::participant(Subject::ZooKeeper),
        'q' => Member::observer(Subject::Quorate),
        'j' => Member::observer(Subject::ZooKeeper),
        _ => panic!("no kind of server: {kind}"),
    };
    kinds.chars().map(member).collect()
}

/// A client of a server whose session outlives what the server goes through.
fn connect(ensemble: &Ensemble, id: u8) -> Connection {
    ensemble.connect(id, LONG_MS)
}

fn call(client: &mut Connection, op: &Op) -> Reply {
    client.call(op).expect("the server answers").parse(op)
}

/// A request that must succeed.
fn done(client: &mut Connection, op: &Op) -> Reply {
    let reply = call(client, op);
    assert_eq!(reply.error, 0, "{op:?}");
    reply
}

/// All servers, each behind a `sync`, show the same tree.
fn same_tree(ensemble: &Ensemble) -> Tree {
    let mut trees = ensemble.ids().map(|id| (id, Tree::read(&mut connect(ensemble, id))));
    let (first, tree) = trees.next().unwrap();
    for (id, other) in trees {
        tree.assert_same(&other, &format!("server {first} and server {id}"));
    }
    tree
}
