//! Fast leader election: whom to follow.
//!
//! [`Election`] is ZooKeeper's, on the wire and in what it decides: everybody votes for the server
//! with the latest history, by (epoch, zxid, number), until a quorum agrees; who finds an ensemble
//! with a leader joins it, whatever its own history. What it decides is a hint: a wrong leader costs
//! time and nothing else, for discovery, which follows, checks everything again.
//!
//! It is better than the original where the protocol allows:
//!
//! - A decided election waits for a late vote only while one can come ([`FINALIZE_MS`]).
//! - The time between repetitions begins anew when something was learned, and stays short.
//! - One ballot counts for each server: its last one. A server that cannot be reached has none.
//! - Who votes for less in the same round is answered, for it has missed something.
//! - Who has decided says so, and says it again to those who asked when its leader is established.
//! - A server without any history ([`Own::fresh`]) that meets data does not vote; one that is known
//!   to have lost some ([`Own::lost`]) never does.
//!
//! Driven by [`Zab`](super::Zab): [`Election::start`], then everything that happens, until a
//! [`Decision`]; then [`Election::settle`] when the decision has come true. Never sends to its own
//! server. Votes of servers that are no voters are not counted; such servers are told of the
//! leader when they look for one.

mod ballots;
mod looking;
mod standing;
mod vote;
pub mod wire;

#[cfg(test)]
mod tests;

pub use standing::Standing;
pub use vote::{Notification, PeerState, Vote};

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::Zxid;

use self::ballots::{Ballot, Ballots};
use super::{
    configs::Configs,
    effect::Effect,
    types::{Member, ServerId},
};

/// How long a quorum's agreement waits for votes that may still come.
pub const FINALIZE_MS: i64 = 200;
/// After how long without news a vote is sent again, at first and at most.
pub const RESEND_MS: (i64, i64) = (200, 3200);
/// How many servers may wait to be told of a leader, so that there is room for those that are in no
/// configuration: they may be about to join.
const STRANGERS_MAX: usize = 64;

/// What a server brings into an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// The last transaction that a crash cannot take from it (B11).
    pub zxid: Zxid,
    /// Its current epoch.
    pub epoch: u32,
    /// Whether it has promised nothing and is in no epoch. It is new then, or has lost its disk;
    /// what transactions it may have are a part of a history, and show that there is data.
    ///
    /// A server with a promise and nothing else took part in an ensemble's first election and has
    /// its disk; were it fresh, then a crash between the first server's entering of the first
    /// epoch and the second's would leave an ensemble that nobody may lead. So a fresh server that
    /// joins as an observer must not log its promise before its current epoch.
    pub fresh: bool,
    /// Whether it is fresh and not new: even where everybody looks new it does not vote, for others
    /// may have lost their disks, too.
    pub lost: bool,
}

/// Whom to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The leader; maybe this server.
    pub leader: ServerId,
    /// As what to join it.
    pub join_as: Member,
}

/// One server's part in elections.
#[derive(Debug)]
pub struct Election {
    server: ServerId,
    configs: Configs,
    /// The configuration in force as sent.
    config: Vec<u8>,
    /// The round this server is in. Only in memory, as in ZooKeeper: rounds need not be told apart
    /// across restarts.
    round: i64,
    ballots: Ballots,
    /// Which servers the election port is connected with, of those it has tried.
    links: BTreeMap<ServerId, bool>,
    log_is_stuck: bool,
    /// Whether this server is fresh and knows that there is data, or was.
    passive: bool,
    /// Who has asked and is to be told of the leader once there is one.
    lookers: BTreeSet<ServerId>,
    activity: Activity,
}

#[derive(Debug)]
enum Activity {
    /// Before the first start.
    Idle,
    Looking(Looking),
    Settled(Settled),
}

#[derive(Debug, Clone, Copy)]
struct Looking {
    /// The vote for itself that this server begins a round with.
    initial: Vote,
    /// What it votes for now.
    proposal: Vote,
    fresh: bool,
    /// It votes in the last configuration seen only, and stands for election only if nobody else has
    /// as much: those that do not know of that configuration could not follow it.
    shy: bool,
    resend_after_ms: i64,
    resend_at_ms: i64,
    /// When to decide, once a quorum agrees.
    finalize_at_ms: Option<i64>,
    /// The last [`Effect::Wake`].
    wake_at_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Settled {
    state: PeerState,
    vote: Vote,
    round: i64,
}

impl Election {
    /// The elections of `server`, which may be none of the configurations'.
    pub fn new(server: ServerId, configs: Configs) -> Self {
        let config = configs.in_force().to_string().into_bytes();
        Self {
            server,
            configs,
            config,
            round: 0,
            ballots: Ballots::default(),
            links: BTreeMap::new(),
            log_is_stuck: false,
            passive: false,
            lookers: BTreeSet::new(),
            activity: Activity::Idle,
        }
    }

    /// This server has no leader any more, or never had one: look for one in a new round.
    pub fn start(&mut self, now_ms: i64, own: Own, out: &mut Vec<Effect<'_>>) -> Option<Decision> {
        // Transactions of a fresh server are what it was being given when it ended.
        self.passive = own.fresh && (self.passive || own.lost || own.zxid > Zxid::ZERO);
        let initial = if !self.configs.is_voter(self.server) {
            Vote::OBSERVER
        } else if self.passive {
            Vote::void(self.server)
        } else {
            Vote { leader: self.server, zxid: own.zxid, epoch: own.epoch }
        };
        self.ballots.clear();
        let looking = Looking {
            initial,
            proposal: initial,
            fresh: own.fresh,
            shy: !self.configs.in_force().is_voter(self.server)
                && self.configs.is_voter(self.server),
            resend_after_ms: RESEND_MS.0,
            resend_at_ms: now_ms,
            finalize_at_ms: None,
            wake_at_ms: None,
        };
        self.next_round(now_ms, looking, out);
        self.decide(now_ms, out)
    }

    /// The log is durable up to there, while this server looks for a leader.
    pub fn durable(
        &mut self,
        now_ms: i64,
        zxid: Zxid,
        out: &mut Vec<Effect<'_>>,
    ) -> Option<Decision> {
        let Activity::Looking(looking) = &mut self.activity else { return None };
        if looking.initial.leader != self.server || self.passive || zxid <= looking.initial.zxid {
            return None;
        }
        looking.initial.zxid = zxid;
        let (initial, proposal) = (looking.initial, looking.proposal);
        let stands = if looking.shy {
            self.configs.is_eligible(proposal.leader) && initial.history() > proposal.history()
        } else {
            initial.beats(&proposal, &self.configs)
        };
        if stands {
            self.propose(now_ms, initial, out);
        }
        self.decide(now_ms, out)
    }

    /// A notification has come by the election port.
    pub fn notification(
        &mut self,
        now_ms: i64,
        from: ServerId,
        notification: &Notification,
        out: &mut Vec<Effect<'_>>,
    ) -> Option<Decision> {
        if from == self.server {
            return None;
        }
        let asks = notification.state == PeerState::Looking;
        let is_voter = self.configs.is_voter(from);
        match &self.activity {
            Activity::Looking(_) if is_voter => {
                self.hear(now_ms, from, Ballot::of(notification), out);
                self.decide(now_ms, out)
            }
            // Compat: ZooKeeper answers here too, with what it votes for. That is of no use to who
            // does not vote, and two servers whose configurations leave each other out would
            // answer each other for ever.
            Activity::Looking(_) => {
                self.remember(from, asks);
                None
            }
            Activity::Settled(_) => {
                if is_voter {
                    self.ballots.insert(from, Ballot::of(notification));
                }
                self.remember(from, asks);
                if asks {
                    self.notify(from, out);
                }
                None
            }
            Activity::Idle => None,
        }
    }

    /// The election port is connected with a server, anew; or is not any more, or could not be.
    pub fn reachable(
        &mut self,
        now_ms: i64,
        server: ServerId,
        up: bool,
        out: &mut Vec<Effect<'_>>,
    ) -> Option<Decision> {
        if !self.configs.contains(server) {
            return None;
        }
        let was_up = self.links.insert(server, up) == Some(true);
        if !up {
            self.ballots.remove(server);
            self.lookers.remove(&server);
        }
        let Activity::Looking(looking) = self.activity else {
            if up && self.configs.can_change() {
                // It may know an earlier configuration only, and not where to ask.
                self.notify(server, out);
            }
            return None;
        };
        if up {
            if self.configs.is_voter(server) {
                // What was sent before may be lost.
                self.notify(server, out);
                self.learned_something(now_ms);
            }
        } else if was_up && looking.proposal.leader == server {
            // Those who have its vote must be asked again whom they want.
            self.next_round(now_ms, looking, out);
        }
        self.decide(now_ms, out)
    }

    /// Time has passed. A server whose log is stuck is no use as a leader or in a quorum: it says
    /// nothing until the log goes on.
    pub fn tick(
        &mut self,
        now_ms: i64,
        log_is_stuck: bool,
        out: &mut Vec<Effect<'_>>,
    ) -> Option<Decision> {
        let was_stuck = std::mem::replace(&mut self.log_is_stuck, log_is_stuck);
        let Activity::Looking(looking) = &mut self.activity else { return None };
        if now_ms >= looking.resend_at_ms {
            looking.resend_after_ms = (2 * looking.resend_after_ms).min(RESEND_MS.1);
            looking.resend_at_ms = now_ms + looking.resend_after_ms;
            self.broadcast(out);
        } else if was_stuck {
            self.broadcast(out);
        }
        self.decide(now_ms, out)
    }

    /// This server follows or leads: after a decision, once the epoch is established, whose number
    /// the vote then has; or without one, after a hand-over. Who looks for a leader is told so from
    /// now on, and at once if it has asked before.
    ///
    /// Compat: the vote has the new epoch, as in ZooKeeper, so that all of an ensemble say the same.
    pub fn settle(&mut self, state: PeerState, vote: Vote, out: &mut Vec<Effect<'_>>) {
        self.become_settled(state, vote);
        for looker in std::mem::take(&mut self.lookers) {
            self.notify(looker, out);
        }
    }

    /// The servers have changed. Those that are new are told of the leader there is: they may look for
    /// it where it is not any more.
    pub fn configure(&mut self, configs: Configs, out: &mut Vec<Effect<'_>>) {
        let before = self.configs.in_force().clone();
        self.config = configs.in_force().to_string().into_bytes();
        self.configs = configs;
        let Self { configs, ballots, links, .. } = self;
        ballots.retain(|voter| configs.is_voter(voter));
        links.retain(|server, _| configs.contains(*server));
        if matches!(self.activity, Activity::Settled(_)) {
            let present = self.configs.in_force().servers.keys().copied();
            let new = present.filter(|server| !before.servers.contains_key(server));
            new.filter(|&server| server != self.server).for_each(|server| self.notify(server, out));
        }
    }

    /// The configurations it goes by.
    pub(super) fn configs(&self) -> &Configs {
        &self.configs
    }

    /// What this server votes for, or voted for when it was settled. `None` before the start.
    pub fn vote(&self) -> Option<Vote> {
        match &self.activity {
            Activity::Idle => None,
            Activity::Looking(looking) => Some(looking.proposal),
            Activity::Settled(settled) => Some(settled.vote),
        }
    }

    /// The round this server is in, or was decided in.
    pub fn round(&self) -> i64 {
        self.round
    }

    /// Whether this server was elected and too many of those who elected it have changed their
    /// minds since, so that it waits for a quorum in vain while it is not established
    /// (ZOOKEEPER-3109).
    pub fn is_deserted(&self) -> bool {
        let Activity::Settled(settled) = &self.activity else { return false };
        let against = self.ballots.against(settled.vote.leader, settled.round);
        let faithful = self.configs.voters().filter(|voter| !against.contains(voter));
        settled.state == PeerState::Leading && !self.configs.is_quorum(&faithful.collect())
    }
}
