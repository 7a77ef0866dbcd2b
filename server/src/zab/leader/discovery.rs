//! Discovery: which epoch comes next, and does a quorum promise to follow it with a history that
//! this server's contains.

use std::collections::BTreeSet;

use quorate_protocol::Zxid;

use super::{Leader, Link, Phase, Stage};
use crate::zab::{
    context::{Context, Greeting, Next},
    effect::Vouch,
    types::{Features, LinkId, Member},
};

/// Epochs stay below this: zxids are compared as signed numbers.
const EPOCH_LIMIT: u32 = 1 << 31;

impl Leader {
    /// A learner has come and said who it is. At any time.
    pub(in crate::zab) fn admit(
        &mut self,
        id: LinkId,
        greeting: Greeting,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        let Greeting { server, member, accepted_epoch, config_version, features } = greeting;
        if server == ctx.settings.server
            || config_version > ctx.configs().newest().version
            || accepted_epoch >= EPOCH_LIMIT - 1
        {
            ctx.close(id);
            return Next::Stay;
        }
        // It has connected anew, perhaps before the end of its last link is known here. What it
        // had acknowledged there need not be in its log any more.
        for old in self.links_where(|link| link.server == server) {
            self.links.remove(&old);
            ctx.close(old);
        }
        let features = features.common(Features::ALL);
        self.links.insert(id, Link::new(server, member, features));
        let is_follower = member == Member::Participant;
        let votes = is_follower && ctx.configs().is_voter(server);
        let counts = is_follower || features != Features::NONE;
        match &mut self.phase {
            Phase::Discovery { heard, newest } => {
                *newest = accepted_epoch.max(*newest);
                if counts {
                    heard.insert(server);
                }
                self.advance(ctx)
            }
            Phase::Broadcast { .. } if accepted_epoch > self.epoch && votes => {
                // It has promised a later epoch that came to nothing, and can follow only a
                // still later one. The quorum that is here would leave it out for ever.
                self.invite(id, ctx);
                self.roll_over(accepted_epoch, ctx)
            }
            Phase::Promise { .. } | Phase::Synchronization { .. } | Phase::Broadcast { .. } => {
                self.invite(id, ctx);
                Next::Stay
            }
        }
    }

    /// A quorum has said what it promised: the epoch is the next one, once and for all.
    pub(super) fn fix_epoch(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        let Phase::Discovery { newest, .. } = self.phase else { return Next::Stay };
        self.epoch = newest.max(ctx.history.accepted_epoch()) + 1;
        if self.epoch >= EPOCH_LIMIT {
            return Next::Halt("there are no more epochs");
        }
        ctx.history.accept_epoch(self.epoch, ctx.effects);
        self.promised = ctx.history.appended();
        self.begin_phase(Phase::Promise { by: BTreeSet::new() }, ctx);
        for id in self.links_where(|link| link.stage == Stage::Known) {
            self.invite(id, ctx);
        }
        Next::Stay
    }

    /// B2: nobody hears of the epoch before this server's own promise is durable.
    fn invite(&mut self, id: LinkId, ctx: &mut Context<'_, '_>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.enter(Stage::Invited, ctx);
        ctx.vouch(self.promised, id, Vouch::LeaderInfo { epoch: self.epoch });
    }

    pub(super) fn ack_epoch(
        &mut self,
        id: LinkId,
        current_epoch: Option<u32>,
        last: Zxid,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        let Some(link) = self.links.get_mut(&id) else { return Next::Stay };
        if link.stage != Stage::Invited || current_epoch.is_some_and(|epoch| epoch >= self.epoch) {
            return self.refuse(id, ctx);
        }
        let Phase::Promise { by } = &mut self.phase else {
            // What it has more than a quorum cannot be committed, and is cut.
            self.synchronize(id, last, ctx);
            return Next::Stay;
        };
        if current_epoch.is_some_and(|epoch| (epoch, last) > self.initial) {
            return self.refuse(id, ctx);
        }
        link.enter(Stage::Promised { last }, ctx);
        link.has_vouched = current_epoch.is_some() && link.features != Features::NONE;
        if link.vouches() && current_epoch.is_some() {
            by.insert(link.server);
        } else if link.is_follower() && ctx.configs().is_voter(link.server) {
            // It promised this epoch before: to another server, or on a link that ended too
            // early. If the others are not enough, a new epoch is, and nothing is gained by
            // waiting for the limit.
            self.deadline_ms = self.deadline_ms.min(ctx.now_ms + ctx.settings.tick_ms);
        }
        self.advance(ctx)
    }
}
