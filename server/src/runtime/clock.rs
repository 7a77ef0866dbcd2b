//! The only place where the server reads a clock.
#![expect(clippy::disallowed_methods, reason = "this is the clock everything else is given")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time since the server's start, and the time of day.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Time since the start. Never goes back; decides timeouts and latencies.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
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
    pub fn wall_ms() -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
