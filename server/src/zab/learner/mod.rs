//! The learner: a follower or an observer, from the connection to its leader on.
//!
//! | module | phase or part |
//! |---|---|
//! | `discovery` | connect, promise the leader's epoch |
//! | `synchronization` | get the leader's history, and make it durable |
//! | `broadcast` | log what is proposed, acknowledge it, apply what is committed |
//!
//! A learner has one link. What comes by it that does not fit ends it: the next synchronization
//! sets right whatever went wrong.

mod broadcast;
mod discovery;
mod synchronization;

use quorate_protocol::Zxid;

use super::{
    LinkInfo,
    configuration::Configuration,
    context::{Context, Next},
    message::Message,
    types::{Features, LinkId, Member, ServerId},
};

/// A server that follows a leader or tries to.
#[derive(Debug)]
pub(super) struct Learner {
    /// Whom it learns from: the leader, or a follower that serves observers.
    leader: ServerId,
    /// Whether it is a follower.
    by_follower: bool,
    /// As what it joins.
    member: Member,
    /// It cannot speak for what it promised before, so it promises nothing until it is
    /// synchronized.
    fresh: bool,
    /// Until when it has to be synchronized, if it did not choose its leader.
    give_up_ms: i64,
    /// How often it has connected anew because it could not be synchronized.
    rejoined: u32,
    /// The leader asked for a cut that this server cannot make: it needs a snapshot.
    needs_snapshot: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Connecting(Connecting),
    Linked(Link),
}

#[derive(Debug)]
struct Connecting {
    failed: u32,
    retry_ms: Option<i64>,
    give_up_ms: i64,
}

/// The link to the leader.
#[derive(Debug)]
struct Link {
    id: LinkId,
    features: Features,
    epoch: u32,
    stage: Stage,
    heard_ms: i64,
    /// It has ended.
    closed: bool,
    /// What is committed if the leader is established.
    committed: Zxid,
    /// The configuration that came with `NEWLEADER`.
    configuration: Option<Configuration>,
}

/// How far a learner has come.
///
/// ```text
/// Discovery -> Promised -> (Snapshot -> Installing ->) Synchronization -> Marked -> Broadcast
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `LEARNERINFO` was sent.
    Discovery,
    /// `ACKEPOCH` was sent.
    Promised,
    /// A snapshot comes.
    Snapshot,
    /// A snapshot takes the place of the log. Nothing else may happen until it has.
    Installing,
    /// Transactions of the initial history come.
    Synchronization,
    /// `NEWLEADER` came and is acknowledged.
    Marked,
    /// `UPTODATE` came.
    Broadcast,
}

impl Learner {
    /// Begins to follow `leader`, and gives up if that has not succeeded by `give_up_ms`.
    pub(super) fn new(
        leader: ServerId,
        member: Member,
        give_up_ms: i64,
        ctx: &mut Context<'_, '_>,
    ) -> Self {
        Self {
            leader,
            by_follower: false,
            member,
            fresh: member == Member::Observer && ctx.history.is_fresh(),
            give_up_ms,
            rejoined: 0,
            needs_snapshot: false,
            state: State::Connecting(Self::connect(leader, ctx)),
        }
    }

    /// Begins to observe by a follower that serves observers.
    pub(super) fn of_follower(follower: ServerId, ctx: &mut Context<'_, '_>) -> Self {
        Self { by_follower: true, ..Self::new(follower, Member::Observer, i64::MAX, ctx) }
    }

    pub(super) fn leader(&self) -> ServerId {
        self.leader
    }

    /// Whether nothing has come from the leader yet, so that it may be none.
    pub(super) fn is_connecting(&self) -> bool {
        match &self.state {
            State::Connecting(_) => true,
            State::Linked(link) => link.stage == Stage::Discovery,
        }
    }

    pub(super) fn is_by_follower(&self) -> bool {
        self.by_follower
    }

    /// The epoch of the leader, once this server is synchronized with it.
    pub(super) fn synced(&self) -> Option<u32> {
        match &self.state {
            State::Linked(link) if link.stage == Stage::Broadcast => Some(link.epoch),
            _ => None,
        }
    }

    pub(super) fn member(&self) -> Member {
        self.member
    }

    pub(super) fn link(&self) -> Option<LinkInfo> {
        let State::Linked(link) = &self.state else { return None };
        Some(LinkInfo {
            link: link.id,
            server: self.leader,
            member: Member::Participant,
            features: link.features,
            synced: link.stage == Stage::Broadcast,
        })
    }

    /// Ends the link.
    pub(super) fn end(self, ctx: &mut Context<'_, '_>) {
        if let State::Linked(link) = self.state
            && !link.closed
        {
            ctx.close(link.id);
        }
    }

    pub(super) fn closed(&mut self, id: LinkId) -> Next {
        match &mut self.state {
            State::Linked(link) if link.id == id => {
                link.closed = true;
                if link.stage == Stage::Installing {
                    return Next::Stay;
                }
                Next::Leave("the leader closed the link")
            }
            _ => Next::Stay,
        }
    }

    pub(super) fn progress(&mut self, id: LinkId, ctx: &Context<'_, '_>) -> Next {
        if let State::Linked(link) = &mut self.state
            && link.id == id
        {
            link.heard_ms = ctx.now_ms;
        }
        Next::Stay
    }

    pub(super) fn tick(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        match &self.state {
            State::Connecting(connecting) if ctx.now_ms >= connecting.give_up_ms => {
                return Next::Leave("the leader cannot be reached");
            }
            State::Connecting(_) => self.connect_again(ctx),
            State::Linked(link) => {
                let limit_ms = match link.stage {
                    Stage::Installing => return Next::Stay,
                    Stage::Marked | Stage::Broadcast => ctx.settings.sync_ms(),
                    Stage::Discovery
                    | Stage::Promised
                    | Stage::Snapshot
                    | Stage::Synchronization => ctx.settings.init_ms(),
                };
                if ctx.now_ms - link.heard_ms > limit_ms {
                    return Next::Leave("the leader is silent");
                }
            }
        }
        if ctx.now_ms >= self.give_up_ms && self.synced().is_none() {
            return Next::Leave("the leader did not come up in time");
        }
        Next::Stay
    }

    pub(super) fn message<'a>(
        &mut self,
        id: LinkId,
        message: Message<'a>,
        ctx: &mut Context<'_, 'a>,
    ) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        if link.id != id {
            return Next::Stay;
        }
        link.heard_ms = ctx.now_ms;
        match link.stage {
            Stage::Discovery => self.discover(message, ctx),
            Stage::Promised => self.begin_synchronization(message, ctx),
            Stage::Snapshot | Stage::Installing => unexpected(),
            Stage::Synchronization => self.synchronize(message, ctx),
            Stage::Marked => self.await_up_to_date(message, ctx),
            Stage::Broadcast => self.broadcast(message, ctx),
        }
    }
}

/// The leader broke the protocol.
fn unexpected() -> Next {
    Next::Leave("the leader sent what does not belong there")
}
