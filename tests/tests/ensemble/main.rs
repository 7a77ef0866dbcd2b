//! Ensembles of real processes: Quorate's servers among themselves, and mixed with ZooKeeper's.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod hand_over;
mod load;
mod migration;
mod mixed;
mod reconfig;
mod restart;
mod roles;
mod sessions;
mod strangers;
mod tree;

use quorate_tests::{
    Connection, Ensemble, Member, Op, Reply, Subject, foreign,
    wait::{self, PATIENCE},
};

use self::tree::Tree;

/// Lets sessions outlive whatever a test does to their servers.
const LONG_SESSIONS: &str = "maxSessionTimeout=60000";
/// Such a session's timeout.
const LONG_MS: i32 = 60_000;

/// Whether the servers of these [kinds](members) are here.
fn are_installed(kinds: &str) -> bool {
    !kinds.contains(['J', 'j'])
        || foreign::require("ZooKeeper", foreign::zookeeper_class_path()).is_some()
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

/// Starts these servers so that the last one that votes leads.
fn start_led_by_last(kinds: &str, settings: &[&str]) -> Ensemble {
    let mut ensemble = Ensemble::prepare(&members(kinds), settings);
    let voters = kinds.chars().filter(char::is_ascii_uppercase).count();
    let last = u8::try_from(voters).unwrap();
    // Nobody has data: among those that elect, the largest number wins.
    let majority: Vec<_> = (last - last / 2..=last).collect();
    ensemble.restart(&majority);
    assert_eq!(ensemble.wait_for_leader(), last);
    let others: Vec<_> = ensemble.ids().filter(|id| !majority.contains(id)).collect();
    ensemble.restart(&others);
    ensemble
}

/// A client of a server whose session outlives what the server goes through.
fn connect(ensemble: &Ensemble, id: u8) -> Connection {
    ensemble.connect(id, LONG_MS)
}

/// Takes the session of a connection to a server, which may be another one.
fn attach_again(ensemble: &Ensemble, id: u8, old: &Connection) -> Connection {
    // A server that has seen less than the client sends it away.
    let mut client = wait::until("a server that has caught up", PATIENCE, || {
        let mut client = Connection::open(ensemble.server(id).addr()).ok()?;
        client.attach(&old.session, old.last_zxid).is_ok().then_some(client)
    });
    assert_eq!(client.session.id, old.session.id, "the session is known at server {id}");
    client.last_zxid = old.last_zxid;
    client
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

/// All servers, each behind a `sync`, show the same tree, and none of Quorate's has seen a
/// digest differ from its own.
fn same_tree(ensemble: &Ensemble) -> Tree {
    let mut trees = ensemble.ids().map(|id| (id, Tree::read(&mut connect(ensemble, id))));
    let (first, tree) = trees.next().unwrap();
    for (id, other) in trees {
        tree.assert_same(&other, &format!("server {first} and server {id}"));
    }
    // ZooKeeper counts also what differs while it gets a snapshot that is not of one moment.
    let is_quorate = |id: &u8| ensemble.server(*id).subject() == Subject::Quorate;
    for id in ensemble.ids().filter(is_quorate) {
        let differed = ensemble.server(id).metric("digest_mismatches_count");
        assert_eq!(differed.as_deref(), Some("0"), "server {id}");
    }
    tree
}
