//! Whole runs with a server that makes no mistakes: nothing may be found.

use super::*;
use crate::sim::{
    nemesis::{Fault, Menace},
    perfect::Alone,
    queue::MILLI,
};

fn plan(seed: u64) -> Plan {
    let mut plan = Plan::of(seed);
    plan.participants = 1;
    plan.observers = 0;
    plan.machines.truncate(1);
    plan.safety = 2000 * MILLI;
    plan.menace = match seed % 4 {
        0 => Menace::none(),
        1 => Menace::only(Fault::Cut, 200 * MILLI, MILLI),
        2 => Menace::only(Fault::ClientsCutOff, 300 * MILLI, 300 * MILLI),
        _ => Menace::only(Fault::Pause, 300 * MILLI, 300 * MILLI),
    };
    plan
}

#[test]
fn a_server_without_flaws_passes() {
    let mut coverage = Coverage::default();
    for seed in 0..60 {
        match run(plan(seed), Box::new(Alone), 0) {
            Ok(passed) => coverage.add(&passed.coverage),
            Err(failed) => panic!("{failed}"),
        }
    }
    for what in [
        "session resumed",
        "session refused",
        "watches set again",
        "event of what was missed",
        "event NodeCreated",
        "event NodeDeleted",
        "event NodeDataChanged",
        "event NodeChildrenChanged",
        "compare and set",
        "compare and set failed",
        "multi",
        "multi failed",
        "sync",
        "ephemeral created",
    ] {
        assert!(coverage.of(what) > 0, "{what} has not occurred:\n{coverage}");
    }
}

#[test]
fn a_seed_runs_the_same_way_each_time() {
    for seed in 0..8 {
        let [first, second] = [0, 0].map(|lines| run(plan(seed), Box::new(Alone), lines).unwrap());
        assert_eq!(first, second);
    }
}
