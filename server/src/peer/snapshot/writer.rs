//! A tree into a snapshot's bytes.

use std::{
    borrow::Borrow,
    ops::Bound::{self, Excluded, Unbounded},
};

use bytes::BytesMut;
use quorate_protocol::{SessionId, codec::PutJute};

use super::{END, NUMBERS, Place, SIGNATURE};
use crate::tree::{Node, Tree, Walk};

/// Writes a tree as a snapshot, in pieces.
///
/// The tree is the writer's own, or shared and unchanged meanwhile. The snapshot is exact: the
/// state at [`Tree::last_zxid`].
#[derive(Debug)]
pub struct SnapshotWriter<T> {
    tree: T,
    stage: Stage,
    place: Place,
}

/// What is to be written next.
#[derive(Debug)]
enum Stage {
    Begin,
    /// The sessions from there on.
    Sessions(Bound<SessionId>),
    Acls,
    /// The nodes from there on.
    Nodes(Walk),
    Done,
}

impl<T: Borrow<Tree>> SnapshotWriter<T> {
    /// A writer at the beginning.
    pub fn new(tree: T) -> Self {
        Self::of(Place::Wire, tree)
    }

    /// As [`new`](Self::new), of a snapshot to be kept or sent there.
    pub fn of(place: Place, tree: T) -> Self {
        Self { tree, stage: Stage::Begin, place }
    }

    /// Appends to `out` until that has `size` bytes, or more by what cannot be cut: a node, or all
    /// ACLs. Says whether there is more to come.
    pub fn write(&mut self, out: &mut BytesMut, size: usize) -> bool {
        let tree = self.tree.borrow();
        while out.len() < size {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Begin => {
                    out.put_len(tree.sessions().len());
                    Stage::Sessions(Unbounded)
                }
                Stage::Sessions(from) => put_sessions(tree, from, out, size),
                Stage::Acls => {
                    put_acls(tree, out);
                    Stage::Nodes(Walk::default())
                }
                Stage::Nodes(walk) => put_nodes(tree, walk, self.place, out, size),
                Stage::Done => return false,
            };
        }
        !matches!(self.stage, Stage::Done)
    }
}

fn put_sessions(tree: &Tree, from: Bound<SessionId>, out: &mut BytesMut, size: usize) -> Stage {
    for (session, timeout_ms) in tree.sessions().range((from, Unbounded)) {
        out.put_long(session.0);
        out.put_int(*timeout_ms);
        if out.len() >= size {
            return Stage::Sessions(Excluded(*session));
        }
    }
    Stage::Acls
}

fn put_acls(tree: &Tree, out: &mut BytesMut) {
    out.put_len(tree.acls().count());
    for acl in tree.acls() {
        out.put_long(acl.id().number_in_snapshot());
        out.extend_from_slice(acl.raw());
    }
}

fn put_nodes(tree: &Tree, mut walk: Walk, place: Place, out: &mut BytesMut, size: usize) -> Stage {
    while let Some((path, node)) = walk.next(tree) {
        put_node(path, &node, out);
        if out.len() >= size {
            return Stage::Nodes(walk);
        }
    }
    out.put_ustring(END);
    if place == Place::Wire {
        out.put_ustring(SIGNATURE);
    }
    Stage::Done
}

fn put_node(path: &str, node: &Node<'_>, out: &mut BytesMut) {
    out.put_ustring(path);
    out.put_buffer(node.data());
    let stat = node.stat();
    let mut numbers = [0; NUMBERS];
    numbers[0..8].copy_from_slice(&node.acl().id().number_in_snapshot().to_be_bytes());
    numbers[8..16].copy_from_slice(&stat.czxid.0.to_be_bytes());
    numbers[16..24].copy_from_slice(&stat.mzxid.0.to_be_bytes());
    numbers[24..32].copy_from_slice(&stat.ctime.to_be_bytes());
    numbers[32..40].copy_from_slice(&stat.mtime.to_be_bytes());
    numbers[40..44].copy_from_slice(&stat.version.to_be_bytes());
    // Not the `cversion` that clients see.
    numbers[44..48].copy_from_slice(&node.create_count().to_be_bytes());
    numbers[48..52].copy_from_slice(&stat.aversion.to_be_bytes());
    numbers[52..60].copy_from_slice(&node.kind().owner().to_be_bytes());
    numbers[60..68].copy_from_slice(&stat.pzxid.0.to_be_bytes());
    out.extend_from_slice(&numbers);
}
