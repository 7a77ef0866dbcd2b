//! The one clock of a run: every time in a history is nanoseconds since the run began, read here.

use std::time::{Duration, Instant};

/// Nanoseconds since the run began. All of a run's times come from one clock, so they can be
/// compared across clients.
pub type Nanos = u64;

/// A clock that began at zero. Copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins at zero.
    #[expect(clippy::disallowed_methods, reason = "the harness lives in real time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time now.
    pub fn now(self) -> Nanos {
        nanos(self.0.elapsed())
    }
}

/// A duration as a number of nanoseconds; 584 years at most.
pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
