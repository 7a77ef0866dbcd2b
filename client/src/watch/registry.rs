//! Which watches are set, and who wants to know of their events.
//!
//! Plain data: the connection's task asks it what an event means to whom, and what to set again on
//! a new connection. Paths are the server's, chroots included; whoever listens maps them back.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use bytes::BytesMut;
use quorate_protocol::{
    Encode, OpCode, Zxid,
    record::{EventType, SetWatches2Request, SetWatchesRequest, WatcherType},
};

use super::{Event, OneShotSlot, sink::Sink};

/// `Compat:` as Java, no request that sets watches again is longer. A single path may be.
const RESTORE_LIMIT: usize = 128 * 1024;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// One-shot: a node that is there.
    Data,
    /// One-shot: a node that was not there.
    Exist,
    /// One-shot: the list of children.
    Child,
    /// A node and its list of children.
    Persistent,
    /// A node and all below.
    Recursive,
}

/// A watch that a call sets, and who listens.
#[derive(Debug)]
pub(crate) enum Registration {
    /// Set when the call's answer says so.
    OneShot { kind: Kind, path: Box<str>, slot: OneShotSlot },
    /// Set from the moment the call is sent: events may come ahead of its answer.
    Stream { path: Box<str>, recursive: bool, sink: Arc<Sink> },
}

/// Somebody stopped listening.
#[derive(Debug)]
pub(crate) struct Unwatch {
    pub(crate) path: Box<str>,
    pub(crate) kind: Kind,
}

/// Who listens at a path.
#[derive(Debug, Default)]
struct Listeners {
    data: Vec<OneShotSlot>,
    exist: Vec<OneShotSlot>,
    child: Vec<OneShotSlot>,
    persistent: Vec<Arc<Sink>>,
    recursive: Vec<Arc<Sink>>,
}

impl Listeners {
    fn one_shots(&mut self, kind: Kind) -> &mut Vec<OneShotSlot> {
        match kind {
            Kind::Exist => &mut self.exist,
            Kind::Child => &mut self.child,
            _ => &mut self.data,
        }
    }

    fn sinks(&mut self, recursive: bool) -> &mut Vec<Arc<Sink>> {
        if recursive { &mut self.recursive } else { &mut self.persistent }
    }

    fn prune(&mut self) {
        for slots in [&mut self.data, &mut self.exist, &mut self.child] {
            slots.retain(|slot| !slot.is_closed());
        }
        for sinks in [&mut self.persistent, &mut self.recursive] {
            sinks.retain(|sink| !sink.is_closed());
        }
    }

    fn is_empty(&self) -> bool {
        self.data.is_empty()
            && self.exist.is_empty()
            && self.child.is_empty()
            && self.persistent.is_empty()
            && self.recursive.is_empty()
    }

    /// Whether the server's watch of this kind has nobody left.
    fn is_unwanted(&self, kind: Kind) -> bool {
        match kind {
            // The server keeps both in one table.
            Kind::Data | Kind::Exist => self.data.is_empty() && self.exist.is_empty(),
            Kind::Child => self.child.is_empty(),
            Kind::Persistent => self.persistent.is_empty(),
            Kind::Recursive => self.recursive.is_empty(),
        }
    }
}

/// All watches of a client.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    paths: BTreeMap<Box<str>, Listeners>,
    /// How many recursive listeners there are: without any, no event looks at its ancestors.
    recursive: usize,
}

impl Registry {
    /// Adds a one-shot watch.
    pub(crate) fn add_one_shot(&mut self, kind: Kind, path: Box<str>, slot: OneShotSlot) {
        let slots = self.paths.entry(path).or_default().one_shots(kind);
        slots.retain(|slot| !slot.is_closed());
        slots.push(slot);
    }

    /// Adds a stream.
    pub(crate) fn add_stream(&mut self, path: Box<str>, recursive: bool, sink: Arc<Sink>) {
        self.recursive += usize::from(recursive);
        self.paths.entry(path).or_default().sinks(recursive).push(sink);
    }

    /// Takes a stream out again whose watch was refused.
    pub(crate) fn remove_stream(&mut self, path: &str, recursive: bool, sink: &Arc<Sink>) {
        let Some(listeners) = self.paths.get_mut(path) else { return };
        let sinks = listeners.sinks(recursive);
        let before = sinks.len();
        sinks.retain(|other| !Arc::ptr_eq(other, sink));
        let removed = before - sinks.len();
        self.recursive -= if recursive { removed } else { 0 };
        if listeners.is_empty() {
            self.paths.remove(path);
        }
    }

    /// Forgets listeners that have gone, and answers which of the server's watches at the path
    /// nobody wants any more, if any.
    pub(crate) fn unwatch(&mut self, Unwatch { path, kind }: &Unwatch) -> Option<WatcherType> {
        let listeners = self.paths.get_mut(path)?;
        let before = listeners.recursive.len();
        // A watch that has fired is gone at the server too.
        let was_set = !listeners.is_unwanted(*kind);
        listeners.prune();
        self.recursive -= before - listeners.recursive.len();
        let unwanted = was_set && listeners.is_unwanted(*kind);
        if listeners.is_empty() {
            self.paths.remove(path);
            // Servers before 3.9 know no narrower kind for persistent watches.
            return unwanted.then_some(WatcherType::Any);
        }
        unwanted.then_some(match kind {
            Kind::Data | Kind::Exist => WatcherType::Data,
            Kind::Child => WatcherType::Children,
            Kind::Persistent => WatcherType::Persistent,
            Kind::Recursive => WatcherType::PersistentRecursive,
        })
    }

    /// Tells everybody of an event. `seen` is the highest zxid of an answer before it.
    pub(crate) fn dispatch(&mut self, event: &Event, seen: Zxid) {
        let kind = event.kind;
        if let Some(listeners) = self.paths.get_mut(&*event.path) {
            let of_node = kind != EventType::NodeChildrenChanged;
            if of_node {
                fire(&mut listeners.data, event);
                fire(&mut listeners.exist, event);
            }
            if matches!(kind, EventType::NodeChildrenChanged | EventType::NodeDeleted) {
                fire(&mut listeners.child, event);
            }
            for sink in &listeners.persistent {
                sink.event(event, seen);
            }
            if listeners.is_empty() {
                self.paths.remove(&*event.path);
            }
        }
        if self.recursive > 0 && kind != EventType::NodeChildrenChanged {
            let mut at = Some(&*event.path);
            while let Some(path) = at {
                if let Some(listeners) = self.paths.get(path) {
                    for sink in &listeners.recursive {
                        sink.event(event, seen);
                    }
                }
                at = quorate_protocol::path::split(path).map(|(parent, _)| parent);
            }
        }
    }

    /// The requests that set all watches again, each of bounded size.
    pub(crate) fn restore(&mut self, relative: Zxid) -> Vec<(OpCode, BytesMut)> {
        self.paths.retain(|_, listeners| {
            listeners.prune();
            !listeners.is_empty()
        });
        self.recursive = self.paths.values().map(|listeners| listeners.recursive.len()).sum();
        let mut batches = Vec::new();
        let mut batch = Batch::default();
        for (path, listeners) in &self.paths {
            let lists = [
                (Kind::Data, listeners.data.is_empty()),
                (Kind::Exist, listeners.exist.is_empty()),
                (Kind::Child, listeners.child.is_empty()),
                (Kind::Persistent, listeners.persistent.is_empty()),
                (Kind::Recursive, listeners.recursive.is_empty()),
            ];
            for (kind, _) in lists.into_iter().filter(|(_, empty)| !empty) {
                if !batch.has_room(path) {
                    batches.push(std::mem::take(&mut batch).encode(relative));
                }
                batch.add(kind, path);
            }
        }
        if batch.size > 0 {
            batches.push(batch.encode(relative));
        }
        batches
    }

    /// All streams, to tell them of a gap.
    pub(crate) fn sinks(&self) -> impl Iterator<Item = &Arc<Sink>> {
        self.paths.values().flat_map(|all| all.persistent.iter().chain(&all.recursive))
    }

    /// Ends all streams and one-shot watches.
    pub(crate) fn end(&mut self) {
        for sink in self.sinks() {
            sink.end();
        }
        self.paths.clear();
        self.recursive = 0;
    }
}

fn fire(slots: &mut Vec<OneShotSlot>, event: &Event) {
    for slot in slots.drain(..) {
        slot.fire(event);
    }
}

/// Watches for one request.
#[derive(Default)]
struct Batch<'a> {
    lists: [Vec<Cow<'a, str>>; 5],
    size: usize,
}

impl<'a> Batch<'a> {
    /// Header, zxid and the counts of the lists.
    const FIXED: usize = 8 + 8 + 5 * 4;

    fn has_room(&self, path: &str) -> bool {
        self.size == 0 || Self::FIXED + self.size + 4 + path.len() <= RESTORE_LIMIT
    }

    fn add(&mut self, kind: Kind, path: &'a str) {
        self.size += 4 + path.len();
        self.lists[kind as usize].push(path.into());
    }

    /// `Compat:` `setWatches2` only if need be: servers before 3.6 do not know it.
    fn encode(self, relative_zxid: Zxid) -> (OpCode, BytesMut) {
        let [data, exist, child, persistent, persistent_recursive] = self.lists;
        if persistent.is_empty() && persistent_recursive.is_empty() {
            let request = SetWatchesRequest { relative_zxid, data, exist, child };
            return (OpCode::SetWatches, request.to_bytes());
        }
        let request = SetWatches2Request {
            relative_zxid,
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        };
        (OpCode::SetWatches2, request.to_bytes())
    }
}
