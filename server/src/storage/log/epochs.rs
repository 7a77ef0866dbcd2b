//! Which transactions a log holds, in a few words.
//!
//! Within an epoch zxids are consecutive, and the first one of an epoch has the counter 1. So the
//! last transaction of each epoch and the one before the oldest describe them all.

use quorate_protocol::Zxid;

/// The epoch table of a log: exactly which transactions are in it.
///
/// Two logs that hold the same zxid hold the same history up to it. So what a server lacks, or has
/// too much of, can be told from its last zxid and the other's table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Epochs {
    /// The last transaction before the oldest one here.
    floor: Zxid,
    /// The last transaction of each epoch that has some behind the floor, ascending.
    ends: Vec<Zxid>,
}

impl Epochs {
    /// The table of an empty log that continues `floor`.
    pub fn new(floor: Zxid) -> Self {
        Self { floor, ends: Vec::new() }
    }

    /// The table with this floor and these last transactions of epochs; `None` when there is no
    /// such table.
    pub fn from_ends(floor: Zxid, ends: Vec<Zxid>) -> Option<Self> {
        let is_counted = ends.iter().all(|end| end.counter() > 0 && *end > floor);
        let is_ascending = ends.is_sorted_by(|a, b| a < b && a.epoch() < b.epoch());
        (is_counted && is_ascending).then_some(Self { floor, ends })
    }

    /// The last transaction of each epoch that has some behind the floor, ascending.
    pub fn ends(&self) -> &[Zxid] {
        &self.ends
    }

    /// The last transaction before the oldest one: where the log begins. A history that ends there
    /// can be continued from the log, one that ends below cannot.
    pub fn floor(&self) -> Zxid {
        self.floor
    }

    /// The last transaction; the floor when there is none.
    pub fn last(&self) -> Zxid {
        self.ends.last().copied().unwrap_or(self.floor)
    }

    /// Whether a history that ends with `zxid` can be continued from the log: `zxid` is one of its
    /// transactions, or the floor.
    pub fn contains(&self, zxid: Zxid) -> bool {
        let is_transaction = || zxid > self.floor && zxid.counter() > 0;
        let is_within = || self.end_of(zxid.epoch()).is_some_and(|end| zxid <= end);
        zxid == self.floor || (is_transaction() && is_within())
    }

    /// The last transaction of `epoch`, when it is here or is the floor.
    pub fn last_of(&self, epoch: u32) -> Option<Zxid> {
        let floor = self.floor;
        let at_floor = (floor.epoch() == epoch && floor.counter() > 0).then_some(floor);
        self.end_of(epoch).or(at_floor)
    }

    /// The greatest zxid below `zxid` that the log [contains](Self::contains); `None` when `zxid`
    /// is not above the floor.
    pub fn last_below(&self, zxid: Zxid) -> Option<Zxid> {
        if zxid <= self.floor {
            return None;
        }
        let before = Zxid(zxid.0 - 1);
        if self.contains(before) {
            return Some(before);
        }
        let ended = self.ends.partition_point(|end| *end < zxid);
        Some(ended.checked_sub(1).map_or(self.floor, |index| self.ends[index]))
    }

    /// Adds the transaction that follows the last one, or all of its epoch up to `zxid`.
    pub fn extend(&mut self, zxid: Zxid) {
        debug_assert!(zxid > self.last(), "transactions come in order");
        match self.ends.last_mut().filter(|end| end.epoch() == zxid.epoch()) {
            Some(end) => *end = zxid,
            None => self.ends.push(zxid),
        }
    }

    /// Forgets the transactions above `to`, which the log contains.
    pub fn truncate(&mut self, to: Zxid) {
        debug_assert!(self.contains(to), "a log is cut behind one of its transactions");
        self.ends.retain(|end| *end < to);
        if to > self.floor {
            self.ends.push(to);
        }
    }

    /// Forgets the transactions up to `floor`, which the log contains.
    pub fn raise_floor(&mut self, floor: Zxid) {
        debug_assert!(floor >= self.floor, "a floor is raised");
        self.floor = floor;
        self.ends.retain(|end| *end > floor);
    }

    fn end_of(&self, epoch: u32) -> Option<Zxid> {
        let index = self.ends.binary_search_by_key(&epoch, |end| end.epoch()).ok()?;
        Some(self.ends[index])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LAST_EPOCH: u32 = 6;
    const LAST_COUNTER: u32 = 7;

    /// The table, and the floor and the transactions one by one.
    #[derive(Debug, Clone)]
    struct Both {
        epochs: Epochs,
        model: BTreeSet<Zxid>,
    }

    impl Both {
        fn new(floor: Zxid) -> Self {
            Self { epochs: Epochs::new(floor), model: BTreeSet::from([floor]) }
        }

        fn push(&mut self, zxid: Zxid) {
            self.epochs.extend(zxid);
            self.model.insert(zxid);
        }

        fn last(&self) -> Zxid {
            *self.model.last().unwrap()
        }

        fn pick(&self, choice: usize) -> Zxid {
            *self.model.iter().nth(choice % self.model.len()).unwrap()
        }

        fn step(&mut self, action: u8, choice: usize) {
            let last = self.last();
            match action {
                0..6 => self.push(last.next().unwrap()),
                6 => {
                    let skipped = u32::from(choice.is_multiple_of(2));
                    self.push(Zxid::new(last.epoch() + 1 + skipped, 1));
                }
                7 => {
                    let to = self.pick(choice);
                    self.epochs.truncate(to);
                    self.model.retain(|zxid| *zxid <= to);
                }
                _ => {
                    let floor = self.pick(choice);
                    self.epochs.raise_floor(floor);
                    self.model.retain(|zxid| *zxid >= floor);
                }
            }
        }

        fn check(&self) {
            let Self { epochs, model } = self;
            assert_eq!((epochs.floor(), epochs.last()), (*model.first().unwrap(), self.last()));
            for epoch in 0..=LAST_EPOCH {
                let of_epoch = |zxid: &&Zxid| zxid.epoch() == epoch && zxid.counter() > 0;
                let expected = model.iter().rfind(of_epoch).copied();
                assert_eq!(epochs.last_of(epoch), expected, "{epochs:?}, epoch {epoch}");
                for counter in 0..=LAST_COUNTER {
                    let zxid = Zxid::new(epoch, counter);
                    assert_eq!(epochs.contains(zxid), model.contains(&zxid), "{epochs:?} {zxid}");
                    let below = model.range(..zxid).next_back().copied();
                    assert_eq!(epochs.last_below(zxid), below, "{epochs:?}, below {zxid}");
                }
            }
            let again = Epochs::from_ends(epochs.floor(), epochs.ends().to_vec());
            assert_eq!(again.as_ref(), Some(epochs));
        }
    }

    proptest! {
        #[test]
        fn it_knows_each_transaction(
            epoch in 0_u32..2,
            counter in 0_u32..3,
            steps in prop::collection::vec((0_u8..9, any::<usize>()), 0..20),
        ) {
            let mut both = Both::new(Zxid::new(epoch, counter));
            both.check();
            for (action, choice) in steps {
                both.step(action, choice);
                both.check();
            }
        }
    }

    #[test]
    fn a_new_log_continues_what_is_before_it() {
        let epochs = Epochs::new(Zxid::ZERO);
        assert!(epochs.contains(Zxid::ZERO) && !epochs.contains(Zxid(1)));
        assert_eq!((epochs.last_of(0), epochs.last_below(Zxid(9))), (None, Some(Zxid::ZERO)));
        let behind_a_snapshot = Epochs::new(Zxid::new(3, 50));
        assert_eq!(behind_a_snapshot.last_of(3), Some(Zxid::new(3, 50)));
        assert_eq!(behind_a_snapshot.last_below(Zxid::new(3, 50)), None);
    }

    #[test]
    fn impossible_tables_are_refused() {
        let table = |ends: &[(u32, u32)]| {
            let ends = ends.iter().map(|&(epoch, counter)| Zxid::new(epoch, counter));
            Epochs::from_ends(Zxid::new(2, 5), ends.collect())
        };
        assert!(table(&[(2, 6), (4, 1)]).is_some());
        for wrong in [&[(2, 5)][..], &[(1, 9)], &[(3, 0)], &[(4, 1), (3, 1)], &[(3, 1), (3, 2)]] {
            assert_eq!(table(wrong), None, "{wrong:?}");
        }
    }
}
