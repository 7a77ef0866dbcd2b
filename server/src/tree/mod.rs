//! The tree of znodes.
//!
//! [`Tree`] is the replicated state: nodes, ACLs, sessions and who owns what. [`Tree::apply`] is the
//! only thing that changes it, by one transaction at a time in the order of zxids and by nothing
//! but what the transaction says, so that all replicas stay the same. It refuses nothing: whether a
//! request is allowed was decided when its transaction was made. A transaction that does not fit is
//! a broken invariant and ends the process (see [`Tree::set_lenient`]).
//!
//! The runtime owns the one tree behind a lock: readers use [`Tree::get`], the applier
//! [`Tree::apply`], the checkpoint writer the `checkpoint_*` methods; [`TreeBuilder`] makes a tree
//! of a checkpoint and [`TreeLoader`] one of a ZooKeeper server's snapshot.
//!
//! Memory is the design. A node is a *slot* of 20 bytes (`store`, `slab`) and a *block* (`blocks`)
//! with its name, numbers and data packed together (`packed`); what only few nodes need is in an
//! *extra*. Nodes are found by (parent slot, name) in an `index` that does not repeat the names.
//! Slots are also the unit of checkpoints. Nothing walks the tree by recursion: a path of a
//! megabyte can have half a million names.

mod acl_table;
mod apply;
mod blocks;
mod builder;
mod checkpoint;
mod container;
pub mod digest;
mod ephemeral;
mod index;
mod loader;
mod node;
mod packed;
mod quota;
mod slab;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::{Acl, AclList, Decode, Encode, Perms, SessionId, Zxid};

use self::{
    acl_table::AclTable, checkpoint::Changes, ephemeral::Ephemerals, index::Index, packed::Facts,
    slab::NIL, store::Store,
};
pub use self::{
    acl_table::{AclId, StoredAcl},
    apply::{DigestMismatch, OpOutcome, Outcome},
    builder::{BuildError, TreeBuilder},
    checkpoint::{CheckpointHead, SlotImage},
    container::{ReapLimits, Reapable},
    loader::{LoadError, StoredNode, TreeLoader},
    node::{Node, NodeKind},
    quota::{Quota, QuotaNumbers},
    walk::Walk,
};

/// The slot of `/`.
const ROOT: u32 = 0;
/// The slot of `/zookeeper/quota`.
const QUOTA: u32 = 2;
/// The nodes that are always there, in the order of their slots.
/// The node that tells clients of the servers there are.
pub const CONFIG: &str = "/zookeeper/config";

const SYSTEM_PATHS: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", CONFIG];

/// The znodes and everything else that transactions change.
#[derive(Debug, Clone)]
pub struct Tree {
    store: Store,
    index: Index,
    acls: AclTable,
    sessions: BTreeMap<SessionId, i32>,
    ephemerals: Ephemerals,
    /// Slots of containers and TTL nodes.
    reapable: BTreeSet<u32>,
    changes: Changes,
    nodes: usize,
    data_size: u64,
    digest: u64,
    last_zxid: Zxid,
    lenient: bool,
}

impl Tree {
    /// The tree of a new server: root and system nodes, no session. `seed` keeps clients from
    /// choosing names that collide in the index; it has no influence on anything that can be seen.
    pub fn new(seed: u64) -> Self {
        let mut tree = Self::without_nodes(seed);
        let read_only = [Acl::world(Perms::READ)].to_bytes();
        for path in SYSTEM_PATHS {
            tree.plant(path, if path == CONFIG { &read_only } else { AclList::OPEN });
        }
        tree
    }

    fn without_nodes(seed: u64) -> Self {
        Self {
            store: Store::new(),
            index: Index::new(seed),
            acls: AclTable::default(),
            sessions: BTreeMap::new(),
            ephemerals: Ephemerals::default(),
            reapable: BTreeSet::new(),
            changes: Changes::default(),
            nodes: 0,
            data_size: 0,
            digest: 0,
            last_zxid: Zxid::ZERO,
            lenient: false,
        }
    }

    /// Makes a system node: its parent does not count it as created.
    fn plant(&mut self, path: &str, acl: &[u8]) {
        let acl = self.acls.acquire(AclList::from_bytes(acl).expect("a list from this module"));
        let zero = Zxid::ZERO;
        let facts = Facts { czxid: zero, ctime: 0, mzxid: zero, mtime: 0, version: 0, acl };
        let (parent, name) = match quorate_protocol::path::split(path) {
            None => (NIL, ""),
            Some((parent, name)) => (self.find(parent).expect("planted before"), name),
        };
        let slot = self.store.insert(name.as_bytes(), &facts, Some(b""));
        self.changes.touch(slot, || None);
        if parent != NIL {
            self.attach(slot, parent, self.index.hash(parent, name.as_bytes()));
        }
        // Every system node has or may get children.
        let extra = self.store.need_extra(slot, path);
        if path == CONFIG {
            // `Compat:` `DataTree.addConfigNode` sets the ACL with version -1.
            extra.aversion = -1;
        }
        let digest = extra.digest(&facts);
        self.set_digest(slot, digest);
        self.nodes += 1;
        self.data_size += path_units(path);
    }

    /// From now on a transaction that does not fit is answered with an error code instead of
    /// ending the process. For histories whose beginning is not exact: ZooKeeper's snapshots can
    /// hold effects of transactions that are replayed over them.
    pub fn set_lenient(&mut self, lenient: bool) {
        self.lenient = lenient;
    }

    /// Whether the tree may not be exact; see [`Tree::set_lenient`].
    pub fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// The last transaction applied.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The digest of all nodes, version 2.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The node at `path`. Any text will do, there is just no node at most; `Compat:` the empty
    /// path means the root, as in `DataTree`.
    pub fn get(&self, path: &str) -> Option<Node<'_>> {
        self.find(path).map(|slot| Node::new(self, slot))
    }

    /// The root.
    pub fn root(&self) -> Node<'_> {
        Node::new(self, ROOT)
    }

    /// All nodes, every one behind its parent.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.subtree(ROOT).map(|slot| Node::new(self, slot))
    }

    /// The sessions with their timeouts in milliseconds.
    pub fn sessions(&self) -> &BTreeMap<SessionId, i32> {
        &self.sessions
    }

    /// The paths of a session's ephemeral nodes, sorted.
    pub fn ephemerals(&self, owner: SessionId) -> Vec<String> {
        let mut paths: Vec<_> = self.ephemerals.of(owner).map(|slot| self.path_of(slot)).collect();
        paths.sort_unstable();
        paths
    }

    /// The sessions that own ephemeral nodes, in order.
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.owners()
    }

    /// The ACLs that nodes have, but for the open one.
    pub fn acls(&self) -> impl Iterator<Item = StoredAcl<'_>> {
        self.acls.iter().map(|(number, raw)| StoredAcl { id: AclId(number), raw })
    }

    /// Whether a node has an ACL that the snapshot it came with did not tell. The transaction that
    /// gave it that ACL was to come again; when all that could have been in the snapshot have come
    /// and this is still so, the snapshot was a bad one. Such a node is closed to all.
    pub fn has_unknown_acls(&self) -> bool {
        self.acls().any(|acl| acl.raw() == StoredAcl::UNKNOWN)
    }

    /// How many ephemeral nodes there are.
    pub fn ephemeral_count(&self) -> usize {
        self.ephemerals.count()
    }

    /// How many nodes there are. `Compat:` `DataTree` counts the root under two names, so a new
    /// tree has 5.
    pub fn node_count(&self) -> usize {
        self.nodes + 1
    }

    /// The sum of the lengths of all paths (in UTF-16 units) and data.
    pub fn data_size(&self) -> u64 {
        self.data_size
    }

    /// Computes every node's digest anew.
    ///
    /// # Errors
    /// Names the first node whose digest is not the one kept of it.
    pub fn verify_digests(&self) -> Result<(), BuildError> {
        builder::verify_digests(self)
    }

    fn find(&self, path: &str) -> Option<u32> {
        if path.is_empty() || path == "/" {
            return Some(ROOT);
        }
        let names = path.as_bytes().strip_prefix(b"/")?;
        names.split(|&byte| byte == b'/').try_fold(ROOT, |parent, name| self.child(parent, name))
    }

    fn child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        self.child_by_hash(self.index.hash(parent, name), parent, name)
    }

    fn child_by_hash(&self, hash: u64, parent: u32, name: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| {
            self.store.slots.get(slot).parent == parent
                && packed::name(self.store.bytes(slot)) == name
        })
    }

    /// Links a node to its parent and makes it findable.
    fn attach(&mut self, slot: u32, parent: u32, hash: u64) {
        self.store.link(slot, parent);
        self.add_to_index(slot, hash);
    }

    fn add_to_index(&mut self, slot: u32, hash: u64) {
        let Self { index, store, .. } = self;
        index.insert(hash, slot, |slot| {
            (store.slots.get(slot).parent, packed::name(store.bytes(slot)))
        });
    }

    /// Reverses [`Self::attach`].
    fn detach(&mut self, slot: u32, hash: u64) {
        self.index.remove(hash, slot);
        self.store.unlink(slot);
    }

    /// Remembers how a slot is before it is changed.
    fn touch(&mut self, slot: u32) {
        let Self { changes, store, .. } = self;
        changes.touch(slot, || checkpoint::image(store, slot));
    }

    /// Replaces a node's digest, in the tree's too.
    fn set_digest(&mut self, slot: u32, digest: u32) {
        let old = self.store.set_digest(slot, digest);
        self.digest = self.digest.wrapping_sub(old.into()).wrapping_add(digest.into());
    }

    fn path_of(&self, slot: u32) -> String {
        let mut names = Vec::new();
        let mut slot = slot;
        while slot != ROOT {
            names.push(node::text(packed::name(self.store.bytes(slot))));
            slot = self.store.slots.get(slot).parent;
        }
        if names.is_empty() {
            return "/".to_owned();
        }
        let mut path = String::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// The slots at and below `top`, every one behind its parent.
    fn subtree(&self, top: u32) -> impl Iterator<Item = u32> + use<'_> {
        std::iter::successors(Some(top), move |&slot| {
            match self.store.own_extra(slot).map(|extra| extra.first_child) {
                Some(child) if child != NIL => return Some(child),
                _ => {}
            }
            let mut slot = slot;
            while slot != top {
                let place = self.store.slots.get(slot);
                if place.next != NIL {
                    return Some(place.next);
                }
                slot = place.parent;
            }
            None
        })
    }
}

/// The length of a path as Java counts it.
fn path_units(path: &str) -> u64 {
    if path.is_ascii() { path.len() as u64 } else { path.encode_utf16().count() as u64 }
}

/// Bytes of data; null has none.
fn length(data: Option<&[u8]>) -> u64 {
    data.map_or(0, |data| data.len() as u64)
}
