use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    iter,
};

use quorate_protocol::{OpCode, Zxid, path};

use super::replay::Replayed;
use crate::{
    Op,
    op::WatchLists,
    sim::{
        check::Broken,
        history::{History, Item, Stream},
        model::Change,
    },
};

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const DATA_CHANGED: i32 = 3;
const CHILDREN_CHANGED: i32 = 4;

/// A connection is told of every change it watches, once for each watch that fires once, before it
/// is shown any state that has the change, in the order of changes, and of nothing else.
pub(super) fn check(history: &History, replayed: &Replayed) -> Result<(), Broken> {
    for (index, stream) in history.streams.iter().enumerate() {
        let mut watcher = Watcher::default();
        follow(&mut watcher, history, replayed, stream).map_err(|text| {
            let (client, session) = (stream.client, stream.session);
            let who = format!("connection {index} of client {client}, session {session}");
            Broken::new("WatchOrder", format!("{who}: {text}"))
        })?;
    }
    Ok(())
}

/// What a connection watches, and what it has to be told.
#[derive(Debug, Default)]
struct Watcher {
    data: BTreeSet<String>,
    child: BTreeSet<String>,
    /// Whether recursive or not.
    persistent: BTreeMap<String, BTreeSet<bool>>,
    /// All changes up to there were looked at.
    seen: Zxid,
    due: VecDeque<(Zxid, i32, String)>,
}

fn follow(
    watcher: &mut Watcher,
    history: &History,
    replayed: &Replayed,
    stream: &Stream,
) -> Result<(), String> {
    let mut items = stream.items.iter().peekable();
    while let Some(item) = items.next() {
        match item {
            Item::Event { zxid: Zxid(-1), .. } => {
                // What was missed is told right before the answer to `setWatches`.
                let mut told = vec![item];
                told.extend(iter::from_fn(|| items.next_if(|item| is_missed(item))));
                let Some(Item::Reply { call: Some(call), zxid }) = items.next() else {
                    // The connection broke in between.
                    return Ok(());
                };
                watcher.advance(replayed, *zxid);
                watcher.none_due()?;
                watcher.set(history, replayed, *call, &told)?;
            }
            Item::Event { zxid, kind, path } => {
                watcher.advance(replayed, *zxid);
                let expected = watcher.due.pop_front();
                let told = (*zxid, *kind, path.clone());
                if expected.as_ref() != Some(&told) {
                    return Err(format!("is told {told:?} and should be {expected:?}"));
                }
            }
            Item::Reply { call, zxid } => {
                watcher.advance(replayed, *zxid);
                watcher.none_due()?;
                if let Some(call) = call {
                    watcher.set(history, replayed, *call, &[])?;
                }
            }
        }
    }
    Ok(())
}

fn is_missed(item: &Item) -> bool {
    matches!(item, Item::Event { zxid: Zxid(-1), .. })
}

impl Watcher {
    fn none_due(&self) -> Result<(), String> {
        match self.due.front() {
            Some(event) => Err(format!("was not told {event:?} before it was shown {}", self.seen)),
            None => Ok(()),
        }
    }

    /// Looks at all changes up to `zxid`.
    fn advance(&mut self, replayed: &Replayed, zxid: Zxid) {
        let after = self.seen;
        self.seen = zxid.max(after);
        if self.data.is_empty() && self.child.is_empty() && self.persistent.is_empty() {
            return;
        }
        for (zxid, (change, path)) in replayed.between(after, zxid) {
            self.change(zxid, *change, path);
        }
    }

    fn change(&mut self, zxid: Zxid, change: Change, at: &str) {
        let mut fires = self.is_persistent(at, false) || self.is_recursive(at);
        fires |= self.data.remove(at);
        let kind = match change {
            Change::Created => CREATED,
            Change::DataChanged => DATA_CHANGED,
            Change::Deleted => {
                fires |= self.child.remove(at);
                DELETED
            }
        };
        if fires {
            self.due.push_back((zxid, kind, at.to_owned()));
        }
        let Some((above, _)) = path::split(at).filter(|_| change != Change::DataChanged) else {
            return;
        };
        if self.child.remove(above) | self.is_persistent(above, false) {
            self.due.push_back((zxid, CHILDREN_CHANGED, above.to_owned()));
        }
    }

    fn is_persistent(&self, path: &str, recursive: bool) -> bool {
        self.persistent.get(path).is_some_and(|modes| modes.contains(&recursive))
    }

    fn is_recursive(&self, path: &str) -> bool {
        let mut ancestors =
            iter::successors(Some(path), |path| path::split(path).map(|(above, _)| above));
        ancestors.any(|path| self.is_persistent(path, true))
    }

    /// Sets the watches that an answered call asks for.
    fn set(
        &mut self,
        history: &History,
        replayed: &Replayed,
        call: usize,
        told: &[&Item],
    ) -> Result<(), String> {
        let missed = replayed.missed.get(&call).map_or(&[][..], Vec::as_slice);
        let expected = missed.iter().map(|(kind, path)| Item::Event {
            zxid: Zxid(-1),
            kind: *kind,
            path: path.clone(),
        });
        if !expected.eq(told.iter().map(|&item| item.clone())) {
            return Err(format!(
                "is told {told:?} of what it has missed, and should be {missed:?}"
            ));
        }
        let call = &history.calls[call];
        let succeeded = call.answer.as_ref().is_some_and(|(_, reply)| reply.error == 0);
        match &call.op {
            Op::Read(OpCode::Exists, path, true) => {
                self.data.insert(path.clone());
            }
            Op::Read(OpCode::GetData, path, true) if succeeded => {
                self.data.insert(path.clone());
            }
            Op::Read(OpCode::GetChildren | OpCode::GetChildren2, path, true) if succeeded => {
                self.child.insert(path.clone());
            }
            Op::AddWatch(path, mode) if succeeded => {
                self.persistent.entry(path.clone()).or_default().insert(*mode == 1);
            }
            Op::SetWatches(_, lists) if succeeded => self.set_again(lists, missed),
            _ => {}
        }
        Ok(())
    }

    fn set_again(&mut self, lists: &WatchLists, missed: &[(i32, String)]) {
        let is_left = |path: &&String, kinds: &[i32]| {
            !missed.iter().any(|(kind, of)| of == *path && kinds.contains(kind))
        };
        let data = lists.data.iter().filter(|path| is_left(path, &[DELETED, DATA_CHANGED]));
        let exist = lists.exist.iter().filter(|path| is_left(path, &[CREATED]));
        self.data.extend(data.chain(exist).cloned());
        let child = lists.child.iter().filter(|path| is_left(path, &[DELETED, CHILDREN_CHANGED]));
        self.child.extend(child.cloned());
        for (list, recursive) in [(&lists.persistent, false), (&lists.recursive, true)] {
            for path in list {
                self.persistent.entry(path.clone()).or_default().insert(recursive);
            }
        }
    }
}
