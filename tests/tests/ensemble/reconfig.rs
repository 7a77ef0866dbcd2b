//! Servers that come, go and change while clients write.

use std::fs;

use quorate_protocol::OpCode;
use quorate_tests::{
    Body, Connection, Ensemble, Op, Reply, Subject,
    wait::{self, PATIENCE},
};

use crate::{
    LONG_SESSIONS, are_installed, call, connect, done, load::Load, same_tree, start_led_by_last,
};

pub(crate) const SETTINGS: &[&str] =
    &[LONG_SESSIONS, "reconfigEnabled=true", "standaloneEnabled=false", "skipACL=yes"];

pub(crate) const CONFIG: &str = "/zookeeper/config";

pub(crate) fn reconfig(joining: &[String], leaving: &[u8], config_id: i64) -> Op {
    let leaving: Vec<_> = leaving.iter().map(u8::to_string).collect();
    let lists = [joining.join(","), leaving.join(",")];
    let [joining, leaving] = lists.map(|list| Some(list).filter(|list| !list.is_empty()));
    Op::Reconfig([joining, leaving, None], config_id)
}

/// Changes the servers by a request to a server. Who is to vote may be about to be up to date.
pub(crate) fn change(ensemble: &Ensemble, at: u8, op: &Op) -> String {
    wait::until("the change to be accepted", PATIENCE, || {
        let mut client = Connection::with_new_session(ensemble.server(at).addr(), 20_000).ok()?;
        let reply = client.call(op).ok()?.parse(op);
        (reply.error == 0).then(|| text(&reply))
    })
}

pub(crate) fn text(reply: &Reply) -> String {
    let Body::Data(Some(data), _) = &reply.body else { panic!("{reply:?}") };
    String::from_utf8(data.clone()).unwrap()
}

/// The configuration as a server shows it.
pub(crate) fn shown(ensemble: &Ensemble, id: u8) -> String {
    text(&done(&mut connect(ensemble, id), &Op::get(CONFIG)))
}

/// Waits until all these servers show this configuration.
pub(crate) fn wait_until_shown(ensemble: &Ensemble, ids: &[u8], config: &str) {
    for &id in ids {
        wait::until("the configuration to be shown", PATIENCE, || {
            let mut client =
                Connection::with_new_session(ensemble.server(id).addr(), 20_000).ok()?;
            let reply = client.call(&Op::get(CONFIG)).ok()?.parse(&Op::get(CONFIG));
            (reply.error == 0 && text(&reply) == config).then_some(())
        });
    }
}

pub(crate) fn version(config: &str) -> i64 {
    let (_, version) = config.rsplit_once("version=").unwrap();
    i64::from_str_radix(version, 16).unwrap()
}

#[test]
fn what_is_refused() {
    let ensemble = start_led_by_last("QQQ", SETTINGS);
    refusals(&ensemble);
}

#[test]
fn what_java_refuses() {
    if are_installed("J") {
        refusals(&start_led_by_last("JJJ", SETTINGS));
    }
}

/// The same requests, and the same answers, at either kind of server.
fn refusals(ensemble: &Ensemble) {
    let mut client = connect(ensemble, 1);
    let present = version(&text(&done(&mut client, &Op::get(CONFIG))));
    assert_eq!(present, 1 << 32, "the first epoch gives it a version");
    let joining = |text: &str, id| Op::Reconfig([Some(text.to_owned()), None, None], id);
    let leaving = |text: &str| Op::Reconfig([None, Some(text.to_owned()), None], -1);
    let whole = |text: &str| Op::Reconfig([None, None, Some(text.to_owned())], -1);
    for (op, code) in [
        (joining("some thing", 77), -103),
        (joining("some thing", -1), -8),
        (joining("server.x=127.0.0.1:1:2;3", -1), -5),
        (joining("server.9=127.0.0.1:1:2", -1), -8),
        // Of the loopback address ZooKeeper does not care.
        (joining("server.8=10.0.0.9:1:2;3,server.9=10.0.0.9:1:4;5", -1), -8),
        (leaving("x"), -5),
        (leaving("1,2,3"), -8),
        (whole("some thing"), -8),
        (joining("server.8=127.0.0.1:1:2;3,server.9=127.0.0.1:4:5;6", -1), 0),
    ] {
        let reply = call(&mut client, &op);
        if code == 0 {
            // Three of five are in sync.
            assert_eq!(reply.error, 0, "{op:?}");
        } else {
            assert_eq!(reply.error, code, "{op:?}");
        }
    }
    let reply =
        call(&mut client, &joining("server.7=127.0.0.1:7:8;9,server.6=127.0.0.1:17:18;19", -1));
    assert_eq!(reply.error, -13, "three of seven are in sync");
}

#[test]
fn one_server_grows_to_three_and_back() {
    let mut ensemble = start_led_by_last("Q", SETTINGS);
    for _ in 0..2 {
        let id = ensemble.add(Subject::Quorate, &[1]);
        ensemble.restart(&[id]);
    }
    let load = Load::start_at(&ensemble, &[1]);
    let joining = [2, 3].map(|id| ensemble.line(id, "participant"));
    let config = change(&ensemble, 1, &reconfig(&joining, &[], -1));
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    load.wait_for(100);
    load.stop().check(&same_tree(&ensemble));

    // What they have learned outlives them all, and files say it, too.
    for id in [1, 2, 3] {
        ensemble.kill(id);
    }
    ensemble.restart(&[1, 2, 3]);
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    let file = fs::read_to_string(ensemble.server(1).dir().join("zoo.cfg")).unwrap();
    let dynamic = format!("zoo.cfg.dynamic.{:x}", version(&config));
    assert!(file.contains(&dynamic) && !file.contains("server."), "{file}");

    let config = change(&ensemble, 2, &reconfig(&[], &[2, 3], version(&config)));
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    assert_eq!(ensemble.wait_for_leader(), 1);
    for id in [2, 3] {
        ensemble.kill(id);
    }
    let mut client = connect(&ensemble, 1);
    done(&mut client, &Op::create("/alone", b"", 0));
    ensemble.kill(1);
    ensemble.restart(&[1]);
    done(&mut connect(&ensemble, 1), &Op::get("/alone"));
}

#[test]
fn a_leader_is_removed_while_clients_write() {
    removes_the_leader("QQQ");
}

#[test]
fn a_leader_of_ours_is_removed_from_java() {
    removes_the_leader("JJQ");
}

#[test]
fn a_leader_of_java_is_removed_from_ours() {
    removes_the_leader("QQJ");
}

fn removes_the_leader(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, SETTINGS);
    let leader = ensemble.wait_for_leader();
    let others = ensemble.others(leader);
    let load = Load::start_at(&ensemble, &others);
    load.wait_for(50);
    let config = change(&ensemble, others[0], &reconfig(&[], &[leader], -1));
    assert!(!config.contains(&format!("server.{leader}=")), "{config}");
    wait_until_shown(&ensemble, &others, &config);
    let next = wait::until("another leader", PATIENCE, || {
        ensemble.leader().filter(|next| *next != leader)
    });
    assert!(others.contains(&next));
    load.wait_for(50);
    ensemble.kill(leader);
    load.wait_for(50);
    load.stop();
    let trees = others.iter().map(|&id| shown(&ensemble, id));
    assert!(trees.into_iter().all(|shown| shown == config));
}

#[test]
fn java_joins_ours() {
    joins("QQQ", Subject::ZooKeeper);
}

#[test]
fn ours_joins_java() {
    joins("JJJ", Subject::Quorate);
}

#[test]
fn ours_joins_a_mixed_ensemble() {
    joins("JQJ", Subject::Quorate);
}

/// A server joins with the address of one member, leads or follows, and leaves again.
fn joins(kinds: &str, subject: Subject) {
    if !are_installed(kinds) || !are_installed("J") {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, SETTINGS);
    let load = Load::start(&ensemble);
    load.wait_for(50);
    let id = ensemble.add(subject, &[1]);
    ensemble.restart(&[id]);
    let joining = [ensemble.line(id, "participant")];
    let config = change(&ensemble, 2, &reconfig(&joining, &[], -1));
    let all: Vec<_> = ensemble.ids().collect();
    wait_until_shown(&ensemble, &all, &config);
    load.wait_for(50);
    load.stop().check(&same_tree(&ensemble));

    // Its vote counts: with one of the others down it is needed.
    let leader = ensemble.wait_for_leader();
    let down = ensemble.others(leader).into_iter().find(|other| *other != id).unwrap();
    ensemble.kill(down);
    done(&mut connect(&ensemble, leader), &Op::create("/needed", b"", 0));
    ensemble.restart(&[down]);

    let joining = [ensemble.line(id, "observer")];
    let config = change(&ensemble, leader, &reconfig(&joining, &[], version(&config)));
    wait_until_shown(&ensemble, &all, &config);
    wait::until("it observes", PATIENCE, || {
        (ensemble.server(id).mode().as_deref() == Some("observer")).then_some(())
    });
    let config = change(&ensemble, leader, &reconfig(&[], &[id], version(&config)));
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    ensemble.kill(id);
    done(&mut connect(&ensemble, leader), &Op::Path(OpCode::Sync, "/".into()));
}
