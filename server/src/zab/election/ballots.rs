//! What was last heard from each voter.

use std::collections::{BTreeMap, BTreeSet};

use super::vote::{Notification, PeerState, Vote};
use crate::zab::types::ServerId;

/// The last notification of a voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ballot {
    pub(super) state: PeerState,
    pub(super) vote: Vote,
    pub(super) round: i64,
}

impl Ballot {
    pub(super) fn of(notification: &Notification) -> Self {
        let Notification { state, vote, round, .. } = notification;
        Self { state: *state, vote: *vote, round: *round }
    }

    /// Whether its voter belongs to an ensemble with a leader, or thinks so.
    pub(super) fn has_leader(&self) -> bool {
        matches!(self.state, PeerState::Following | PeerState::Leading)
    }

    /// Whether it says the same as the ballot of a server that has a leader.
    ///
    /// Compat: those who have a leader may have come to it in different rounds and with different
    /// zxids (ZOOKEEPER-1732, ZOOKEEPER-1805), so leader and epoch must do; who still looks has
    /// to agree in everything.
    fn agrees_with(&self, settled: &Self) -> bool {
        if self.has_leader() {
            (self.vote.leader, self.vote.epoch) == (settled.vote.leader, settled.vote.epoch)
        } else {
            self.vote == settled.vote && self.round == settled.round
        }
    }
}

/// The last ballot of each voter, this server's own among them.
///
/// One ballot each: what a server said before does not count any more, whether it has changed its
/// vote, its round, or has found or lost a leader.
#[derive(Debug, Default)]
pub(super) struct Ballots(BTreeMap<ServerId, Ballot>);

impl Ballots {
    /// Files a ballot; whether it says anything new.
    pub(super) fn insert(&mut self, voter: ServerId, ballot: Ballot) -> bool {
        self.0.insert(voter, ballot) != Some(ballot)
    }

    pub(super) fn remove(&mut self, voter: ServerId) {
        self.0.remove(&voter);
    }

    /// Forgets the ballots of all but these.
    pub(super) fn retain(&mut self, counts: impl Fn(ServerId) -> bool) {
        self.0.retain(|&voter, _| counts(voter));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn get(&self, voter: ServerId) -> Option<&Ballot> {
        self.0.get(&voter)
    }

    /// Who votes for this, in this round.
    pub(super) fn for_vote(&self, vote: &Vote, round: i64) -> BTreeSet<ServerId> {
        self.who(|ballot| ballot.vote == *vote && ballot.round == round)
    }

    /// Which voters do not know that they are.
    pub(super) fn unaware(&self) -> BTreeSet<ServerId> {
        self.who(|ballot| ballot.state == PeerState::Looking && ballot.vote == Vote::OBSERVER)
    }

    /// The ballots of those who have a leader, each with all who agree.
    pub(super) fn settled(&self) -> impl Iterator<Item = (Ballot, BTreeSet<ServerId>)> {
        let settled = self.0.values().filter(|ballot| ballot.has_leader());
        settled.map(|settled| (*settled, self.who(|ballot| ballot.agrees_with(settled))))
    }

    /// Who has turned to another leader than the one elected in a round, then or later.
    pub(super) fn against(&self, leader: ServerId, round: i64) -> BTreeSet<ServerId> {
        self.who(|ballot| {
            ballot.vote.leader != leader
                && ballot.vote != Vote::OBSERVER
                && (ballot.has_leader() || ballot.round >= round)
        })
    }

    fn who(&self, fits: impl Fn(&Ballot) -> bool) -> BTreeSet<ServerId> {
        self.0.iter().filter(|(_, ballot)| fits(ballot)).map(|(&voter, _)| voter).collect()
    }
}
