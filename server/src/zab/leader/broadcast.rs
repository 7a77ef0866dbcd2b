//! Broadcast: proposals go out, and what a quorum has durably is committed, in order.

use std::collections::BTreeSet;

use quorate_protocol::Zxid;

use super::{Leader, Phase, Stage, reconfig::may_lead_on};
use crate::zab::{
    configuration::Configuration,
    context::{Context, Next},
    effect::Effect,
    types::{Features, LinkId, Member, ServerId},
};

impl Leader {
    /// This server has put `count` transactions up to `last` into its log.
    pub(in crate::zab) fn proposed(
        &mut self,
        last: Zxid,
        count: u64,
        reconfig: Option<Configuration>,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        ctx.history.proposed(last, count, reconfig);
        for (id, link) in &mut self.links {
            if link.is_live() && link.member == Member::Participant {
                link.proposed(last, ctx.now_ms);
                ctx.effects.push(Effect::SendProposals { link: *id });
            }
        }
        if !may_lead_on(ctx) {
            return self.resign(ctx);
        }
        if last.counter() >= ctx.settings.roll_over {
            return self.roll_over(0, ctx);
        }
        Next::Stay
    }

    pub(super) fn ack(&mut self, id: LinkId, zxid: Zxid, ctx: &mut Context<'_, '_>) -> Next {
        let last = ctx.history.last();
        let Some(link) = self.links.get_mut(&id) else { return Next::Stay };
        match link.stage {
            Stage::Known | Stage::Invited | Stage::Promised { .. } => self.refuse(id, ctx),
            _ if zxid.epoch() != self.epoch => {
                // Compat: ZooKeeper 3.9.2 acknowledges transactions of the stream that brought
                // it here, which count for nothing.
                Next::Stay
            }
            Stage::Marked if zxid.counter() == 0 => self.ack_new_leader(id, ctx),
            // Compat: ZooKeeper acknowledges UPTODATE with the same zxid as NEWLEADER.
            _ if zxid.counter() == 0 => Next::Stay,
            _ if zxid > last => self.refuse(id, ctx),
            _ => {
                link.acknowledged(zxid, last, ctx.now_ms);
                self.advance(ctx)
            }
        }
    }

    /// B9: commits what a quorum has durably, this server included only as far as its own log is
    /// durable.
    pub(super) fn commit(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        while let Some(upto) = self.acknowledged_by_quorum(ctx) {
            match ctx.configs().pending().filter(|pending| *pending <= upto) {
                None => self.commit_up_to(upto, ctx),
                Some(pending) => {
                    if let Some(before) = ctx.history.epochs().last_below(pending) {
                        self.commit_up_to(before, ctx);
                    }
                    // B12: whoever learns of it may stop servers that it does without.
                    if !ctx.history.may_activate(ctx.effects) {
                        return Next::Stay;
                    }
                    match self.activate(pending, ctx) {
                        Next::Stay => {}
                        next => return next,
                    }
                }
            }
        }
        self.drained(ctx)
    }

    /// Commits what is before the next configuration.
    fn commit_up_to(&mut self, upto: Zxid, ctx: &mut Context<'_, '_>) {
        if upto <= ctx.history.committed() {
            return;
        }
        if let Some(ticket) = self.rounds.committed(upto) {
            ctx.effects.push(Effect::Confirmed { ticket });
        }
        for (id, link) in &mut self.links {
            if !link.is_live() || link.committed >= upto {
                continue;
            }
            let after = std::mem::replace(&mut link.committed, upto);
            ctx.effects.push(match link.member {
                Member::Participant => {
                    let cumulative = link.features.has(Features::CUMULATIVE);
                    Effect::SendCommits { link: *id, after, upto, cumulative }
                }
                Member::Observer => Effect::SendInforms { link: *id, after, upto },
            });
        }
        ctx.commit(upto);
    }

    /// The last transaction of this epoch behind what is committed that a quorum has durably. From
    /// a configuration's transaction on it takes a quorum of that one, too.
    fn acknowledged_by_quorum(&self, ctx: &Context<'_, '_>) -> Option<Zxid> {
        if !matches!(self.phase, Phase::Broadcast { .. }) {
            return None;
        }
        let configs = ctx.configs();
        let upto = self.acknowledged_in(configs.in_force(), ctx)?;
        let Some(pending) = configs.pending().filter(|pending| *pending <= upto) else {
            return Some(upto);
        };
        let by_both = self.acknowledged_in(configs.newest(), ctx).map(|last| last.min(upto));
        let before = || ctx.history.epochs().last_below(pending);
        by_both
            .filter(|last| *last >= pending)
            .or_else(before)
            .filter(|last| *last > ctx.history.committed())
    }

    /// The last transaction of this epoch behind what is committed that a quorum of a
    /// configuration has durably.
    fn acknowledged_in(&self, config: &Configuration, ctx: &Context<'_, '_>) -> Option<Zxid> {
        let committed = ctx.history.committed();
        let mut acks: Vec<(Zxid, ServerId)> = self
            .links
            .values()
            .filter(|link| link.is_follower() && link.has_epoch())
            .map(|link| (link.acked, link.server))
            .chain([(ctx.history.durable_last(), ctx.settings.server)])
            .filter(|(zxid, _)| *zxid > committed && zxid.epoch() == self.epoch)
            .collect();
        acks.sort_unstable();
        let mut servers = BTreeSet::new();
        while let Some((zxid, server)) = acks.pop() {
            servers.insert(server);
            if config.is_quorum(&servers) {
                return Some(zxid);
            }
        }
        None
    }
}
