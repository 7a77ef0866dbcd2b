//! Waiting for something with a deadline: the only place of the tests that reads a clock or pauses.

use std::time::{Duration, Instant};

/// How long anything may take that normally takes milliseconds. Long, because the machine may be
/// busy; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The time passed since its creation.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts at zero.
    #[expect(clippy::disallowed_methods, reason = "tests stand outside the server")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Asks `probe` again and again until it answers, with short pauses.
///
/// # Panics
/// When it has not answered within `limit`; the message names `what`.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Stopwatch::start();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} for {what}");
        pause(Duration::from_millis(2));
    }
}

/// Lets `duration` pass. For pacing (a slow sender, a random moment of a kill), never for hoping
/// that something has happened meanwhile.
#[expect(clippy::disallowed_methods, reason = "tests stand outside the server")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
