//! Watches: who wants to know of which change.
//!
//! A watch belongs to a connection, stands at a path, whether or not a node is there, and has a
//! [`Mode`]. ZooKeeper keeps two tables, one for what happens to a node itself and one for what
//! happens to its list of children; here a path has one entry with a bit per mode, and the tables
//! are sets of bits.
//!
//! [`WatchTable`] finds who has to be told of a change and takes one-shot watches out as they
//! fire. It sends nothing and does not judge who may know: it hands each [`Event`] with the ACL
//! that counts to the caller, who leaves out the connections whose identities at that moment do
//! not have READ. Their one-shot watches are gone all the same, as in ZooKeeper.

mod modes;
mod table;
#[cfg(test)]
mod tests;
mod watchers;

use quorate_protocol::{Zxid, record::EventType};

pub use modes::Mode;
pub use table::{Summary, WatchTable};

/// A client connection for as long as this process runs: numbered from 1, never used twice.
/// Watches, identities and replies belong to a connection, not to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl ConnId {
    /// No connection: where a request comes from that the server makes itself.
    pub const NONE: Self = Self(0);
}

/// What happened to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was written.
    DataChanged,
}

/// A change of the tree that watches may wait for. One transaction makes any number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// What happened.
    pub kind: ChangeKind,
    /// To which node.
    pub path: &'a str,
    /// In which transaction.
    pub zxid: Zxid,
    /// The node's ACL, as an encoded vector.
    pub acl: &'a [u8],
    /// The ACL of its parent; it counts for what is created and deleted.
    pub parent_acl: &'a [u8],
}

/// What a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventType,
    /// The transaction that did it.
    pub zxid: Zxid,
    /// The node it happened to; the parent for [`EventType::NodeChildrenChanged`].
    pub path: &'a str,
    /// The ACL of that node, as an encoded vector: who has no READ there is not told.
    pub acl: &'a [u8],
}
