//! Watches: events of nodes, once or as a stream.

mod emulated;
mod one_shot;
mod registry;
mod sink;
mod stream;
#[cfg(test)]
mod tests;

pub use one_shot::OneShot;
pub(crate) use one_shot::OneShotSlot;
use quorate_protocol::{Zxid, record::EventType};
pub(crate) use registry::{Kind, Registration, Registry, Unwatch};
pub(crate) use sink::Sink;
pub use stream::{Watch, WatchStream};

/// Something that happened to a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// What happened.
    pub kind: EventType,
    /// The node it happened to; for [`EventType::NodeChildrenChanged`] the parent.
    pub path: String,
    /// The transaction that did it. Servers tell since ZooKeeper 3.9, but not of what happened
    /// while the client was away.
    pub zxid: Option<Zxid>,
}

/// An item of a [`WatchStream`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WatchItem {
    /// An event.
    Event(Event),
    /// Events may be missing: the client was away, or its events were not taken fast enough. Read
    /// again what you want to know; a read made after this item was taken shows all that is
    /// missing, and what happens after that read comes as an event.
    Resync {
        /// All events up to this transaction, included, came before this item.
        from: Zxid,
        /// Events of later transactions come, before this item or after it. `None` when the
        /// server does not tell.
        to: Option<Zxid>,
    },
}
