//! When and how long to try again.

use std::{ops::RangeInclusive, time::Duration};

/// How calls are repeated, and how long they wait for a connection.
///
/// Only what cannot do harm is repeated: calls that surely had no effect, and calls without any
/// (reads). A write whose outcome is unknown is repeated only if the caller declared it
/// repeatable. Two things can hold a call up:
/// * there is no connection: the call keeps its place and goes out on the next connection, unless
///   there is none for longer than [`max_elapsed`](Self::max_elapsed), or the call was on
///   [`max_attempts`](Self::max_attempts) connections that all broke;
/// * the server refuses for now (throttled, read-only, another reconfiguration is under way): the
///   call is made again after a pause. It is then a new call, behind all that were made meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    pause: RangeInclusive<Duration>,
    jitter: bool,
    max_attempts: u32,
    max_elapsed: Duration,
}

impl Default for RetryPolicy {
    /// Pauses from 50 ms to 5 s with jitter, 10 attempts, 30 s.
    fn default() -> Self {
        Self::exponential(Duration::from_millis(50)..=Duration::from_secs(5))
    }
}

impl RetryPolicy {
    /// Pauses that double, from the smaller bound up to the larger.
    pub fn exponential(pause: RangeInclusive<Duration>) -> Self {
        Self { pause, jitter: true, max_attempts: 10, max_elapsed: Duration::from_secs(30) }
    }

    /// Nothing is repeated, and a call without a connection fails at once.
    pub fn none() -> Self {
        let pause = Duration::ZERO..=Duration::ZERO;
        Self { pause, jitter: false, max_attempts: 1, max_elapsed: Duration::ZERO }
    }

    /// Whether each pause is drawn from the upper half of its length (so at the beginning).
    #[must_use]
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// How often a call is tried in all; at least once.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// For how long, from the beginning of an outage or from a call's first attempt.
    #[must_use]
    pub fn max_elapsed(mut self, elapsed: Duration) -> Self {
        self.max_elapsed = elapsed;
        self
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.max_attempts
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.max_elapsed
    }

    /// The pause after an attempt that failed, or `None` when there shall be no more: `attempts`
    /// were made, the first of them `elapsed` ago.
    pub(crate) fn pause(
        &self,
        attempts: u32,
        elapsed: Duration,
        random: &mut fastrand::Rng,
    ) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let pause = backoff(&self.pause, attempts.saturating_sub(1));
        let pause = if self.jitter { jittered(pause, random) } else { pause };
        (elapsed + pause <= self.max_elapsed).then_some(pause)
    }
}

/// The pause after `failures` that came before, doubled for each.
pub(crate) fn backoff(bounds: &RangeInclusive<Duration>, failures: u32) -> Duration {
    let factor = 1u32.checked_shl(failures).unwrap_or(u32::MAX);
    bounds.start().saturating_mul(factor).min(*bounds.end())
}

/// Somewhere in the upper half of `pause`.
pub(crate) fn jittered(pause: Duration, random: &mut fastrand::Rng) -> Duration {
    pause.mul_f64(random.f64().midpoint(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pauses_double_up_to_their_bound_and_end_with_either_limit() {
        let policy = RetryPolicy::exponential(ms(10)..=ms(50)).jitter(false).max_attempts(6);
        let random = &mut fastrand::Rng::with_seed(1);
        let pauses: Vec<_> = (1..=6).map(|n| policy.pause(n, Duration::ZERO, random)).collect();
        let pause = |n| Some(ms(n));
        assert_eq!(pauses, [pause(10), pause(20), pause(40), pause(50), pause(50), None]);
        let policy = policy.max_elapsed(ms(100));
        assert_eq!(policy.pause(1, ms(90), random), pause(10));
        assert_eq!(policy.pause(1, ms(91), random), None);
        assert_eq!(RetryPolicy::none().pause(1, Duration::ZERO, random), None);
    }

    #[test]
    fn jitter_stays_in_the_upper_half() {
        let random = &mut fastrand::Rng::with_seed(2);
        for _ in 0..1000 {
            let pause = jittered(ms(100), random);
            assert!((ms(50)..=ms(100)).contains(&pause), "{pause:?}");
        }
        assert_eq!(backoff(&(ms(1)..=ms(1000)), 200), ms(1000));
    }
}
