//! Ensembles whose servers change.

use super::{
    disk::Book,
    solo::{Solo, z},
    world::{TICK_MS, World},
};
use crate::zab::{
    Configs, Configuration, Effect, Features, Input, LinkId, Member, Message, Role, ServerId,
    election::{Notification, PeerState, Vote},
};

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

const THREE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2";

/// Server 2 of three, which may change.
fn solo(servers: &str) -> Solo {
    let configs = Configs::new(Configuration::parse(servers).unwrap(), true);
    Solo::with_configs(&[z(4, 3)], configs)
}

fn in_force(solo: &Solo) -> Vec<i64> {
    solo.zab.configs().in_force().voters().map(|voter| voter.0).collect()
}

#[test]
fn a_leader_that_goes_before_it_could_tell_goes_by_what_its_log_says() {
    let mut solo = solo(THREE);
    solo.elect(2);
    solo.joins(7, 1, Member::Participant, 4, Features::ALL);
    solo.hears(7, Message::AckEpoch { current_epoch: Some(4), last: z(4, 3) });
    solo.caught_up(7, z(4, 3));
    let said = solo.hears(7, Message::Ack { zxid: z(5, 0) });
    assert!(said.contains(&"leading 5".to_owned()), "{said:?}");
    let mut next = servers(&[2], &[]);
    next.version = z(5, 1).0;
    solo.proposes_servers(next);
    solo.holds = true;
    solo.hears(7, Message::Ack { zxid: z(5, 1) });
    assert_eq!(in_force(&solo), [1, 2, 3], "the log does not say so durably");
    let said = solo.tell(Input::Closed { link: LinkId(7) });
    assert!(!said.contains(&"leading 6".to_owned()), "{said:?}");
    let mut said = solo.wait(600);
    assert!(said.contains(&"looking".to_owned()), "{said:?}");
    said = solo.synced();
    assert_eq!(in_force(&solo), [2]);
    assert!(said.contains(&"leading 6".to_owned()), "it needs nobody any more: {said:?}");
}

#[test]
fn who_has_come_to_one_that_does_not_lead_hears_where_the_ensemble_is() {
    let mut solo = solo(THREE);
    solo.elect(3);
    assert_eq!(solo.zab.leader(), Some(ServerId(3)));
    let mut next = servers(&[1, 2, 4], &[]);
    next.version = z(5, 1).0;
    let vote = Vote { leader: ServerId(4), zxid: z(5, 1), epoch: 5 };
    let notification = Notification {
        state: PeerState::Following,
        vote,
        round: 1,
        config: next.to_string().into_bytes(),
    };
    solo.tell(Input::Notification { from: ServerId(1), notification });
    assert_eq!(solo.zab.leader(), None);
    assert_eq!(in_force(&solo), [1, 2, 4]);
}

#[test]
fn servers_that_come_are_told_who_leads() {
    let mut solo = solo(THREE);
    solo.elect(3);
    solo.tell(Input::Connected { leader: ServerId(3), link: LinkId(9) });
    solo.hears(9, Message::LeaderInfo { epoch: 5, features: Features::ALL });
    solo.hears(9, Message::Diff { last: z(4, 3) });
    solo.hears(9, Message::NewLeader { epoch: 5, config: b"" });
    solo.hears(9, Message::UpToDate);
    let mut next = servers(&[1, 2, 3, 4], &[]);
    next.version = z(5, 1).0;
    let mut book = Book::default();
    book.enter(1, next);
    let txn = book.bytes((z(5, 1), 1));
    let message = Message::Proposal { zxid: z(5, 1), txn: &txn };
    solo.tell(Input::Message { link: LinkId(9), message });
    let mut effects = Vec::new();
    let (link, leader) = (LinkId(9), ServerId(3));
    let message = Message::CommitAndActivate { zxid: z(5, 1), leader };
    solo.zab.step(solo.now_ms, Input::Message { link, message }, &mut effects);
    let configured = effects.iter().position(|effect| *effect == Effect::Configured);
    let told = effects.iter().position(|effect| {
        matches!(effect, Effect::Notify { to: ServerId(4), notification }
            if notification.state == PeerState::Following && notification.vote.leader == leader)
    });
    assert!(configured.is_some() && configured < told, "{effects:?}");
}
