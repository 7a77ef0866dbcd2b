//! The throttle of new connections: a bucket of tokens. Pure: what time it is is an argument.

use crate::config::ConnectionThrottle;

/// Tokens, of which every connect record takes some; more come in with time.
#[derive(Debug)]
pub struct TokenBucket {
    settings: ConnectionThrottle,
    tokens: u32,
    /// Up to when tokens have come in.
    filled_ms: i64,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(settings: ConnectionThrottle, now_ms: i64) -> Self {
        Self { tokens: settings.tokens, settings, filled_ms: now_ms }
    }

    /// Takes the tokens for a new session or for a reconnect; false when they are not there.
    pub fn take(&mut self, reconnect: bool, now_ms: i64) -> bool {
        self.fill(now_ms);
        let price = if reconnect { self.settings.reconnect } else { self.settings.new_session };
        match self.tokens.checked_sub(price) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    fn fill(&mut self, now_ms: i64) {
        let period = i64::try_from(self.settings.fill_time.as_millis()).unwrap_or(i64::MAX).max(1);
        let times = (now_ms - self.filled_ms) / period;
        if times <= 0 {
            return;
        }
        self.filled_ms += times * period;
        let come = times.saturating_mul(self.settings.fill_count.into());
        let come = u32::try_from(come).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(come).min(self.settings.tokens);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn throttle() -> ConnectionThrottle {
        ConnectionThrottle {
            tokens: 6,
            fill_time: Duration::from_millis(10),
            fill_count: 2,
            new_session: 3,
            reconnect: 2,
        }
    }

    #[test]
    fn connections_take_what_they_weigh_until_nothing_is_left() {
        let mut bucket = TokenBucket::new(throttle(), 100);
        assert!(bucket.take(false, 100));
        assert!(bucket.take(true, 105));
        assert!(!bucket.take(true, 109), "1 is left");
        assert!(bucket.take(false, 110), "2 came in");
        assert!(!bucket.take(true, 119));
    }

    #[test]
    fn no_part_of_the_time_is_lost_and_the_bucket_does_not_overflow() {
        let mut bucket = TokenBucket::new(throttle(), 0);
        assert!(bucket.take(false, 0) && bucket.take(false, 0));
        assert!(!bucket.take(true, 9));
        assert!(bucket.take(true, 19), "2 at 10");
        assert!(bucket.take(true, 20), "2 at 20, and not at 29");
        for _ in 0..2 {
            assert!(bucket.take(false, i64::MAX));
        }
        assert!(!bucket.take(true, i64::MAX));
    }
}
