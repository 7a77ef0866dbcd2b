//! The order of zxids against the order of time, and within sessions.

use std::collections::BTreeMap;

use super::{Check, Findings};
use crate::{
    clock::Nanos,
    history::{History, Op, Operation, Outcome, Phase, SessionId, Zxid},
};

/// For each operation, the greatest zxid that anybody had been answered before it was sent. What
/// it changes comes behind that, and so does all that a sync shows.
pub(super) fn seen_before(operations: &[Operation]) -> Vec<Zxid> {
    let mut answers: Vec<(Nanos, Zxid)> = operations
        .iter()
        .filter_map(|operation| Some((operation.returned?, operation.zxid()?)))
        .collect();
    answers.sort_unstable();
    let mut highest = Zxid(0);
    for (_, zxid) in &mut answers {
        highest = highest.max(*zxid);
        *zxid = highest;
    }
    let before = |operation: &Operation| {
        let count = answers.partition_point(|(returned, _)| *returned < operation.call);
        count.checked_sub(1).map_or(Zxid(0), |last| answers[last].1)
    };
    operations.iter().map(before).collect()
}

/// `seen` is what [`seen_before`] says.
pub(super) fn check(history: &History, seen: &[Zxid], findings: &mut Findings) {
    unique(history, findings);
    for (operation, &seen) in history.operations.iter().zip(seen) {
        if let (true, Some(zxid)) = (operation.op.is_write(), operation.zxid()) {
            // A refused write may be answered by who has refused it, at the zxid seen there.
            let holds = zxid > seen || (zxid == seen && !operation.is_ok());
            findings.expect(Check::RealTime, holds, || {
                format!("{zxid} though {seen} was seen before: {operation}")
            });
        }
    }
    monotone(history, findings);
    synced_reads(history, seen, findings);
}

fn unique(history: &History, findings: &mut Findings) {
    let mut writes: BTreeMap<Zxid, &Operation> = BTreeMap::new();
    let writing = |operation: &&Operation| operation.op.is_write() && operation.is_ok();
    for operation in history.operations.iter().filter(writing) {
        let Some(zxid) = operation.zxid() else {
            findings.violated(Check::Unique, || format!("no zxid: {operation}"));
            continue;
        };
        let other = writes.insert(zxid, operation);
        findings.expect(Check::Unique, other.is_none(), || {
            let other = other.map(ToString::to_string).unwrap_or_default();
            format!("{zxid} twice: {other}; {operation}")
        });
    }
}

fn monotone(history: &History, findings: &mut Findings) {
    let mut sessions: BTreeMap<SessionId, Zxid> = BTreeMap::new();
    for operation in &history.operations {
        let Some(zxid) = operation.zxid() else { continue };
        let last = sessions.entry(operation.session).or_default();
        let holds =
            if operation.op.is_write() && operation.is_ok() { zxid > *last } else { zxid >= *last };
        findings.expect(Check::Monotone, holds, || {
            format!("{zxid} though the session has seen {last}: {operation}")
        });
        *last = zxid.max(*last);
    }
}

/// A read counts as synced when the session's sync was sent just before it, on the same connection.
fn synced_reads(history: &History, seen: &[Zxid], findings: &mut Findings) {
    let mut syncs: BTreeMap<u64, Zxid> = BTreeMap::new();
    for (operation, &seen) in history.operations.iter().zip(seen) {
        if operation.op == Op::Sync {
            if operation.is_ok() {
                syncs.insert(operation.connection, seen);
            }
            continue;
        }
        let (true, Outcome::Ok { zxid: Some(zxid), .. }) =
            (operation.op.is_read(), &operation.outcome)
        else {
            continue;
        };
        let Some(&due) = syncs.get(&operation.connection) else { continue };
        // Once all faults are healed there is no deposed leader that could answer.
        let check = if operation.phase == Phase::Final { Check::Final } else { Check::SyncRead };
        findings.expect(check, *zxid >= due, || {
            format!("state {zxid} behind a sync sent after {due} was seen: {operation}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Reply;

    fn ping(id: u64, call: Nanos, returned: Nanos, zxid: i64) -> Operation {
        Operation {
            id,
            client: 0,
            session: SessionId(1),
            connection: 1,
            server: 0,
            phase: Phase::Run,
            call,
            returned: Some(returned),
            op: Op::Ping,
            outcome: Outcome::Ok { zxid: Some(Zxid(zxid)), reply: Reply::Done },
        }
    }

    #[test]
    fn only_answers_that_came_before_the_call_count() {
        let operations =
            [ping(1, 0, 10, 7), ping(2, 5, 20, 9), ping(3, 11, 12, 3), ping(4, 20, 30, 9)];
        let seen = seen_before(&operations);
        assert_eq!(seen, [Zxid(0), Zxid(0), Zxid(7), Zxid(7)]);
    }
}
