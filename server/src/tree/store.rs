//! Where nodes are kept: a slot each, a block for the packed bytes, and an extra for the few that
//! are more than a leaf.
//!
//! A leaf that nobody treated specially costs its slot of 20 bytes and its block. This module keeps
//! the pieces together; it knows no paths and no rules.

use quorate_protocol::{SessionId, Stat, Zxid};

use super::{
    blocks::{BlockId, Blocks},
    digest::{ContentCrc, DigestParts, node_digest},
    node::NodeKind,
    packed::{self, Facts, Packed, Packer},
    slab::{NIL, Record, Slab},
};

/// A node's place and its links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) block: BlockId,
    /// The parent's slot; NIL for the root.
    pub(super) parent: u32,
    /// The children of a node are a list, so that one comes and goes without moving others.
    pub(super) previous: u32,
    pub(super) next: u32,
    /// NIL for a leaf with nothing special.
    pub(super) extra: u32,
}

impl Record for Slot {
    fn vacant(next: u32) -> Self {
        Self { block: BlockId::NONE, parent: NIL, previous: NIL, next, extra: NIL }
    }

    fn next_vacant(&self) -> Option<u32> {
        (self.block == BlockId::NONE).then_some(self.next)
    }
}

/// What only nodes need that have or had children, go by themselves, or whose ACL was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extra {
    pub(super) first_child: u32,
    pub(super) child_count: u32,
    pub(super) create_count: i32,
    pub(super) aversion: i32,
    pub(super) pzxid: Zxid,
    pub(super) kind: NodeKind,
    /// Of path and data. Kept, so that a child's coming and going does not read the data again.
    pub(super) content: ContentCrc,
}

impl Extra {
    /// The extra of a node that has none.
    pub(super) fn of_leaf(czxid: Zxid) -> Self {
        Self {
            first_child: NIL,
            child_count: 0,
            create_count: 0,
            aversion: 0,
            pzxid: czxid,
            kind: NodeKind::Persistent,
            content: ContentCrc::LeftOut,
        }
    }

    /// What clients see of a node's numbers.
    pub(super) fn stat(&self, facts: &Facts, data: Option<&[u8]>) -> Stat {
        Stat {
            czxid: facts.czxid,
            mzxid: facts.mzxid,
            ctime: facts.ctime,
            mtime: facts.mtime,
            version: facts.version,
            // `Compat:` the stored counter counts creates; `DataNode.copyStat` adds the deletes.
            cversion: self.create_count.wrapping_mul(2).wrapping_sub_unsigned(self.child_count),
            aversion: self.aversion,
            ephemeral_owner: match self.kind {
                NodeKind::Ephemeral(session) => session,
                _ => SessionId::NONE,
            },
            data_length: i32::try_from(data.map_or(0, <[u8]>::len))
                .expect("data came in a jute buffer"),
            num_children: self.child_count.cast_signed(),
            pzxid: self.pzxid,
        }
    }

    /// The digest of a node with its own extra.
    pub(super) fn digest(&self, facts: &Facts) -> u32 {
        node_digest(self.content, &self.digest_parts(facts))
    }

    /// The numbers that a node's digest is made of.
    pub(super) fn digest_parts(&self, facts: &Facts) -> DigestParts {
        DigestParts {
            czxid: facts.czxid,
            mzxid: facts.mzxid,
            pzxid: self.pzxid,
            ctime: facts.ctime,
            mtime: facts.mtime,
            version: facts.version,
            create_count: self.create_count,
            aversion: self.aversion,
            kind: self.kind,
        }
    }
}

/// An extra or, linked, a vacant place for one.
#[derive(Debug, Clone, Copy)]
pub(super) enum ExtraPlace {
    Used(Extra),
    Vacant(u32),
}

impl Record for ExtraPlace {
    fn vacant(next: u32) -> Self {
        Self::Vacant(next)
    }

    fn next_vacant(&self) -> Option<u32> {
        match self {
            Self::Used(_) => None,
            Self::Vacant(next) => Some(*next),
        }
    }
}

/// The nodes' memory.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) slots: Slab<Slot>,
    extras: Slab<ExtraPlace>,
    blocks: Blocks,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { slots: Slab::new(), extras: Slab::new(), blocks: Blocks::new() }
    }

    /// Stores a node that is linked to nothing yet.
    pub(super) fn insert(&mut self, name: &[u8], facts: &Facts, data: Option<&[u8]>) -> u32 {
        let packer = Packer::new(facts, data);
        let room = packed::room(packer.length(name.len()), facts);
        let block = self.blocks.allocate(room);
        packer.write(name, self.blocks.get_mut(block));
        self.slots.insert(Slot { block, ..Slot::vacant(NIL) })
    }

    /// Puts a node behind all others, linked to its parent in one direction only. `bytes` is what
    /// `node` was read from.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        node: &Packed<'_>,
        parent: u32,
        extra: Option<Extra>,
    ) {
        let block = self.blocks.allocate(packed::room(node.length, &node.facts));
        self.blocks.get_mut(block)[..node.length].copy_from_slice(&bytes[..node.length]);
        let extra = extra.map_or(NIL, |extra| self.extras.insert(ExtraPlace::Used(extra)));
        self.slots.push(Slot { block, parent, extra, ..Slot::vacant(NIL) });
    }

    /// Removes a node that is linked to nothing any more.
    pub(super) fn remove(&mut self, slot: u32) {
        let Slot { block, extra, .. } = *self.slots.get(slot);
        self.blocks.free(block);
        if extra != NIL {
            self.extras.remove(extra);
        }
        self.slots.remove(slot);
    }

    /// Replaces all of a node's packed bytes but digest and name.
    pub(super) fn rewrite(&mut self, slot: u32, facts: &Facts, data: Option<&[u8]>) {
        let packer = Packer::new(facts, data);
        let old = self.slots.get(slot).block;
        let bytes = self.blocks.get(old);
        let name = packed::name(bytes);
        let room = packed::room(packer.length(name.len()), facts);
        if self.blocks.fits(old, room) {
            packer.write_behind_name(name.len(), self.blocks.get_mut(old));
            return;
        }
        let (name, digest) = (name.to_vec(), packed::digest(bytes));
        let new = self.blocks.allocate(room);
        packer.write(&name, self.blocks.get_mut(new));
        self.blocks.free(old);
        self.slots.get_mut(slot).block = new;
        self.set_digest(slot, digest);
    }

    /// Replaces a node's share in the tree's digest and returns what it was.
    pub(super) fn set_digest(&mut self, slot: u32, digest: u32) -> u32 {
        let bytes = self.blocks.get_mut(self.slots.get(slot).block);
        let old = packed::digest(bytes);
        packed::set_digest(bytes, digest);
        old
    }

    /// A node's packed bytes; there may be more behind them.
    pub(super) fn bytes(&self, slot: u32) -> &[u8] {
        self.blocks.get(self.slots.get(slot).block)
    }

    pub(super) fn packed(&self, slot: u32) -> Packed<'_> {
        Packed::read(self.bytes(slot)).expect("written by Packer")
    }

    /// A node's extra, or what it stands for where there is none.
    pub(super) fn extra(&self, slot: u32, czxid: Zxid) -> Extra {
        self.own_extra(slot).copied().unwrap_or_else(|| Extra::of_leaf(czxid))
    }

    pub(super) fn own_extra(&self, slot: u32) -> Option<&Extra> {
        match self.slots.get(slot).extra {
            NIL => None,
            extra => match self.extras.get(extra) {
                ExtraPlace::Used(extra) => Some(extra),
                ExtraPlace::Vacant(_) => unreachable!("slot {slot} has an extra"),
            },
        }
    }

    /// A node's extra, to change it.
    pub(super) fn own_extra_mut(&mut self, slot: u32) -> Option<&mut Extra> {
        match self.slots.get(slot).extra {
            NIL => None,
            extra => match self.extras.get_mut(extra) {
                ExtraPlace::Used(extra) => Some(extra),
                ExtraPlace::Vacant(_) => unreachable!("slot {slot} has an extra"),
            },
        }
    }

    /// A node's extra, which it gets now if it has none.
    pub(super) fn need_extra(&mut self, slot: u32, path: &str) -> &mut Extra {
        if self.slots.get(slot).extra == NIL {
            let packed = self.packed(slot);
            let content = ContentCrc::of(path, packed.data);
            let extra = Extra { content, ..Extra::of_leaf(packed.facts.czxid) };
            self.slots.get_mut(slot).extra = self.extras.insert(ExtraPlace::Used(extra));
        }
        self.own_extra_mut(slot).expect("it has one now")
    }

    /// The slots in a list of children.
    pub(super) fn children(&self, first: u32) -> impl Iterator<Item = u32> + use<'_> {
        let exists = |slot: u32| (slot != NIL).then_some(slot);
        std::iter::successors(exists(first), move |&slot| exists(self.slots.get(slot).next))
    }

    /// Puts a node in front of its parent's children.
    pub(super) fn link(&mut self, slot: u32, parent: u32) {
        let extra = self.own_extra_mut(parent).expect("a parent has an extra");
        let next = std::mem::replace(&mut extra.first_child, slot);
        extra.child_count += 1;
        let place = self.slots.get_mut(slot);
        (place.parent, place.previous, place.next) = (parent, NIL, next);
        if next != NIL {
            self.slots.get_mut(next).previous = slot;
        }
    }

    /// Takes a node out of its parent's children.
    pub(super) fn unlink(&mut self, slot: u32) {
        let Slot { parent, previous, next, .. } = *self.slots.get(slot);
        if next != NIL {
            self.slots.get_mut(next).previous = previous;
        }
        if previous != NIL {
            self.slots.get_mut(previous).next = next;
        }
        let extra = self.own_extra_mut(parent).expect("a parent has an extra");
        extra.child_count -= 1;
        if previous == NIL {
            extra.first_child = next;
        }
    }

    /// The CRC of a node's path, which the caller knows, and data.
    pub(super) fn content_crc(&self, slot: u32, path: &str) -> ContentCrc {
        match self.own_extra(slot) {
            Some(extra) => extra.content,
            None => ContentCrc::of(path, self.packed(slot).data),
        }
    }
}
