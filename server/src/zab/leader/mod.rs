//! The leader, and who tries to be one.
//!
//! | module | phase or part |
//! |---|---|
//! | `discovery` | gather a quorum, fix the epoch, gather promises |
//! | `synchronization` | bring each learner to this history, gather acknowledgements of it |
//! | `broadcast` | propose, gather acknowledgements, commit |
//! | `liveness` | pings, limits on silence, is there still a quorum |
//! | `hand_over` | leave the lead to another server, or go on in a later epoch |
//! | `reconfig` | put a new configuration into force |
//!
//! The phases are those of the leader; each link has its own [`Stage`], since learners join at
//! any time. What was said by a server counts though its link ends; what it says on a link
//! concerns this epoch alone, since the link ends with it.

mod broadcast;
mod discovery;
mod hand_over;
mod link;
mod liveness;
pub(super) mod plan;
mod reconfig;
mod rounds;
mod synchronization;

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::Zxid;

use self::{
    hand_over::Draining,
    link::{Link, Stage},
    rounds::Rounds,
};
use super::{
    LinkInfo,
    context::{Context, Next},
    message::Message,
    types::{LinkId, Position, ServerId},
};

/// A server that leads or tries to.
#[derive(Debug)]
pub(super) struct Leader {
    phase: Phase,
    /// The epoch; 0 until it is fixed.
    epoch: u32,
    /// Where the promise of this epoch stands in the log.
    promised: Position,
    /// The current epoch and the last transaction this server began with: what a learner may
    /// have at most.
    initial: (u32, Zxid),
    /// How long each phase before broadcast may take, and when this one ends.
    phase_limit_ms: i64,
    deadline_ms: i64,
    links: BTreeMap<LinkId, Link>,
    rounds: Rounds,
    next_ping_ms: i64,
    next_check_ms: i64,
}

#[derive(Debug)]
enum Phase {
    /// Until a quorum has said what it has promised.
    Discovery {
        /// Who has.
        heard: BTreeSet<ServerId>,
        /// The newest epoch anybody has promised.
        newest: u32,
    },
    /// The epoch is fixed; until a quorum has promised it.
    Promise {
        /// Who has, and has a history that this server's contains.
        by: BTreeSet<ServerId>,
    },
    /// This server's history is the epoch's; until a quorum has it.
    Synchronization {
        /// Where the epoch stands in this server's log.
        entered: Position,
        /// Who has.
        by: BTreeSet<ServerId>,
    },
    /// Established.
    Broadcast {
        /// No more proposals are made.
        draining: Option<Draining>,
    },
}

impl Leader {
    /// Begins to lead, in an epoch behind `newest`.
    pub(super) fn new(newest: u32, phase_limit_ms: i64, ctx: &Context<'_, '_>) -> Self {
        Self {
            phase: Phase::Discovery { heard: BTreeSet::new(), newest },
            epoch: 0,
            promised: Position::default(),
            initial: (ctx.history.current_epoch(), ctx.history.last()),
            phase_limit_ms,
            deadline_ms: ctx.now_ms + phase_limit_ms,
            links: BTreeMap::new(),
            rounds: Rounds::default(),
            next_ping_ms: ctx.now_ms,
            next_check_ms: ctx.now_ms,
        }
    }

    /// The epoch, once this server is its established leader.
    pub(super) fn established(&self) -> Option<u32> {
        matches!(self.phase, Phase::Broadcast { .. }).then_some(self.epoch)
    }

    pub(super) fn links(&self) -> impl Iterator<Item = LinkInfo> {
        self.links.iter().map(|(id, link)| link.info(*id))
    }

    pub(super) fn link(&self, id: LinkId) -> Option<LinkInfo> {
        self.links.get(&id).map(|link| link.info(id))
    }

    /// Ends all links.
    pub(super) fn end(self, ctx: &mut Context<'_, '_>) {
        for link in self.links.into_keys() {
            ctx.close(link);
        }
    }

    /// This server alone may be a quorum.
    pub(super) fn begin(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        self.advance(ctx)
    }

    pub(super) fn closed(&mut self, link: LinkId) -> Next {
        self.links.remove(&link);
        Next::Stay
    }

    /// More of the log is durable.
    pub(super) fn durable(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        self.advance(ctx)
    }

    pub(super) fn progress(&mut self, link: LinkId, ctx: &Context<'_, '_>) -> Next {
        if let Some(link) = self.links.get_mut(&link) {
            link.heard(ctx);
        }
        Next::Stay
    }

    pub(super) fn message<'a>(
        &mut self,
        id: LinkId,
        message: Message<'a>,
        ctx: &mut Context<'_, 'a>,
    ) -> Next {
        let Some(link) = self.links.get_mut(&id) else { return Next::Stay };
        link.heard(ctx);
        match message {
            Message::AckEpoch { current_epoch, last } => {
                self.ack_epoch(id, current_epoch, last, ctx)
            }
            Message::Ack { zxid } => self.ack(id, zxid, ctx),
            Message::Ping { round, sessions } => self.echo(id, round, sessions, ctx),
            Message::LearnerInfo { .. }
            | Message::LeaderInfo { .. }
            | Message::Diff { .. }
            | Message::Trunc { .. }
            | Message::Snap { .. }
            | Message::NewLeader { .. }
            | Message::UpToDate
            | Message::Proposal { .. }
            | Message::Commit { .. }
            | Message::Inform { .. }
            | Message::CommitAndActivate { .. }
            | Message::InformAndActivate { .. }
            | Message::HandOver { .. } => self.refuse(id, ctx),
        }
    }

    /// Ends the link of a learner that cannot be followed by this server.
    fn refuse(&mut self, link: LinkId, ctx: &mut Context<'_, '_>) -> Next {
        self.links.remove(&link);
        ctx.close(link);
        Next::Stay
    }

    /// Goes on to the next phase, or commits, if a quorum allows it.
    fn advance(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        let durable = ctx.history.durable();
        match &self.phase {
            Phase::Discovery { heard, .. } if is_quorum(heard, true, ctx) => self.fix_epoch(ctx),
            Phase::Promise { by } if is_quorum(by, durable >= self.promised, ctx) => {
                self.synchronize_all(ctx)
            }
            Phase::Synchronization { entered, by } if is_quorum(by, durable >= *entered, ctx) => {
                self.establish(ctx)
            }
            Phase::Broadcast { .. } => self.commit(ctx),
            Phase::Discovery { .. } | Phase::Promise { .. } | Phase::Synchronization { .. } => {
                Next::Stay
            }
        }
    }

    fn begin_phase(&mut self, phase: Phase, ctx: &Context<'_, '_>) {
        self.phase = phase;
        self.deadline_ms = ctx.now_ms + self.phase_limit_ms;
    }

    /// The links in these stages.
    fn links_where(&self, is_in: impl Fn(&Link) -> bool) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| is_in(link)).map(|(id, _)| *id).collect()
    }
}

/// Whether these servers, and this one if it is `with_self`, are a quorum.
fn is_quorum(servers: &BTreeSet<ServerId>, with_self: bool, ctx: &Context<'_, '_>) -> bool {
    if !with_self {
        return ctx.configs().is_quorum(servers);
    }
    let mut servers = servers.clone();
    servers.insert(ctx.settings.server);
    ctx.configs().is_quorum(&servers)
}
