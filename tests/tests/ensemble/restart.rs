//! Servers that end at once and come back: whichever kind they and their leader are, they get what
//! they missed, lose what nobody else has, and nothing that was acknowledged is gone.

use std::{fs, path::Path};

use quorate_tests::{
    Connection, Ensemble, Op, Subject,
    wait::{self, PATIENCE},
};

use crate::{
    LONG_SESSIONS, are_installed, connect, done, load::Load, mixed::write, same_tree,
    start_led_by_last,
};

#[test]
fn any_server_of_two_java_and_a_quorate_is_killed_under_load() {
    each_is_killed_under_load("QJJ");
}

#[test]
fn any_server_of_two_quorate_and_a_java_is_killed_under_load() {
    each_is_killed_under_load("JQQ");
}

#[test]
fn any_server_of_three_quorate_is_killed_under_load() {
    each_is_killed_under_load("QQQ");
}

#[test]
fn any_server_of_two_older_java_and_a_quorate_is_killed_under_load() {
    each_is_killed_under_load("QDD");
}

#[test]
fn any_server_of_two_quorate_and_an_older_java_is_killed_under_load() {
    each_is_killed_under_load("DQQ");
}

fn each_is_killed_under_load(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    let load = Load::start(&ensemble);
    for id in ensemble.ids() {
        kill_and_restart(&mut ensemble, id, &load);
    }
    // The last of these led; now another one does.
    let leader = ensemble.wait_for_leader();
    kill_and_restart(&mut ensemble, leader, &load);
    load.wait_for(50);
    load.stop().check(&same_tree(&ensemble));
}

fn kill_and_restart(ensemble: &mut Ensemble, id: u8, load: &Load) {
    load.wait_for(50);
    ensemble.kill(id);
    load.wait_for(50);
    ensemble.restart(&[id]);
}

const CUT: &str = "what this server has above is cut off";
const INSTALLED: &str = "a snapshot from the leader is installed";

#[test]
fn a_quorate_leader_loses_its_tail_under_java() {
    the_leaders_tail_goes("JJQ", Meanwhile::Nothing, CUT);
}

#[test]
fn a_quorate_leader_loses_its_tail_with_javas_snapshot() {
    // ZooKeeper's leader cuts nothing off that is of an epoch before its own last transaction.
    the_leaders_tail_goes("JJQ", Meanwhile::AWrite, INSTALLED);
}

#[test]
fn a_java_leader_loses_its_tail_under_quorate() {
    let cut = "Truncating log to get in sync with the leader";
    the_leaders_tail_goes("QQJ", Meanwhile::AWrite, cut);
}

#[test]
fn a_quorate_leader_loses_its_tail_under_an_older_java() {
    the_leaders_tail_goes("DDQ", Meanwhile::Nothing, CUT);
}

/// What the others do while a server is away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    AWrite,
}

/// A leader that alone has a proposal, and ends, has to give it up when it comes back, and says
/// how.
fn the_leaders_tail_goes(kinds: &str, meanwhile: Meanwhile, how: &str) {
    const TAIL: &[u8] = b"nobody else has this proposal";
    if !are_installed(kinds) {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    let leader = ensemble.wait_for_leader();
    let followers = ensemble.others(leader);
    let mut client = connect(&ensemble, leader);
    done(&mut client, &Op::create("/kept", b"", 0));
    same_tree(&ensemble);
    for &id in &followers {
        ensemble.server(id).pause();
    }
    client.send(&[Op::create("/tail", TAIL, 0)]).unwrap();
    let data = ensemble.server(leader).dir().join("data");
    wait::until("the leader to log it", PATIENCE, || holds(&data, TAIL).then_some(()));
    ensemble.kill(leader);
    // What the others have received and not read ends with them.
    for &id in &followers {
        ensemble.kill(id);
    }
    ensemble.restart(&followers);
    if meanwhile == Meanwhile::AWrite {
        done(&mut connect(&ensemble, followers[0]), &Op::create("/meanwhile", b"", 0));
    }
    ensemble.restart(&[leader]);
    let said = ensemble.server(leader).said();
    assert!(said.contains(how), "{said}");
    done(&mut connect(&ensemble, leader), &Op::create("/later", b"", 0));
    let tree = same_tree(&ensemble);
    assert!(tree.get("/kept").is_some() && tree.get("/later").is_some());
    assert!(tree.get("/tail").is_none(), "others went on without it");
}

/// Whether a file in a folder, or below it, holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().filter_map(Result::ok).any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        // A file may be renamed meanwhile.
        let content = fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|part| part == bytes)
    })
}

#[test]
fn a_wiped_quorate_server_gets_javas_snapshot() {
    a_wiped_server_gets_a_snapshot("QJJ");
}

#[test]
fn a_wiped_java_server_gets_quorates_snapshot() {
    a_wiped_server_gets_a_snapshot("JQQ");
}

/// The first server loses its disk while others write; what its leader has no log of any more
/// comes as a snapshot.
fn a_wiped_server_gets_a_snapshot(kinds: &str) {
    const WIPED: u8 = 1;
    if !are_installed(kinds) {
        return;
    }
    let settings = [LONG_SESSIONS, "snapCount=100", "quorate.txnLog.segmentSize=1MiB"];
    let mut ensemble = start_led_by_last(kinds, &settings);
    let leader = ensemble.wait_for_leader();
    let mut clients: Vec<_> = ensemble.ids().map(|id| (id, connect(&ensemble, id))).collect();
    done(&mut clients[0].1, &Op::create("/written", b"", 0));
    for (id, client) in &mut clients {
        write(client, &format!("/written/{id}"));
    }
    fill(&mut connect(&ensemble, leader));
    let is_quorate = ensemble.server(leader).subject() == Subject::Quorate;
    if is_quorate {
        wait::until("the log's beginning to go", PATIENCE, || {
            ensemble.server(leader).said().contains("log segments removed").then_some(())
        });
    }
    let load = Load::start(&ensemble);
    load.wait_for(20);
    ensemble.kill(WIPED);
    ensemble.wipe(WIPED);
    load.wait_for(20);
    ensemble.restart(&[WIPED]);
    load.wait_for(20);
    let promised = load.stop();
    promised.check(&same_tree(&ensemble));
    if is_quorate {
        assert!(ensemble.server(leader).said().contains("a learner gets a snapshot"));
    } else {
        assert!(ensemble.server(WIPED).said().contains(INSTALLED));
    }
    // It stands on what it was given.
    ensemble.kill(WIPED);
    ensemble.restart(&[WIPED]);
    promised.check(&same_tree(&ensemble));
}

/// Creates more than a few segments of a log hold.
fn fill(client: &mut Connection) {
    let data = vec![b'x'; 20_000];
    done(client, &Op::create("/fill", b"", 0));
    for i in 0..400 {
        done(client, &Op::create(&format!("/fill/{i}"), &data, 0));
    }
}
