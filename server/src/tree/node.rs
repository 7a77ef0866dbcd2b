//! What can be read of one node.

use quorate_protocol::{SessionId, Stat, Zxid};

use super::{
    Tree,
    acl_table::StoredAcl,
    digest::{ContentCrc, DigestParts},
    packed::{self, Packed},
    store::Extra,
};

/// What makes a node go by itself, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Nothing.
    Persistent,
    /// The end of this session.
    Ephemeral(SessionId),
    /// That its last child has gone.
    Container,
    /// That it was not written to for so many milliseconds and has no children.
    Ttl(i64),
}

impl NodeKind {
    const CONTAINER_OWNER: i64 = i64::MIN;
    const TTL_OWNER: i64 = 0xff << 56;
    const TTL_MASK: i64 = (1 << 40) - 1;

    /// ZooKeeper's stored `ephemeralOwner`, which says the kind of every node. Clients see it of
    /// ephemeral nodes only.
    pub fn owner(self) -> i64 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral(session) => session.0,
            Self::Container => Self::CONTAINER_OWNER,
            Self::Ttl(ms) => Self::TTL_OWNER | (ms & Self::TTL_MASK),
        }
    }

    /// The kind that a stored `ephemeralOwner` stands for. `Compat:` without
    /// `extendedTypesEnabled`, ZooKeeper takes a TTL node for an ephemeral one, of a session that a
    /// server 255 can have; with it there is no such server.
    pub fn of_owner(owner: i64) -> Self {
        match owner {
            0 => Self::Persistent,
            Self::CONTAINER_OWNER => Self::Container,
            _ if owner & !Self::TTL_MASK == Self::TTL_OWNER => Self::Ttl(owner & Self::TTL_MASK),
            _ => Self::Ephemeral(SessionId(owner)),
        }
    }
}

/// A node of a [`Tree`].
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    tree: &'a Tree,
    slot: u32,
    packed: Packed<'a>,
    extra: Extra,
}

impl<'a> Node<'a> {
    pub(super) fn new(tree: &'a Tree, slot: u32) -> Self {
        let packed = tree.store.packed(slot);
        Self { tree, slot, packed, extra: tree.store.extra(slot, packed.facts.czxid) }
    }

    /// What clients see of the numbers.
    pub fn stat(&self) -> Stat {
        self.extra.stat(&self.packed.facts, self.packed.data)
    }

    /// The data; null is not empty.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.packed.data
    }

    /// The ACL.
    pub fn acl(&self) -> StoredAcl<'a> {
        self.tree.acls.get(self.packed.facts.acl)
    }

    /// What makes it go by itself.
    pub fn kind(&self) -> NodeKind {
        self.extra.kind
    }

    /// The data's version.
    pub fn version(&self) -> i32 {
        self.packed.facts.version
    }

    /// The ACL's version.
    pub fn aversion(&self) -> i32 {
        self.extra.aversion
    }

    /// The transaction that last created or deleted a child.
    pub fn pzxid(&self) -> Zxid {
        self.extra.pzxid
    }

    /// How many children it has.
    pub fn child_count(&self) -> u32 {
        self.extra.child_count
    }

    /// How many children were ever created: the counter behind `cversion`, and the next
    /// sequential child's number.
    pub fn create_count(&self) -> i32 {
        self.extra.create_count
    }

    /// Its name; the root's is empty.
    pub fn name(&self) -> &'a str {
        text(self.packed.name)
    }

    /// Its path, put together from the names of its ancestors.
    pub fn path(&self) -> String {
        self.tree.path_of(self.slot)
    }

    /// The children's names, in no particular order.
    pub fn children(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let store = &self.tree.store;
        store.children(self.extra.first_child).map(|slot| text(packed::name(store.bytes(slot))))
    }

    /// The children, in the same order.
    pub fn child_nodes(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let tree = self.tree;
        tree.store.children(self.extra.first_child).map(move |slot| Node::new(tree, slot))
    }

    /// How many nodes there are below it.
    pub fn descendant_count(&self) -> usize {
        if self.slot == super::ROOT {
            return self.tree.nodes - 1;
        }
        self.tree.subtree(self.slot).count() - 1
    }

    /// Its share in the tree's digest.
    pub fn digest(&self) -> u32 {
        self.packed.digest
    }

    /// What its digest begins with. `path` must be its own: without children there is nothing kept
    /// of it here.
    pub fn content_crc(&self, path: &str) -> ContentCrc {
        self.tree.store.content_crc(self.slot, path)
    }

    /// What its digest goes on with.
    pub fn digest_parts(&self) -> DigestParts {
        self.extra.digest_parts(&self.packed.facts)
    }
}

/// A name as text.
pub(super) fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).expect("names come from paths, which are text")
}
