//! The tree as it will be once everything proposed is applied.
//!
//! A request is checked against this view: the tree itself, and over it a projection of each node
//! that a transaction not applied yet touches. `prepare` drives it: [`Outstanding::find`] looks,
//! [`Outstanding::put`] projects a change, [`Outstanding::applied`] forgets what the tree knows
//! meanwhile. Nothing here refuses anything.
//!
//! Invariants: a projection is what the tree will hold right after the transaction that touched
//! the node last; so it may stay a while after that was applied, but never after a later
//! transaction touched the node without it. `tree_digest` is the sum over the projected tree.

use std::{collections::VecDeque, hash::Hasher};

use bytes::Bytes;
use foldhash::{SharedSeed, fast::FoldHasher};
use hashbrown::HashTable;
use quorate_protocol::{AclList, ErrorCode, SessionId, Zxid};

use crate::tree::{
    Node, NodeKind, Tree,
    digest::{ContentCrc, DigestParts, node_digest},
};

/// A path longer than this is not kept allocated for the slot's next node.
const SPARE_PATH: usize = 256;

/// The projected tree.
#[derive(Debug)]
pub(super) struct Outstanding {
    /// Indices into `slots`, by path. Never iterated.
    by_path: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Which transaction touched which slot, in zxid order; a slot once per transaction.
    touched: VecDeque<(Zxid, u32)>,
    /// The ephemeral nodes created, likewise, so that the end of a session finds its own.
    ephemerals: VecDeque<(Zxid, (SessionId, u32))>,
    tree_digest: u64,
    journal: Journal,
    /// Clients choose paths, so hashes must not be foreseeable to them.
    seed: SharedSeed,
}

/// A path that transactions under way touch.
#[derive(Debug)]
struct Slot {
    path: String,
    hash: u64,
    /// The transaction that touched it last.
    zxid: Zxid,
    /// `None`: there is no such node.
    node: Option<Projected>,
}

/// A node as it will be.
#[derive(Debug, Clone)]
pub(super) struct Projected {
    /// Its numbers and its kind.
    pub(super) parts: DigestParts,
    /// How many children it has.
    pub(super) children: u32,
    /// Bytes of its data.
    pub(super) data_length: i64,
    /// Who may do what with it.
    pub(super) acl: ProjectedAcl,
    /// `None`: the one it has in the tree. Never in a slot.
    content: Option<ContentCrc>,
    digest: u32,
}

/// The ACL a node will have.
#[derive(Debug, Clone)]
pub(super) enum ProjectedAcl {
    /// Everyone may do everything.
    Open,
    /// The one the node has in the tree.
    InTree,
    /// Another one, encoded.
    Changed(Bytes),
}

/// Where a node is, and what it is like before the change that is being prepared.
#[derive(Debug)]
pub(super) struct Found<'t> {
    hash: u64,
    slot: Option<u32>,
    /// What the node adds to the tree's digest.
    digest: u32,
    /// The node in the tree, if the projection begins with it.
    in_tree: Option<Node<'t>>,
    /// The node, to be changed and put back.
    pub(super) node: Option<Projected>,
}

/// How to undo the changes of a multi.
#[derive(Debug, Default)]
struct Journal {
    recording: bool,
    before: Vec<(u32, Before)>,
    touched: usize,
    ephemerals: usize,
    tree_digest: u64,
}

#[derive(Debug)]
enum Before {
    NoSlot,
    Slot { zxid: Zxid, node: Option<Projected> },
}

impl Outstanding {
    /// Nothing is outstanding yet.
    pub(super) fn new(tree: &Tree, seed: u64) -> Self {
        Self {
            by_path: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            touched: VecDeque::new(),
            ephemerals: VecDeque::new(),
            tree_digest: tree.digest(),
            journal: Journal::default(),
            seed: SharedSeed::from_u64(seed),
        }
    }

    /// Forgets everything that `tree` does not hold.
    pub(super) fn reset(&mut self, tree: &Tree) {
        while let Some((_, slot)) = self.touched.pop_front() {
            if self.slot(slot).zxid > Zxid::ZERO {
                self.free_slot(slot);
            }
        }
        self.ephemerals.clear();
        self.tree_digest = tree.digest();
    }

    /// The digest of the projected tree.
    pub(super) fn tree_digest(&self) -> u64 {
        self.tree_digest
    }

    /// What there is at `path`, which need not be a valid one.
    pub(super) fn find<'t>(&self, tree: &'t Tree, path: &str) -> Found<'t> {
        let hash = self.hash(path);
        if let Some(slot) = self.slot_of(hash, path) {
            let node = self.slot(slot).node.clone();
            let digest = node.as_ref().map_or(0, |node| node.digest);
            return Found { hash, slot: Some(slot), digest, in_tree: None, node };
        }
        let in_tree = tree.get(path);
        let digest = in_tree.as_ref().map_or(0, Node::digest);
        let node = in_tree.as_ref().map(Projected::of);
        Found { hash, slot: None, digest, in_tree, node }
    }

    /// Projects that the node found at `path` will be `found.node` after the transaction `zxid`.
    pub(super) fn put(&mut self, path: &str, found: Found<'_>, zxid: Zxid) {
        let Found { hash, slot, digest: before, in_tree, mut node } = found;
        let mut after = 0;
        if let Some(node) = &mut node {
            let content = node.content.or_else(|| in_tree.map(|node| node.content_crc(path)));
            let content = content.expect("known of every node that is not as in the tree");
            after = node_digest(content, &node.parts);
            node.content = Some(content);
            node.digest = after;
        }
        self.tree_digest = self.tree_digest.wrapping_sub(before.into()).wrapping_add(after.into());
        let slot = slot.unwrap_or_else(|| self.add_slot(hash, path));
        self.touch(slot, zxid);
        if let Some(Projected { parts, .. }) = &node
            && let NodeKind::Ephemeral(owner) = parts.kind
            && parts.czxid == zxid
        {
            self.ephemerals.push_back((zxid, (owner, slot)));
        }
        self.slot_mut(slot).node = node;
    }

    /// Paths of the ephemeral nodes that `owner` will have, sorted.
    pub(super) fn ephemerals(&self, tree: &Tree, owner: SessionId) -> Vec<String> {
        let is_owners = |slot: &Slot| {
            slot.node.as_ref().is_some_and(|node| node.parts.kind == NodeKind::Ephemeral(owner))
        };
        let mut paths: Vec<String> = Vec::new();
        for path in tree.ephemerals(owner) {
            let projected = self.slot_of(self.hash(&path), &path);
            if projected.is_none_or(|slot| is_owners(self.slot(slot))) {
                paths.push(path);
            }
        }
        for &(_, (creator, slot)) in &self.ephemerals {
            let slot = self.slot(slot);
            if creator == owner && is_owners(slot) {
                paths.push(slot.path.clone());
            }
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// The tree holds what the transactions up to `zxid` did.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while let Some((touched, slot)) = pop_up_to(zxid, &mut self.touched) {
            if self.slot(slot).zxid == touched {
                self.free_slot(slot);
            }
        }
        while pop_up_to(zxid, &mut self.ephemerals).is_some() {}
    }

    /// Begins a transaction that may yet be rolled back.
    pub(super) fn begin(&mut self) {
        let Self { touched, ephemerals, tree_digest, journal, .. } = self;
        journal.recording = true;
        journal.touched = touched.len();
        journal.ephemerals = ephemerals.len();
        journal.tree_digest = *tree_digest;
    }

    /// Keeps what was put since [`Self::begin`].
    pub(super) fn commit(&mut self) {
        self.journal.recording = false;
        self.journal.before.clear();
    }

    /// Takes back what was put since [`Self::begin`].
    pub(super) fn roll_back(&mut self) {
        while let Some((slot, before)) = self.journal.before.pop() {
            match before {
                Before::NoSlot => self.free_slot(slot),
                Before::Slot { zxid, node } => {
                    let slot = self.slot_mut(slot);
                    slot.zxid = zxid;
                    slot.node = node;
                }
            }
        }
        self.touched.truncate(self.journal.touched);
        self.ephemerals.truncate(self.journal.ephemerals);
        self.tree_digest = self.journal.tree_digest;
        self.journal.recording = false;
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let Self { by_path, slots, free, touched, ephemerals, journal, .. } = self;
        let journal_empty = !journal.recording && journal.before.is_empty();
        by_path.is_empty()
            && slots.len() == free.len()
            && touched.is_empty()
            && ephemerals.is_empty()
            && journal_empty
    }

    fn hash(&self, path: &str) -> u64 {
        let mut hasher = FoldHasher::with_seed(0, &self.seed);
        hasher.write(path.as_bytes());
        hasher.finish()
    }

    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    fn slot_of(&self, hash: u64, path: &str) -> Option<u32> {
        self.by_path.find(hash, |&slot| self.slot(slot).path == path).copied()
    }

    /// A slot that no transaction has touched yet.
    fn add_slot(&mut self, hash: u64, path: &str) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.slots.len()).expect("far fewer are outstanding");
            self.slots.push(Slot { path: String::new(), hash, zxid: Zxid::ZERO, node: None });
            slot
        });
        let Self { by_path, slots, .. } = self;
        let vacant = &mut slots[slot as usize];
        vacant.path.push_str(path);
        vacant.hash = hash;
        by_path.insert_unique(hash, slot, |&slot| slots[slot as usize].hash);
        slot
    }

    fn free_slot(&mut self, slot: u32) {
        let freed = &mut self.slots[slot as usize];
        let entry = self.by_path.find_entry(freed.hash, |&other| other == slot);
        entry.expect("every slot in use is in the table").remove();
        if freed.path.len() > SPARE_PATH {
            freed.path = String::new();
        }
        freed.path.clear();
        freed.zxid = Zxid::ZERO;
        freed.node = None;
        self.free.push(slot);
    }

    /// Notes that the transaction `zxid` touches a slot, the first time it does.
    fn touch(&mut self, slot: u32, zxid: Zxid) {
        let touched = &mut self.slots[slot as usize];
        if touched.zxid == zxid {
            return;
        }
        if self.journal.recording {
            let before = match touched.zxid {
                Zxid::ZERO => Before::NoSlot,
                zxid => Before::Slot { zxid, node: touched.node.take() },
            };
            self.journal.before.push((slot, before));
        }
        touched.zxid = zxid;
        self.touched.push_back((zxid, slot));
    }
}

impl Found<'_> {
    /// The node, or the error that there is none.
    pub(super) fn existing(&mut self) -> Result<&mut Projected, ErrorCode> {
        self.node.as_mut().ok_or(ErrorCode::NoNode)
    }
}

impl Projected {
    fn of(node: &Node<'_>) -> Self {
        Self {
            parts: node.digest_parts(),
            children: node.child_count(),
            data_length: length_of(node.data()),
            acl: if node.acl().is_open() { ProjectedAcl::Open } else { ProjectedAcl::InTree },
            content: None,
            digest: node.digest(),
        }
    }

    /// A node that the transaction `zxid` creates at `path`.
    pub(super) fn created(
        kind: NodeKind,
        path: &str,
        data: Option<&[u8]>,
        acl: AclList<'_>,
        zxid: Zxid,
        time_ms: i64,
    ) -> Self {
        let parts = DigestParts {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time_ms,
            mtime: time_ms,
            version: 0,
            create_count: 0,
            aversion: 0,
            kind,
        };
        Self {
            parts,
            children: 0,
            data_length: length_of(data),
            acl: ProjectedAcl::of(acl),
            content: Some(ContentCrc::of(path, data)),
            digest: 0,
        }
    }

    /// The transaction `zxid` writes the data of this node, which is at `path`.
    pub(super) fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        zxid: Zxid,
        time_ms: i64,
    ) {
        self.parts.version = version;
        self.parts.mzxid = zxid;
        self.parts.mtime = time_ms;
        self.data_length = length_of(data);
        self.content = Some(ContentCrc::of(path, data));
    }

    /// The transaction `zxid` creates a child: answers the create counter to log.
    ///
    /// `Compat:` a counter that has overflowed is logged but never stored, and takes the `pzxid`
    /// with it (`DataTree.createNode`).
    pub(super) fn child_created(&mut self, zxid: Zxid) -> i32 {
        let create_count = self.parts.create_count.wrapping_add(1);
        if create_count > self.parts.create_count {
            self.parts.create_count = create_count;
            self.parts.pzxid = zxid;
        }
        self.children += 1;
        create_count
    }

    /// The transaction `zxid` deletes a child.
    pub(super) fn child_deleted(&mut self, zxid: Zxid) {
        self.parts.pzxid = zxid;
        self.children -= 1;
    }
}

impl ProjectedAcl {
    pub(super) fn of(acl: AclList<'_>) -> Self {
        match acl.raw() {
            Some(raw) if !acl.is_open() => Self::Changed(Bytes::copy_from_slice(raw)),
            _ => Self::Open,
        }
    }
}

/// Where a node's children hang: the path up to the last `/`. `None` without any.
///
/// Not [`quorate_protocol::path::split`]: here `/` is its own parent and `/a/` has the parent
/// `/a`, as ZooKeeper cuts paths it has not validated yet.
pub(super) fn parent_of(path: &str) -> Option<&str> {
    let slash = path.rfind('/')?;
    Some(if slash == 0 { "/" } else { &path[..slash] })
}

/// Takes the front entry of a queue in zxid order, if its transaction is not after `zxid`.
pub(super) fn pop_up_to<T>(zxid: Zxid, queue: &mut VecDeque<(Zxid, T)>) -> Option<(Zxid, T)> {
    if queue.front()?.0 <= zxid { queue.pop_front() } else { None }
}

/// The length of data; null counts as empty.
pub(super) fn length_of(data: Option<&[u8]>) -> i64 {
    data.map_or(0, |data| i64::try_from(data.len()).expect("data came in one frame"))
}
