//! Random schedules: faults drawn from a seed, then none, and everybody must come together.

use std::collections::BTreeMap;

use super::world::{Pace, Server, TICK_MS, World};
use crate::zab::Configuration;

fn run(seed: u64, prints: bool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let voters = [1, 2, 3, 3, 3, 4, 5, 5][rng.usize(..8)];
    let observers = rng.usize(..2);
    let mut world = World::new(seed, voters, observers);
    world.pace = Pace::Random;
    world.prints = prints;
    if rng.bool() {
        let roll_over = rng.u32(3..30);
        world.servers.iter_mut().for_each(|server| server.settings.roll_over = roll_over);
    }
    if rng.u32(..3) == 0 {
        world.servers.iter_mut().for_each(|server| server.is_java = rng.bool());
    }
    let changes = rng.bool();
    if changes {
        world.add_joiners(rng.usize(..3), rng.usize(1..=2));
    }
    let all = world.servers.len();
    (0..all).for_each(|server| world.start(server));
    for _ in 0..rng.usize(20..120) {
        world.run_ms(rng.i64(0..4 * TICK_MS));
        fault(&mut rng, &mut world, voters);
        for server in 0..all {
            world.propose(server, rng.u64(1..6));
            if rng.bool() {
                world.confirm(server);
            }
            if changes && rng.u32(..6) == 0 {
                let next = configuration(&mut rng, &world);
                world.reconfigure(server, next);
                world.propose(server, rng.u64(1..3));
            }
        }
    }
    // The faults end.
    world.heal();
    for server in 0..all {
        world.hold(server, false);
        if world.servers[server].zab.is_none() {
            world.start_with(server, rng.usize(..4));
        }
    }
    world.pace = Pace::Steady;
    world.settle();
    let leader = world.leader().unwrap();
    assert!(world.propose(leader, 2), "the leader does not lead");
    world.confirm(leader);
    world.settle();
    world.assert_all_applied(world.oracle.committed.len());
    assert!(!world.oracle.committed.is_empty());
}

fn fault(rng: &mut fastrand::Rng, world: &mut World, voters: usize) {
    let all = world.servers.len();
    let server = rng.usize(..all);
    let is_up = world.servers[server].zab.is_some();
    match rng.u32(..20) {
        0..3 if is_up => world.crash(server),
        0..7 if !is_up => {
            // One at a time may lose its disk, and only where others have something and are a
            // quorum.
            let is_whole = |server: &Server| server.disk.durable.current > 0;
            if rng.u32(..4) == 0
                && voters >= 3
                && world.servers.iter().all(is_whole)
                && can_do_without(world, server)
            {
                if rng.bool() {
                    world.wipe(server);
                } else {
                    world.set_aside(server);
                }
            }
            world.start_with(server, rng.usize(..6));
        }
        7..9 => {
            let wires = world.network.wires_of(server);
            if let Some(wire) = rng.choice(wires) {
                world.break_wire(wire, None);
            }
        }
        9..11 => {
            let other = rng.usize(..all);
            if other != server {
                world.block(server, other);
                if rng.bool() {
                    world.block(other, server);
                }
            }
        }
        11 => world.isolate(server),
        12..14 => world.heal(),
        14 => world.hold(server, true),
        15..18 => {
            (0..all).for_each(|server| world.hold(server, false));
        }
        18 if is_up => {
            let ends = rng.bool();
            world.input(server, crate::zab::Input::HandOver { ends });
        }
        _ => {}
    }
}

/// Some of the servers, some of them as observers, now and then one of them elsewhere.
fn configuration(rng: &mut fastrand::Rng, world: &World) -> Configuration {
    loop {
        let mut servers = BTreeMap::new();
        for server in &world.servers {
            let role = ["participant", "participant", "participant", "observer"][rng.usize(..4)];
            let port = if rng.u32(..20) == 0 { 9 } else { 1 };
            if rng.u32(..4) > 0 {
                let line = format!("h{}:{port}:2:{role}", server.id);
                servers.insert(server.id, line.parse().unwrap());
            }
        }
        let next = Configuration { version: 0, servers };
        if next.voters().next().is_some() {
            return next;
        }
    }
}

/// Whether all others are up, agree on the configuration, and are a quorum of it.
fn can_do_without(world: &World, server: usize) -> bool {
    let mut others = world.servers.iter().enumerate().filter(|(other, _)| *other != server);
    let ids = others.clone().map(|(_, server)| server.id).collect();
    let configs = |server: &Server| server.zab.as_ref().map(|zab| zab.configs().clone());
    let all: Vec<_> = others.clone().map(|(_, server)| configs(server)).collect();
    others.all(|(_, server)| server.zab.is_some())
        && all.windows(2).all(|pair| pair[0] == pair[1])
        && all
            .iter()
            .flatten()
            .all(|configs| configs.last_seen().is_none() && configs.is_quorum(&ids))
}

/// A seed of a failure: `ZAB_SEED=7 cargo test -p quorate-server zab::tests::random -- --nocapture`
/// runs and prints it.
#[test]
fn whatever_happens_they_agree() {
    if let Ok(seed) = std::env::var("ZAB_SEED") {
        run(seed.parse().unwrap(), true);
        return;
    }
    let count = std::env::var("ZAB_SEEDS").map_or(1000, |count| count.parse().unwrap());
    for seed in 0..count {
        let result = std::panic::catch_unwind(|| run(seed, false));
        assert!(result.is_ok(), "seed {seed}: set ZAB_SEED={seed} to see it");
    }
}
