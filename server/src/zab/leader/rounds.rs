//! Rounds of pings, which prove that this server was the leader when they were begun.

use std::collections::VecDeque;

use quorate_protocol::Zxid;

/// Rounds are numbered from 1. An echo of a round stands for all before it.
///
/// Invariant: `confirmed <= begun`; tickets wait for rounds in their order.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    begun: i64,
    confirmed: i64,
    /// A round that has to be begun.
    wanted: i64,
    tickets: VecDeque<Ticket>,
}

/// Somebody asks whether this server is the leader.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    number: u64,
    /// An echo of this round proves it.
    round: i64,
    /// So does the commitment of a transaction above this one.
    last: Zxid,
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

    /// As [`Rounds::ask`], for a ticket; `last` is the last transaction proposed.
    pub(super) fn ask_for(&mut self, number: u64, last: Zxid) {
        let round = self.ask();
        self.tickets.push_back(Ticket { number, round, last });
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
        let confirmed = self.confirmed;
        self.answer(|ticket| ticket.round <= confirmed)
    }

    /// A quorum has acknowledged everything up to `upto`, which proves the same to tickets asked
    /// for before that was proposed. They are answered in front of its commitment, so that a
    /// session's `sync` is answered before the write behind it.
    pub(super) fn committed(&mut self, upto: Zxid) -> Option<u64> {
        self.answer(|ticket| ticket.last < upto)
    }

    fn answer(&mut self, is_proved: impl Fn(&Ticket) -> bool) -> Option<u64> {
        let mut answered = None;
        while let Some(ticket) = self.tickets.pop_front_if(|ticket| is_proved(ticket)) {
            answered = Some(ticket.number);
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
        rounds.ask_for(1, Zxid::ZERO);
        assert!(rounds.is_due());
        assert_eq!(rounds.begin(), 1);
        rounds.ask_for(2, Zxid::ZERO);
        rounds.ask_for(3, Zxid::ZERO);
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
        rounds.ask_for(7, Zxid::ZERO);
        rounds.begin();
        assert_eq!(rounds.confirm(1), None);
        assert!(!rounds.is_due(), "it was begun meanwhile");
        assert_eq!(rounds.confirm(2), Some(7));
    }

    #[test]
    fn the_commitment_of_what_was_proposed_later_serves_too() {
        let mut rounds = Rounds::default();
        rounds.ask_for(1, Zxid::new(1, 4));
        rounds.ask_for(2, Zxid::new(1, 6));
        assert_eq!(rounds.committed(Zxid::new(1, 4)), None, "it was proposed before");
        assert_eq!(rounds.committed(Zxid::new(1, 6)), Some(1));
        assert_eq!(rounds.committed(Zxid::new(1, 7)), Some(2));
    }
}
