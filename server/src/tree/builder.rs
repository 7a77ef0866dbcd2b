//! Makes a tree of a checkpoint.
//!
//! The storage hands over the head and then every slot's image, as they come from disk: damaged
//! ones are refused, not trusted. Links between nodes, the index, and the lists of ephemeral and
//! reapable nodes are made anew; the order of children need not be what it was.

use quorate_protocol::{Decode, DecodeError};

use super::{
    CheckpointHead, NodeKind, ROOT, SYSTEM_PATHS, Tree,
    acl_table::AclTable,
    checkpoint::Image,
    digest::{ContentCrc, node_digest, resume},
    node, packed,
    slab::{NIL, Record},
};

/// Why a checkpoint is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A slot's image cannot be read.
    #[error("image of slot {slot}: {source}")]
    Image {
        /// The slot.
        slot: u32,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A slot comes out of order, or is beyond those there are.
    #[error("slot {slot} where {expected} or a later one below {end} was expected")]
    Order {
        /// The slot.
        slot: u32,
        /// The lowest that could have come.
        expected: u32,
        /// The head's next slot.
        end: u32,
    },
    /// A slot has no parent, or one that cannot be.
    #[error("slot {slot} has no place in the tree below slot {parent}")]
    Place {
        /// The slot.
        slot: u32,
        /// Its parent's slot.
        parent: u32,
    },
    /// A node could not be found by its name: another has it, or no node can have it.
    #[error("slot {slot} has a name that it cannot have below slot {parent}")]
    Name {
        /// The slot.
        slot: u32,
        /// Its parent's slot.
        parent: u32,
    },
    /// The ACLs cannot be numbered as they are, or a node has one that is not there.
    #[error("ACL {number} cannot be used")]
    Acl {
        /// Its number.
        number: u32,
    },
    /// A node that is always there is not.
    #[error("{path} is missing")]
    SystemNode {
        /// Its path.
        path: &'static str,
    },
    /// Nodes or their digests do not add up to what the head says.
    #[error(
        "{nodes} nodes with digest {digest:#x} where {expected_nodes} with {expected_digest:#x} were expected"
    )]
    Sum {
        /// How many nodes came.
        nodes: u64,
        /// Their digest.
        digest: u64,
        /// How many should have.
        expected_nodes: u64,
        /// What their digest should be.
        expected_digest: u64,
    },
    /// Nodes hang together, but not with the root.
    #[error("{nodes} nodes cannot be reached from the root")]
    Unreachable {
        /// How many.
        nodes: usize,
    },
    /// A node's digest is not that of its content.
    #[error("node {path} does not have the digest kept of it")]
    Digest {
        /// The node.
        path: String,
    },
}

/// A tree under construction.
#[derive(Debug)]
pub struct TreeBuilder {
    tree: Tree,
    head: CheckpointHead,
}

impl TreeBuilder {
    /// Begins with a checkpoint's head. For `seed` see [`Tree::new`].
    ///
    /// # Errors
    /// When the head's ACLs are damaged.
    pub fn new(head: CheckpointHead, seed: u64) -> Result<Self, BuildError> {
        let mut tree = Tree::without_nodes(seed);
        // Numbers are used again, and there was never more than one ACL to a slot but for one that
        // is about to replace another.
        let highest = head.acls.last().map_or(0, |(number, _)| *number);
        if highest.saturating_sub(1) > head.next_slot {
            return Err(BuildError::Acl { number: highest });
        }
        tree.acls = AclTable::rebuild(&head.acls).map_err(|number| BuildError::Acl { number })?;
        tree.sessions = head.sessions.iter().copied().collect();
        tree.last_zxid = head.zxid;
        tree.data_size = head.data_size;
        // A damaged number must not make us ask for all memory there is.
        tree.index.reserve(usize::try_from(head.nodes).unwrap_or(0).min(1 << 24));
        Ok(Self { tree, head })
    }

    /// Adds a slot's image. Slots come in ascending order; those without a node may be left out.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn push(&mut self, slot: u32, image: &[u8]) -> Result<(), BuildError> {
        let tree = &mut self.tree;
        let (expected, end) = (tree.store.slots.end(), self.head.next_slot);
        if slot < expected || slot >= end {
            return Err(BuildError::Order { slot, expected, end });
        }
        let image =
            Image::from_bytes(image).map_err(|source| BuildError::Image { slot, source })?;
        tree.store.slots.skip_to(slot);
        tree.store.push(image.packed, &image.node, image.parent, image.extra);
        let acl = image.node.facts.acl;
        if !tree.acls.contains(acl) {
            return Err(BuildError::Acl { number: acl.0 });
        }
        tree.acls.acquire_again(acl);
        match image.extra.map_or(NodeKind::Persistent, |extra| extra.kind) {
            NodeKind::Persistent => {}
            NodeKind::Ephemeral(owner) => tree.ephemerals.insert(owner, slot),
            NodeKind::Container | NodeKind::Ttl(_) => _ = tree.reapable.insert(slot),
        }
        if slot == ROOT {
            if image.parent != NIL || !image.node.name.is_empty() {
                return Err(BuildError::Place { slot, parent: image.parent });
            }
        } else {
            let (parent, name) = (image.parent, image.node.name);
            let hash = tree.index.hash(parent, name);
            let is_possible = !name.is_empty() && !name.contains(&b'/');
            if !is_possible || tree.child_by_hash(hash, parent, name).is_some() {
                return Err(BuildError::Name { slot, parent });
            }
            tree.add_to_index(slot, hash);
        }
        tree.nodes += 1;
        tree.digest = tree.digest.wrapping_add(image.node.digest.into());
        Ok(())
    }

    /// Links the nodes and hands the tree out. The nodes' digests are added up; whether each is
    /// that of the node is left to [`Tree::verify_digests`].
    ///
    /// # Errors
    /// When nodes are missing or have no place.
    pub fn finish(self) -> Result<Tree, BuildError> {
        let Self { mut tree, head } = self;
        let nodes = tree.nodes as u64;
        if (nodes, tree.digest) != (head.nodes, head.digest) {
            return Err(BuildError::Sum {
                nodes,
                digest: tree.digest,
                expected_nodes: head.nodes,
                expected_digest: head.digest,
            });
        }
        tree.store.slots.skip_to(head.next_slot);
        // Highest slots first, so that walking over children goes up through memory.
        for slot in (0..tree.store.slots.end()).rev() {
            let place = *tree.store.slots.get(slot);
            if slot == ROOT || place.next_vacant().is_some() {
                continue;
            }
            let parent = place.parent;
            let is_parent = tree.store.slots.is_used(parent) && parent != slot;
            if !is_parent || tree.store.own_extra(parent).is_none() {
                return Err(BuildError::Place { slot, parent });
            }
            tree.store.link(slot, parent);
        }
        for (slot, path) in (0..).zip(SYSTEM_PATHS) {
            if !tree.store.slots.is_used(slot) || tree.find(path) != Some(slot) {
                return Err(BuildError::SystemNode { path });
            }
        }
        let reachable = tree.subtree(ROOT).count();
        if reachable < tree.nodes {
            return Err(BuildError::Unreachable { nodes: tree.nodes - reachable });
        }
        tree.acls.forget_unused();
        Ok(tree)
    }
}

/// Computes every node's digest, and the CRCs it goes through, from the content.
pub(super) fn verify_digests(tree: &Tree) -> Result<(), BuildError> {
    // The CRC of a path goes on from its parent's, so no path is ever put together.
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for slot in tree.subtree(ROOT) {
        let parent = tree.store.slots.get(slot).parent;
        while parents.last().is_some_and(|(above, _)| *above != parent) {
            parents.pop();
        }
        let node = tree.store.packed(slot);
        let path_crc = match parents.last() {
            None => 0,
            Some((_, crc)) => resume(resume(*crc, b"/"), node.name),
        };
        parents.push((slot, path_crc));
        let is_left_out = parents.len() > 2 && node_name(tree, parents[1].0) == "zookeeper";
        let content = if is_left_out {
            ContentCrc::LeftOut
        } else {
            ContentCrc::Counted(resume(path_crc, node.data.unwrap_or_default()))
        };
        let extra = tree.store.extra(slot, node.facts.czxid);
        let is_kept = tree.store.own_extra(slot).is_none_or(|extra| extra.content == content);
        if !is_kept || node_digest(content, &extra.digest_parts(&node.facts)) != node.digest {
            return Err(BuildError::Digest { path: tree.path_of(slot) });
        }
    }
    Ok(())
}

fn node_name(tree: &Tree, slot: u32) -> &str {
    node::text(packed::name(tree.store.bytes(slot)))
}
