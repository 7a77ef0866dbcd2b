//! When something happened, as a zxid that is known only in part.

use crate::history::Zxid;

/// The zxid of one change: it is above `after` and at most `by`.
///
/// Every answer of a server narrows it. Answers that leave nothing contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    after: Zxid,
    by: Zxid,
}

/// The answer that does not fit is against what others say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contradiction;

impl Slot {
    /// Nothing is known, not even whether it happened.
    pub(super) const OPEN: Self = Self { after: Zxid(0), by: Zxid(i64::MAX) };

    /// Exactly there.
    pub(super) const fn at(zxid: Zxid) -> Self {
        Self { after: Zxid(zxid.0 - 1), by: zxid }
    }

    /// The exact zxid, if there is only one left.
    pub(super) fn exact(self) -> Option<Zxid> {
        (self.by.0 - 1 == self.after.0).then_some(self.by)
    }

    /// Whether it certainly happened, at whatever time.
    pub(super) fn happened(self) -> bool {
        self.by.0 < i64::MAX
    }

    /// Whether it certainly had happened at `zxid`.
    pub(super) fn happened_by(self, zxid: Zxid) -> bool {
        self.by <= zxid
    }

    /// Whether it may have happened by `zxid`.
    pub(super) fn may_have_happened_by(self, zxid: Zxid) -> bool {
        self.after < zxid
    }

    /// The least it can be.
    pub(super) fn least(self) -> Zxid {
        Zxid(self.after.0 + 1)
    }

    /// The most it can be; the greatest number there is when it may not have happened.
    pub(super) fn most(self) -> Zxid {
        self.by
    }

    /// It happened by `zxid`.
    pub(super) fn at_most(&mut self, zxid: Zxid) -> Result<(), Contradiction> {
        self.narrow(Self { after: Zxid(0), by: zxid })
    }

    /// It had not happened at `zxid`.
    pub(super) fn later_than(&mut self, zxid: Zxid) -> Result<(), Contradiction> {
        self.narrow(Self { after: zxid, by: Zxid(i64::MAX) })
    }

    /// It happened at `zxid`.
    pub(super) fn exactly(&mut self, zxid: Zxid) -> Result<(), Contradiction> {
        self.narrow(Self::at(zxid))
    }

    /// Both hold. A contradiction leaves it as it was.
    pub(super) fn narrow(&mut self, other: Self) -> Result<(), Contradiction> {
        let both = Self { after: self.after.max(other.after), by: self.by.min(other.by) };
        if both.after >= both.by {
            return Err(Contradiction);
        }
        *self = both;
        Ok(())
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.exact(), self.happened()) {
            (Some(zxid), _) => write!(f, "{zxid}"),
            (None, true) => write!(f, "above {}, at most {}", self.after, self.by),
            (None, false) => write!(f, "above {} or never", self.after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_narrow_it_until_they_contradict() {
        let mut slot = Slot::OPEN;
        assert!(!slot.happened());
        slot.later_than(Zxid(5)).unwrap();
        slot.at_most(Zxid(9)).unwrap();
        assert!(slot.happened() && slot.happened_by(Zxid(9)) && !slot.happened_by(Zxid(8)));
        assert!(slot.may_have_happened_by(Zxid(6)) && !slot.may_have_happened_by(Zxid(5)));
        assert_eq!(slot.exact(), None);
        assert_eq!(slot.at_most(Zxid(5)), Err(Contradiction));
        assert_eq!(slot.later_than(Zxid(9)), Err(Contradiction));
        slot.at_most(Zxid(6)).unwrap();
        assert_eq!(slot.exact(), Some(Zxid(6)));
        assert_eq!(slot, Slot::at(Zxid(6)));
        assert_eq!(slot.exactly(Zxid(7)), Err(Contradiction));
    }
}
