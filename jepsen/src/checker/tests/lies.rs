//! Each lie is one edit of a right history that makes it wrong. All have to be found.

use std::collections::BTreeSet;

use super::*;
use crate::history::{Op, Operation, Outcome, Phase, Reply, SessionId, Stat, Zxid};

/// Edits a history; false if there is nothing in it for this lie.
type Lie = fn(&mut History, &mut fastrand::Rng) -> bool;

const LIES: [(&str, Lie); 24] = [
    ("a write that was read has no record", forget_write),
    ("a write without an answer that was read has no record", forget_unknown),
    ("the only write for a version has no record", forget_version),
    ("two writes swap zxids", swap_zxids),
    ("two writes have the same zxid", same_zxid),
    ("a write comes later than its zxid", late_write),
    ("a write that was read was refused", refused_write),
    ("a set answers another version", wrong_version),
    ("a compare-and-set wanted another version", wrong_expectation),
    ("a compare-and-set of the right version was refused", refused_right),
    ("a numbered name is another", wrong_number),
    ("two numbered names are the same", same_number),
    ("a synced read shows the version before", stale_value),
    ("a read shows a value nobody wrote", foreign_value),
    ("a read shows the value of another node", misplaced_value),
    ("a synced read shows an old state", stale_state),
    ("a session goes back", backwards),
    ("an acknowledged node is missing in the end", lost_node),
    ("an acknowledged value is missing in the end", lost_value),
    ("a list has a name twice", double_name),
    ("a list leaves out a child that stays", hidden_child),
    ("an ephemeral is there after its session", ghost),
    ("an ephemeral is gone before its session", early_loss),
    ("two writes of a session swap their effects", swapped_session),
];

#[test]
fn every_lie_is_found() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut told = [0; LIES.len()];
    for workload in WORKLOADS {
        for seed in 0..5 {
            let honest = fake::history(workload, seed, 250);
            for (n, (name, lie)) in LIES.iter().enumerate() {
                for _ in 0..3 {
                    let mut history = honest.clone();
                    if lie(&mut history, &mut rng) {
                        told[n] += 1;
                        let verdict = check(&history).verdict(Kind::Quorate);
                        assert_eq!(verdict, Verdict::Invalid, "{name}: {workload:?}, seed {seed}");
                    }
                }
            }
        }
    }
    for ((name, _), told) in LIES.iter().zip(told) {
        assert!(told >= 5, "{name}: told {told} times");
    }
}

/// The search for an order finds lies about values by itself, whatever the zxids say.
#[test]
fn the_search_finds_lies_about_registers() {
    let mut rng = fastrand::Rng::with_seed(2);
    for lie in [stale_value, wrong_version, refused_right, foreign_value] {
        for seed in 0..5 {
            let mut history = fake::history(Workload::Register, seed, 300);
            // Reads that follow no sync may be stale.
            history.operations.retain(|read| !matches!(read.op, Op::Children { .. }));
            if lie(&mut history, &mut rng) {
                let findings = check(&history);
                let found = findings.get(Check::Linearizable).map(|finding| finding.violations);
                assert!(found > Some(0), "seed {seed}");
            }
        }
    }
}

/// One of the operations that `fits` says yes to.
fn choose(
    history: &History,
    rng: &mut fastrand::Rng,
    fits: impl Fn(&Operation) -> bool,
) -> Option<usize> {
    let fitting: Vec<_> =
        (0..history.operations.len()).filter(|&n| fits(&history.operations[n])).collect();
    rng.choice(fitting)
}

fn during_the_run(operation: &Operation) -> bool {
    operation.phase == Phase::Run
}

fn acknowledged(operation: &Operation) -> bool {
    during_the_run(operation) && operation.op.is_write() && operation.is_ok()
}

/// Whether a value was read, by a get.
fn was_read(history: &History, value: &str) -> bool {
    history.operations.iter().any(|operation| {
        matches!(operation.reply(), Some(Reply::Data { value: read, .. }) if read == value)
    })
}

/// Gets whose answer has to be current, with the sync each of them follows.
fn synced_gets(history: &History) -> Vec<(usize, usize)> {
    let mut syncs = BTreeMap::new();
    let mut gets = Vec::new();
    for (n, operation) in history.operations.iter().enumerate() {
        match operation.op {
            Op::Sync if operation.is_ok() => drop(syncs.insert(operation.connection, n)),
            Op::Get { .. } => {
                gets.extend(syncs.get(&operation.connection).map(|&sync| (n, sync)));
            }
            _ => {}
        }
    }
    gets
}

fn stat_of(operation: &mut Operation) -> Option<&mut Stat> {
    let Outcome::Ok { reply, .. } = &mut operation.outcome else { return None };
    match reply {
        Reply::Created { stat, .. }
        | Reply::Stat(stat)
        | Reply::Data { stat, .. }
        | Reply::Names { stat, .. } => Some(stat),
        _ => None,
    }
}

/// Moves a write to another zxid, in all that its reply says.
fn move_to(operation: &mut Operation, to: Zxid) {
    let from = operation.zxid().unwrap();
    if let Some(stat) = stat_of(operation) {
        for zxid in [&mut stat.czxid, &mut stat.mzxid, &mut stat.pzxid] {
            if *zxid == from {
                *zxid = to;
            }
        }
    }
    if let Outcome::Ok { zxid, .. } | Outcome::Fail { zxid, .. } = &mut operation.outcome {
        *zxid = Some(to);
    }
}

fn forget_write(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let read = |operation: &Operation| {
        acknowledged(operation)
            && operation.op.written().is_some_and(|value| was_read(history, value))
    };
    let Some(n) = choose(history, rng, read) else { return false };
    history.operations.remove(n);
    true
}

fn forget_unknown(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let read = |operation: &Operation| {
        operation.outcome == Outcome::Unknown
            && operation.op.written().is_some_and(|value| was_read(history, value))
    };
    let Some(n) = choose(history, rng, read) else { return false };
    history.operations.remove(n);
    true
}

/// A set that was overwritten before anybody has read it: only the numbers of versions tell.
fn forget_version(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let path_of = |operation: &Operation| match &operation.op {
        Op::Set { path, .. } => Some(path.clone()),
        _ => None,
    };
    let silent = |operation: &Operation| {
        let (Some(path), Some(Reply::Stat(stat))) = (path_of(operation), operation.reply()) else {
            return false;
        };
        let mut others = history.operations.iter();
        let unknown = others.clone().any(|other| {
            other.outcome == Outcome::Unknown && path_of(other).as_ref() == Some(&path)
        });
        let overwritten = others.any(|other| {
            path_of(other).as_ref() == Some(&path)
                && matches!(other.reply(), Some(Reply::Stat(later)) if later.version > stat.version)
        });
        let value = operation.op.written().unwrap_or_default();
        !unknown && overwritten && !was_read(history, value)
    };
    let Some(n) = choose(history, rng, silent) else { return false };
    history.operations.remove(n);
    true
}

fn swap_zxids(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let set = |operation: &Operation| acknowledged(operation) && operation.op.written().is_some();
    let (Some(a), Some(b)) = (choose(history, rng, set), choose(history, rng, set)) else {
        return false;
    };
    let [one, two] = [a, b].map(|n| history.operations[n].zxid().unwrap());
    move_to(&mut history.operations[a], two);
    move_to(&mut history.operations[b], one);
    a != b && {
        // Concurrent writes that nobody has seen apart might be either way round.
        let [one, two] = [a, b].map(|n| &history.operations[n]);
        one.returned < Some(two.call) || two.returned < Some(one.call)
    }
}

fn same_zxid(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let (Some(a), Some(b)) =
        (choose(history, rng, acknowledged), choose(history, rng, acknowledged))
    else {
        return false;
    };
    let zxid = history.operations[b].zxid().unwrap();
    move_to(&mut history.operations[a], zxid);
    a != b
}

fn late_write(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let Some(n) = choose(history, rng, acknowledged) else { return false };
    let zxid = history.operations[n].zxid();
    let later = |other: &Operation| acknowledged(other) && other.zxid() > zxid;
    let Some(other) = choose(history, rng, later) else { return false };
    let late = history.operations[other].returned.unwrap() + 1;
    history.operations[n].call = late;
    history.operations[n].returned = Some(late + 1);
    true
}

fn refused_write(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let read = |operation: &Operation| {
        acknowledged(operation)
            && operation.op.written().is_some_and(|value| was_read(history, value))
    };
    let Some(n) = choose(history, rng, read) else { return false };
    let zxid = history.operations[n].zxid();
    history.operations[n].outcome = Outcome::Fail { zxid, error: -103 };
    true
}

fn wrong_version(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let set =
        |operation: &Operation| acknowledged(operation) && matches!(operation.op, Op::Set { .. });
    let Some(n) = choose(history, rng, set) else { return false };
    let stat = stat_of(&mut history.operations[n]).unwrap();
    stat.version += if rng.bool() { 1 } else { -1 };
    true
}

fn wrong_expectation(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let set = |operation: &Operation| {
        acknowledged(operation) && matches!(operation.op, Op::Set { expected: Some(_), .. })
    };
    let Some(n) = choose(history, rng, set) else { return false };
    if let Op::Set { expected: Some(expected), .. } = &mut history.operations[n].op {
        *expected += if rng.bool() { 1 } else { -1 };
    }
    true
}

/// A set that was refused at a time when the version was right.
fn refused_right(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let set =
        |operation: &Operation| acknowledged(operation) && matches!(operation.op, Op::Set { .. });
    let Some(n) = choose(history, rng, set) else { return false };
    let before = &history.operations[n];
    let (Op::Set { path, .. }, Some(Reply::Stat(stat)), Some(returned)) =
        (&before.op, before.reply(), before.returned)
    else {
        return false;
    };
    // A moment after a set that no other set of the node overlaps, by another client.
    let overlaps = history.operations.iter().any(|other| {
        other.id != before.id
            && matches!(&other.op, Op::Set { path: of, .. } if of == path)
            && other.returned.is_none_or(|end| end > before.call)
            && other.call < returned + 3
    });
    let expected = Some(stat.version);
    let refused = Operation {
        id: history.operations.last().unwrap().id + 1,
        client: 77,
        session: SessionId(7),
        connection: 777_777,
        call: returned + 1,
        returned: Some(returned + 2),
        op: Op::Set { path: path.clone(), value: "never".to_owned(), expected },
        outcome: Outcome::Fail { zxid: before.zxid(), error: -103 },
        ..before.clone()
    };
    history.operations.push(refused);
    !overlaps
}

fn numbered(operation: &Operation) -> bool {
    acknowledged(operation)
        && matches!(operation.reply(), Some(Reply::Created { path, .. }) if path.contains("/n-"))
}

fn rename(operation: &mut Operation, to: impl FnOnce(&str) -> String) {
    if let Outcome::Ok { reply: Reply::Created { path, .. }, .. } = &mut operation.outcome {
        *path = to(path);
    }
}

fn wrong_number(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let Some(n) = choose(history, rng, numbered) else { return false };
    rename(&mut history.operations[n], |path| {
        let (prefix, number) = path.split_at(path.len() - 10);
        format!("{prefix}{:010}", number.parse::<u32>().unwrap() + 1)
    });
    true
}

fn same_number(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let (Some(a), Some(b)) = (choose(history, rng, numbered), choose(history, rng, numbered))
    else {
        return false;
    };
    let Some(Reply::Created { path, .. }) = history.operations[b].reply().cloned() else {
        return false;
    };
    rename(&mut history.operations[a], |_| path);
    a != b
}

/// A get behind a sync that shows what another get has shown of the version before.
fn stale_value(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let data = |operation: &Operation| match (&operation.op, operation.reply()) {
        (Op::Get { path }, Some(Reply::Data { value, stat })) => {
            Some((path.clone(), value.clone(), *stat))
        }
        _ => None,
    };
    let mut pairs = Vec::new();
    for (n, sync) in synced_gets(history) {
        let Some((path, _, stat)) = data(&history.operations[n]) else { continue };
        for old in history.operations.iter().filter_map(data) {
            if old.0 == path && old.2.version + 1 == stat.version {
                pairs.push((n, sync, old));
                break;
            }
        }
    }
    let Some((n, sync, (_, old, old_stat))) = rng.choice(pairs) else { return false };
    let written = stat_of(&mut history.operations[n]).unwrap().mzxid;
    let synced = history.operations[sync].call;
    let acknowledged_before = history.operations.iter().any(|other| {
        acknowledged(other)
            && other.zxid() == Some(written)
            && other.returned.is_some_and(|returned| returned < synced)
    });
    if let Outcome::Ok { reply: Reply::Data { value, stat }, .. } =
        &mut history.operations[n].outcome
    {
        *value = old;
        *stat = old_stat;
    }
    acknowledged_before
}

fn foreign_value(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let gets = synced_gets(history);
    let Some((n, _)) = rng.choice(gets) else { return false };
    if let Outcome::Ok { reply: Reply::Data { value, .. }, .. } = &mut history.operations[n].outcome
    {
        value.replace_range(..1, "?");
        return true;
    }
    false
}

fn misplaced_value(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let get = |operation: &Operation| matches!(operation.reply(), Some(Reply::Data { .. }));
    let (Some(a), Some(b)) = (choose(history, rng, get), choose(history, rng, get)) else {
        return false;
    };
    let other = history.operations[b].clone();
    let Some(Reply::Data { value: other_value, .. }) = other.reply() else { return false };
    if let Outcome::Ok { reply: Reply::Data { value, .. }, .. } = &mut history.operations[a].outcome
    {
        value.clone_from(other_value);
    }
    history.operations[a].op != other.op
}

fn stale_state(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let seen = order::seen_before(&history.operations);
    let gets = synced_gets(history);
    let Some((n, sync)) = rng.choice(gets) else { return false };
    if let Outcome::Ok { zxid: Some(zxid), .. } = &mut history.operations[n].outcome {
        *zxid = Zxid(seen[sync].0 - 1);
        return true;
    }
    false
}

fn backwards(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let ping = |operation: &Operation| {
        during_the_run(operation) && !operation.op.is_write() && operation.zxid().is_some()
    };
    let Some(n) = choose(history, rng, ping) else { return false };
    let session = history.operations[n].session;
    let before = history.operations[..n]
        .iter()
        .rev()
        .find(|other| other.session == session && other.zxid().is_some());
    let Some(seen) = before.and_then(Operation::zxid) else { return false };
    if let Outcome::Ok { zxid, .. } = &mut history.operations[n].outcome {
        *zxid = Some(Zxid(seen.0 - 1));
    }
    true
}

/// Takes a name out of a list, with a parent's counters as if it had never been there.
fn take_out(operation: &mut Operation, name: &str, cversion: i32) {
    if let Outcome::Ok { reply: Reply::Names { names, stat }, .. } = &mut operation.outcome {
        names.retain(|other| other != name);
        stat.children -= 1;
        stat.cversion += cversion;
    }
}

fn lost_node(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let created: BTreeSet<String> = history
        .operations
        .iter()
        .filter(|operation| acknowledged(operation))
        .filter_map(|operation| match operation.reply() {
            Some(Reply::Created { path, stat }) if stat.owner == SessionId(0) => Some(path.clone()),
            _ => None,
        })
        .collect();
    let mut there = Vec::new();
    for (n, operation) in history.operations.iter().enumerate() {
        if let (Phase::Final, Op::Children { path }, Some(Reply::Names { names, .. })) =
            (operation.phase, &operation.op, operation.reply())
        {
            let acknowledged = |name: &&String| created.contains(&format!("{path}/{name}"));
            there.extend(names.iter().filter(acknowledged).map(|name| (n, name.clone())));
        }
    }
    let Some((n, name)) = rng.choice(there) else { return false };
    take_out(&mut history.operations[n], &name, -1);
    true
}

fn lost_value(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let last = |operation: &Operation| {
        operation.phase == Phase::Final
            && matches!(operation.reply(), Some(Reply::Data { stat, .. }) if stat.version > 0)
    };
    let Some(n) = choose(history, rng, last) else { return false };
    let Op::Get { path } = history.operations[n].op.clone() else { return false };
    // As if nobody had ever set it.
    let first =
        history.operations.iter().find_map(|operation| match (&operation.op, operation.reply()) {
            (Op::Create { value, .. }, Some(Reply::Created { path: created, stat }))
                if *created == path =>
            {
                Some((value.clone(), *stat))
            }
            _ => None,
        });
    let Some((first, stat)) = first else { return false };
    if let Outcome::Ok { reply, .. } = &mut history.operations[n].outcome {
        *reply = Reply::Data { value: first, stat };
    }
    true
}

fn lists(operation: &Operation) -> bool {
    matches!(operation.reply(), Some(Reply::Names { names, .. }) if !names.is_empty())
}

fn double_name(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let Some(n) = choose(history, rng, lists) else { return false };
    if let Outcome::Ok { reply: Reply::Names { names, .. }, .. } =
        &mut history.operations[n].outcome
    {
        names.push(names[0].clone());
    }
    true
}

/// A name that a list had and a later one has too.
fn hidden_child(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let Some(n) = choose(history, rng, lists) else { return false };
    let operation = &history.operations[n];
    let (Op::Children { path }, Some(Reply::Names { names, .. })) =
        (&operation.op, operation.reply())
    else {
        return false;
    };
    let name = rng.choice(names).unwrap().clone();
    let shows = |other: &Operation| {
        matches!((&other.op, other.reply()),
            (Op::Children { path: of }, Some(Reply::Names { names, .. }))
                if of == path && names.contains(&name))
    };
    let at = operation.zxid();
    let before = history.operations.iter().any(|other| shows(other) && other.zxid() < at);
    let after = history.operations.iter().any(|other| shows(other) && other.zxid() > at);
    take_out(&mut history.operations[n], &name, 1);
    before && after
}

/// An ephemeral node of a session that was closed, in a later list.
fn ghost(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let close = |operation: &Operation| operation.op == Op::Close && operation.is_ok();
    let Some(n) = choose(history, rng, |operation| during_the_run(operation) && close(operation))
    else {
        return false;
    };
    let (session, end) = (history.operations[n].session, history.operations[n].zxid());
    let owned = history.operations.iter().find_map(|operation| match operation.reply() {
        Some(Reply::Created { path, stat }) if stat.owner == session => Some(path.clone()),
        _ => None,
    });
    let Some(owned) = owned else { return false };
    let (parent, name) = owned.rsplit_once('/').unwrap();
    let later = |operation: &Operation| {
        operation.zxid() > end
            && matches!(&operation.op, Op::Children { path } if path == parent)
            && operation.is_ok()
    };
    let Some(n) = choose(history, rng, later) else { return false };
    if let Outcome::Ok { reply: Reply::Names { names, stat }, .. } =
        &mut history.operations[n].outcome
    {
        names.push(name.to_owned());
        stat.children += 1;
        stat.cversion -= 1;
    }
    true
}

/// An ephemeral node that is missing although its session is answered later.
fn early_loss(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let exists = |operation: &Operation| {
        matches!(&operation.op, Op::Exists { .. })
            && matches!(operation.reply(), Some(Reply::Stat(_)))
    };
    let Some(n) = choose(history, rng, exists) else { return false };
    let owner = stat_of(&mut history.operations[n]).unwrap().owner;
    let at = history.operations[n].zxid();
    if let Outcome::Ok { reply, .. } = &mut history.operations[n].outcome {
        *reply = Reply::Missing;
    }
    let acknowledged = history.operations.iter().any(|other| {
        matches!((&other.op, other.reply(), &history.operations[n].op),
            (_, Some(Reply::Created { path, .. }), Op::Exists { path: of }) if path == of)
    });
    let lives = history.operations.iter().any(|other| {
        other.session == owner && other.is_ok() && other.zxid() > at && other.op != Op::Close
    });
    acknowledged && lives
}

/// Two writes of a session that were sent together have their zxids the wrong way round.
fn swapped_session(history: &mut History, rng: &mut fastrand::Rng) -> bool {
    let written =
        |operation: &Operation| acknowledged(operation) && operation.op.written().is_some();
    let Some(a) = choose(history, rng, written) else { return false };
    let one = &history.operations[a];
    let together = |other: &Operation| {
        written(other) && other.connection == one.connection && other.call == one.call
    };
    let Some(b) = choose(history, rng, together) else { return false };
    let [one, two] = [a, b].map(|n| history.operations[n].zxid().unwrap());
    move_to(&mut history.operations[a], two);
    move_to(&mut history.operations[b], one);
    a != b
}
