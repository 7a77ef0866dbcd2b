//! Finds a node's slot by its parent's slot and its name.

use std::hash::Hasher;

use foldhash::{SharedSeed, fast::FoldHasher};
use hashbrown::HashTable;

/// A table that grows moves all it holds. So there are many, each of which is moved in a fraction
/// of a millisecond. The last gets twice the share of the first, so that they grow at different
/// times, and the room they keep in all is in proportion to the nodes, not to a power of two.
const SHARDS: usize = 1024;
/// How many parts the hashes are cut into, to be dealt out to the shards.
const PARTS: usize = 1 << 16;

/// Slot numbers by the hash of parent and name. The names themselves are not kept here: 5 bytes
/// a node, and what tables keep free.
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

    /// Makes room for about `nodes` in all.
    pub(super) fn reserve(&mut self, nodes: usize) {
        let mut parts = [0; SHARDS];
        (0..PARTS).for_each(|part| parts[shard_of_part(part)] += 1);
        for (shard, parts) in self.shards.iter_mut().zip(parts) {
            let share = nodes * parts / PARTS;
            shard.reserve(share, |_| unreachable!("nothing to move in an empty table"));
        }
    }
}

fn hash(seed: &SharedSeed, parent: u32, name: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(0, seed);
    hasher.write(name);
    hasher.write_u32(parent);
    hasher.finish()
}

/// The shard of a hash.
fn shard(hash: u64) -> usize {
    // Bits that the table inside a shard looks at last: it takes the lowest and the 7 highest.
    shard_of_part(usize::try_from(hash >> 40).expect("24 bits") % PARTS)
}

/// Bends the straight line from parts to shards so that it is twice as steep at its beginning.
fn shard_of_part(part: usize) -> usize {
    let bent = part + part * (PARTS - part) / PARTS * 11 / 32;
    bent * SHARDS / PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_shard_has_twice_the_share_of_the_first() {
        let mut parts = vec![0; SHARDS];
        (0..PARTS).for_each(|part| parts[shard_of_part(part)] += 1);
        assert!((46..=50).contains(&parts[0]) && (94..=98).contains(&parts[SHARDS - 1]));
        assert!(parts.windows(2).all(|pair| pair[1] + 3 >= pair[0]));
    }
}
