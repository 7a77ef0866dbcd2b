//! DIFF, TRUNC or SNAP.

use quorate_protocol::Zxid;

use crate::{storage::log::Epochs, zab::effect::SyncPlan};

/// How to bring a learner, whose last transaction is `last`, to a history with these epochs.
///
/// Nothing above `limit` may be taken as settled: a learner takes the point where the stream
/// begins to be committed, so what it has above is cut and comes again as proposals.
///
/// `is_native` tells that the learner judges itself whether it has what it is cut to, and comes
/// again if not; ZooKeeper's learners cut behind whatever is near it.
pub(in crate::zab) fn plan(epochs: &Epochs, limit: Zxid, last: Zxid, is_native: bool) -> SyncPlan {
    if last < epochs.floor() {
        // Also what a learner says that needs a snapshot (-1).
        return SyncPlan::Snap;
    }
    if epochs.contains(last) {
        return if last <= limit {
            SyncPlan::Diff { after: last }
        } else {
            SyncPlan::Trunc { to: limit }
        };
    }
    let Some(shared) = epochs.last_below(last) else { return SyncPlan::Snap };
    if last.counter() == 0 {
        // Compat: a ZooKeeper server says (e, 0) when it has the initial history of epoch e and
        // nothing of the epoch itself.
        return SyncPlan::Diff { after: shared.min(limit) };
    }
    if shared.epoch() == last.epoch() || is_native {
        SyncPlan::Trunc { to: shared.min(limit) }
    } else {
        SyncPlan::Snap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn z(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(epoch, counter)
    }

    /// Behind (2,5): (2,6) to (2,9), (4,1) to (4,3).
    fn epochs() -> Epochs {
        Epochs::from_ends(z(2, 5), vec![z(2, 9), z(4, 3)]).unwrap()
    }

    fn native(last: Zxid) -> SyncPlan {
        plan(&epochs(), z(4, 3), last, true)
    }

    fn java(last: Zxid) -> SyncPlan {
        plan(&epochs(), z(4, 3), last, false)
    }

    #[test]
    fn what_is_in_the_log_is_continued() {
        for last in [z(2, 5), z(2, 7), z(2, 9), z(4, 1), z(4, 3)] {
            assert_eq!(native(last), SyncPlan::Diff { after: last });
            assert_eq!(java(last), SyncPlan::Diff { after: last });
        }
    }

    #[test]
    fn what_the_log_does_not_reach_back_to_needs_a_snapshot() {
        for last in [Zxid(-1), Zxid::ZERO, z(1, 9), z(2, 0), z(2, 4)] {
            assert_eq!(native(last), SyncPlan::Snap, "{last}");
            assert_eq!(java(last), SyncPlan::Snap, "{last}");
        }
    }

    #[test]
    fn what_is_beyond_an_epochs_end_is_cut() {
        assert_eq!(native(z(2, 12)), SyncPlan::Trunc { to: z(2, 9) });
        assert_eq!(java(z(2, 12)), SyncPlan::Trunc { to: z(2, 9) });
        assert_eq!(java(z(4, 4)), SyncPlan::Trunc { to: z(4, 3) });
    }

    #[test]
    fn an_unknown_epoch_is_cut_off_where_the_learner_can_judge_it() {
        assert_eq!(native(z(3, 1)), SyncPlan::Trunc { to: z(2, 9) });
        assert_eq!(native(z(7, 2)), SyncPlan::Trunc { to: z(4, 3) });
        assert_eq!(java(z(3, 1)), SyncPlan::Snap);
        assert_eq!(java(z(7, 2)), SyncPlan::Snap);
    }

    #[test]
    fn counter_zero_stands_for_what_is_below() {
        assert_eq!(java(z(4, 0)), SyncPlan::Diff { after: z(2, 9) });
        assert_eq!(java(z(5, 0)), SyncPlan::Diff { after: z(4, 3) });
        assert_eq!(java(z(3, 0)), SyncPlan::Diff { after: z(2, 9) });
    }

    #[test]
    fn an_empty_history_is_continued_from_the_beginning() {
        let all = Epochs::from_ends(Zxid::ZERO, vec![z(1, 3)]).unwrap();
        assert_eq!(plan(&all, z(1, 3), Zxid::ZERO, false), SyncPlan::Diff { after: Zxid::ZERO });
        assert_eq!(plan(&all, z(1, 3), Zxid(-1), true), SyncPlan::Snap);
        let none = Epochs::new(Zxid::ZERO);
        assert_eq!(plan(&none, Zxid::ZERO, z(3, 4), true), SyncPlan::Trunc { to: Zxid::ZERO });
        assert_eq!(plan(&none, Zxid::ZERO, z(3, 0), false), SyncPlan::Diff { after: Zxid::ZERO });
    }

    #[test]
    fn what_is_not_committed_yet_is_cut_and_comes_again() {
        let at = |last| plan(&epochs(), z(4, 1), last, true);
        assert_eq!(at(z(4, 1)), SyncPlan::Diff { after: z(4, 1) });
        assert_eq!(at(z(4, 3)), SyncPlan::Trunc { to: z(4, 1) });
        assert_eq!(at(z(4, 7)), SyncPlan::Trunc { to: z(4, 1) });
        assert_eq!(at(z(6, 7)), SyncPlan::Trunc { to: z(4, 1) });
        assert_eq!(at(z(2, 8)), SyncPlan::Diff { after: z(2, 8) });
    }
}
