//! Recipes: what is built from nodes, watches and sessions.
//!
//! * [`lock`]: mutexes, read-write locks, semaphores, several locks at once.
//! * [`leader`]: one of many leads.
//!
//! Their nodes are those of Apache Curator's recipes, so that programs with both libraries exclude
//! each other.

pub mod leader;
pub(crate) mod line;
pub mod lock;

use std::fmt;

use quorate_protocol::Zxid;

pub use self::line::Participant;

/// A number that grows with each holder of a lock, each leader, each lease: the zxid of the
/// transaction that created its node.
///
/// Hand it on with every write to a store outside, and let the store refuse a write with a smaller
/// number than it has seen: so a holder that was paused for long and does not know that it has
/// lost its lock does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(Zxid);

impl FencingToken {
    /// As a number, above zero.
    pub fn get(self) -> i64 {
        self.0.0
    }
}

impl From<Zxid> for FencingToken {
    fn from(zxid: Zxid) -> Self {
        Self(zxid)
    }
}

impl fmt::Display for FencingToken {
    /// As a decimal number: it goes to stores that know nothing of zxids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.fmt(f)
    }
}
