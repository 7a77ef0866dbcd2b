//! Settings of ZAB.

use super::types::ServerId;

/// Settings of [`Zab`](super::Zab).
#[derive(Debug, Clone)]
pub struct Settings {
    /// This server.
    pub server: ServerId,
    /// `tickTime`: the unit of the limits below.
    pub tick_ms: i64,
    /// `initLimit`: how many ticks a learner may take to connect to a leader and to synchronize,
    /// and a leader to gather a quorum in each phase.
    pub init_limit: i64,
    /// `syncLimit`: how many ticks a server may be silent, or a proposal unacknowledged.
    pub sync_limit: i64,
    /// The counter of an epoch's transactions at which the leader goes on in a new epoch.
    pub roll_over: u32,
    /// `observerMasterPort`: followers serve observers, which learn from them and not from the
    /// leader.
    pub observer_masters: bool,
}

impl Settings {
    /// Where [`Settings::roll_over`] stands by default: far enough from the end for everything
    /// that may still be proposed until the new epoch.
    pub const ROLL_OVER: u32 = 0xF000_0000;

    pub(super) fn init_ms(&self) -> i64 {
        self.tick_ms * self.init_limit
    }

    pub(super) fn sync_ms(&self) -> i64 {
        self.tick_ms * self.sync_limit
    }
}
