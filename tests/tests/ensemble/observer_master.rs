//! Observers that learn from a follower, of either kind.

use quorate_protocol::{ErrorCode, OpCode};
use quorate_tests::{
    Body, Connection, Ensemble, Op, Subject, free_port,
    wait::{self, PATIENCE},
};

use crate::reconfig::{change, reconfig, wait_until_shown};
use crate::{
    LONG_SESSIONS, are_installed, attach_again, call, connect, done, same_tree, start_led_by_last,
};

const EPHEMERAL: i32 = 1;

#[test]
fn observers_of_quorate_learn_from_followers_of_quorate() {
    observers_learn_from_followers("QQQqq");
}

#[test]
fn observers_of_quorate_learn_from_followers_of_zookeeper() {
    observers_learn_from_followers("JJJq");
}

#[test]
fn observers_of_zookeeper_learn_from_followers_of_quorate() {
    observers_learn_from_followers("QQQj");
}

#[test]
fn followers_of_quorate_relay_to_a_leader_of_zookeeper() {
    observers_learn_from_followers("QQJqj");
}

/// Clients of observers write, read behind a sync, are told of changes, come and go with their
/// sessions and keep them; when the follower dies, its observers go to another.
fn observers_learn_from_followers(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let port = format!("observerMasterPort={}", free_port());
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS, &port]);
    let leader = ensemble.wait_for_leader();
    let observers: Vec<_> = ensemble.ids().filter(|id| *id > 3).collect();
    for &id in &observers {
        let master = wait_for_master(&ensemble, id);
        // ZooKeeper's observers try the leader, too, and Quorate's leaders serve whoever comes.
        let tries_leader = ensemble.server(id).subject() == Subject::ZooKeeper;
        assert!(master != leader || tries_leader, "observer {id} learns from the leader");
        clients_are_served(&ensemble, id, leader);
    }
    for &id in &observers {
        moves_on(&mut ensemble, id);
    }
    // One without data gets a snapshot, or all that there was.
    let last = *observers.last().unwrap();
    ensemble.kill(last);
    ensemble.wipe(last);
    ensemble.restart(&[last]);
    clients_are_served(&ensemble, last, ensemble.wait_for_leader());
    let voters: Vec<_> = ensemble.ids().filter(|id| *id <= 3).collect();
    wait::until("all observers to be counted by whom they learn from", PATIENCE, || {
        let counts = voters.iter().map(|&id| ensemble.server(id).metric("synced_observers"));
        let counted: usize = counts.filter_map(|count| count?.parse::<usize>().ok()).sum();
        (counted == observers.len()).then_some(())
    });
    same_tree(&ensemble);
}

#[test]
fn observers_of_quorate_learn_of_changes_from_followers() {
    observers_learn_of_changes("QQQq");
}

#[test]
fn observers_of_zookeeper_learn_of_changes_from_followers_of_quorate() {
    observers_learn_of_changes("QQQj");
}

#[test]
fn observers_learn_of_changes_of_a_leader_of_zookeeper() {
    observers_learn_of_changes("QQJj");
}

#[test]
fn observers_of_quorate_learn_of_changes_from_followers_of_zookeeper() {
    observers_learn_of_changes("JJJq");
}

/// What an observer's master relays makes it a voter, and one that observes again.
fn observers_learn_of_changes(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let port = format!("observerMasterPort={}", free_port());
    let changeable = ["reconfigEnabled=true", "skipACL=yes"];
    let settings = [&[LONG_SESSIONS, &port][..], &changeable].concat();
    let ensemble = start_led_by_last(kinds, &settings);
    wait_for_master(&ensemble, 4);
    let other = "server.5=10.0.0.5:1:2:observer;3".to_owned();
    let config = change(&ensemble, 1, &reconfig(&[other], &[], -1));
    wait_until_shown(&ensemble, &[1, 2, 3, 4], &config);
    wait_for_master(&ensemble, 4);
    for (role, mode) in [("participant", "follower"), ("observer", "observer")] {
        let line = ensemble.line(4, role);
        let config = change(&ensemble, 1, &reconfig(&[line], &[], -1));
        wait_until_shown(&ensemble, &[1, 2, 3, 4], &config);
        wait::until("it to have its role", PATIENCE, || {
            (ensemble.server(4).mode().as_deref() == Some(mode)).then_some(())
        });
    }
    wait_for_master(&ensemble, 4);
    same_tree(&ensemble);
}

fn clients_are_served(ensemble: &Ensemble, id: u8, leader: u8) {
    let path = format!("/by-{id}");
    let mut client = connect(ensemble, id);
    let _ = client.call(&Op::delete(&path)).unwrap();
    done(&mut client, &Op::create(&path, b"1", EPHEMERAL));
    let mut other = connect(ensemble, leader);
    done(&mut other, &Op::Path(OpCode::Sync, "/".into()));
    let Body::Stat(stat) = call(&mut other, &Op::exists(&path)).body else { panic!("it exists") };
    assert_eq!(stat.ephemeral_owner, client.session.id);

    // What is written elsewhere is there behind a sync, and watches fire.
    done(&mut client, &Op::Read(OpCode::GetData, path.clone(), true));
    done(&mut other, &Op::set(&path, b"2"));
    assert!(client.read_frame().unwrap().is_event());
    for round in 0..20 {
        let data = format!("{round}").into_bytes();
        done(&mut other, &Op::set(&path, &data));
        done(&mut client, &Op::Path(OpCode::Sync, "/".into()));
        let Body::Data(read, _) = call(&mut client, &Op::get(&path)).body else {
            panic!("it has data")
        };
        assert_eq!(read.as_deref(), Some(&*data), "behind a sync");
    }
    // A session is kept by what its observer is told, and one like it that is left expires.
    let mut short = ensemble.connect(id, 1200);
    for round in 0..2 {
        let left_path = format!("{path}-left-{round}");
        let mut left = ensemble.connect(id, 1200);
        done(&mut left, &Op::create(&left_path, b"", EPHEMERAL));
        drop(left);
        wait::until("the session that was left to expire", PATIENCE, || {
            let error = call(&mut short, &Op::exists(&left_path)).error;
            (error == ErrorCode::NoNode.wire()).then_some(())
        });
    }
    done(&mut short, &Op::set(&path, b"3"));

    for to in ensemble.others(id) {
        client = attach_again(ensemble, to, &client);
        client = attach_again(ensemble, id, &client);
    }
    done(&mut client, &Op::Plain(OpCode::CloseSession));
    let mut late = Connection::open(ensemble.server(id).addr()).unwrap();
    assert!(!late.attach(&client.session, 0).unwrap().is_accepted());
    done(&mut other, &Op::Path(OpCode::Sync, "/".into()));
    assert_eq!(call(&mut other, &Op::exists(&path)).error, ErrorCode::NoNode.wire());
}

/// An observer's master dies: it goes to another, and its clients go on.
fn moves_on(ensemble: &mut Ensemble, id: u8) {
    let before = wait_for_master(ensemble, id);
    let mut client = connect(ensemble, id);
    let path = format!("/moves-{id}");
    done(&mut client, &Op::create(&path, b"", EPHEMERAL));
    ensemble.kill(before);
    let after = wait::until("another master", PATIENCE, || {
        master(ensemble, id).filter(|&master| master != before)
    });
    assert_ne!(after, before);
    let mut client = attach_again(ensemble, id, &client);
    done(&mut client, &Op::set(&path, b"again"));
    ensemble.restart(&[before]);
    done(&mut client, &Op::Plain(OpCode::CloseSession));
}

/// Whom an observer learns from, if it does.
fn master(ensemble: &Ensemble, id: u8) -> Option<u8> {
    ensemble.server(id).metric("observer_master_id")?.parse().ok()
}

fn wait_for_master(ensemble: &Ensemble, id: u8) -> u8 {
    wait::until("a follower to learn from", PATIENCE, || master(ensemble, id))
}
