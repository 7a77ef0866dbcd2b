use std::collections::BTreeMap;

use clap::ValueEnum;

use super::*;
use crate::network::{Link, Node, State};

const HOLD: Duration = Duration::from_secs(2);

fn all() -> Vec<Kind> {
    Kind::value_variants().to_vec()
}

#[test]
fn the_plan_follows_from_the_seed_and_fits_into_the_time() {
    let time = Duration::from_mins(5);
    let one = plan(&all(), time, 7);
    assert_eq!(one, plan(&all(), time, 7));
    assert_ne!(one, plan(&all(), time, 8));
    assert!(one.len() > all().len(), "{}", one.len());
    let mut free = Duration::ZERO;
    for fault in &one {
        assert!(fault.at >= free);
        free = fault.at + fault.hold;
    }
    assert!(free < time);
    let mut first: Vec<_> = one[..all().len()].iter().map(|fault| fault.kind).collect();
    first.sort_unstable();
    assert_eq!(first, all(), "each kind comes up before any comes again");
    assert_eq!(plan(&[], time, 7), []);
    assert!(!plan(&all(), Duration::from_secs(15), 7).is_empty());
}

#[test]
fn groups_and_kinds_can_be_listed() {
    let kinds = |text: &str| text.parse::<Kinds>().map(|kinds| kinds.0);
    assert_eq!(kinds("none"), Ok(vec![]));
    assert_eq!(kinds("all"), Ok(all()), "the group has all there are");
    let pause = [Kind::PauseLeader, Kind::PauseFollower, Kind::PauseAll];
    assert_eq!(kinds("flap,pause"), Ok([&[Kind::Flap][..], &pause].concat()));
    assert!(kinds("flap,earthquake").is_err());
}

/// What is still wrong after a script: processes down or paused, links not up.
fn remains(script: &Script) -> Vec<String> {
    let mut processes = BTreeMap::new();
    let mut links = BTreeMap::new();
    for action in script.inject.iter().chain(&script.repair) {
        match *action {
            Action::Kill(server) | Action::Terminate(server) => {
                processes.insert((server, "down"), true);
            }
            Action::Start(server) => {
                processes.insert((server, "down"), false);
            }
            Action::Pause(server) => {
                processes.insert((server, "paused"), true);
            }
            Action::Resume(server) => {
                processes.insert((server, "paused"), false);
            }
            Action::Set(from, to, link) => {
                links.insert((from, to), link);
            }
            Action::Wait(_) | Action::Settle => {}
        }
    }
    let processes =
        processes.iter().filter(|(_, wrong)| **wrong).map(|(what, _)| format!("{what:?}"));
    let links =
        links.iter().filter(|(_, link)| **link != Link::UP).map(|(link, _)| format!("{link:?}"));
    processes.chain(links).collect()
}

#[test]
fn every_fault_is_repaired_and_lasts_as_long_as_planned() {
    for kind in all() {
        for servers in [3, 5, 7] {
            for seed in 0..50 {
                let leader = (seed % 3 > 0).then_some(1);
                let script = script(kind, servers, leader, HOLD, seed);
                assert_eq!(remains(&script), [""; 0], "{script:?}");
                assert!(!script.inject.is_empty());
                let lasts: Duration = script
                    .inject
                    .iter()
                    .chain(&script.repair)
                    .filter_map(|action| match action {
                        Action::Wait(wait) => Some(*wait),
                        _ => None,
                    })
                    .sum();
                let planned = if kind == Kind::Restart { Duration::ZERO } else { HOLD };
                assert!(lasts.abs_diff(planned) < Duration::from_millis(1), "{script:?}");
            }
        }
    }
}

/// The pairs of servers that hear each other while a fault is on.
fn connected(script: &Script, servers: usize) -> Vec<(usize, usize)> {
    let silent = |from, to| {
        script.inject.iter().any(|action| {
            matches!(action, Action::Set(Node::Server(a), Node::Server(b), link)
                if (*a, *b) == (from, to) && link.state != State::Passes)
        })
    };
    let pairs = (0..servers).flat_map(|a| (0..a).map(move |b| (b, a)));
    pairs.filter(|&(a, b)| !silent(a, b) && !silent(b, a)).collect()
}

#[test]
fn whom_faults_hit() {
    for seed in 0..20 {
        let of = |kind, servers| script(kind, servers, Some(1), HOLD, seed);
        assert_eq!(of(Kind::KillLeader, 3).inject[0], Action::Kill(1));
        assert_ne!(of(Kind::KillFollower, 3).inject[0], Action::Kill(1));
        assert_eq!(connected(&of(Kind::IsolateLeader, 3), 3), [(0, 2)]);
        assert!(connected(&of(Kind::IsolateFollower, 3), 3).len() == 1);
        // Two of five against three.
        assert_eq!(connected(&of(Kind::Halves, 5), 5).len(), 1 + 3);
        // Two pairs, and one that sees all.
        assert_eq!(connected(&of(Kind::Bridge, 5), 5).len(), 2 + 4);
        let ring = connected(&of(Kind::Ring, 5), 5);
        for server in 0..5 {
            let neighbours = ring.iter().filter(|(a, b)| [*a, *b].contains(&server)).count();
            assert_eq!(neighbours, 2, "{ring:?}");
        }
        for kind in [Kind::Ring, Kind::Bridge] {
            assert_eq!(connected(&of(kind, 3), 3).len(), 2, "{kind:?}");
        }
    }
}
