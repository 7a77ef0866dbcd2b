//! The only place where the server reads a clock.
#![expect(clippy::disallowed_methods, reason = "this is the clock everything else is given")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Monotonic time since the server's start, and the time of day.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    Machine {
        start: Instant,
    },
    /// Microseconds, counted by somebody else.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Source::Machine { start: Instant::now() })
    }

    /// A clock that shows the microseconds in `time`, also as the time of day since 1970: for
    /// simulations.
    pub fn simulated(time: Arc<AtomicU64>) -> Self {
        Self(Source::Virtual(time))
    }

    /// Time since the start. Never goes back; decides timeouts and latencies.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::Machine { start } => start.elapsed(),
            Source::Virtual(time) => Duration::from_micros(time.load(Relaxed)),
        }
    }

    /// [`Self::elapsed`] in milliseconds.
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// [`Self::elapsed`] in microseconds.
    pub fn now_us(&self) -> i64 {
        i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Milliseconds since 1970 by the time of day. Goes into transactions; decides nothing.
    pub fn wall_ms(&self) -> i64 {
        let since = match &self.0 {
            Source::Machine { .. } => {
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
            }
            Source::Virtual(_) => self.elapsed(),
        };
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// From one reading of [`Clock::now_us`] to a later one; nothing when they come in the wrong order.
pub fn between_us(earlier: i64, later: i64) -> Duration {
    Duration::from_micros((later - earlier).max(0).unsigned_abs())
}
