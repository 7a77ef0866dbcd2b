//! What happens in ensembles: ZooKeeper's known bugs, by their numbers, and what is our own.

use quorate_protocol::Zxid;

use super::{
    network::Packet,
    solo::z,
    world::{TICK_MS, World},
};
use crate::zab::{Input, Member, Message, Role};

fn is_diff(packet: &Packet) -> bool {
    matches!(packet, Packet::Bare(Message::Diff { .. }))
}

fn is_snapshot(packet: &Packet) -> bool {
    matches!(packet, Packet::Snapshot(..))
}

fn is_new_leader(packet: &Packet) -> bool {
    matches!(packet, Packet::NewLeader(..))
}

fn is_ack(packet: &Packet) -> bool {
    matches!(packet, Packet::Bare(Message::Ack { .. }))
}

fn is_trunc(to: Zxid) -> impl Fn(&Packet) -> bool {
    move |packet| *packet == Packet::Bare(Message::Trunc { to })
}

/// Three servers that settled, led by the third, and have applied this many transactions.
fn three(count: u64) -> World {
    let mut world = World::settled(3, 0);
    assert_eq!(world.leader(), Some(2));
    if count > 0 {
        world.propose(2, count);
        world.settle();
    }
    world
}

fn start_all(world: &mut World) {
    (0..world.servers.len()).for_each(|server| world.start(server));
    world.settle();
}

/// Those who were told whom to follow did not look for a leader since then.
fn assert_planned(world: &World) {
    for server in &world.servers {
        let unplanned = Role::Looking { planned: false };
        assert!(!server.roles.contains(&unplanned), "{}: {:?}", server.id, server.roles);
    }
}

#[test]
fn zookeeper_335_an_epoch_that_was_promised_is_not_used_again() {
    let mut world = World::new(1, 3, 0);
    (0..3).for_each(|server| world.start(server));
    world.until("a promise", |w| w.servers[0].disk.durable.accepted == 1);
    assert!(world.leader().is_none());
    world.crash(2);
    world.settle();
    assert_eq!((world.leader(), world.epoch()), (Some(1), 2));
    world.start(2);
    world.settle();
}

/// Server 1 loses what only it and server 3 have, and meets server 2 alone.
fn completes_no_quorum(lose: fn(&mut World, usize)) -> World {
    let mut world = three(3);
    world.crash(1);
    world.propose(2, 4);
    world.settle();
    world.crash(0);
    world.crash(2);
    lose(&mut world, 0);
    world.start(0);
    world.start(1);
    world.run_ms(50 * TICK_MS);
    assert_eq!(world.leader(), None);
    world.start(2);
    world.settle();
    world.assert_all_applied(7);
    world
}

#[test]
fn zookeeper_261_a_wiped_server_completes_no_quorum() {
    completes_no_quorum(World::wipe);
}

#[test]
fn a_server_that_has_set_its_log_aside_completes_no_quorum() {
    let mut world = completes_no_quorum(World::set_aside);
    assert!(!world.servers[0].disk.durable.incomplete);
    // From then on it votes like another.
    world.crash(2);
    world.settle();
    assert!(world.leader().is_some());
}

#[test]
fn a_server_that_has_set_its_log_aside_is_not_new_where_everybody_else_is() {
    let mut world = three(3);
    (0..3).for_each(|server| world.crash(server));
    world.set_aside(0);
    world.wipe(1);
    world.start(0);
    world.start(1);
    world.run_ms(50 * TICK_MS);
    assert_eq!(world.leader(), None, "what both have lost is at the third");
    // It still knows after it was down again.
    world.crash(0);
    world.start(0);
    world.run_ms(50 * TICK_MS);
    assert_eq!(world.leader(), None);
}

#[test]
fn a_wiped_server_votes_again_only_when_a_quorum_without_it_confirms_the_epoch() {
    let mut world = three(3);
    world.crash(0);
    world.wipe(0);
    world.start(0);
    world.until("the mark", |w| w.count(2, 0, is_new_leader) == 2);
    world.isolate(1);
    world.run_ms(4 * TICK_MS);
    let follows = |w: &World| matches!(w.servers[0].zab().role(), Role::Following { .. });
    assert!(!follows(&world), "the leader may be deposed, as far as anybody there knows");
    world.heal();
    world.settle();
    let joined_as = |member| {
        world.count(0, 2, |packet| {
            matches!(packet, Packet::Bare(Message::LearnerInfo { member: m, .. }) if *m == member)
        })
    };
    assert!(joined_as(Member::Observer) >= 1);
    assert!(follows(&world));
    world.propose(2, 1);
    world.settle();
    world.assert_all_applied(4);
}

#[test]
fn a_server_that_ends_while_it_is_given_its_first_history_is_still_fresh() {
    let mut world = three(40);
    world.crash(0);
    world.wipe(0);
    world.start(0);
    world.until("a part of it", |w| w.servers[0].disk.durable.entries.len() > 3);
    assert_eq!(world.servers[0].disk.durable.current, 0);
    world.crash(0);
    world.crash(2);
    world.start_with(0, 1);
    assert!(world.servers[0].zab().history().is_fresh());
    world.run_ms(50 * TICK_MS);
    assert_eq!(world.leader(), None);
    world.start(2);
    world.settle();
    world.assert_all_applied(40);
}

#[test]
fn zookeeper_790_a_candidate_without_a_quorum_does_not_look_newer() {
    let mut world = World::new(1, 3, 0);
    world.give_log(2, 1, 1, &[(1, 2)]);
    world.give_log(1, 1, 1, &[(1, 5)]);
    world.give_log(0, 1, 1, &[(1, 5)]);
    world.start(2);
    world.run_ms(30 * TICK_MS);
    world.start(1);
    world.start(0);
    world.settle();
    assert_eq!(world.leader(), Some(1));
    world.assert_all_applied(5);
}

#[test]
fn zookeeper_962_1136_1319_3104_a_joiner_gets_all_and_the_mark_behind_it() {
    for snapshot in [false, true] {
        let mut world = three(30);
        world.crash(0);
        world.propose(2, 30);
        world.settle();
        if snapshot {
            let floor = world.servers[2].disk.memory.entries[50].0;
            world.servers[2].disk.raise_floor(floor);
        }
        world.start(0);
        for _ in 0..40 {
            world.propose(2, 1);
            world.run_ms(1);
        }
        world.settle();
        world.assert_all_applied(100);
        assert_eq!(world.count(2, 0, is_snapshot), usize::from(snapshot));
    }
}

#[test]
fn zookeeper_1154_what_the_leader_does_not_have_is_cut() {
    let mut world = World::new(1, 3, 0);
    world.give_log(0, 7, 7, &[(7, 4)]);
    world.give_log(1, 8, 8, &[(7, 3), (8, 2)]);
    world.give_log(2, 8, 8, &[(7, 3), (8, 2)]);
    start_all(&mut world);
    assert_eq!(world.count(2, 0, is_trunc(z(7, 3))), 1);
    world.assert_all_applied(5);
}

#[test]
fn zookeeper_2832_what_one_server_alone_has_is_cut_though_no_counter_is_beyond() {
    let mut world = World::new(1, 3, 0);
    world.give_log(0, 3, 3, &[(1, 2)]);
    world.give_log(1, 2, 2, &[(1, 2), (2, 1)]);
    world.give_log(2, 3, 3, &[(1, 2)]);
    start_all(&mut world);
    assert_eq!(world.count(2, 1, is_trunc(z(1, 2))), 1);
    world.assert_all_applied(2);
}

#[test]
fn a_cut_to_what_is_not_there_goes_further_back() {
    let mut world = World::new(1, 3, 0);
    world.give_log(0, 3, 3, &[(1, 3), (3, 2)]);
    world.give_log(1, 4, 4, &[(1, 5), (2, 4)]);
    world.give_log(2, 4, 4, &[(1, 5), (2, 4)]);
    start_all(&mut world);
    assert_eq!(world.count(2, 0, is_trunc(z(2, 4))), 1);
    assert_eq!((world.count(2, 0, is_diff), world.count(2, 0, is_snapshot)), (1, 0));
    world.assert_all_applied(9);
}

#[test]
fn zookeeper_1291_no_epoch_is_offered_that_is_not_durable() {
    let mut world = World::new(1, 3, 0);
    world.hold(2, true);
    (0..3).for_each(|server| world.start(server));
    world.until("another leader", |w| w.leader() == Some(1));
    let is_offer = |packet: &Packet| matches!(packet, Packet::Bare(Message::LeaderInfo { .. }));
    assert_eq!((world.count(2, 0, is_offer), world.count(2, 1, is_offer)), (0, 0));
}

#[test]
fn zookeeper_1282_3023_4643_4646_4785_no_epoch_without_its_history() {
    for kept in 0..14 {
        let mut world = three(2);
        world.crash(0);
        world.propose(2, 10);
        world.settle();
        world.hold(0, true);
        world.start(0);
        world.until("the mark", |w| w.count(2, 0, is_new_leader) == 2);
        let acks = world.count(0, 2, is_ack);
        world.run_ms(2 * TICK_MS);
        assert_eq!(world.count(0, 2, is_ack), acks, "nothing is durable");
        world.crash(0);
        world.crash(2);
        world.hold(0, false);
        world.start_with(0, kept);
        world.run_ms(20 * TICK_MS);
        // Servers 1 and 2: whoever leads has everything; the oracle knows.
        world.start(2);
        world.settle();
        world.assert_all_applied(12);
    }
}

#[test]
fn zookeeper_1549_2678_5010_what_is_not_committed_is_applied_nowhere_and_goes() {
    let mut world = three(3);
    world.isolate(2);
    world.propose(2, 5);
    world.until("another leader", |w| w.leader() == Some(1));
    assert_eq!(world.servers[2].applied, 3);
    world.propose(1, 2);
    world.heal();
    world.settle();
    world.assert_all_applied(5);
}

#[test]
fn zookeeper_1699_a_leader_without_a_quorum_ends() {
    let mut world = three(0);
    world.crash(0);
    world.run_ms(3 * TICK_MS);
    assert_eq!(world.leader(), Some(2));
    world.crash(1);
    world.run_ms(2 * TICK_MS);
    assert_eq!(world.leader(), None, "it sees that they are gone");
    let mut world = three(0);
    world.isolate(2);
    world.run_ms(8 * TICK_MS);
    assert_eq!(world.leader(), Some(1), "it hears nothing of them");
    assert_eq!(world.servers[2].zab().role(), Role::Looking { planned: false });
}

#[test]
fn zookeeper_2959_observers_are_no_part_of_a_quorum() {
    let mut world = World::settled(3, 3);
    world.crash(0);
    world.crash(1);
    world.run_ms(8 * TICK_MS);
    assert_eq!(world.leader(), None);
    world.start(0);
    world.settle();
    assert_eq!(world.leader(), Some(2));
}

#[test]
fn zookeeper_1551_an_observer_loses_nothing_between_snapshot_and_up_to_date() {
    let mut world = World::settled(3, 1);
    world.crash(3);
    world.propose(2, 30);
    world.settle();
    let floor = world.servers[2].disk.memory.entries[20].0;
    world.servers[2].disk.raise_floor(floor);
    world.start(3);
    for _ in 0..30 {
        world.propose(2, 1);
        world.run_ms(1);
    }
    world.settle();
    assert_eq!(world.count(2, 3, is_snapshot), 1);
    world.assert_all_applied(60);
}

#[test]
fn zookeeper_1653_a_history_newer_than_the_epoch_is_no_reason_not_to_start() {
    let mut world = World::new(1, 3, 0);
    world.give_log(0, 5, 4, &[(4, 3), (5, 2)]);
    world.give_log(1, 5, 5, &[(4, 3), (5, 1)]);
    world.give_log(2, 5, 4, &[(4, 3)]);
    start_all(&mut world);
    assert_eq!(world.leader(), Some(1), "epoch 5 outvotes a longer log of epoch 4");
    world.assert_all_applied(4);
}

#[test]
fn zookeeper_2247_a_leader_whose_log_is_stuck_ends() {
    let mut world = three(1);
    world.hold(2, true);
    world.propose(2, 1);
    world.until("another leader", |w| w.leader() == Some(1));
    world.propose(1, 1);
    world.run_ms(TICK_MS);
    world.hold(2, false);
    world.settle();
    // The followers had it durably, and so it was committed.
    world.assert_all_applied(3);
}

#[test]
fn zookeeper_4882_nothing_is_applied_that_the_own_log_does_not_have() {
    let mut world = three(1);
    world.hold(2, true);
    world.hold(0, true);
    world.propose(2, 1);
    world.run_ms(10);
    assert!(world.servers.iter().all(|server| server.applied == 1), "one of three has it");
    world.hold(0, false);
    world.run_ms(10);
    let applied: Vec<_> = world.servers.iter().map(|server| server.applied).collect();
    assert_eq!(applied, [2, 2, 1], "a quorum without the leader");
    world.hold(2, false);
    world.settle();
}

#[test]
fn zookeeper_2355_a_stream_that_breaks_is_taken_up_where_the_log_ends() {
    let mut world = three(1);
    world.crash(0);
    world.propose(2, 60);
    world.settle();
    world.start(0);
    for part in [5, 20, 40] {
        world.until("a part", |w| w.servers[0].disk.durable.entries.len() > part);
        for wire in world.network.wires_of(0) {
            world.break_wire(wire, None);
        }
    }
    world.settle();
    world.assert_all_applied(61);
}

#[test]
fn zookeeper_2846_4925_a_log_with_a_beginning_is_not_served_from_before_it() {
    let mut world = three(30);
    world.crash(0);
    world.propose(2, 30);
    world.settle();
    // Server 2 comes by a snapshot, then leads; server 1 is still at 30.
    world.crash(1);
    world.wipe(1);
    let floor = world.servers[2].disk.memory.entries[50].0;
    world.servers[2].disk.raise_floor(floor);
    world.start(0);
    world.start(1);
    world.settle();
    assert_eq!(world.count(2, 1, is_snapshot), 1);
    world.crash(0);
    world.wipe(0);
    world.servers[0].disk.durable.current = 1;
    world.servers[0].disk.durable.accepted = 1;
    world.input(2, Input::HandOver { ends: false });
    world.settle();
    assert_eq!(world.leader(), Some(1));
    world.start(0);
    world.settle();
    assert_eq!(world.count(1, 0, is_snapshot), 1);
    world.assert_all_applied(60);
}

#[test]
fn zookeeper_3642_a_snapshot_of_a_leader_that_dies_before_the_mark() {
    let mut world = three(30);
    world.crash(0);
    world.wipe(0);
    let floor = world.servers[2].disk.memory.entries[20].0;
    (1..3).for_each(|server| world.servers[server].disk.raise_floor(floor));
    world.start(0);
    world.until("a snapshot", |w| w.servers[0].disk.durable.floor > Zxid::ZERO);
    world.crash(2);
    world.run_ms(20 * TICK_MS);
    assert_eq!(world.leader(), None, "server 1 does not vote yet");
    world.start(2);
    world.settle();
    world.assert_all_applied(30);
}

#[test]
fn what_a_failed_zookeeper_leader_had_in_its_snapshot_goes() {
    let mut world = World::new(1, 3, 0);
    world.give_log(0, 3, 2, &[(1, 4), (2, 2), (3, 1)]);
    // Its log stands on a snapshot with what no quorum has.
    world.servers[0].disk.durable.floor = z(2, 2);
    world.give_log(1, 4, 4, &[(1, 6)]);
    world.give_log(2, 4, 4, &[(1, 6)]);
    start_all(&mut world);
    assert_eq!(world.count(2, 0, is_trunc(z(1, 6))), 1);
    assert_eq!(world.count(2, 0, is_snapshot), 1);
    let is_nothing =
        |p: &Packet| matches!(p, Packet::Bare(Message::AckEpoch { last: Zxid(-1), .. }));
    assert_eq!(world.count(0, 2, is_nothing), 1);
    world.assert_all_applied(6);
}

#[test]
fn zookeeper_1277_an_epoch_that_is_used_up_is_followed_by_another_without_an_election() {
    let mut world = World::new(1, 3, 1);
    world.servers.iter_mut().for_each(|server| server.settings.roll_over = 5);
    start_all(&mut world);
    world.servers.iter_mut().for_each(|server| server.roles.clear());
    for _ in 0..12 {
        let leader = world.leader().unwrap();
        world.propose(leader, 2);
        world.run_ms(20);
    }
    world.settle();
    assert!(world.epoch() > 3);
    assert_eq!(world.leader(), Some(2), "the same all the time");
    assert_planned(&world);
}

#[test]
fn a_hand_over_needs_no_election() {
    let mut world = World::settled(3, 1);
    world.servers.iter_mut().for_each(|server| server.roles.clear());
    world.propose(2, 3);
    world.input(2, Input::HandOver { ends: false });
    assert!(!world.propose(2, 1), "it drains");
    let began_ms = world.now_ms;
    world.settle();
    assert_eq!(world.leader(), Some(1));
    assert!(world.now_ms - began_ms < 40, "a few round trips");
    assert_planned(&world);
    world.propose(1, 1);
    world.settle();
    world.assert_all_applied(4);
}

#[test]
fn a_hand_over_to_who_ends_is_followed_by_an_election() {
    let mut world = three(3);
    world.input(2, Input::HandOver { ends: false });
    world.until("it is told", |w| w.servers[2].leads.is_none());
    world.crash(1);
    world.settle();
    world.start(1);
    world.settle();
    world.assert_all_applied(3);
}

#[test]
fn nobody_takes_over_who_would_wait_for_servers_that_elect() {
    let mut world = World::new(1, 3, 0);
    world.servers[0].is_java = true;
    start_all(&mut world);
    world.input(2, Input::HandOver { ends: true });
    assert!(world.propose(2, 1), "server 1 alone is no quorum");
    world.settle();
    assert_eq!(world.leader(), Some(2));

    // One that stays follows, and the two are a quorum.
    world.input(2, Input::HandOver { ends: false });
    world.settle();
    assert_eq!(world.leader(), Some(1));
    world.assert_all_applied(1);
}

#[test]
fn nobody_takes_over_from_who_is_alone() {
    let mut world = World::settled(1, 2);
    world.input(0, Input::HandOver { ends: false });
    assert_eq!(world.leader(), Some(0));
    assert!(world.propose(0, 1));
    world.settle();
}

#[test]
fn who_has_promised_a_later_epoch_is_let_in_by_a_still_later_one() {
    let mut world = three(2);
    world.crash(0);
    world.servers[0].disk.durable.accepted = 9;
    world.servers.iter_mut().for_each(|server| server.roles.clear());
    world.start(0);
    world.settle();
    assert_eq!((world.leader(), world.epoch()), (Some(2), 10));
    let unplanned = Role::Looking { planned: false };
    assert!(!world.servers[1].roles.contains(&unplanned), "nobody else notices");
}

#[test]
fn a_deposed_leader_confirms_nothing() {
    let mut world = three(0);
    world.confirm(2);
    world.run_ms(10);
    assert_eq!(world.oracle.confirmed, 1);
    world.isolate(2);
    world.confirm(2);
    world.run_ms(3 * TICK_MS);
    assert_eq!(world.leader(), Some(2), "it does not know yet");
    assert_eq!(world.oracle.confirmed, 1);
    world.until("another leader", |w| w.leader() == Some(1));
    world.settle_without(2);
    world.confirm(1);
    world.heal();
    world.settle();
    assert_eq!(world.oracle.confirmed, 2);
}

#[test]
fn zookeeper_1732_whoever_restarts_comes_back() {
    let mut world = World::settled(5, 1);
    for server in [0, 4, 1, 3, 2, 5, 4, 0] {
        world.crash(server);
        world.settle();
        let leader = world.leader().unwrap();
        world.propose(leader, 3);
        world.start(server);
        world.settle();
    }
    world.assert_all_applied(24);
}
