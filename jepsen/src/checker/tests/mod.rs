//! The checkers on histories of a fake ensemble that does everything right, on those histories
//! with a single lie in them, and on small ones about time.

mod fake;
mod lies;
mod times;

use super::*;
use crate::workload::Kind as Workload;

const WORKLOADS: [Workload; 3] = [Workload::Set, Workload::Register, Workload::Ephemeral];

/// Fails with what is wrong when anything is.
fn assert_valid(history: &History) -> Findings {
    let findings = check(history);
    let text = crate::report::text(history, &findings);
    assert_eq!(findings.verdict(Kind::Quorate), Verdict::Valid, "{text}");
    findings
}

#[test]
fn what_is_right_is_found_right() {
    for workload in WORKLOADS {
        for seed in 0..15 {
            let history = fake::history(workload, seed, 600);
            let findings = assert_valid(&history);
            let unknown = history
                .operations
                .iter()
                .filter(|operation| operation.outcome == crate::history::Outcome::Unknown)
                .count();
            assert!(unknown > 10, "the fake loses answers: {unknown}");
            for check in [Check::RealTime, Check::Reads, Check::Final, Check::SyncRead] {
                let cases = findings.get(check).map_or(0, |finding| finding.examined);
                assert!(cases > 20, "{workload:?}: {check:?} has {cases} cases");
            }
        }
    }
}

#[test]
fn a_history_without_last_reads_is_not_decided() {
    let mut history = fake::history(Workload::Set, 1, 50);
    history.operations.retain(|operation| operation.phase != crate::history::Phase::Final);
    assert_eq!(check(&history).verdict(Kind::Quorate), Verdict::Unknown);
}
