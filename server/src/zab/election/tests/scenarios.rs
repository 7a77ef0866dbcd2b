//! What ensembles have gone through, ZooKeeper's above all.

use super::*;

/// Three servers that follow the third in epoch 5, in which something was written.
fn three_led_by_the_third() -> Ensemble {
    let mut ensemble = Ensemble::running(&[(1, own(4, 9)), (2, own(4, 9)), (3, own(4, 9))]);
    assert_eq!(ensemble.outcome(), "1>3 2>3 3!");
    ensemble.establish(5);
    for node in ensemble.nodes.values_mut() {
        node.own.zxid = Zxid::new(5, 7);
    }
    ensemble.run(10_000);
    ensemble
}

#[test]
fn all_there_at_once_waits_for_nothing() {
    let ensemble = Ensemble::running(&[(1, own(3, 1)), (2, own(3, 2)), (3, own(2, 9))]);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(0)), ("1>2 2! 3>2", 0));
}

#[test]
fn one_alone_leads_at_once() {
    assert_eq!(Ensemble::running(&[(1, FRESH)]).outcome(), "1!");
}

#[test]
fn the_two_that_are_left_agree_at_once() {
    for first in [1, 2] {
        let mut ensemble = three_led_by_the_third();
        let at = ensemble.now_ms;
        ensemble.crash(3);
        ensemble.look(first);
        ensemble.look(3 - first);
        ensemble.run(0);
        assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(at)), ("1>2 2!", 0));
    }
}

#[test]
fn one_of_the_two_notices_later() {
    for first in [1, 2] {
        let mut ensemble = three_led_by_the_third();
        ensemble.crash(3);
        ensemble.look(first);
        ensemble.run(70);
        assert!(ensemble.outcome().contains('?'), "{first} alone cannot decide");
        let at = ensemble.now_ms;
        ensemble.look(3 - first);
        ensemble.run(0);
        assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(at)), ("1>2 2!", 0));
    }
}

#[test]
fn the_connection_ends_after_the_election_has_begun() {
    let mut ensemble = three_led_by_the_third();
    let at = ensemble.now_ms;
    // The leader's machine lost its power: nothing closes its connections at first.
    ensemble.nodes.get_mut(&ServerId(3)).unwrap().election = None;
    ensemble.look(1);
    ensemble.look(2);
    ensemble.run(30);
    assert_eq!(ensemble.outcome(), "1? 2?", "its vote may still come");
    ensemble.crash(3);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(at)), ("1>2 2!", 30));
}

#[test]
fn a_silent_server_is_not_waited_for_longer_than_it_takes() {
    let mut ensemble = three_led_by_the_third();
    let at = ensemble.now_ms;
    ensemble.nodes.get_mut(&ServerId(3)).unwrap().election = None;
    ensemble.look(1);
    ensemble.look(2);
    ensemble.run(1000);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(at)), ("1>2 2!", 200));
}

#[test]
fn at_first_others_may_be_about_to_connect() {
    let mut ensemble = Ensemble::new(&[(1, own(1, 1)), (2, own(1, 1)), (3, own(1, 5))], "");
    ensemble.start(1);
    ensemble.start(2);
    ensemble.run(150);
    assert_eq!(ensemble.outcome(), "1? 2?");
    ensemble.start(3);
    ensemble.run(0);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(0)), ("1>3 2>3 3!", 150));
}

#[test]
fn who_returns_joins_the_leader_there_is() {
    let mut ensemble = three_led_by_the_third();
    for (id, zxid) in [(1, Zxid::new(5, 1)), (2, Zxid::new(5, 99))] {
        // Even one with more than the leader has: it was never acknowledged.
        ensemble.crash(id);
        ensemble.run(1000);
        ensemble.nodes.get_mut(&ServerId(id)).unwrap().own.zxid = zxid;
        let at = ensemble.now_ms;
        ensemble.start(id);
        ensemble.run(0);
        assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(at)), ("1>3 2>3 3!", 0));
        ensemble.enter(id, 5);
    }
}

/// ZOOKEEPER-1419, ZOOKEEPER-498, ZOOKEEPER-975, ZOOKEEPER-1732: members came in different rounds.
#[test]
fn members_of_different_rounds_take_in_another() {
    let servers: Vec<_> = (1..=5).map(|id| (id, own(1, 1))).collect();
    let mut ensemble = Ensemble::running(&servers);
    ensemble.establish(2);
    ensemble.crash(2);
    ensemble.start(2);
    for _ in 0..3 {
        // It has been through more rounds than the others when it joins.
        ensemble.look(1);
    }
    ensemble.run(0);
    ensemble.establish(2);
    ensemble.crash(3);
    ensemble.run(5000);
    ensemble.start(3);
    ensemble.run(0);
    assert_eq!(ensemble.outcome(), "1>5 2>5 3>5 4>5 5!");
}

/// ZOOKEEPER-1805, ZOOKEEPER-1818: while an epoch is being established, members name different
/// epochs. Who comes in between is told when they agree.
#[test]
fn who_comes_in_between_epochs_need_not_ask_again() {
    let mut ensemble = Ensemble::new(&[(1, own(1, 1)), (2, own(1, 1)), (3, own(1, 1))], "");
    ensemble.start(2);
    ensemble.start(3);
    ensemble.run(300);
    ensemble.enter(3, 2);
    ensemble.start(1);
    ensemble.run(20);
    assert_eq!(ensemble.outcome(), "1? 2>3 3!");
    ensemble.enter(2, 2);
    ensemble.run(0);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(300)), ("1>3 2>3 3!", 20));
}

/// ZOOKEEPER-764: an observer whose history is the latest is not elected.
#[test]
fn an_observer_follows_and_is_not_counted() {
    let servers = [(1, own(1, 1)), (2, own(1, 1)), (3, own(9, 9))];
    let mut ensemble = Ensemble::new(&servers, "server.3=h:1:2:observer");
    ensemble.start(3);
    ensemble.start(1);
    ensemble.run(5000);
    assert_eq!(ensemble.outcome(), "1? 3?");
    ensemble.start(2);
    ensemble.run(0);
    assert_eq!(ensemble.outcome(), "1>2 2! 3?", "it hears of the leader once there is one");
    ensemble.establish(2);
    ensemble.run(0);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(5000)), ("1>2 2! 3~2", 0));
    ensemble.crash(3);
    ensemble.start(3);
    ensemble.run(0);
    assert_eq!(ensemble.outcome(), "1>2 2! 3~2");
}

/// ZOOKEEPER-491, ZOOKEEPER-498: a server without weight is not elected, and follows.
#[test]
fn a_server_without_weight_is_not_elected() {
    let servers = [(1, own(1, 1)), (2, own(1, 1)), (3, own(2, 2))];
    let groups = "group.1=1:2:3\nweight.3=0";
    let mut ensemble = Ensemble::new(&servers, groups);
    ensemble.start_all();
    ensemble.run(0);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(0)), ("1>2 2! 3>2", 0));
    let mut ensemble = Ensemble::new(&servers, "group.1=1:2:3\nweight.2=0\nweight.3=0");
    ensemble.start(2);
    ensemble.start(3);
    ensemble.run(60_000);
    assert_eq!(ensemble.outcome(), "2? 3?");
    assert!(ensemble.posted < 100, "they talk too much: {}", ensemble.posted);
}

/// ZOOKEEPER-261: a server that has lost its disk does not help one that was behind into the lead.
#[test]
fn a_wiped_server_does_not_vote_where_there_is_data() {
    let mut ensemble = Ensemble::new(&[(1, own(1, 1)), (2, FRESH), (3, own(1, 9))], "");
    ensemble.start(1);
    ensemble.start(2);
    ensemble.run(60_000);
    assert_eq!(ensemble.outcome(), "1? 2?");
    let at = ensemble.now_ms;
    ensemble.start(3);
    ensemble.run(0);
    assert_eq!(ensemble.outcome(), "1>3 2~3 3!");
    assert_eq!(ensemble.took_ms(at), 0, "who does not vote is not waited for");
}

#[test]
fn a_wiped_server_does_not_believe_that_it_leads() {
    let mut ensemble = three_led_by_the_third();
    ensemble.crash(3);
    ensemble.nodes.get_mut(&ServerId(3)).unwrap().own = FRESH;
    ensemble.start(3);
    ensemble.run(1000);
    assert_eq!(ensemble.outcome(), "1>3 2>3 3?", "though the others still say so");
    ensemble.look(1);
    ensemble.look(2);
    ensemble.run(0);
    assert_eq!(ensemble.outcome(), "1>2 2! 3~2");
}

#[test]
fn a_wiped_servers_silence_does_not_delay_the_others() {
    let mut ensemble = three_led_by_the_third();
    ensemble.crash(1);
    ensemble.nodes.get_mut(&ServerId(1)).unwrap().own = FRESH;
    ensemble.start(1);
    ensemble.run(0);
    assert_eq!(ensemble.outcome(), "1~3 2>3 3!");
    let at = ensemble.now_ms;
    ensemble.look(1);
    ensemble.look(2);
    ensemble.look(3);
    ensemble.run(0);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(at)), ("1~3 2>3 3!", 0));
}

#[test]
fn new_servers_elect_one_of_them() {
    let ensemble = Ensemble::running(&[(1, FRESH), (2, FRESH), (3, FRESH)]);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(0)), ("1>3 2>3 3!", 0));
}

#[test]
fn new_servers_wait_for_one_that_may_have_data() {
    let mut ensemble = Ensemble::new(&[(1, FRESH), (2, FRESH), (3, own(1, 1))], "");
    ensemble.start(1);
    ensemble.start(2);
    ensemble.report(ServerId(1), ServerId(3), false);
    ensemble.report(ServerId(2), ServerId(3), false);
    ensemble.run(190);
    assert_eq!(ensemble.outcome(), "1? 2?");
    ensemble.start(3);
    ensemble.run(60_000);
    assert_eq!(ensemble.outcome(), "1? 2? 3?", "it is one of three, and the others have nothing");
}

/// A crash between the leader's entering of the first epoch and the others'.
#[test]
fn who_has_promised_the_first_epoch_votes() {
    let promised = Own { fresh: false, ..FRESH };
    let servers = [(1, promised), (2, own(1, 0)), (3, FRESH)];
    assert_eq!(Ensemble::running(&servers).outcome(), "1>2 2! 3~2");
}

/// As in ZOOKEEPER-2164: a member that cannot connect for long joins as soon as it can.
#[test]
fn a_connection_that_comes_late_is_used_at_once() {
    let mut ensemble = three_led_by_the_third();
    ensemble.crash(1);
    ensemble.cut(1, 2);
    ensemble.cut(1, 3);
    ensemble.start(1);
    ensemble.run(100_000);
    assert_eq!(ensemble.outcome(), "1? 2>3 3!");
    let at = ensemble.now_ms;
    ensemble.heal(1, 2);
    ensemble.heal(1, 3);
    ensemble.run(0);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(at)), ("1>3 2>3 3!", 0));
}

#[test]
fn the_candidate_is_gone_before_it_is_elected() {
    let mut ensemble = Ensemble::new(&[(1, own(1, 1)), (2, own(1, 1)), (3, own(1, 5))], "");
    ensemble.start(3);
    ensemble.start(1);
    ensemble.run(10);
    ensemble.crash(3);
    ensemble.start(2);
    ensemble.report(ServerId(2), ServerId(3), false);
    ensemble.run(0);
    assert_eq!((ensemble.outcome().as_str(), ensemble.took_ms(10)), ("1>2 2!", 0));
}

#[test]
fn all_that_was_said_is_lost_and_said_again() {
    let mut ensemble = Ensemble::new(&[(1, own(1, 1)), (2, own(1, 1)), (3, own(1, 1))], "");
    ensemble.weather.lost = 100;
    ensemble.start_all();
    ensemble.run(3000);
    ensemble.weather.lost = 0;
    ensemble.run(super::super::RESEND_MS.1);
    assert_eq!(ensemble.outcome(), "1>3 2>3 3!");
}

/// A planned change of leaders: the others go to the new one without an election.
#[test]
fn after_a_hand_over_the_new_leader_is_joined() {
    let mut ensemble = three_led_by_the_third();
    for (id, state) in [(1, PeerState::Following), (2, PeerState::Leading)] {
        ensemble.at(ServerId(id), |election, _, out| {
            let vote = Vote { leader: ServerId(2), zxid: Zxid::new(5, 7), epoch: 6 };
            election.settle(state, vote, out);
            None
        });
    }
    ensemble.look(3);
    ensemble.run(0);
    assert!(ensemble.outcome().ends_with("3>2"), "{}", ensemble.outcome());
}
