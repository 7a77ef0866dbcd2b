//! A whole tree on the wire: what follows a `SNAP`, and what is in a ZooKeeper server's snapshot
//! files behind their header.
//!
//! ```text
//! int count | count x (long session | int timeout)
//! int count | count x (long number | vector<ACL>)
//! nodes, every one behind its parent:
//!   ustring path | buffer data | long ACL's number | long czxid | long mzxid | long ctime
//!   | long mtime | int version | int cversion | int aversion | long ephemeralOwner | long pzxid
//! ustring "/" | on the wire: ustring "BenWasHere"
//! ```
//!
//! The root's path is empty, the open ACL has number -1 and no entry, and `cversion` counts creates
//! only. [`SnapshotWriter`] makes the stream of a tree, [`SnapshotReceiver`] a tree of the stream,
//! both bit by bit.

mod receiver;
#[cfg(test)]
mod tests;
mod writer;

pub use receiver::{Received, SnapshotError, SnapshotReceiver};
pub use writer::SnapshotWriter;

/// Where a snapshot is kept or sent, which decides how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind a `SNAP`: with the signature.
    Wire,
    /// In a file: with the nodes, and seals that are the file's business.
    File,
}

/// The path that ends the nodes.
const END: &str = "/";
/// What a snapshot on the wire ends with.
const SIGNATURE: &str = "BenWasHere";
/// Bytes of a session.
const SESSION: usize = 12;
/// Bytes of a node behind its data.
const NUMBERS: usize = 68;
