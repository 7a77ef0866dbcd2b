//! Ensembles of real processes: Quorate's servers among themselves, and mixed with ZooKeeper's.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod foreign_reconfig;
mod guide;
mod hand_over;
mod kills;
mod load;
mod local_sessions;
mod migration;
mod mixed;
mod observer_master;
mod places;
mod read_only;
mod reconfig;
mod restart;
mod roles;
mod sessions;
mod strangers;
mod tree;

use quorate_tests::{
    Connection, Ensemble, Member, Op, Reply, Subject,
    wait::{self, PATIENCE},
};

use self::tree::Tree;

/// Lets sessions outlive whatever a test does to their servers.
const LONG_SESSIONS: &str = "maxSessionTimeout=60000";
/// Such a session's timeout.
const LONG_MS: i32 = 60_000;

/// Whether the servers of these [kinds](members) are here.
fn are_installed(kinds: &str) -> bool {
    let mut subjects: Vec<_> = kinds.chars().map(subject).collect();
    subjects.dedup();
    subjects.into_iter().all(Subject::is_installed)
}

fn subject(kind: char) -> Subject {
    match kind.to_ascii_uppercase() {
        'Q' => Subject::Quorate,
        'J' => Subject::ZooKeeper,
        'D' => Subject::DebianZooKeeper,
        _ => panic!("no kind of server: {kind}"),
    }
}

/// Voting servers from a string as "QJJ": `Q` is Quorate, `J` (for Java) is ZooKeeper, `D` the older
/// one of Debian; small letters are observers.
fn members(kinds: &str) -> Vec<Member> {
    let member = |kind: char| {
        let role = if kind.is_ascii_uppercase() { Member::participant } else { Member::observer };
        role(subject(kind))
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

/// A client of a server whose session outlives what the server goes through. A server that has
/// lost its leader a moment ago takes no sessions until it has another one.
fn connect(ensemble: &Ensemble, id: u8) -> Connection {
    let addr = ensemble.server(id).addr();
    wait::until("a server that takes a session", PATIENCE, || {
        Connection::with_new_session(addr, LONG_MS).ok()
    })
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
    // A session's number begins with that of the server where it began.
    let answer = client.call_with_pings(op);
    answer.unwrap_or_else(|error| panic!("{op:?} in {}: {error}", client.session.id)).parse(op)
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
    ensemble.ids().for_each(|id| assert_same_digests(ensemble, id));
    tree
}

/// A server has not seen a digest that differs from its own, if it is one of Quorate's: ZooKeeper
/// counts also what differs while it gets a snapshot that is not of one moment.
fn assert_same_digests(ensemble: &Ensemble, id: u8) {
    let server = ensemble.server(id);
    if server.subject() == Subject::Quorate {
        // While it has no leader it shows none.
        let differed = wait::until("a server that serves", PATIENCE, || {
            server.metric("digest_mismatches_count")
        });
        assert_eq!(differed, "0", "server {id}");
    }
}
