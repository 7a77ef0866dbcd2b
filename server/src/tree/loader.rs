//! Makes a tree of the nodes of a ZooKeeper server's snapshot.
//!
//! They come from another server, one by one with their whole paths, every one behind its parent.
//! What cannot be part of a tree is refused; what the nodes' numbers say is believed.
//!
//! A ZooKeeper server writes its snapshot while transactions go on. Nodes, sessions and ACLs can
//! then be as some of the transactions behind its zxid left them, and a node can have an ACL that
//! the snapshot does not know yet. Those transactions come again; a loaded tree is lenient (see
//! [`Tree::set_lenient`]) so that they can.

use std::collections::BTreeMap;

use quorate_protocol::{
    AclList, Decode, SessionId, Zxid,
    path::{self, PathError},
};

use super::{
    AclId, CONFIG, NodeKind, ROOT, SYSTEM_PATHS, Tree,
    acl_table::StoredAcl,
    digest::{ContentCrc, node_digest},
    length,
    packed::Facts,
    path_units,
    store::Extra,
};

/// A node as ZooKeeper's servers write it to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredNode<'a> {
    /// Its path; the root's is empty.
    pub path: &'a str,
    /// Its data; null is not empty.
    pub data: Option<&'a [u8]>,
    /// Its ACL's number in the snapshot.
    pub acl: i64,
    /// The transaction that created it.
    pub czxid: Zxid,
    /// The transaction that last wrote its data.
    pub mzxid: Zxid,
    /// When it was created.
    pub ctime: i64,
    /// When its data was last written.
    pub mtime: i64,
    /// Its data's version.
    pub version: i32,
    /// How many children were ever created.
    pub create_count: i32,
    /// Its ACL's version.
    pub aversion: i32,
    /// What kind it is, as [`NodeKind::owner`] says it.
    pub owner: i64,
    /// The transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

/// Why nodes are no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No node can have this path.
    #[error("{path:?} is no node's path: {source}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A node came twice.
    #[error("node {path:?} comes twice")]
    Twice {
        /// Its path.
        path: String,
    },
    /// A node came before its parent.
    #[error("node {path:?} comes without its parent")]
    Orphan {
        /// Its path.
        path: String,
    },
    /// A node that is always there is one that goes by itself.
    #[error("system node {path:?} has owner {owner:#x}")]
    SystemNodeOwner {
        /// Its path.
        path: String,
        /// The owner.
        owner: i64,
    },
    /// A node that is always there did not come.
    #[error("system node {path} is missing")]
    SystemNodeMissing {
        /// Its path.
        path: &'static str,
    },
}

/// A tree under construction.
#[derive(Debug)]
pub struct TreeLoader {
    tree: Tree,
    /// The snapshot's ACLs by their numbers there. Each counts as a node's until the end.
    acls: BTreeMap<i64, AclId>,
    /// Which of the system nodes have come; the others stand as in a new tree.
    seen: [bool; SYSTEM_PATHS.len()],
    /// Path and slot of the last node's parent, mostly the next one's too.
    parent: (String, u32),
}

impl TreeLoader {
    /// Begins with nothing. For `seed` see [`Tree::new`].
    pub fn new(seed: u64) -> Self {
        let seen = [false; SYSTEM_PATHS.len()];
        let acls = BTreeMap::new();
        Self { tree: Tree::new(seed), acls, seen, parent: (String::new(), ROOT) }
    }

    /// Adds a session.
    pub fn session(&mut self, id: SessionId, timeout_ms: i32) {
        self.tree.sessions.insert(id, timeout_ms);
    }

    /// Adds an ACL under its number, to be there before the nodes that have it.
    pub fn acl(&mut self, number: i64, acl: AclList<'_>) {
        let id = self.tree.acls.acquire(acl);
        if let Some(replaced) = self.acls.insert(number, id) {
            self.tree.acls.release(replaced);
        }
    }

    /// Adds a node.
    ///
    /// # Errors
    /// When it has no place; nothing is changed then.
    pub fn node(&mut self, node: &StoredNode<'_>) -> Result<(), LoadError> {
        let path = node.path;
        let (parent_path, name) = if path.is_empty() {
            return self.system_node(ROOT, node);
        } else {
            check_path(path)?;
            path.rsplit_once('/').expect("paths that are checked begin with /")
        };
        let parent = self.find_parent(parent_path).ok_or_else(|| orphan(path))?;
        let hash = self.tree.index.hash(parent, name.as_bytes());
        match self.tree.child_by_hash(hash, parent, name.as_bytes()) {
            None => {
                self.attach(parent, parent_path, name, hash, node);
                Ok(())
            }
            Some(slot) if (slot as usize) < SYSTEM_PATHS.len() => self.system_node(slot, node),
            Some(_) => Err(LoadError::Twice { path: path.to_owned() }),
        }
    }

    /// Hands the tree out as that of `zxid`, lenient. `Compat:` as in `DataTree.deserialize` the
    /// usage of quotas is counted anew.
    ///
    /// # Errors
    /// When a system node is missing. `/zookeeper/config` is not: ZooKeeper's servers before 3.5
    /// do not have it, and later ones then make it.
    pub fn finish(mut self, zxid: Zxid) -> Result<Tree, LoadError> {
        for (path, seen) in SYSTEM_PATHS.into_iter().zip(self.seen) {
            if !seen && path != CONFIG {
                return Err(LoadError::SystemNodeMissing { path });
            }
        }
        for id in self.acls.into_values() {
            self.tree.acls.release(id);
        }
        self.tree.recount_quotas();
        self.tree.last_zxid = zxid;
        self.tree.lenient = true;
        Ok(self.tree)
    }

    fn find_parent(&mut self, path: &str) -> Option<u32> {
        if self.parent.0 != path {
            let slot = self.tree.find(path)?;
            self.parent.0.clear();
            self.parent.0.push_str(path);
            self.parent.1 = slot;
        }
        let slot = self.parent.1;
        self.seen.get(slot as usize).is_none_or(|&seen| seen).then_some(slot)
    }

    fn attach(
        &mut self,
        parent: u32,
        parent_path: &str,
        name: &str,
        hash: u64,
        node: &StoredNode<'_>,
    ) {
        let facts = self.facts(node);
        let tree = &mut self.tree;
        let slot = tree.store.insert(name.as_bytes(), &facts, node.data);
        tree.changes.touch(slot, || None);
        tree.store.need_extra(parent, parent_path);
        tree.attach(slot, parent, hash);
        tree.nodes += 1;
        tree.data_size += path_units(node.path) + length(node.data);
        let content = ContentCrc::of(node.path, node.data);
        let leaf = Extra { content, ..Extra::of_leaf(node.czxid) };
        let own = set_numbers(leaf, node);
        match own.kind {
            NodeKind::Persistent => {}
            NodeKind::Ephemeral(owner) => tree.ephemerals.insert(owner, slot),
            NodeKind::Container | NodeKind::Ttl(_) => _ = tree.reapable.insert(slot),
        }
        if own != leaf {
            *tree.store.need_extra(slot, node.path) = own;
        }
        tree.set_digest(slot, node_digest(content, &own.digest_parts(&facts)));
    }

    /// A node that is there already gets what the snapshot says of it.
    fn system_node(&mut self, slot: u32, node: &StoredNode<'_>) -> Result<(), LoadError> {
        let path = || node.path.to_owned();
        if std::mem::replace(&mut self.seen[slot as usize], true) {
            return Err(LoadError::Twice { path: path() });
        }
        if NodeKind::of_owner(node.owner) != NodeKind::Persistent {
            return Err(LoadError::SystemNodeOwner { path: path(), owner: node.owner });
        }
        let facts = self.facts(node);
        let tree = &mut self.tree;
        let planted = tree.store.packed(slot);
        let (acl, old_length) = (planted.facts.acl, length(planted.data));
        tree.store.rewrite(slot, &facts, node.data);
        tree.acls.release(acl);
        tree.data_size = tree.data_size - old_length + length(node.data);
        let extra = tree.store.need_extra(slot, node.path);
        *extra =
            Extra { content: ContentCrc::of(node.path, node.data), ..set_numbers(*extra, node) };
        let digest = extra.digest(&facts);
        tree.set_digest(slot, digest);
        Ok(())
    }

    /// The numbers every node has. The ACL counts as used by it from now on.
    fn facts(&mut self, node: &StoredNode<'_>) -> Facts {
        let acls = &mut self.tree.acls;
        let acl = match self.acls.get(&node.acl) {
            Some(&id) => {
                acls.acquire_again(id);
                id
            }
            None if node.acl == AclId::OPEN.number_in_snapshot() => AclId::OPEN,
            None => acls.acquire(AclList::from_bytes(StoredAcl::UNKNOWN).expect("a list")),
        };
        let StoredNode { czxid, ctime, mzxid, mtime, version, .. } = *node;
        Facts { czxid, ctime, mzxid, mtime, version, acl }
    }
}

fn set_numbers(extra: Extra, node: &StoredNode<'_>) -> Extra {
    Extra {
        create_count: node.create_count,
        aversion: node.aversion,
        pzxid: node.pzxid,
        kind: NodeKind::of_owner(node.owner),
        ..extra
    }
}

/// `Compat:` `/` ends a snapshot, and is therefore no node's path in it.
fn check_path(path: &str) -> Result<(), LoadError> {
    let wrong = |source| LoadError::Path { path: path.to_owned(), source };
    if path == "/" {
        return Err(orphan(path));
    }
    path::validate(path).map_err(wrong)
}

fn orphan(path: &str) -> LoadError {
    LoadError::Orphan { path: path.to_owned() }
}
