//! Synchronization: each learner gets this server's history, and a quorum of them makes it the
//! epoch's.

use std::collections::BTreeSet;

use quorate_protocol::Zxid;

use super::{Leader, Phase, Stage, plan::plan};
use crate::zab::{
    configuration::Configuration,
    context::{Context, Next},
    effect::{Effect, Role},
    message::Message,
    types::{Features, LinkId, Member},
};

impl Leader {
    /// A quorum has promised, and none of it has more than this server: its history contains
    /// everything that is committed.
    pub(super) fn synchronize_all(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        ctx.history.enter_epoch(self.epoch, ctx.effects);
        self.number_configuration(ctx);
        let entered = ctx.history.appended();
        self.begin_phase(Phase::Synchronization { entered, by: BTreeSet::new() }, ctx);
        let promised: Vec<(LinkId, Zxid)> = self
            .links
            .iter()
            .filter_map(|(id, link)| match link.stage {
                Stage::Promised { last } => Some((*id, last)),
                _ => None,
            })
            .collect();
        for (id, last) in promised {
            self.synchronize(id, last, ctx);
        }
        Next::Stay
    }

    /// Compat: the configuration that comes from files gets a version in the first epoch, as it does
    /// in ZooKeeper, so that from then on a server without one is known to be behind.
    fn number_configuration(&self, ctx: &mut Context<'_, '_>) {
        let newest = ctx.configs().newest();
        if newest.version == 0 {
            let version = Zxid::new(self.epoch, 0).0;
            let numbered = Configuration { version, ..newest.clone() };
            ctx.history.told(&numbered, ctx.effects);
        }
    }

    /// Begins to bring a learner, whose last transaction is `last`, to this server's history.
    pub(super) fn synchronize(&mut self, id: LinkId, last: Zxid, ctx: &mut Context<'_, '_>) {
        // The whole history as long as it is the epoch's initial one; then what is committed.
        let until = match self.phase {
            Phase::Broadcast { .. } => ctx.history.committed(),
            _ => ctx.history.last(),
        };
        let Some(link) = self.links.get_mut(&id) else { return };
        let is_native = link.features != Features::NONE;
        let plan = plan(ctx.history.epochs(), until, last, is_native);
        link.enter(Stage::Streaming, ctx);
        ctx.effects.push(Effect::Synchronize { link: id, plan, until });
    }

    /// The stream to a learner has sent everything up to `upto`. What was committed since goes
    /// behind it, then the mark, then what is under way.
    pub(in crate::zab) fn caught_up(
        &mut self,
        id: LinkId,
        upto: Zxid,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        let (last, committed) = (ctx.history.last(), ctx.history.committed());
        let Some(link) = self.links.get_mut(&id) else { return Next::Stay };
        if link.stage != Stage::Streaming {
            return Next::Stay;
        }
        let (features, member) = (link.features, link.member);
        link.enter(Stage::Marked, ctx);
        link.streamed = upto;
        let committed = upto.max(committed);
        link.committed = committed;
        let follows = member == Member::Participant;
        if follows {
            link.proposed(last, ctx.now_ms);
        }
        if committed > upto {
            let after = upto;
            if follows {
                ctx.effects.push(Effect::SendWindow { link: id, after, upto: committed });
                let cumulative = features.has(Features::CUMULATIVE);
                let upto = committed;
                ctx.effects.push(Effect::SendCommits { link: id, after, upto, cumulative });
            } else {
                ctx.effects.push(Effect::SendInforms { link: id, after, upto: committed });
            }
        }
        // While this server only tries to lead, a quorum of the last configuration seen is needed, too.
        // Afterwards one that is not committed comes as a proposal.
        let newest = self.established().is_none();
        ctx.effects.push(Effect::SendNewLeader { link: id, epoch: self.epoch, newest });
        if follows && last > committed {
            // Compat: before 3.9.3 a learner of ZooKeeper's that gets a proposal in front of the mark
            // and its commit behind it gives up, again and again under load (ZOOKEEPER-4394).
            ctx.effects.push(Effect::SendWindow { link: id, after: committed, upto: last });
        }
        Next::Stay
    }

    /// A learner has the initial history of this epoch, and the epoch itself, durably.
    pub(super) fn ack_new_leader(&mut self, id: LinkId, ctx: &mut Context<'_, '_>) -> Next {
        let last = ctx.history.last();
        let Some(link) = self.links.get_mut(&id) else { return Next::Stay };
        link.enter(Stage::Acknowledged { proof: None }, ctx);
        link.acknowledged(link.streamed, last, ctx.now_ms);
        let (server, vouches) = (link.server, link.vouches());
        match &mut self.phase {
            Phase::Synchronization { by, .. } => {
                if vouches {
                    by.insert(server);
                }
                self.advance(ctx)
            }
            Phase::Broadcast { .. } => {
                self.welcome(id, ctx);
                // What it acknowledged before counts from now on.
                self.advance(ctx)
            }
            Phase::Discovery { .. } | Phase::Promise { .. } => Next::Stay,
        }
    }

    /// A quorum has this server's history: all of it is committed, and the last configuration seen
    /// is in force.
    pub(super) fn establish(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        if !ctx.history.may_activate(ctx.effects) {
            return Next::Stay;
        }
        self.begin_phase(Phase::Broadcast { draining: None }, ctx);
        self.next_check_ms = ctx.now_ms + ctx.settings.tick_ms;
        ctx.commit(ctx.history.last());
        ctx.history.activate(ctx.effects);
        let may_lead = ctx.configs().is_eligible(ctx.settings.server);
        if may_lead {
            ctx.become_role(Role::Leading { epoch: self.epoch });
        }
        for id in self.links_where(|link| matches!(link.stage, Stage::Acknowledged { .. })) {
            self.welcome(id, ctx);
        }
        if may_lead { Next::Stay } else { Next::Leave("the configuration is without this server") }
    }

    /// Tells a learner that has the epoch's history that it may serve clients.
    fn welcome(&mut self, id: LinkId, ctx: &mut Context<'_, '_>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.member == Member::Observer && ctx.configs().is_voter(link.server) {
            // A voter that has lost its disk, and its promises with it: it may have helped to
            // establish a later epoch. Before it votes again, a quorum without it has to
            // confirm that there is none.
            link.stage = Stage::Acknowledged { proof: Some(self.rounds.ask()) };
            self.begin_round_if_due(ctx);
        } else {
            self.release(id, ctx);
        }
    }

    pub(super) fn release(&mut self, id: LinkId, ctx: &mut Context<'_, '_>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.enter(Stage::Synced, ctx);
            ctx.send(id, Message::UpToDate);
        }
    }
}
