//! Fast leader election.

use quorate_protocol::Zxid;

use super::types::ServerId;

/// Whom a server wants as the leader, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The proposed leader.
    pub leader: ServerId,
    /// The last transaction in its log; -1 from a server that may have lost its data.
    pub zxid: Zxid,
    /// The epoch whose initial history it has.
    pub epoch: u32,
}

/// What a server says it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// It has no leader.
    Looking,
    /// It follows one.
    Following,
    /// It is the leader.
    Leading,
    /// It observes one.
    Observing,
}

/// A message of the election port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What its sender does.
    pub state: PeerState,
    /// Its vote.
    pub vote: Vote,
    /// The round of the election it is in, or was decided in.
    pub round: i64,
    /// The sender's configuration as text; empty when it sent none.
    pub config: Vec<u8>,
}
