//! Rounds of pings, which prove that this server was the leader when they were begun.

use std::collections::VecDeque;

/// Rounds are numbered from 1. An echo of a round stands for all before it.
///
/// Invariant: `confirmed <= begun`; tickets wait for rounds in their order.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    begun: i64,
    confirmed: i64,
    /// A round that has to be begun.
    wanted: i64,
    tickets: VecDeque<(i64, u64)>,
}

impl Rounds {
    /// The last round that was begun.
    pub(super) fn begun(&self) -> i64 {
        self.begun
    }

    /// The last round that a quorum has echoed.
    pub(super) fn confirmed(&self) -> i64 {
        self.confirmed
    }

    /// Which round will prove something that is asked for now: one that begins later.
    pub(super) fn ask(&mut self) -> i64 {
        self.wanted = self.begun + 1;
        self.wanted
    }

    /// As [`Rounds::ask`], for a ticket.
    pub(super) fn ask_for(&mut self, ticket: u64) {
        let round = self.ask();
        self.tickets.push_back((round, ticket));
    }

    /// Whether a round is to be begun: one is asked for, and none is under way that would hold
    /// up its echoes.
    pub(super) fn is_due(&self) -> bool {
        self.wanted > self.begun && self.begun == self.confirmed
    }

    /// Begins a round.
    pub(super) fn begin(&mut self) -> i64 {
        self.begun += 1;
        self.begun
    }

    /// A quorum has echoed this round. Gives the last ticket that is answered by it.
    pub(super) fn confirm(&mut self, round: i64) -> Option<u64> {
        self.confirmed = self.confirmed.max(round);
        let mut answered = None;
        while let Some((waits_for, ticket)) = self.tickets.front().copied() {
            if waits_for > self.confirmed {
                break;
            }
            answered = Some(ticket);
            self.tickets.pop_front();
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_waits_for_a_round_begun_after_it() {
        let mut rounds = Rounds::default();
        rounds.ask_for(1);
        assert!(rounds.is_due());
        assert_eq!(rounds.begin(), 1);
        rounds.ask_for(2);
        rounds.ask_for(3);
        assert!(!rounds.is_due(), "one is under way");
        assert_eq!(rounds.confirm(1), Some(1));
        assert!(rounds.is_due());
        assert_eq!(rounds.begin(), 2);
        assert_eq!(rounds.confirm(1), None, "an old echo");
        assert_eq!(rounds.confirm(2), Some(3));
        assert!(!rounds.is_due());
    }

    #[test]
    fn rounds_that_nobody_asked_for_serve_too() {
        let mut rounds = Rounds::default();
        rounds.begin();
        rounds.ask_for(7);
        rounds.begin();
        assert_eq!(rounds.confirm(1), None);
        assert!(!rounds.is_due(), "it was begun meanwhile");
        assert_eq!(rounds.confirm(2), Some(7));
    }
}
