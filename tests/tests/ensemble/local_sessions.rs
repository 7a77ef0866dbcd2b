//! Local sessions: of one server, without a transaction, until they are to own a node. What is
//! expected of Quorate is expected of ZooKeeper too.

use quorate_protocol::{ErrorCode, OpCode, Xid};
use quorate_tests::{
    Body, Connection, Ensemble, Op, Subject,
    op::NewNode,
    wait::{self, PATIENCE},
};

use crate::{LONG_SESSIONS, are_installed, call, connect, done, start_led_by_last};

const ENABLED: &str = "localSessionsEnabled=true";
const UPGRADING: &str = "localSessionsUpgradingEnabled=true";
const EPHEMERAL: i32 = 1;

#[test]
fn local_sessions_of_quorate() {
    local_sessions_stay_where_they_are("QQQq");
}

#[test]
fn local_sessions_of_zookeeper() {
    local_sessions_stay_where_they_are("JJJj");
}

#[test]
fn local_sessions_under_java() {
    local_sessions_stay_where_they_are("QJJq");
}

#[test]
fn local_sessions_under_quorate() {
    local_sessions_stay_where_they_are("JQQj");
}

/// At every kind of server: no transaction for their beginning and end, writes but no ephemeral
/// nodes, valid at this server only.
fn local_sessions_stay_where_they_are(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let ensemble = start_led_by_last(kinds, &[LONG_SESSIONS, ENABLED]);
    begin(&ensemble);
    for id in ensemble.ids() {
        let before = zxid(&ensemble, id);
        let mut client = connect(&ensemble, id);
        assert_eq!(sessions(&ensemble, id), (1, 0), "server {id}");
        let dump = ensemble.server(id).word("dump");
        assert!(dump.starts_with("SessionTracker dump:\nLocal Session Sets ("), "{dump}");
        // ZooKeeper lists times at which nothing expires any more, too.
        assert!(dump.contains(")/(1):\n") && dump.contains("\nGlobal Session"), "{dump}");
        assert_eq!(call(&mut client, &Op::get("/")).zxid, before);

        let path = format!("/by-{id}");
        let created = done(&mut client, &Op::create(&path, b"", 0));
        assert_eq!(created.zxid, before + 1);
        // The refusal is a transaction, as that of any write.
        let refused = call(&mut client, &Op::create("/e", b"", EPHEMERAL));
        let code = ErrorCode::EphemeralOnLocalSession.wire();
        assert_eq!((refused.error, refused.zxid), (code, before + 2), "server {id}");
        let multi =
            Op::Multi(OpCode::Multi, vec![Op::set(&path, b"1"), Op::create("/e", b"", EPHEMERAL)]);
        let Body::Results(results) = call(&mut client, &multi).body else {
            panic!("a multi has results");
        };
        let errors: Vec<_> = results.iter().map(|(_, error, _)| *error).collect();
        assert_eq!(errors, [0, code_in_multi(&ensemble, id)], "server {id}");

        for other in ensemble.others(id) {
            let mut elsewhere = Connection::open(ensemble.server(other).addr()).unwrap();
            let answer = elsewhere.attach(&client.session, 0).unwrap();
            assert!(!answer.is_accepted(), "server {other}");
        }
        let mut again = Connection::open(ensemble.server(id).addr()).unwrap();
        assert_eq!(again.attach(&client.session, client.last_zxid).unwrap(), client.session);
        // The end stands behind what was asked for before, and takes no zxid.
        again.send(&[Op::set(&path, b"2"), Op::Plain(OpCode::CloseSession)]).unwrap();
        let replies = again.read_to_end().unwrap();
        let headers: Vec<_> = replies.iter().map(|reply| (reply.error, reply.zxid)).collect();
        assert_eq!(headers, [(0, before + 4), (0, before + 4)], "server {id}");
        assert_eq!(sessions(&ensemble, id), (0, 0), "server {id}");
        let mut late = Connection::open(ensemble.server(id).addr()).unwrap();
        assert!(!late.attach(&client.session, 0).unwrap().is_accepted());
    }
}

/// Compat: a ZooKeeper that does not lead passes on what the leader says, which knows nothing of
/// the session.
fn code_in_multi(ensemble: &Ensemble, id: u8) -> i32 {
    let is_led = ensemble.wait_for_leader() != id;
    match ensemble.server(id).subject() {
        Subject::ZooKeeper if is_led => ErrorCode::SessionExpired.wire(),
        _ => ErrorCode::EphemeralOnLocalSession.wire(),
    }
}

#[test]
fn quorate_upgrades_local_sessions() {
    sessions_are_upgraded("QQQq");
}

#[test]
fn zookeeper_upgrades_local_sessions() {
    sessions_are_upgraded("JJJj");
}

#[test]
fn java_upgrades_sessions_of_quorate() {
    sessions_are_upgraded("QJJq");
}

#[test]
fn quorate_upgrades_sessions_of_java() {
    sessions_are_upgraded("JQQj");
}

/// A session that creates an ephemeral node, alone or in a multi and with other requests around
/// it, keeps id and password, and is one of all servers from then on.
fn sessions_are_upgraded(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let ensemble = start_led_by_last(kinds, &[LONG_SESSIONS, ENABLED, UPGRADING]);
    begin(&ensemble);
    for id in ensemble.ids() {
        for in_multi in [false, true] {
            let before = zxid(&ensemble, id);
            let path = format!("/upgraded-{id}-{in_multi}");
            let kept = format!("/kept-{id}-{in_multi}");
            let create = Op::create(&path, b"", EPHEMERAL);
            let create = if in_multi { Op::Multi(OpCode::Multi, vec![create]) } else { create };
            let ops = [
                Op::create(&kept, b"", 0),
                Op::exists(&path),
                create,
                Op::exists(&path),
                Op::set(&kept, b"2"),
                Op::create(&format!("{path}-b"), b"", EPHEMERAL),
                Op::get(&kept),
            ];
            let mut client = connect(&ensemble, id);
            client.send(&ops).unwrap();
            let replies: Vec<_> =
                ops.iter().map(|op| client.read_frame().unwrap().parse(op)).collect();
            let zxids: Vec<_> = replies.iter().map(|reply| reply.zxid - before).collect();
            // The session's own transaction stands in front of the first ephemeral node's.
            assert_eq!(zxids, [1, 1, 3, 3, 4, 5, 5], "server {id}");
            let errors: Vec<_> = replies.iter().map(|reply| reply.error).collect();
            assert_eq!(errors, [0, ErrorCode::NoNode.wire(), 0, 0, 0, 0, 0]);
            let Body::Stat(stat) = replies[3].body else { panic!("exists answers a Stat") };
            assert_eq!(stat.ephemeral_owner, client.session.id);
            assert_eq!(sessions(&ensemble, id), (0, 1), "server {id}");

            for other in ensemble.others(id) {
                client = crate::attach_again(&ensemble, other, &client);
            }
            done(&mut client, &Op::Plain(OpCode::CloseSession));
            for server in ensemble.ids() {
                let mut reader = connect(&ensemble, server);
                done(&mut reader, &Op::Path(OpCode::Sync, "/".into()));
                let gone = call(&mut reader, &Op::exists(&path)).error;
                assert_eq!(gone, ErrorCode::NoNode.wire(), "server {server}");
                done(&mut reader, &Op::Plain(OpCode::CloseSession));
            }
        }
    }
}

#[test]
fn local_sessions_of_quorate_expire() {
    local_sessions_expire("QQQq");
}

#[test]
fn local_sessions_of_zookeeper_expire() {
    local_sessions_expire("JJJj");
}

/// One that is not heard of ends at its server, without a transaction; one that was upgraded ends
/// at all of them; one that pings stays.
fn local_sessions_expire(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let ensemble = start_led_by_last(kinds, &[LONG_SESSIONS, ENABLED, UPGRADING]);
    for id in ensemble.ids() {
        let mut stays = ensemble.connect(id, 2000);
        let left = ensemble.connect(id, 1000);
        let mut upgraded = ensemble.connect(id, 1000);
        let path = format!("/e-{id}");
        done(&mut upgraded, &Op::create(&path, b"", EPHEMERAL));
        let before = zxid(&ensemble, id);
        wait::until("both sessions to expire", PATIENCE, || {
            done(&mut stays, &Op::ping());
            (sessions(&ensemble, id) == (1, 0)).then_some(())
        });
        let mut late = Connection::open(ensemble.server(id).addr()).unwrap();
        assert!(!late.attach(&left.session, 0).unwrap().is_accepted());
        assert_eq!(call(&mut stays, &Op::exists(&path)).error, ErrorCode::NoNode.wire());
        assert_eq!(zxid(&ensemble, id), before + 1, "only one of them had a transaction");
        done(&mut stays, &Op::Plain(OpCode::CloseSession));
    }
}

/// Beyond ZooKeeper, which forgets them: a change of leader ends no local session, and a new start
/// of its server does.
#[test]
fn local_sessions_outlive_a_leader() {
    let mut ensemble = start_led_by_last("QQQ", &[LONG_SESSIONS, ENABLED]);
    let leader = ensemble.wait_for_leader();
    let follower = ensemble.others(leader)[0];
    let client = connect(&ensemble, follower);
    ensemble.kill(leader);
    assert_ne!(ensemble.wait_for_leader(), leader);
    let again = crate::attach_again(&ensemble, follower, &client);
    ensemble.restart(&[leader]);
    ensemble.terminate(follower);
    ensemble.restart(&[follower]);
    let mut late = Connection::open(ensemble.server(follower).addr()).unwrap();
    assert!(!late.attach(&again.session, 0).unwrap().is_accepted());
}

/// Requests of kinds that make no ephemeral node upgrade nothing.
#[test]
fn only_ephemeral_nodes_upgrade() {
    let settings = &[LONG_SESSIONS, ENABLED, UPGRADING, "extendedTypesEnabled=true"];
    let ensemble = start_led_by_last("QQQ", settings);
    for id in ensemble.ids() {
        let mut client = connect(&ensemble, id);
        let new = |kind: &str, flags| NewNode::open(&format!("/{kind}-{id}"), b"", flags);
        done(&mut client, &Op::Create(OpCode::Create2, new("two", 0)));
        done(&mut client, &Op::Create(OpCode::Create, new("sequential", 2)));
        done(&mut client, &Op::Create(OpCode::CreateContainer, new("container", 4)));
        done(&mut client, &Op::CreateTtl(new("ttl", 5), 100_000));
        let wrong = call(&mut client, &Op::Create(OpCode::Create, new("wrong", 77)));
        assert_eq!(wrong.error, ErrorCode::BadArguments.wire());
        assert_eq!(client.call(&Op::ping()).unwrap().xid, Xid::PING.0);
        assert_eq!(sessions(&ensemble, id), (1, 0), "server {id}");
        done(&mut client, &Op::Plain(OpCode::CloseSession));
    }
}

/// How many local and global sessions a server knows.
fn sessions(ensemble: &Ensemble, id: u8) -> (u32, u32) {
    let metrics = ensemble.server(id).word("mntr");
    let [local, global] = ["local", "global"].map(|kind| {
        let name = format!("zk_{kind}_sessions\t");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|number| number.parse().ok()).expect("a number of sessions")
    });
    (local, global)
}

/// Makes the epoch's first transaction: before, the kinds show different zxids.
fn begin(ensemble: &Ensemble) {
    let mut client = connect(ensemble, 1);
    done(&mut client, &Op::create("/begin", b"", 0));
    done(&mut client, &Op::Plain(OpCode::CloseSession));
}

/// Up to where a server has come, once it has come as far as all.
fn zxid(ensemble: &Ensemble, id: u8) -> i64 {
    let mut client = connect(ensemble, id);
    done(&mut client, &Op::Path(OpCode::Sync, "/".into()));
    let zxid = done(&mut client, &Op::get("/")).zxid;
    done(&mut client, &Op::Plain(OpCode::CloseSession));
    zxid
}
