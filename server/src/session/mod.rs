//! Sessions: their ids, their passwords, and when they expire.
//!
//! Which sessions exist is part of the replicated tree. Here is what a server adds to that: how it
//! names a new session, how a client proves that a session is its own, and, at the server that
//! leads, when a session that was not heard of has to end. Nothing here reads a clock.

mod id;
mod password;
mod tracker;

pub use id::{SessionIds, server_of};
pub use password::{PASSWORD_SIZE, Passwords};
pub use tracker::{State, Tracker};

/// Which timeouts the server grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutRange {
    /// `minSessionTimeout` in milliseconds.
    pub min_ms: i32,
    /// `maxSessionTimeout` in milliseconds. Invariant: `min_ms <= max_ms`.
    pub max_ms: i32,
}

impl TimeoutRange {
    /// The timeout a client gets that asks for `wanted_ms`, whatever it asks for.
    pub fn negotiate(self, wanted_ms: i32) -> i32 {
        wanted_ms.clamp(self.min_ms, self.max_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_granted_within_the_range() {
        let range = TimeoutRange { min_ms: 4000, max_ms: 40_000 };
        for (wanted, granted) in
            [(i32::MIN, 4000), (-1, 4000), (0, 4000), (4001, 4001), (i32::MAX, 40_000)]
        {
            assert_eq!(range.negotiate(wanted), granted);
        }
    }
}
