//! The ACLs in use, each once: trees have few of them and many nodes.

use std::{collections::BTreeMap, sync::Arc};

use quorate_protocol::{AclList, Decode, Decoder};

/// An ACL's number in one tree. Other trees number theirs differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclId(pub(super) u32);

impl AclId {
    /// The ACL that allows everyone everything, which needs no entry.
    pub const OPEN: Self = Self(0);

    /// Its number in a snapshot for ZooKeeper's servers.
    pub fn number_in_snapshot(self) -> i64 {
        if self == Self::OPEN { -1 } else { self.0.into() }
    }
}

/// A node's ACL as the tree keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredAcl<'a> {
    pub(super) id: AclId,
    pub(super) raw: &'a [u8],
}

impl<'a> StoredAcl<'a> {
    /// Stands for an ACL that is not known: `[unknown::]`, which allows nobody anything and no
    /// client can set.
    pub(super) const UNKNOWN: &'static [u8] = b"\0\0\0\x01\0\0\0\0\0\0\0\x07unknown\0\0\0\0";

    /// Equal numbers within one tree mean equal ACLs as long as both are in use.
    pub fn id(self) -> AclId {
        self.id
    }

    /// Whether it allows everyone everything; no look at the list is needed then.
    pub fn is_open(self) -> bool {
        self.id == AclId::OPEN
    }

    /// The encoded vector.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The list of its entries.
    pub fn list(self) -> AclList<'a> {
        AclList::from_bytes(self.raw).expect("checked before it was stored")
    }
}

#[derive(Debug, Clone)]
struct Entry {
    raw: Arc<[u8]>,
    nodes: u32,
}

/// Encoded ACLs by number.
///
/// Invariant: number n is `entries[n - 1]`; `numbers` has exactly the ones that are there.
#[derive(Debug, Clone, Default)]
pub(super) struct AclTable {
    entries: Vec<Option<Entry>>,
    vacant: Vec<u32>,
    numbers: BTreeMap<Arc<[u8]>, u32>,
}

impl AclTable {
    /// The number of `acl`, which one more node has now. `Compat:` a null list means open, as in
    /// `ReferenceCountedACLCache`.
    pub(super) fn acquire(&mut self, acl: AclList<'_>) -> AclId {
        let raw = match acl.raw() {
            None => return AclId::OPEN,
            Some(_) if acl.is_open() => return AclId::OPEN,
            Some(raw) => raw,
        };
        if let Some(&number) = self.numbers.get(raw) {
            self.acquire_again(AclId(number));
            return AclId(number);
        }
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len()).expect("fewer ACLs than nodes")
        });
        self.put(number, raw.into(), 1);
        AclId(number)
    }

    /// One more node has this ACL.
    pub(super) fn acquire_again(&mut self, id: AclId) {
        if let Some(index) = index(id) {
            self.entries[index].as_mut().expect("in use by a node").nodes += 1;
        }
    }

    /// One node less has this ACL.
    pub(super) fn release(&mut self, id: AclId) {
        let Some(index) = index(id) else { return };
        let entry = self.entries[index].as_mut().expect("in use by the node that releases it");
        entry.nodes -= 1;
        if entry.nodes == 0 {
            self.drop_entry(index);
        }
    }

    pub(super) fn get(&self, id: AclId) -> StoredAcl<'_> {
        let raw = match index(id) {
            None => AclList::OPEN,
            Some(index) => &self.entries[index].as_ref().expect("in use by a node").raw,
        };
        StoredAcl { id, raw }
    }

    /// Whether the number stands for an ACL.
    pub(super) fn contains(&self, id: AclId) -> bool {
        index(id).is_none_or(|index| self.entries.get(index).is_some_and(Option::is_some))
    }

    /// All ACLs with their numbers; the open one is not among them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Arc<[u8]>)> {
        (1..).zip(&self.entries).filter_map(|(n, entry)| Some((n, &entry.as_ref()?.raw)))
    }

    /// The table with these ACLs under these numbers, no node having any yet.
    ///
    /// # Errors
    /// The number of the first that is damaged or out of order.
    pub(super) fn rebuild(acls: &[(u32, Arc<[u8]>)]) -> Result<Self, u32> {
        let mut table = Self::default();
        let mut expected = 1;
        for (number, raw) in acls {
            let mut input = Decoder::new(raw);
            let is_list = AclList::decode(&mut input).is_ok_and(|list| list.raw().is_some());
            if !is_list || input.remaining() > 0 || *number < expected || *number == u32::MAX {
                return Err(*number);
            }
            // A gap is never larger than the highest number of ACLs there have been at once.
            table.vacant.extend(expected..*number);
            table.entries.resize(*number as usize, None);
            table.put(*number, Arc::clone(raw), 0);
            expected = number + 1;
        }
        Ok(table)
    }

    /// Forgets the ACLs that no node has: what [`Self::rebuild`] was given in excess.
    pub(super) fn forget_unused(&mut self) {
        for index in 0..self.entries.len() {
            if self.entries[index].as_ref().is_some_and(|entry| entry.nodes == 0) {
                self.drop_entry(index);
            }
        }
    }

    fn put(&mut self, number: u32, raw: Arc<[u8]>, nodes: u32) {
        self.numbers.insert(Arc::clone(&raw), number);
        let index = index(AclId(number)).expect("numbers begin at 1");
        self.entries[index] = Some(Entry { raw, nodes });
    }

    fn drop_entry(&mut self, index: usize) {
        if let Some(entry) = self.entries[index].take() {
            let number = self.numbers.remove(&entry.raw);
            self.vacant.extend(number);
        }
    }
}

/// Where the ACL with this number is; `None` for the open one.
fn index(id: AclId) -> Option<usize> {
    (id.0 as usize).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use quorate_protocol::{Acl, Encode, Perms};

    use super::*;

    fn bytes(perms: Perms) -> Vec<u8> {
        [Acl::world(perms)].to_bytes().to_vec()
    }

    #[test]
    fn equal_lists_share_a_number_until_the_last_node_goes() {
        let mut table = AclTable::default();
        let (read, write) = (bytes(Perms::READ), bytes(Perms::WRITE));
        let read_id = table.acquire(AclList::from_bytes(&read).unwrap());
        assert_eq!(table.acquire(AclList::from_bytes(&read).unwrap()), read_id);
        let write_id = table.acquire(AclList::from_bytes(&write).unwrap());
        assert_ne!(read_id, write_id);
        assert_eq!(table.get(read_id).raw(), read);
        table.release(read_id);
        assert!(table.contains(read_id));
        table.release(read_id);
        assert!(!table.contains(read_id));
        let all: Vec<_> = table.iter().map(|(n, raw)| (n, Arc::clone(raw))).collect();
        let mut again = AclTable::rebuild(&all).unwrap();
        assert_eq!(again.get(write_id).raw(), write);
        assert_eq!(again.acquire(AclList::from_bytes(&read).unwrap()), read_id);
        again.forget_unused();
        assert!(again.contains(read_id) && !again.contains(write_id));
    }

    #[test]
    fn null_and_open_lists_are_open() {
        let mut table = AclTable::default();
        for raw in [AclList::OPEN, &[0xff; 4]] {
            assert_eq!(table.acquire(AclList::from_bytes(raw).unwrap()), AclId::OPEN);
        }
        assert!(table.get(AclId::OPEN).is_open());
        assert_ne!(table.acquire(AclList::from_bytes(&[0; 4]).unwrap()), AclId::OPEN);
    }
}
