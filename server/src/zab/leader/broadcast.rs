//! Broadcast: proposals go out, and what a quorum has durably is committed, in order.

use std::collections::BTreeSet;

use quorate_protocol::Zxid;

use super::{Leader, Phase, Stage};
use crate::zab::{
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
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        ctx.history.proposed(last, count);
        for (id, link) in &mut self.links {
            if link.is_live() && link.member == Member::Participant {
                link.proposed(last, ctx.now_ms);
                ctx.effects.push(Effect::SendProposals { link: *id });
            }
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
        let committed = ctx.history.committed();
        let Some(upto) = self.acknowledged_by_quorum(committed, ctx) else {
            return self.drained(ctx);
        };
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
        self.drained(ctx)
    }

    /// The last transaction of this epoch behind `committed` that a quorum has durably.
    fn acknowledged_by_quorum(&self, committed: Zxid, ctx: &Context<'_, '_>) -> Option<Zxid> {
        if !matches!(self.phase, Phase::Broadcast { .. }) {
            return None;
        }
        let mut acks: Vec<(Zxid, ServerId)> = self
            .links
            .values()
            .filter(|link| link.votes && link.has_epoch())
            .map(|link| (link.acked, link.server))
            .chain([(ctx.history.durable_last(), ctx.settings.server)])
            .filter(|(zxid, _)| *zxid > committed && zxid.epoch() == self.epoch)
            .collect();
        acks.sort_unstable();
        let mut servers = BTreeSet::new();
        while let Some((zxid, server)) = acks.pop() {
            servers.insert(server);
            if ctx.settings.configuration.is_quorum(&servers) {
                return Some(zxid);
            }
        }
        None
    }
}
