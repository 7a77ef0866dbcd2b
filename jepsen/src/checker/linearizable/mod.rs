//! Registers by search, which trusts no zxid.
//!
//! Wing and Gong's algorithm with Lowe's cache: an order of a register's operations is looked for
//! in which each takes effect between its call and its return and answers what the register then
//! holds. The search is bounded, and says so when it has found nothing within its bounds.

mod search;

use std::collections::BTreeMap;

use quorate_protocol::ErrorCode;
use search::{Answer, Event, Write};

use super::{Check, Findings};
use crate::{
    clock::Nanos,
    history::{History, Op, Operation, Outcome, Phase, Reply},
    target::Kind,
    workload,
};

/// Operations of a register looked at; of a longer history, its beginning.
const OPERATIONS: usize = 2000;

/// Steps of the search for one register.
const STEPS: usize = 400_000;

pub(super) fn check(history: &History, findings: &mut Findings) {
    if history.settings.workload != workload::Kind::Register {
        return;
    }
    for (path, (initial, events)) in registers(history) {
        let events = beginning(events, OPERATIONS);
        match search::search(initial, &events, STEPS) {
            Answer::Found => findings.examined(Check::Linearizable),
            Answer::None { stuck } => findings.expect(Check::Linearizable, false, || {
                let operation = &history.operations[stuck];
                format!(
                    "{path}: no order of {} operations; at best up to {operation}",
                    events.len()
                )
            }),
            Answer::GaveUp => findings.undecided(
                Check::Linearizable,
                format!("{path}: gave up after {STEPS} steps, {} operations", events.len()),
            ),
        }
    }
}

/// The value each register begins with, and what happens to it.
fn registers(history: &History) -> BTreeMap<&str, (&str, Vec<Event<'_>>)> {
    let mut registers: BTreeMap<&str, (&str, Vec<Event<'_>>)> = BTreeMap::new();
    // When the last sync on a connection was sent.
    let mut syncs: BTreeMap<u64, Nanos> = BTreeMap::new();
    for (index, operation) in history.operations.iter().enumerate() {
        match &operation.op {
            Op::Create { path, value, .. } if operation.phase == Phase::Setup => {
                registers.insert(path, (value, Vec::new()));
            }
            Op::Sync if operation.is_ok() => {
                syncs.insert(operation.connection, operation.call);
            }
            Op::Get { path } | Op::Set { path, .. } => {
                let synced = syncs.get(&operation.connection).copied();
                let event = event(index, operation, synced, history.settings.target);
                if let (Some(event), Some((_, events))) = (event, registers.get_mut(path.as_str()))
                {
                    events.push(event);
                }
            }
            _ => {}
        }
    }
    registers
}

fn event(
    index: usize,
    operation: &Operation,
    synced: Option<Nanos>,
    target: Kind,
) -> Option<Event<'_>> {
    let (mut call, mut returned) = (operation.call, operation.returned);
    let write = match (&operation.op, &operation.outcome) {
        (Op::Set { value, expected, .. }, Outcome::Ok { reply: Reply::Stat(stat), .. }) => {
            Write::Set { value, expected: *expected, version: Some(stat.version) }
        }
        (Op::Set { value, expected, .. }, Outcome::Unknown) => {
            returned = None;
            Write::Set { value, expected: *expected, version: None }
        }
        (Op::Set { expected: Some(expected), .. }, Outcome::Fail { error, .. })
            if *error == ErrorCode::BadVersion.wire() =>
        {
            Write::Refused { expected: *expected }
        }
        // A plain read may show the past, and in ZooKeeper so may one behind a sync.
        (Op::Get { .. }, Outcome::Ok { reply: Reply::Data { value, stat }, .. })
            if target == Kind::Quorate || operation.phase == Phase::Final =>
        {
            call = synced?;
            Write::Read { value, version: stat.version }
        }
        _ => return None,
    };
    Some(Event { index, call, returned, write })
}

/// The first `limit` events by call. What had not returned by then may or may not have happened.
fn beginning(mut events: Vec<Event<'_>>, limit: usize) -> Vec<Event<'_>> {
    events.sort_by_key(|event| event.call);
    let Some(cut) = events.get(limit).map(|event| event.call) else { return events };
    events.truncate(limit);
    events.retain_mut(|event| {
        if event.returned.is_some_and(|returned| returned < cut) {
            return true;
        }
        event.returned = None;
        match &mut event.write {
            Write::Set { version, .. } => {
                *version = None;
                true
            }
            Write::Refused { .. } | Write::Read { .. } => false,
        }
    });
    events
}

#[cfg(test)]
mod tests;
