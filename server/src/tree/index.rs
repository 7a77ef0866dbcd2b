//! Finds a node's slot by its parent's slot and its name.

use std::hash::Hasher;

use foldhash::{SharedSeed, fast::FoldHasher};
use hashbrown::HashTable;

/// A table that grows moves all it holds. So there are many, each of which is moved in a fraction
/// of a millisecond, and at different times.
const SHARDS: usize = 1024;

/// Slot numbers by the hash of parent and name. The names themselves are not kept here: 5 bytes
/// a node and load factor.
#[derive(Debug, Clone)]
pub(super) struct Index {
    shards: Vec<HashTable<u32>>,
    /// Clients choose names, so hashes must not be foreseeable to them.
    seed: SharedSeed,
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        Self { shards: vec![HashTable::new(); SHARDS], seed: SharedSeed::from_u64(seed) }
    }

    /// The hash the other methods want.
    pub(super) fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        hash(&self.seed, parent, name)
    }

    /// The slot with this hash that is the one meant.
    pub(super) fn find(&self, hash: u64, mut is_meant: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)].find(hash, |&slot| is_meant(slot)).copied()
    }

    /// Adds a slot that is not there yet. `key_of` tells parent and name of those that have to move.
    pub(super) fn insert<'n>(
        &mut self,
        hash: u64,
        slot: u32,
        key_of: impl Fn(u32) -> (u32, &'n [u8]),
    ) {
        let Self { shards, seed } = self;
        shards[shard(hash)].insert_unique(hash, slot, |&slot| {
            let (parent, name) = key_of(slot);
            self::hash(seed, parent, name)
        });
    }

    /// Removes a slot that is there.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        self.shards[shard(hash)]
            .find_entry(hash, |&candidate| candidate == slot)
            .expect("every node is in the index")
            .remove();
    }

    /// Makes room for `nodes` in all.
    pub(super) fn reserve(&mut self, nodes: usize) {
        for shard in &mut self.shards {
            shard.reserve(nodes / SHARDS, |_| unreachable!("nothing to move in an empty table"));
        }
    }
}

fn hash(seed: &SharedSeed, parent: u32, name: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(0, seed);
    hasher.write(name);
    hasher.write_u32(parent);
    hasher.finish()
}

/// Bits that the table inside a shard looks at last: it takes the lowest and the 7 highest.
fn shard(hash: u64) -> usize {
    usize::try_from(hash >> 40).expect("24 bits") % SHARDS
}
