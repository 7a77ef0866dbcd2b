//! Where an election stands that has not come to an end: for the log that people read.

use std::{
    collections::BTreeSet,
    fmt::{Display, Formatter},
};

use super::{Activity, Election};
use crate::zab::types::ServerId;

/// Why a server that looks for a leader has none yet. Its text is a part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    own: Part,
    /// Its log has not been written for too long, so that it says nothing.
    is_stuck: bool,
    /// Which voters vote for the same, this server among them if it votes.
    agree: Vec<ServerId>,
    /// Which voters vote for others, are in other rounds, or follow a leader that has no quorum.
    differ: Vec<ServerId>,
    /// Which voters do not vote: they may have lost data.
    abstain: Vec<ServerId>,
    /// Which voters have said nothing although the election port is connected with them, or may be.
    silent: Vec<ServerId>,
    /// With which voters the election port could not be connected.
    unreachable: Vec<ServerId>,
}

/// What this server itself does in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Votes(ServerId),
    /// It has no vote in this ensemble.
    Observes,
    /// It has no data, and others have, or its data were damaged.
    Abstains,
}

impl Election {
    /// Where the election stands; `None` when there is none.
    pub fn standing(&self) -> Option<Standing> {
        let Activity::Looking(looking) = &self.activity else { return None };
        let own = if !self.configs.is_voter(self.server) {
            Part::Observes
        } else if self.passive {
            Part::Abstains
        } else {
            Part::Votes(looking.proposal.leader)
        };
        let agree = match own {
            Part::Votes(_) => self.ballots.for_vote(&looking.proposal, self.round),
            Part::Observes | Part::Abstains => BTreeSet::new(),
        };
        let (mut differ, mut abstain, mut silent, mut unreachable) = Default::default();
        let others = self.configs.voters().filter(|voter| *voter != self.server);
        for voter in others.filter(|voter| !agree.contains(voter)) {
            let part: &mut Vec<_> = match self.ballots.get(voter) {
                Some(ballot) if ballot.vote.is_void() => &mut abstain,
                Some(_) => &mut differ,
                None if self.links.get(&voter) == Some(&false) => &mut unreachable,
                // Who does not vote does not count votes.
                None if own == Part::Abstains => continue,
                None => &mut silent,
            };
            part.push(voter);
        }
        let agree = agree.into_iter().collect();
        let is_stuck = self.log_is_stuck;
        Some(Standing { own, is_stuck, agree, differ, abstain, silent, unreachable })
    }
}

impl Display for Standing {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self.own {
            Part::Votes(leader) => write!(f, "this server votes for server {leader}")?,
            Part::Observes => f.write_str("this server has no vote")?,
            Part::Abstains => f.write_str(
                "this server does not vote, since its folder was empty or damaged while others have data",
            )?,
        }
        if self.is_stuck {
            f.write_str("; its log cannot be written")?;
        }
        let parts = [
            ("voting for it", &self.agree),
            ("not agreeing", &self.differ),
            ("not voting, as data may be lost", &self.abstain),
            ("not heard", &self.silent),
            ("not reached at the election port", &self.unreachable),
        ];
        for (what, servers) in parts {
            if !servers.is_empty() {
                let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
                write!(f, "; {what}: {}", servers.join(", "))?;
            }
        }
        Ok(())
    }
}
