//! Discovery: find the leader, and promise to follow its epoch and nothing older.

use quorate_protocol::Zxid;

use super::{Connecting, Learner, Link, Stage, State, unexpected};
use crate::zab::{
    context::{Context, Next},
    effect::{Effect, Vouch},
    message::Message,
    types::{Features, LinkId, ServerId},
};

/// How often a leader is tried, and how long after a failure. It may have learned later than this
/// server that it was elected.
const TRIES: u32 = 5;
const RETRY_MS: i64 = 100;
/// How often a learner may connect anew because it could not be synchronized.
const REJOINS: u32 = 8;

/// What a learner says as its last transaction to get a snapshot: nothing can be built upon it.
const NOTHING: Zxid = Zxid(-1);

impl Learner {
    pub(super) fn connect(leader: ServerId, ctx: &mut Context<'_, '_>) -> Connecting {
        ctx.effects.push(Effect::Connect { leader });
        let give_up_ms = ctx.now_ms + ctx.settings.init_ms();
        Connecting { failed: 0, retry_ms: None, give_up_ms }
    }

    pub(in crate::zab) fn connect_failed(
        &mut self,
        leader: ServerId,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        let State::Connecting(connecting) = &mut self.state else { return Next::Stay };
        if leader != self.leader || connecting.retry_ms.is_some() {
            return Next::Stay;
        }
        connecting.failed += 1;
        if connecting.failed == TRIES {
            return Next::Leave("the leader cannot be reached");
        }
        let retry_ms = ctx.now_ms + RETRY_MS;
        connecting.retry_ms = Some(retry_ms);
        ctx.wake(retry_ms);
        Next::Stay
    }

    pub(super) fn connect_again(&mut self, ctx: &mut Context<'_, '_>) {
        if let State::Connecting(connecting) = &mut self.state
            && connecting.retry_ms.is_some_and(|retry_ms| ctx.now_ms >= retry_ms)
        {
            connecting.retry_ms = None;
            ctx.effects.push(Effect::Connect { leader: self.leader });
        }
    }

    /// Connects anew, to tell the leader something else than before.
    pub(super) fn rejoin(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        self.rejoined += 1;
        if self.rejoined > REJOINS {
            return Next::Leave("synchronization does not succeed");
        }
        if let State::Linked(link) = &self.state {
            ctx.close(link.id);
        }
        self.state = State::Connecting(Self::connect(self.leader, ctx));
        Next::Stay
    }

    pub(in crate::zab) fn connected(
        &mut self,
        leader: ServerId,
        id: LinkId,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        if leader != self.leader || !matches!(self.state, State::Connecting(_)) {
            ctx.close(id);
            return Next::Stay;
        }
        let info = Message::LearnerInfo {
            server: ctx.settings.server,
            member: self.member,
            accepted_epoch: ctx.history.accepted_epoch(),
            config_version: ctx.configs().in_force().version,
            features: Features::ALL,
        };
        ctx.send(id, info);
        self.state = State::Linked(Link {
            id,
            features: Features::NONE,
            epoch: 0,
            stage: Stage::Discovery,
            heard_ms: ctx.now_ms,
            closed: false,
            committed: Zxid::ZERO,
            configuration: None,
        });
        Next::Stay
    }

    pub(super) fn discover(&mut self, message: Message<'_>, ctx: &mut Context<'_, '_>) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        let Message::LeaderInfo { epoch, features } = message else { return unexpected() };
        let accepted = ctx.history.accepted_epoch();
        if epoch < accepted {
            return Next::Leave("the leader's epoch is older than one that was promised");
        }
        link.epoch = epoch;
        link.features = features.common(Features::ALL);
        link.stage = Stage::Promised;
        // A promise given before is no news to the leader: it may have been given to another
        // try of it, with another history. A server that has lost its disk does not know what it
        // has promised, and one that needs a snapshot has no history to speak of.
        let counts = epoch > accepted && !self.fresh && !self.needs_snapshot;
        if epoch > accepted && !self.fresh {
            ctx.history.accept_epoch(epoch, ctx.effects);
        }
        let vouch = Vouch::AckEpoch {
            current_epoch: counts.then_some(ctx.history.current_epoch()),
            last: if self.needs_snapshot { NOTHING } else { ctx.history.last() },
        };
        ctx.vouch_all(link.id, vouch);
        Next::Stay
    }
}
