//! How a server that looks for a leader takes what it hears, and when it is content.

use std::collections::BTreeSet;

use super::{
    Activity, Ballot, Decision, Election, FINALIZE_MS, Looking, Notification, PeerState, RESEND_MS,
    STRANGERS_MAX, Settled, Vote,
};
use crate::zab::{
    effect::Effect,
    types::{Member, ServerId},
};

impl Election {
    /// Begins a round with the vote for itself.
    pub(super) fn next_round(&mut self, now_ms: i64, looking: Looking, out: &mut Vec<Effect<'_>>) {
        // An absurd round must not stop elections; those within the last one still settle.
        self.round = self.round.saturating_add(1);
        self.activity = Activity::Looking(looking);
        let first = if looking.shy { Vote::OBSERVER } else { looking.initial };
        self.propose(now_ms, first, out);
    }

    /// Takes the ballot of a voter.
    pub(super) fn hear(
        &mut self,
        now_ms: i64,
        from: ServerId,
        ballot: Ballot,
        out: &mut Vec<Effect<'_>>,
    ) {
        let Activity::Looking(looking) = &self.activity else { return };
        if looking.fresh && !self.passive && ballot.vote.shows_data() {
            self.abstain(now_ms, out);
        }
        match ballot.state {
            PeerState::Looking => self.hear_looking(now_ms, from, ballot, out),
            PeerState::Following | PeerState::Leading => {
                if self.configs.is_voter(ballot.vote.leader) {
                    self.file(now_ms, from, ballot);
                } else {
                    self.ballots.remove(from);
                }
            }
            PeerState::Observing => {
                let void = Ballot { vote: Vote::void(from), ..ballot };
                self.file(now_ms, from, void);
            }
        }
    }

    fn hear_looking(
        &mut self,
        now_ms: i64,
        from: ServerId,
        ballot: Ballot,
        out: &mut Vec<Effect<'_>>,
    ) {
        let Activity::Looking(looking) = &self.activity else { return };
        let Looking { initial, proposal, shy, .. } = *looking;
        let vote = ballot.vote;
        if vote.is_void() {
            // It does not vote, and need not be waited for.
            self.file(now_ms, from, ballot);
            return;
        }
        if vote == Vote::OBSERVER && self.configs.can_change() {
            // It votes, and does not know that yet: it will follow whoever leads. It is answered once: if
            // it abstains it answers all votes itself.
            if self.file(now_ms, from, ballot) && ballot.round < self.round {
                self.notify(from, out);
            }
            return;
        }
        let has_spoken = proposal.is_eligible(&self.configs) || self.passive;
        if !has_spoken && self.configs.is_voter(vote.leader) {
            // It has said nothing in its round yet, so it need not call others to it. They would
            // not come: they may know that it votes when it does not know that itself.
            self.round = ballot.round;
        }
        if ballot.round < self.round || self.passive {
            // Whatever leader it had, it has none now.
            self.ballots.remove(from);
            self.notify(from, out);
            return;
        }
        if !self.configs.is_voter(vote.leader) {
            return;
        }
        if vote.leader == self.server && vote.beats(&initial, &self.configs) {
            self.contradict(now_ms, ballot.round, out);
            return;
        }
        let is_new = self.file(now_ms, from, ballot);
        if ballot.round > self.round {
            self.round = ballot.round;
            let yields = if shy {
                vote.history() >= initial.history()
            } else {
                vote.beats(&initial, &self.configs)
            };
            self.propose(now_ms, if yields { vote } else { initial }, out);
        } else if shy && vote.history() < initial.history() {
            if initial.beats(&proposal, &self.configs) {
                self.propose(now_ms, initial, out);
            }
        } else if vote.beats(&proposal, &self.configs) {
            self.propose(now_ms, vote, out);
        } else if is_new && proposal.beats(&vote, &self.configs) {
            // It would have adopted ours, had it heard of it.
            self.notify(from, out);
        }
    }

    /// Somebody believes that this server has more than it has: it remembers a vote from before a
    /// cut of this server's log, whose round number is in use again. B11 holds for what others say
    /// of this server, too, so they are called to a round that is new to all.
    fn contradict(&mut self, now_ms: i64, round: i64, out: &mut Vec<Effect<'_>>) {
        let Activity::Looking(looking) = self.activity else { return };
        self.round = round;
        self.ballots.clear();
        self.next_round(now_ms, looking, out);
    }

    /// Files a ballot; whether it says anything new.
    fn file(&mut self, now_ms: i64, from: ServerId, ballot: Ballot) -> bool {
        let is_new = self.ballots.insert(from, ballot);
        if is_new {
            self.learned_something(now_ms);
        }
        is_new
    }

    /// Stops voting: there is data, and this server may have lost it.
    fn abstain(&mut self, now_ms: i64, out: &mut Vec<Effect<'_>>) {
        let Activity::Looking(looking) = &mut self.activity else { return };
        self.passive = true;
        if self.configs.is_voter(self.server) {
            looking.initial = Vote::void(self.server);
            let initial = looking.initial;
            self.propose(now_ms, initial, out);
        }
    }

    /// Votes for this from now on.
    pub(super) fn propose(&mut self, now_ms: i64, vote: Vote, out: &mut Vec<Effect<'_>>) {
        let Activity::Looking(looking) = &mut self.activity else { return };
        looking.proposal = vote;
        looking.finalize_at_ms = None;
        looking.resend_after_ms = RESEND_MS.0;
        looking.resend_at_ms = now_ms + RESEND_MS.0;
        if self.configs.is_voter(self.server) && !self.passive {
            let own = Ballot { state: PeerState::Looking, vote, round: self.round };
            self.ballots.insert(self.server, own);
        } else {
            self.ballots.remove(self.server);
        }
        self.broadcast(out);
    }

    /// Something changed: what was sent may be heard differently now.
    pub(super) fn learned_something(&mut self, now_ms: i64) {
        let Activity::Looking(looking) = &mut self.activity else { return };
        looking.resend_after_ms = RESEND_MS.0;
        looking.resend_at_ms = looking.resend_at_ms.min(now_ms + RESEND_MS.0);
    }

    /// Decides, if there is a decision; else asks to be woken.
    pub(super) fn decide(&mut self, now_ms: i64, out: &mut Vec<Effect<'_>>) -> Option<Decision> {
        let Activity::Looking(looking) = &self.activity else { return None };
        let mut looking = *looking;
        if self.log_is_stuck {
            looking.finalize_at_ms = None;
        } else if let Some((vote, round)) =
            self.established().or_else(|| self.elected(now_ms, &mut looking))
        {
            return Some(self.conclude(vote, round, out));
        }
        let wake_at_ms = looking.finalize_at_ms.into_iter().fold(looking.resend_at_ms, i64::min);
        if looking.wake_at_ms.replace(wake_at_ms) != Some(wake_at_ms) {
            out.push(Effect::Wake { at_ms: wake_at_ms });
        }
        self.activity = Activity::Looking(looking);
        None
    }

    /// The leader that a quorum has, with the round to be in. Either configuration will do while
    /// there are two: the last one seen may have come to nothing, or be in force.
    fn established(&self) -> Option<(Vote, i64)> {
        self.ballots.settled().find_map(|(ballot, agreeing)| {
            let leader = ballot.vote.leader;
            let leads = if leader == self.server {
                // They speak of this very election, and no stale memory of who led before.
                ballot.round == self.round && !self.passive
            } else {
                self.ballots.get(leader).is_some_and(|ballot| {
                    ballot.state == PeerState::Leading && ballot.vote.leader == leader
                })
            };
            let found = leads
                && ballot.vote.is_eligible(&self.configs)
                && self.configs.is_perhaps_quorum(&agreeing);
            found.then_some((ballot.vote, ballot.round))
        })
    }

    /// What a quorum of this round votes for, when no better vote is to be expected. Voters that do not
    /// know that they are agree with everybody: a leader may have proposed a configuration that has not
    /// come to all of its quorum, and is not elected without those.
    fn elected(&self, now_ms: i64, looking: &mut Looking) -> Option<(Vote, i64)> {
        let proposal = looking.proposal;
        let agreeing = self.ballots.for_vote(&proposal, self.round);
        let following = agreeing.union(&self.ballots.unaware()).copied().collect();
        if !proposal.is_eligible(&self.configs)
            || !self.configs.is_quorum(&following)
            || self.passive
        {
            looking.finalize_at_ms = None;
            return None;
        }
        let finalize_at_ms = *looking.finalize_at_ms.get_or_insert(now_ms + FINALIZE_MS);
        let is_final = now_ms >= finalize_at_ms || !self.may_hear_more(looking, &agreeing);
        is_final.then_some((proposal, self.round))
    }

    /// Whether the vote of a voter that does not agree may still come. A server never heard of may
    /// be about to connect. Where nobody has data, those that cannot be reached may have it.
    fn may_hear_more(&self, looking: &Looking, agreeing: &BTreeSet<ServerId>) -> bool {
        self.configs.voters().any(|voter| {
            let is_down = self.links.get(&voter) == Some(&false);
            let abstains = self.ballots.get(voter).is_some_and(|ballot| ballot.vote.is_void());
            voter != self.server
                && !agreeing.contains(&voter)
                && !abstains
                && (!is_down || looking.fresh)
        })
    }

    fn conclude(&mut self, vote: Vote, round: i64, out: &mut Vec<Effect<'_>>) -> Decision {
        let leader = vote.leader;
        let (state, join_as) = match self.joins_as() {
            _ if leader == self.server => (PeerState::Leading, Member::Participant),
            Member::Participant => (PeerState::Following, Member::Participant),
            Member::Observer => (PeerState::Observing, Member::Observer),
        };
        self.round = round;
        self.become_settled(state, vote);
        if state != PeerState::Observing {
            // Some may wait for a vote that another has had already.
            self.broadcast(out);
        }
        Decision { leader, join_as }
    }

    /// As what this server joins a leader. One that may have lost something joins as an observer
    /// first, and so does one that is not in the ensemble yet: the leader may know that it is.
    fn joins_as(&self) -> Member {
        let Activity::Looking(looking) = &self.activity else { return Member::Observer };
        let votes = self.configs.is_voter(self.server);
        let is_whole = if votes { !self.passive } else { !looking.fresh };
        if is_whole { self.configs.member(self.server) } else { Member::Observer }
    }

    pub(super) fn become_settled(&mut self, state: PeerState, vote: Vote) {
        self.ballots.clear();
        self.activity = Activity::Settled(Settled { state, vote, round: self.round });
    }

    /// Notes who looks for a leader, to tell it when there is one.
    pub(super) fn remember(&mut self, server: ServerId, asks: bool) {
        if !asks {
            self.lookers.remove(&server);
        } else if self.configs.contains(server) || self.lookers.len() < STRANGERS_MAX {
            self.lookers.insert(server);
        }
    }

    pub(super) fn broadcast(&self, out: &mut Vec<Effect<'_>>) {
        for voter in self.configs.voters().filter(|&voter| voter != self.server) {
            self.notify(voter, out);
        }
    }

    pub(super) fn notify(&self, to: ServerId, out: &mut Vec<Effect<'_>>) {
        let (state, vote, round) = match &self.activity {
            Activity::Idle => return,
            Activity::Looking(_) if self.log_is_stuck => return,
            Activity::Looking(looking) => (PeerState::Looking, looking.proposal, self.round),
            Activity::Settled(settled) => (settled.state, settled.vote, settled.round),
        };
        let config = self.config.clone();
        out.push(Effect::Notify { to, notification: Notification { state, vote, round, config } });
    }
}
