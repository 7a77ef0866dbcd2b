//! Ensembles whose servers change.

use super::world::{TICK_MS, World};
use crate::zab::{Configuration, Member, Role, ServerId};

/// These servers vote, and those observe.
fn servers(voters: &[i64], observers: &[i64]) -> Configuration {
    let line = |role: &str, id: &i64| format!("server.{id}=h{id}:1:2:{role}\n");
    let voters: String = voters.iter().map(|id| line("participant", id)).collect();
    let observers: String = observers.iter().map(|id| line("observer", id)).collect();
    Configuration::parse(&(voters + &observers)).unwrap()
}

/// Changes the servers, and waits until everybody goes by the new configuration.
fn change(world: &mut World, next: &Configuration) {
    let leader = world.leader().unwrap();
    assert!(world.reconfigure(leader, next.clone()), "{}", world.describe());
    world.until("all go by it", |world| {
        world.servers.iter().filter_map(|server| server.zab.as_ref()).all(|zab| {
            zab.configs().in_force().servers == next.servers && zab.configs().last_seen().is_none()
        })
    });
    world.settle();
}

fn member(world: &World, index: usize) -> Option<Member> {
    match world.servers[index].zab().role() {
        Role::Following { member, .. } => Some(member),
        _ => None,
    }
}

#[test]
fn one_grows_to_three_and_shrinks_to_one() {
    let mut world = World::new(1, 1, 0);
    world.add_joiners(2, 1);
    (0..3).for_each(|server| world.start(server));
    world.settle();
    assert_eq!((world.leader(), member(&world, 1)), (Some(0), Some(Member::Participant)));
    world.propose(0, 3);
    change(&mut world, &servers(&[1, 2, 3], &[]));
    world.crash(0);
    world.settle();
    let leader = world.leader().unwrap();
    world.propose(leader, 2);
    world.start(0);
    world.settle();
    change(&mut world, &servers(&[1], &[]));
    assert_eq!(world.leader(), Some(0), "the one that is left leads");
    // Nobody needs the others any more, and the last one remembers that.
    (0..3).for_each(|server| world.crash(server));
    world.start_with(0, 0);
    world.settle();
    assert_eq!(world.leader(), Some(0));
}

#[test]
fn a_leader_that_is_removed_names_the_next_one() {
    let mut world = World::settled(3, 0);
    let leader = world.leader().unwrap();
    world.propose(leader, 3);
    world.settle();
    world.servers.iter_mut().for_each(|server| server.roles.clear());
    let id = world.servers[leader].id;
    let others: Vec<i64> = (1..=3).filter(|other| *other != id.0).collect();
    change(&mut world, &servers(&others, &[]));
    assert_ne!(world.leader(), Some(leader));
    assert_eq!(member(&world, leader), Some(Member::Participant), "it follows without a vote");
    for server in &world.servers {
        assert!(!server.roles.contains(&Role::Looking { planned: false }), "nobody elects");
    }
    let next = world.leader().unwrap();
    world.crash(leader);
    world.propose(next, 1);
    world.settle();
}

#[test]
fn observers_become_voters_and_voters_observers() {
    let mut world = World::settled(3, 1);
    change(&mut world, &servers(&[1, 2, 3, 4], &[]));
    assert_eq!(member(&world, 3), Some(Member::Participant));
    change(&mut world, &servers(&[3, 4], &[1, 2]));
    assert_eq!(member(&world, 0), Some(Member::Observer));
    let leader = world.leader().unwrap();
    assert!(leader >= 2);
    (0..2).for_each(|server| world.crash(server));
    world.propose(leader, 2);
    world.settle();
}

#[test]
fn it_takes_a_quorum_of_both() {
    let mut world = World::settled(3, 2);
    let leader = world.leader().unwrap();
    // Both observers are to be voters, and cannot answer any more.
    let next = servers(&[3, 4, 5], &[1, 2]);
    for server in [3, 4] {
        world.hold(server, true);
    }
    let synced: Vec<_> = world.servers[leader].zab().links().iter().map(|l| l.server).collect();
    assert!(synced.contains(&ServerId(1)));
    assert!(!world.reconfigure(leader, next), "no quorum of it follows");
    let next = servers(&[1, 2, 3, 4, 5], &[]);
    let down = (0..3).filter(|server| *server != leader);
    let before = world.oracle.committed.len();
    for server in down {
        world.hold(server, true);
    }
    assert!(world.reconfigure(leader, next));
    world.run_ms(2 * TICK_MS);
    assert_eq!(world.oracle.committed.len(), before);
    (0..5).for_each(|server| world.hold(server, false));
    world.settle();
    assert_eq!(world.oracle.committed.len(), before + 1);
}

#[test]
fn a_change_that_nobody_has_is_forgotten() {
    let mut world = World::settled(3, 1);
    let leader = world.leader().unwrap();
    world.hold(leader, true);
    (0..4).filter(|server| *server != leader).for_each(|server| world.block(leader, server));
    assert!(world.reconfigure(leader, servers(&[1, 2], &[3, 4])));
    world.crash(leader);
    world.settle();
    let next = world.leader().unwrap();
    change(&mut world, &servers(&[1, 2, 3], &[]));
    world.propose(next, 1);
    world.hold(leader, false);
    world.heal();
    world.start_with(leader, usize::MAX);
    world.settle();
    let configs = world.servers[leader].zab().configs();
    assert_eq!(configs.in_force().servers.len(), 3);
    assert!(configs.last_seen().is_none());
}

#[test]
fn who_was_away_learns_where_the_ensemble_has_gone() {
    let mut world = World::settled(3, 0);
    world.add_joiners(2, 3);
    (3..5).for_each(|server| world.start(server));
    world.settle();
    world.crash(0);
    world.settle();
    change(&mut world, &servers(&[2, 3, 4, 5], &[]));
    change(&mut world, &servers(&[4, 5], &[]));
    // Of the configuration it knows only one is there, which is in none any more.
    world.crash(2);
    world.start(0);
    world.settle();
    assert_eq!(world.servers[0].zab().configs().in_force().voters().count(), 2);
}
