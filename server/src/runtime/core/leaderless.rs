//! Why there is no leader, for the log that people read.

use tracing::warn;

use super::{Core, Duty};
use crate::runtime::shared::Shared;

/// After how many ticks without a leader it is said why: far more than an election takes.
const FIRST_TICKS: i64 = 5;
/// The longest time between two times that it is said, in ticks.
const PAUSE_MAX_TICKS: i64 = 60;

/// A time without a leader.
pub(super) struct Leaderless {
    since_ms: i64,
    /// When to say so.
    next_ms: i64,
}

impl Core {
    /// Some time has passed; says so if there has been no leader all the time.
    pub(super) fn look_for_leader(&mut self, shared: &Shared) {
        let (Some(ensemble), Duty::Looking { .. } | Duty::ReadOnly) = (&self.ensemble, &self.duty)
        else {
            self.leaderless = None;
            return;
        };
        let now_ms = shared.clock.now_ms();
        let tick_ms = ensemble.zab.settings().tick_ms;
        let next_ms = now_ms + FIRST_TICKS * tick_ms;
        let leaderless = self.leaderless.get_or_insert(Leaderless { since_ms: now_ms, next_ms });
        if now_ms < leaderless.next_ms {
            return;
        }
        let lasts_ms = now_ms - leaderless.since_ms;
        leaderless.next_ms = now_ms + lasts_ms.min(PAUSE_MAX_TICKS * tick_ms);
        let me = ensemble.zab.settings().server;
        let why = match (ensemble.zab.standing(), ensemble.zab.leader()) {
            (Some(standing), _) => standing.to_string(),
            (None, Some(leader)) if leader == me => {
                "this server was elected and waits for a quorum to follow it".to_owned()
            }
            (None, Some(leader)) => {
                format!("server {leader} was elected, and this server waits to be taken by it")
            }
            (None, None) => ensemble.zab.reason().to_owned(),
        };
        warn!(seconds = lasts_ms / 1000, "there is no leader: {why}");
    }
}
