//! All watches of the server.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use dashmap::DashMap;
use foldhash::fast::FixedState;
use quorate_protocol::{
    path,
    record::{EventType, WatcherType},
};

use super::{Change, ChangeKind, ConnId, Event, Mode, modes::Modes, watchers::Watchers};

/// All watches of the server's connections.
///
/// Connections set and remove watches concurrently, each its own, while they hold the tree's read
/// lock: so nothing happens between what a connection read and its watch. [`Self::trigger`] is
/// called under the tree's write lock and by nobody else at the same time.
///
/// Invariants: a path is in the table exactly while somebody watches it, and in a connection's set
/// exactly while that connection is among them. A connection that is not known has no watches. A
/// connection's set is locked before a path's entry, never the other way round.
#[derive(Debug)]
pub struct WatchTable {
    paths: DashMap<Arc<str>, Watchers, FixedState>,
    connections: DashMap<ConnId, HashSet<Arc<str>, FixedState>, FixedState>,
    counts: Counts,
    hasher: FixedState,
}

/// Watches by what they can be triggered by. All changes to them and the decisions based on them
/// are ordered by the tree's lock.
#[derive(Debug, Default)]
struct Counts {
    data: AtomicUsize,
    child: AtomicUsize,
    recursive: AtomicUsize,
}

impl Counts {
    fn change(&self, from: Modes, to: Modes) {
        for (count, modes) in [
            (&self.data, Modes::DATA_TABLE),
            (&self.child, Modes::CHILD_TABLE),
            (&self.recursive, Modes::RECURSIVE),
        ] {
            match (from.intersects(modes), to.intersects(modes)) {
                (false, true) => count.fetch_add(1, Relaxed),
                (true, false) => count.fetch_sub(1, Relaxed),
                _ => continue,
            };
        }
    }
}

/// How much is watched in ZooKeeper's table of data watches (`wchs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Connections that watch something.
    pub connections: usize,
    /// Paths that are watched.
    pub paths: usize,
    /// Pairs of them.
    pub watches: usize,
}

impl WatchTable {
    /// An empty table. Paths are chosen by clients, so `seed` should be one they cannot know.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            paths: DashMap::with_hasher(hasher.clone()),
            connections: DashMap::with_hasher(hasher.clone()),
            counts: Counts::default(),
            hasher,
        }
    }

    /// Lets a connection set watches.
    pub fn add_connection(&self, conn: ConnId) {
        self.connections.insert(conn, HashSet::with_hasher(self.hasher.clone()));
    }

    /// Removes a connection that has ended, and all its watches. A read of it that is executed
    /// later sets no watch any more.
    pub fn remove_connection(&self, conn: ConnId) {
        let Some((_, paths)) = self.connections.remove(&conn) else { return };
        for path in paths {
            self.change(conn, &path, |_| Modes::NONE);
        }
    }

    /// Sets a watch. It is the same one if it is set already.
    pub fn add(&self, conn: ConnId, path: &str, mode: Mode) {
        let Some(mut own) = self.connections.get_mut(&conn) else { return };
        let mut watchers = match self.paths.get_mut(path) {
            Some(watchers) => watchers,
            None => self.paths.entry(path.into()).or_insert(Watchers::One(conn, Modes::NONE)),
        };
        let old = watchers.modes(conn);
        let new = old | mode.into();
        if new != old {
            watchers.set(conn, new);
            self.counts.change(old, new);
            if old.is_empty() {
                own.insert(watchers.key().clone());
            }
        }
    }

    /// Removes a connection's watches of one kind at a path; false when there were none.
    pub fn remove(&self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        let Some(mut own) = self.connections.get_mut(&conn) else { return false };
        let (old, new) = self.change(conn, path, |modes| modes & !Modes::from(kind));
        if new.is_empty() {
            own.remove(path);
        }
        old != new
    }

    /// Whether a connection has watches of one kind at a path.
    pub fn check(&self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        self.paths.get(path).is_some_and(|watchers| watchers.modes(conn).intersects(kind.into()))
    }

    /// Changes what a connection has at a path, and tells what it had and has now. The
    /// connection's own set is left to the caller.
    fn change(
        &self,
        conn: ConnId,
        path: &str,
        change: impl FnOnce(Modes) -> Modes,
    ) -> (Modes, Modes) {
        let (mut old, mut new) = (Modes::NONE, Modes::NONE);
        self.paths.remove_if_mut(path, |_, watchers| {
            old = watchers.modes(conn);
            new = change(old);
            watchers.set(conn, new);
            watchers.is_empty()
        });
        self.counts.change(old, new);
        (old, new)
    }

    /// Finds who is to be told of a change and takes out the one-shot watches that have fired.
    /// `deliver` gets each event once, with the connections to tell, in ZooKeeper's order: first
    /// what happened to the node, then to its parent's list of children. No connection is named
    /// twice for an event, by however many of its watches it is concerned.
    pub fn trigger(&self, change: &Change<'_>, mut deliver: impl FnMut(&Event<'_>, &[ConnId])) {
        if self.is_empty() {
            return;
        }
        let (kind, wanted) = match change.kind {
            ChangeKind::Created => (EventType::NodeCreated, Modes::DATA_TABLE),
            ChangeKind::DataChanged => (EventType::NodeDataChanged, Modes::DATA_TABLE),
            // Whoever watches the children learns that there will be no more.
            ChangeKind::Deleted => (EventType::NodeDeleted, Modes::ALL),
        };
        let mut told = Vec::new();
        let event = Event { kind, zxid: change.zxid, path: change.path, acl: change.acl };
        self.fire(event.path, wanted, &mut told);
        self.find_recursive_above(event.path, &mut told);
        if !told.is_empty() {
            deliver(&event, &told);
        }
        if change.kind == ChangeKind::DataChanged || self.counts.child.load(Relaxed) == 0 {
            return;
        }
        let Some((parent, _)) = path::split(change.path) else { return };
        let kind = EventType::NodeChildrenChanged;
        let event = Event { kind, zxid: change.zxid, path: parent, acl: change.parent_acl };
        told.clear();
        self.fire(event.path, Modes::CHILD_TABLE, &mut told);
        if !told.is_empty() {
            deliver(&event, &told);
        }
    }

    /// Adds the connections that watch `path` in one of the modes `wanted`, in order, and takes
    /// out what fires once.
    fn fire(&self, path: &str, wanted: Modes, told: &mut Vec<ConnId>) {
        let mut gone = Vec::new();
        self.paths.remove_if_mut(path, |_, watchers| {
            watchers.update(|conn, old| {
                if !old.intersects(wanted) {
                    return old;
                }
                told.push(conn);
                let new = old & !(wanted & Modes::ONE_SHOT);
                self.counts.change(old, new);
                if new.is_empty() {
                    gone.push(conn);
                }
                new
            });
            watchers.is_empty()
        });
        for conn in gone {
            if let Some(mut own) = self.connections.get_mut(&conn) {
                own.remove(path);
            }
        }
    }

    /// Adds the connections that watch everything below an ancestor of `path`.
    fn find_recursive_above(&self, path: &str, told: &mut Vec<ConnId>) {
        if self.counts.recursive.load(Relaxed) == 0 {
            return;
        }
        let at_path = told.len();
        let mut below = path;
        while let Some((ancestor, _)) = path::split(below) {
            if let Some(watchers) = self.paths.get(ancestor) {
                let recursive =
                    watchers.iter().filter(|(_, modes)| modes.intersects(Modes::RECURSIVE));
                told.extend(recursive.map(|(conn, _)| conn));
            }
            below = ancestor;
        }
        if told.len() > at_path {
            told.sort_unstable();
            told.dedup();
        }
    }

    /// Whether nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.counts.data.load(Relaxed) == 0 && self.counts.child.load(Relaxed) == 0
    }

    /// Watches in both of ZooKeeper's tables: a persistent one counts twice (`mntr`).
    pub fn count(&self) -> usize {
        self.counts.data.load(Relaxed) + self.counts.child.load(Relaxed)
    }

    /// How much is in the table of data watches.
    pub fn summary(&self) -> Summary {
        let by_path = self.by_path();
        let connections: HashSet<&ConnId> = by_path.values().flatten().collect();
        Summary {
            connections: connections.len(),
            paths: by_path.len(),
            watches: by_path.values().map(Vec::len).sum(),
        }
    }

    /// The connections in the table of data watches, by path (`wchp`). Like the other listings
    /// for people it is not a picture of one moment.
    pub fn by_path(&self) -> BTreeMap<Arc<str>, Vec<ConnId>> {
        let mut listing = BTreeMap::new();
        for entry in &self.paths {
            let watchers = entry.value().iter();
            let in_table = watchers.filter(|(_, modes)| modes.intersects(Modes::DATA_TABLE));
            let connections: Vec<_> = in_table.map(|(conn, _)| conn).collect();
            if !connections.is_empty() {
                listing.insert(entry.key().clone(), connections);
            }
        }
        listing
    }

    /// The paths in the table of data watches, by connection (`wchc`).
    pub fn by_connection(&self) -> BTreeMap<ConnId, Vec<Arc<str>>> {
        let mut listing: BTreeMap<ConnId, Vec<Arc<str>>> = BTreeMap::new();
        for (path, connections) in self.by_path() {
            for conn in connections {
                listing.entry(conn).or_default().push(path.clone());
            }
        }
        listing
    }

    /// Paths watched, connections known, and pairs of them in the connections' sets.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let pairs = self.connections.iter().map(|own| own.len()).sum();
        (self.paths.len(), self.connections.len(), pairs)
    }
}
