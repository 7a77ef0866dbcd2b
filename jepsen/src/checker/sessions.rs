//! Sessions against real time: they end neither early nor late, and the end of the run has all.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Check, Findings, model::Model};
use crate::{
    clock::{Nanos, nanos},
    history::{Op, Operation, Outcome, Phase, Reply, SessionId},
};

/// How long after its last sign of life a session may still be there in the end, besides its timeout.
const GRACE: Duration = Duration::from_secs(3);

/// What the times of a session's operations say.
#[derive(Debug, Default)]
struct Life<'h> {
    timeout: Duration,
    operations: Vec<&'h Operation>,
    /// Whether its client wanted its end.
    closed: bool,
}

pub(super) fn check(model: &Model<'_>, findings: &mut Findings) {
    let lives = lives(&model.history.operations);
    early(model, &lives, findings);
    ghosts(model, &lives, findings);
    complete(model, findings);
}

fn lives(operations: &[Operation]) -> BTreeMap<SessionId, Life<'_>> {
    let mut lives: BTreeMap<SessionId, Life<'_>> = BTreeMap::new();
    for operation in operations {
        let life = lives.entry(operation.session).or_default();
        if let Some(Reply::Session { timeout_ms }) = operation.reply() {
            life.timeout = Duration::from_millis(*timeout_ms);
        }
        life.closed |= operation.op == Op::Close;
        life.operations.push(operation);
    }
    lives.remove(&SessionId::default());
    lives
}

impl Life<'_> {
    /// The last time the ensemble certainly knew, by `until`, that the client was there. A server
    /// passes on to the leader whom it has heard, each half tick. So it is certain of a
    /// request when a later one on the same connection, two ticks on, went through the leader;
    /// and of every connection made, which the leader has to agree to.
    fn heard(&self, until: Nanos, tick: Nanos) -> Option<Nanos> {
        let mut passed_on: BTreeMap<u64, Nanos> = BTreeMap::new();
        let mut heard = None;
        let by_then = |operation: &&&Operation| {
            operation.is_ok() && operation.returned.is_some_and(|returned| returned < until)
        };
        for operation in self.operations.iter().rev().filter(by_then) {
            let connection = operation.connection;
            let later = passed_on.get(&connection);
            let told = operation.returned.zip(later).is_some_and(|(r, &l)| r + 2 * tick <= l);
            if told || matches!(operation.op, Op::Open | Op::Attach) {
                heard = heard.max(Some(operation.call));
            }
            if operation.op.is_write() {
                passed_on.entry(connection).or_insert(operation.call);
            }
        }
        heard
    }
}

fn early(model: &Model<'_>, lives: &BTreeMap<SessionId, Life<'_>>, findings: &mut Findings) {
    let settings = &model.history.settings;
    let tick = nanos(Duration::from_millis(settings.tick_ms));
    // A leader that comes back from a pause within its servers' patience finds sessions overdue
    // before it reads who was heard meanwhile.
    let slack = tick * u64::from(settings.sync_limit);
    // When it was known that a session had ended.
    let mut ended: BTreeMap<SessionId, &Operation> = BTreeMap::new();
    let mut know = |session, operation| {
        let known = ended.entry(session).or_insert(operation);
        if operation.returned < known.returned {
            *known = operation;
        }
    };
    let mut absent: Vec<(&str, &Operation)> = Vec::new();
    for operation in &model.history.operations {
        let Some(zxid) = operation.zxid() else { continue };
        match (&operation.op, &operation.outcome) {
            (Op::Exists { path } | Op::Get { path }, Outcome::Ok { reply: Reply::Missing, .. }) => {
                absent.push((path, operation));
            }
            (_, Outcome::Fail { error, .. })
                if *error == quorate_protocol::ErrorCode::SessionExpired.wire() =>
            {
                know(operation.session, operation);
            }
            _ => {}
        }
        if let (Op::Children { path }, Some(Reply::Names { names, .. })) =
            (&operation.op, operation.reply())
        {
            let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            for (child, node) in model.below(path) {
                let name = child.rsplit('/').next().unwrap_or_default();
                if node.owner.is_some() && !names.contains(name) && node.created.happened_by(zxid) {
                    absent.push((child, operation));
                }
            }
        }
    }
    for (path, operation) in absent {
        let Some(node) = model.nodes.get(path) else { continue };
        let gone = operation.zxid().is_some_and(|zxid| node.created.happened_by(zxid));
        if let (true, Some(owner)) = (gone, node.owner) {
            know(owner, operation);
        }
    }
    let mut judge = |check, session: &SessionId, operation: &Operation| {
        let (Some(life), Some(until)) = (lives.get(session), operation.returned) else { return };
        if life.closed {
            return;
        }
        let Some(heard) = life.heard(until, tick) else { return };
        let holds = until + slack >= heard + nanos(life.timeout);
        findings.expect(check, holds, || {
            let since = humantime::format_duration(Duration::from_nanos(until - heard));
            format!("{session} was heard of {since} before {operation}")
        });
    };
    for (session, operation) in &ended {
        judge(Check::EarlyEnd, session, operation);
    }
    for operation in &model.history.operations {
        if operation.op == Op::Attach && operation.error().is_some() {
            judge(Check::EarlyRefusal, &operation.session, operation);
        }
    }
}

/// In the end, ephemeral nodes are those of sessions that are alive, or may be.
fn ghosts(model: &Model<'_>, lives: &BTreeMap<SessionId, Life<'_>>, findings: &mut Findings) {
    let healed = model.history.faults.iter().map(|fault| fault.at).max().unwrap_or(0);
    for operation in &model.history.operations {
        let (Phase::Final, Op::Children { path }, Some(Reply::Names { names, .. })) =
            (operation.phase, &operation.op, operation.reply())
        else {
            continue;
        };
        for name in names {
            let child = format!("{path}/{name}");
            let Some(owner) = model.nodes.get(&child).and_then(|node| node.owner) else { continue };
            let Some(life) = lives.get(&owner) else { continue };
            let signs = life.operations.iter();
            let last = signs.map(|sign| sign.returned.unwrap_or(sign.call)).max().unwrap_or(0);
            let due = last.max(healed) + nanos(life.timeout + GRACE);
            findings.expect(Check::Ghost, operation.call <= due, || {
                let end = Duration::from_nanos(last).as_secs_f64();
                format!("{child} of session {owner}, last heard of at {end:.3}: {operation}")
            });
        }
    }
}

/// The state that remains was read from all servers.
fn complete(model: &Model<'_>, findings: &mut Findings) {
    let history = model.history;
    for parent in history.settings.workload.parents() {
        for server in 0..history.settings.servers {
            let read = history.operations.iter().any(|operation| {
                operation.phase == Phase::Final
                    && operation.server == server
                    && operation.is_ok()
                    && matches!(&operation.op, Op::Children { path } if *path == parent)
            });
            findings.examined(Check::Final);
            if !read {
                let why = format!("{parent} was not read from server {} in the end", server + 1);
                findings.undecided(Check::Final, why);
            }
        }
    }
}
