//! A new configuration: who leads under it, and how the learners are told.

use quorate_protocol::Zxid;

use super::Leader;
use crate::zab::{
    context::{Context, Next},
    effect::Effect,
    types::{Member, ServerId},
};

/// Whether this server leads on when the configuration is in force that was proposed last.
pub(super) fn may_lead_on(ctx: &Context<'_, '_>) -> bool {
    let me = ctx.settings.server;
    ctx.configs().last_seen().is_none_or(|next| ctx.configs().may_lead_on(me, next))
}

impl Leader {
    /// Puts the configuration of this transaction into force, which is committed, and everything
    /// before it, too.
    ///
    /// A leader that it does without goes: it has proposed nothing behind it. The next one is named
    /// to the learners, so that nobody elects.
    pub(super) fn activate(&mut self, zxid: Zxid, ctx: &mut Context<'_, '_>) -> Next {
        let me = ctx.settings.server;
        let leader = if may_lead_on(ctx) { Some(me) } else { self.designated(ctx) };
        let Some(leader) = leader else {
            return Next::Leave("nobody can take the lead under the new configuration");
        };
        debug_assert!(leader == me || zxid == ctx.history.last(), "it proposes nothing behind it");
        if let Some(ticket) = self.rounds.committed(zxid) {
            ctx.effects.push(Effect::Confirmed { ticket });
        }
        for (id, link) in &mut self.links {
            if link.is_live() && link.committed < zxid {
                link.committed = zxid;
                let observes = link.member == Member::Observer;
                ctx.effects.push(Effect::SendActivation { link: *id, zxid, leader, observes });
            }
        }
        ctx.commit(zxid);
        if leader == me { Next::Stay } else { Next::Follow(leader) }
    }

    /// Of those that can lead under the new configuration, the one that has most durably, and of
    /// several the one with the highest number.
    fn designated(&self, ctx: &Context<'_, '_>) -> Option<ServerId> {
        let next = ctx.configs().newest();
        self.links
            .values()
            .filter(|link| link.is_follower() && link.has_epoch() && next.weight(link.server) > 0)
            .max_by_key(|link| (link.acked, link.server))
            .map(|link| link.server)
    }
}
