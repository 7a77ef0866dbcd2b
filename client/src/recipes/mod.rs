//! Recipes: what is built from nodes, watches and sessions.
//!
//! * [`lock`]: mutexes, read-write locks, semaphores, several locks at once.
//! * [`leader`]: one of many leads.
//! * [`barrier`]: some wait until all are there, or until somebody lets them pass.
//! * [`shared`]: counters, and values that are changed only if they are what they were.
//! * [`queue`]: what one puts, one of many takes.
//! * [`membership`]: who is there; nodes that are kept; a set divided among those who are there.
//! * `discovery` (feature `discovery`): instances of services, and where they are.
//!
//! Their nodes are those of Apache Curator's recipes, and of kazoo's where Curator has none, so that
//! programs with these libraries work together.
//!
//! # What all have in common
//! * Nothing is left behind: a node that stands for a participant is ephemeral and told from all
//!   others, so that one whose creation was interrupted is found again, and one that was given up is
//!   deleted as soon as there is a connection, or goes with the session.
//! * Whoever depends on a session has a value with `lost()`, which warns before that session can have
//!   expired: see [`Loss`]. The value's calls fail with
//!   [`ErrorKind::SessionLost`](crate::ErrorKind::SessionLost) once the session is gone, even if the
//!   client has a new one.
//! * A write whose answer was lost is looked after: it is repeated when it was surely not done,
//!   counts as done when it surely was, and otherwise the call fails with an error that says so
//!   ([`Error::surely_not_done`] is false).

pub mod barrier;
#[cfg(feature = "discovery")]
pub mod discovery;
pub mod leader;
pub(crate) mod line;
pub mod lock;
mod loss;
pub mod membership;
mod own_node;
pub mod queue;
pub mod shared;

use std::fmt;

use quorate_protocol::Zxid;

pub use self::{line::Participant, loss::Loss};
use crate::{Client, error::Error};

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

/// Creates a persistent node, unless it is there, and its parents.
async fn ensure_node(client: &Client, path: &str) -> Result<(), Error> {
    match client.create(path, b"").repeatable().with_parents().await {
        Err(error) if !error.is_node_exists() => Err(error),
        _ => Ok(()),
    }
}
