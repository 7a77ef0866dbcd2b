//! Which transactions a log has.

use quorate_protocol::Zxid;

/// The zxids in a log. Those of an epoch are consecutive, so an epoch takes one entry however many
/// transactions it had.
///
/// Invariants: epochs grow; `floor` is below the first transaction; in each entry
/// `first <= last`, both of the entry's epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Epochs {
    floor: Zxid,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    first: Zxid,
    last: Zxid,
}

impl Epochs {
    /// An empty log that begins behind `floor`.
    pub fn behind(floor: Zxid) -> Self {
        Self { floor, entries: Vec::new() }
    }

    /// Whether `zxid` may stand behind `last`: it is the next of the epoch, or the first of a
    /// later one.
    pub fn follows(last: Zxid, zxid: Zxid) -> bool {
        last.next() == Some(zxid) || (zxid.epoch() > last.epoch() && zxid.counter() == 1)
    }

    /// Adds the consecutive transactions `first..=last` of one epoch, where `first` follows what
    /// is there.
    pub fn append(&mut self, first: Zxid, last: Zxid) {
        debug_assert!(first <= last && first.epoch() == last.epoch(), "{first} to {last}");
        debug_assert!(Self::follows(self.last(), first), "{first} behind {}", self.last());
        match self.entries.last_mut() {
            Some(entry) if entry.last.epoch() == first.epoch() => entry.last = last,
            _ => self.entries.push(Entry { first, last }),
        }
    }

    /// Takes away what is above `to`, which is in the log or its floor.
    pub fn truncate(&mut self, to: Zxid) {
        debug_assert!(self.contains(to), "{to} is not there");
        while let Some(entry) = self.entries.last_mut() {
            if entry.first <= to {
                entry.last = entry.last.min(to);
                break;
            }
            self.entries.pop();
        }
    }

    /// What the log begins behind: the last transaction that only a snapshot holds.
    pub fn floor(&self) -> Zxid {
        self.floor
    }

    /// The last transaction, or the floor of an empty log.
    pub fn last(&self) -> Zxid {
        self.entries.last().map_or(self.floor, |entry| entry.last)
    }

    /// Whether the log goes on behind `zxid`: that is one of its transactions, or its floor.
    pub fn contains(&self, zxid: Zxid) -> bool {
        zxid == self.floor
            || self.entry(zxid.epoch()).is_some_and(|e| e.first <= zxid && zxid <= e.last)
    }

    /// The last transaction of an epoch, if there is one above the floor.
    pub fn last_of(&self, epoch: u32) -> Option<Zxid> {
        self.entry(epoch).map(|entry| entry.last)
    }

    /// The greatest zxid below `zxid` that [`Epochs::contains`]; the floor if there is none.
    pub fn last_below(&self, zxid: Zxid) -> Zxid {
        let behind = self.entries.partition_point(|entry| entry.first < zxid);
        match behind.checked_sub(1).map(|at| self.entries[at]) {
            Some(entry) if entry.last < zxid => entry.last,
            // The first is below and the last is not, so the one before it is of the epoch, too.
            Some(_) => Zxid(zxid.0 - 1),
            None => self.floor,
        }
    }

    fn entry(&self, epoch: u32) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&epoch, |entry| entry.last.epoch()).ok()?;
        self.entries.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn z(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(epoch, counter)
    }

    /// Behind (1,5): (1,6) to (1,9), (3,1) to (3,4), (7,1).
    fn table() -> Epochs {
        let mut epochs = Epochs::behind(z(1, 5));
        epochs.append(z(1, 6), z(1, 8));
        epochs.append(z(1, 9), z(1, 9));
        epochs.append(z(3, 1), z(3, 4));
        epochs.append(z(7, 1), z(7, 1));
        epochs
    }

    #[test]
    fn contains_what_was_appended_and_the_floor() {
        let epochs = table();
        for there in [z(1, 5), z(1, 6), z(1, 9), z(3, 1), z(3, 4), z(7, 1)] {
            assert!(epochs.contains(there), "{there}");
        }
        for absent in [z(0, 0), z(1, 4), z(1, 10), z(2, 0), z(3, 0), z(3, 5), z(7, 2), Zxid(-1)] {
            assert!(!epochs.contains(absent), "{absent}");
        }
        assert_eq!(epochs.last(), z(7, 1));
        assert_eq!(epochs.last_of(1), Some(z(1, 9)));
        assert_eq!(epochs.last_of(2), None);
    }

    #[test]
    fn finds_the_greatest_below() {
        let epochs = table();
        assert_eq!(epochs.last_below(z(7, 1)), z(3, 4));
        assert_eq!(epochs.last_below(z(9, 0)), z(7, 1));
        assert_eq!(epochs.last_below(z(3, 3)), z(3, 2));
        assert_eq!(epochs.last_below(z(3, 0)), z(1, 9));
        assert_eq!(epochs.last_below(z(2, 0)), z(1, 9));
        assert_eq!(epochs.last_below(z(1, 7)), z(1, 6));
        assert_eq!(epochs.last_below(z(1, 6)), z(1, 5));
        assert_eq!(epochs.last_below(z(1, 2)), z(1, 5), "the floor, for want of a lower one");
    }

    #[test]
    fn a_cut_takes_away_all_above() {
        let mut epochs = table();
        epochs.truncate(z(3, 2));
        assert_eq!(epochs.last(), z(3, 2));
        assert_eq!(epochs.last_of(7), None);
        epochs.truncate(z(1, 9));
        assert_eq!((epochs.last(), epochs.last_of(3)), (z(1, 9), None));
        epochs.truncate(z(1, 5));
        assert_eq!(epochs, Epochs::behind(z(1, 5)));
        epochs.append(z(2, 1), z(2, 1));
        assert_eq!(epochs.last(), z(2, 1));
    }
}
