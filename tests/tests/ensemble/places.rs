//! Where the servers of an ensemble are, and what their votes count, changes while they run; what
//! their files say then.

use std::{fs, net::SocketAddr, net::TcpStream};

use quorate_tests::{
    Connection, Ensemble, Op, Subject,
    wait::{self, PATIENCE},
};

use crate::{
    are_installed, attach_again, connect, done,
    load::Load,
    reconfig::{SETTINGS, change, reconfig, shown, version, wait_until_shown},
    same_tree, start_led_by_last,
};

#[test]
fn servers_of_quorate_move() {
    servers_move("QQQ");
}

#[test]
fn servers_of_zookeeper_move() {
    servers_move("JJJ");
}

#[test]
fn servers_of_both_move_under_quorate() {
    servers_move("JQQ");
}

#[test]
fn servers_of_both_move_under_zookeeper() {
    servers_move("QQJ");
}

/// A follower, then the leader, get other ports, for clients and for other servers.
fn servers_move(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, SETTINGS);
    let leader = ensemble.wait_for_leader();
    for id in [2, leader] {
        let mut client = connect(&ensemble, id);
        done(&mut client, &Op::create(&format!("/at-{id}"), b"", 1));
        let before = places(&ensemble, id);
        let line = ensemble.move_ports(id);
        let config = change(&ensemble, 1, &reconfig(&[line], &[], -1));
        wait_until_shown(&ensemble, &[1, 2, 3], &config);
        wait::until("the old places to be left", PATIENCE, || {
            before.iter().all(|addr| TcpStream::connect(addr).is_err()).then_some(())
        });
        // Whoever was there goes on, at the new place if it must.
        if client.call(&Op::get("/")).is_err() {
            client = attach_again(&ensemble, id, &client);
        }
        done(&mut client, &Op::set(&format!("/at-{id}"), b"again"));
        let port = ensemble.server(id).addr().port();
        assert!(ensemble.server(id).word("conf").contains(&format!("clientPort={port}\n")));
    }
    // Others come to where it is now: who leads is another one than before, and back.
    let leader = ensemble.wait_for_leader();
    ensemble.kill(leader);
    let mut client = connect(&ensemble, ensemble.others(leader)[0]);
    done(&mut client, &Op::create("/without-it", b"", 0));
    ensemble.restart(&[leader]);
    done(&mut client, &Op::create("/with-it", b"", 0));
    same_tree(&ensemble);

    // It is what their files say.
    for id in [1, 2, 3] {
        ensemble.kill(id);
    }
    ensemble.restart(&[1, 2, 3]);
    same_tree(&ensemble);
}

fn places(ensemble: &Ensemble, id: u8) -> [SocketAddr; 2] {
    // A port for learners is listened to by leaders only, at ZooKeeper.
    [ensemble.server(id).addr(), ensemble.election_addr(id)]
}

#[test]
fn a_vote_may_count_more_at_quorate() {
    votes_count("QQQ");
}

#[test]
fn a_vote_may_count_more_under_zookeeper() {
    votes_count("QQJ");
}

/// All servers are named anew, with weights; the one whose vote outweighs the others is a quorum.
fn votes_count(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, SETTINGS);
    let lines: Vec<_> = ensemble.ids().map(|id| ensemble.line(id, "participant")).collect();
    let groups = ["group.1=1:2:3", "weight.1=1", "weight.2=1", "weight.3=3"].map(str::to_owned);
    let weighted = [&lines[..], &groups].concat().join("\n");
    let whole = |members: &str| Op::Reconfig([None, None, Some(members.to_owned())], -1);
    let config = change(&ensemble, 1, &whole(&weighted));
    assert!(config.contains("weight.3=3"), "{config}");
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    for id in [1, 2] {
        ensemble.kill(id);
    }
    done(&mut connect(&ensemble, 3), &Op::create("/alone", b"", 0));
    // So it is by its data and files.
    ensemble.kill(3);
    ensemble.restart(&[3]);
    done(&mut connect(&ensemble, 3), &Op::get("/alone"));
    ensemble.restart(&[1, 2]);
    same_tree(&ensemble);

    // With two groups of one, and one of weight 0, who is in both is needed.
    let groups = ["group.1=1", "group.2=2", "group.3=3", "weight.1=1", "weight.2=0", "weight.3=1"]
        .map(str::to_owned);
    let grouped = [&lines[..], &groups].concat().join("\n");
    let config = change(&ensemble, 3, &whole(&grouped));
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    ensemble.kill(2);
    done(&mut connect(&ensemble, 1), &Op::create("/without-2", b"", 0));
    ensemble.restart(&[2]);

    let config = change(&ensemble, 3, &whole(&lines.join("\n")));
    assert!(!config.contains("group") && !config.contains("weight"), "{config}");
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    ensemble.kill(3);
    done(&mut connect(&ensemble, 1), &Op::create("/without-3", b"", 0));
}

#[test]
fn files_of_zookeeper_are_taken_over() {
    files_are_taken_over("JJJ", Subject::Quorate);
}

#[test]
fn files_of_quorate_are_taken_over() {
    files_are_taken_over("QQQ", Subject::ZooKeeper);
}

/// The servers have been changed, so their files are no longer what somebody wrote. One after the
/// other goes on as the other kind with those files, some with data and some without.
fn files_are_taken_over(kinds: &str, by: Subject) {
    if !are_installed(kinds) || !by.is_installed() {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, SETTINGS);
    let line = ensemble.move_ports(2);
    let config = change(&ensemble, 1, &reconfig(&[line], &[], -1));
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    let load = Load::start_at(&ensemble, &[1, 3]);
    for id in [2, 1, 3] {
        load.wait_for(20);
        let file = format!("dynamicConfigFile={}", dynamic_file(&ensemble, id, &config));
        wait::until("the files to be written", PATIENCE, || {
            let text = fs::read_to_string(ensemble.server(id).dir().join("zoo.cfg")).unwrap();
            (text.contains(&file) && !text.contains("server.")).then_some(())
        });
        ensemble.terminate(id);
        if by == Subject::ZooKeeper || id == 1 {
            ensemble.wipe(id);
        }
        ensemble.server_mut(id).set_subject(by);
        ensemble.restart(&[id]);
        wait_until_shown(&ensemble, &[1, 2, 3], &config);
    }
    load.wait_for(20);
    load.stop().check(&same_tree(&ensemble));

    // And are changed again by those who have taken them over.
    let line = ensemble.move_ports(3);
    let config = change(&ensemble, 1, &reconfig(&[line], &[], version(&config)));
    wait_until_shown(&ensemble, &[1, 2, 3], &config);
    for id in [1, 2, 3] {
        wait::until("the files to be written", PATIENCE, || {
            fs::exists(dynamic_file(&ensemble, id, &config)).unwrap().then_some(())
        });
    }
    for id in [1, 2, 3] {
        ensemble.kill(id);
    }
    ensemble.restart(&[1, 2, 3]);
    assert_eq!(shown(&ensemble, 1), config);
    same_tree(&ensemble);
}

fn dynamic_file(ensemble: &Ensemble, id: u8, config: &str) -> String {
    let file = ensemble.server(id).dir().join("zoo.cfg");
    format!("{}.dynamic.{:x}", file.display(), version(config))
}

#[test]
fn a_client_port_that_is_taken_is_waited_for() {
    let mut ensemble = start_led_by_last("QQQ", SETTINGS);
    let old = ensemble.server(2).addr();
    let line = ensemble.move_ports(2);
    let new = ensemble.server(2).addr();
    let taken = std::net::TcpListener::bind(new).unwrap();
    let mut client = Connection::with_new_session(old, 20_000).unwrap();
    change(&ensemble, 1, &reconfig(&[line], &[], -1));
    wait::until("it to be said", PATIENCE, || {
        ensemble.server(2).said().contains("cannot listen; trying on").then_some(())
    });
    done(&mut client, &Op::create("/meanwhile", b"", 0));
    drop(taken);
    wait::until("the port to be listened to", PATIENCE, || {
        Connection::with_new_session(new, 20_000).ok()
    });
    done(&mut client, &Op::get("/meanwhile"));
}
