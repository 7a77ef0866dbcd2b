//! A planned change of the leader: nobody's write fails, and nobody but the leader's own clients
//! when it ends has to connect again.

use quorate_tests::{
    Ensemble,
    wait::{self, PATIENCE},
};

use crate::{LONG_SESSIONS, are_installed, load::Load, same_tree, start_led_by_last};

const WITH_HAND: &str = "4lw.commands.whitelist=*,hand";

#[test]
fn a_leader_that_is_told_to_end_hands_over() {
    let mut ensemble = start_led_by_last("QQQ", &[LONG_SESSIONS]);
    for _ in 0..3 {
        let leader = ensemble.wait_for_leader();
        let load = Load::start_at(&ensemble, &ensemble.others(leader));
        load.wait_for(100);
        assert!(ensemble.terminate(leader).success());
        load.wait_for(100);
        let promised = load.stop();
        assert_eq!(promised.broken, 0, "followers keep their clients");
        ensemble.restart(&[leader]);
        promised.check(&same_tree(&ensemble));
    }
}

#[test]
fn a_leader_of_quorate_and_java_ends() {
    a_leader_of_both_kinds_ends("JQQ");
}

#[test]
fn a_leader_that_only_java_follows_ends() {
    a_leader_of_both_kinds_ends("JJQ");
}

/// ZooKeeper's servers know no hand-over: they elect. Nobody loses anything.
fn a_leader_of_both_kinds_ends(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    // Who waits in vain for the others to follow would do so for longer than the test waits.
    let patient = ["initLimit=600", "syncLimit=600"];
    let settings = [&[LONG_SESSIONS][..], &patient].concat();
    let mut ensemble = start_led_by_last(kinds, &settings);
    let leader = ensemble.wait_for_leader();
    let load = Load::start(&ensemble);
    load.wait_for(100);
    assert!(ensemble.terminate(leader).success());
    load.wait_for(100);
    ensemble.restart(&[leader]);
    load.wait_for(100);
    load.stop().check(&same_tree(&ensemble));
}

#[test]
fn a_leader_hands_over_when_it_is_asked_to() {
    let ensemble = start_led_by_last("QQQ", &[LONG_SESSIONS, WITH_HAND]);
    let load = Load::start(&ensemble);
    for _ in 0..6 {
        load.wait_for(50);
        let leader = ensemble.wait_for_leader();
        assert_eq!(ensemble.server(leader).word("hand"), "The lead is being handed over.\n");
        wait_for_another_leader(&ensemble, leader);
    }
    load.wait_for(50);
    let promised = load.stop();
    assert_eq!(promised.broken, 0, "all servers keep their clients");
    promised.check(&same_tree(&ensemble));
    let follower = ensemble.follower();
    assert_eq!(ensemble.server(follower).word("hand"), "This server does not lead.\n");
}

fn wait_for_another_leader(ensemble: &Ensemble, than: u8) {
    wait::until("another leader", PATIENCE, || {
        ensemble.leader().is_some_and(|leader| leader != than).then_some(())
    });
}
