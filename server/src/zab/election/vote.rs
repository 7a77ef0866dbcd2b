//! What servers say to each other in an election.

use quorate_protocol::Zxid;

use crate::zab::{configs::Configs, types::ServerId};

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

impl Vote {
    /// What a server that does not vote sends, to be told of the leader.
    ///
    /// Compat: ZooKeeper's observers say the same.
    pub(super) const OBSERVER: Self =
        Self { leader: ServerId(i64::MIN), zxid: Zxid(i64::MIN), epoch: 0 };

    /// What a server sends that may have lost its data.
    ///
    /// Compat: ZOOKEEPER-261 gave zxid -1 this meaning; others leave such a vote out.
    pub(super) fn void(server: ServerId) -> Self {
        Self { leader: server, zxid: Zxid(-1), epoch: 0 }
    }

    pub(super) fn is_void(&self) -> bool {
        self.zxid == Zxid(-1)
    }

    /// Whether it shows that somebody has, or had, a history. Who may have lost its data says so,
    /// and others need not take themselves for new.
    pub(super) fn shows_data(&self) -> bool {
        self.epoch > 0 || self.zxid > Zxid::ZERO || self.is_void()
    }

    /// How late the history of its leader is.
    pub(super) fn history(&self) -> (u32, Zxid) {
        (self.epoch, self.zxid)
    }

    /// Whether its leader can be one.
    pub(super) fn is_eligible(&self, configs: &Configs) -> bool {
        configs.is_eligible(self.leader)
    }

    /// Whether it is to be preferred to another vote: its leader has the later history. ZooKeeper's
    /// order; a server that cannot be elected comes behind all that can, and of those with the same
    /// history one that only the last configuration seen lets be elected: who does not know of that
    /// cannot follow it.
    pub(super) fn beats(&self, other: &Self, configs: &Configs) -> bool {
        let is_known = |vote: &Self| configs.in_force().weight(vote.leader) > 0;
        let rank = |vote: &Self| (vote.epoch, vote.zxid, is_known(vote), vote.leader);
        self.is_eligible(configs) && (!other.is_eligible(configs) || rank(self) > rank(other))
    }
}
