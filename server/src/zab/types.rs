//! Names for servers, links and places in the log.

use std::fmt::{Display, Formatter};

/// A server of the ensemble: the number in its `myid` and in its `server.N` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

impl Display for ServerId {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// A connection of the quorum port, at either end. Never used again by another connection of this
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A place in the log of this server: how many records [`Zab`](super::Zab) has had appended since
/// the process began. What stands at a position is durable once the log says it is durable up to
/// there; positions become durable in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position(pub u64);

/// Votes, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// Takes part in quorums.
    Participant,
    /// Learns what was decided.
    Observer,
}

/// What a server can do beyond ZooKeeper's protocol, as both ends of a link have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u32);

impl Features {
    /// ZooKeeper's own protocol.
    pub const NONE: Self = Self(0);
    /// `ACK` and `COMMIT` mean everything up to their zxid.
    pub const CUMULATIVE: Self = Self(1);
    /// The leader may name the next one, who is followed without an election.
    pub const HAND_OVER: Self = Self(2);
    /// Everything this server can do.
    pub const ALL: Self = Self(Self::CUMULATIVE.0 | Self::HAND_OVER.0);

    /// Whether all of `other` is in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What both can do.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
