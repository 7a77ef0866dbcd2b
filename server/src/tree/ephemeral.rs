//! Which nodes go with which session.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::SessionId;

/// The slots of ephemeral nodes by owner.
///
/// Invariant: no session has an empty set.
#[derive(Debug, Clone, Default)]
pub(super) struct Ephemerals {
    owners: BTreeMap<SessionId, BTreeSet<u32>>,
    count: usize,
}

impl Ephemerals {
    pub(super) fn insert(&mut self, owner: SessionId, slot: u32) {
        let new = self.owners.entry(owner).or_default().insert(slot);
        assert!(new, "slot {slot} already belongs to session {owner}");
        self.count += 1;
    }

    pub(super) fn remove(&mut self, owner: SessionId, slot: u32) {
        let slots = self.owners.entry(owner).or_default();
        let gone = slots.remove(&slot);
        if slots.is_empty() {
            self.owners.remove(&owner);
        }
        assert!(gone, "slot {slot} does not belong to session {owner}");
        self.count -= 1;
    }

    /// The slots of a session in the order of their numbers.
    pub(super) fn of(&self, owner: SessionId) -> impl Iterator<Item = u32> {
        self.owners.get(&owner).into_iter().flatten().copied()
    }

    /// The sessions that own a node, in order.
    pub(super) fn owners(&self) -> impl Iterator<Item = SessionId> {
        self.owners.keys().copied()
    }

    /// How many there are in all.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}
