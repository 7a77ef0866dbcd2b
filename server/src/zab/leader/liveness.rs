//! Liveness: pings, what they prove, and whom the leader still hears.

use std::collections::BTreeSet;

use super::{Leader, Phase, Stage, is_quorum};
use crate::zab::{
    context::{Context, Next},
    effect::Effect,
    message::Message,
    types::{LinkId, ServerId},
};

impl Leader {
    pub(in crate::zab) fn tick(&mut self, log_is_stuck: bool, ctx: &mut Context<'_, '_>) -> Next {
        if log_is_stuck {
            return Next::Leave("its log does not finish a sync");
        }
        let is_established = self.established().is_some();
        if !is_established && ctx.now_ms >= self.deadline_ms {
            return Next::Leave("no quorum has come in time");
        }
        for id in self.links_where(|link| link.is_overdue(ctx)) {
            self.links.remove(&id);
            ctx.close(id);
        }
        if is_established && ctx.now_ms >= self.next_check_ms {
            self.next_check_ms = ctx.now_ms + ctx.settings.tick_ms;
            let followers: BTreeSet<ServerId> = self
                .links
                .values()
                .filter(|link| link.is_follower() && link.has_promised())
                .map(|link| link.server)
                .collect();
            if !is_quorum(&followers, true, ctx) {
                return Next::Leave("no quorum follows any more");
            }
        }
        if ctx.now_ms >= self.next_ping_ms {
            self.next_ping_ms = ctx.now_ms + ctx.settings.tick_ms / 2;
            ctx.wake(self.next_ping_ms);
            self.begin_round(ctx);
        }
        self.drained_in_time(ctx)
    }

    /// Is this server still the leader? An established one finds out.
    pub(in crate::zab) fn confirm(&mut self, ticket: u64, ctx: &mut Context<'_, '_>) -> Next {
        if self.established().is_some() {
            self.rounds.ask_for(ticket, ctx.history.last());
            self.begin_round_if_due(ctx);
        }
        Next::Stay
    }

    /// A learner has echoed a ping.
    pub(super) fn echo<'a>(
        &mut self,
        id: LinkId,
        round: i64,
        sessions: &'a [u8],
        ctx: &mut Context<'_, 'a>,
    ) -> Next {
        let Some(link) = self.links.get_mut(&id) else { return Next::Stay };
        if !link.is_synced() || round > self.rounds.begun() {
            return self.refuse(id, ctx);
        }
        link.echoed = link.echoed.max(round);
        if !sessions.is_empty() {
            ctx.effects.push(Effect::SessionsHeard { link: id, sessions });
        }
        self.check_rounds(ctx);
        self.begin_round_if_due(ctx);
        Next::Stay
    }

    pub(super) fn begin_round_if_due(&mut self, ctx: &mut Context<'_, '_>) {
        if self.rounds.is_due() {
            self.begin_round(ctx);
        }
    }

    fn begin_round(&mut self, ctx: &mut Context<'_, '_>) {
        let round = self.rounds.begin();
        // A learner that waits for UPTODATE does not answer, but hears that its leader lives.
        for id in self.links_where(super::Link::is_live) {
            ctx.send(id, Message::Ping { round, sessions: &[] });
        }
        self.check_rounds(ctx);
    }

    /// Answers what the echoes prove.
    fn check_rounds(&mut self, ctx: &mut Context<'_, '_>) {
        if !matches!(self.phase, Phase::Broadcast { .. }) {
            return;
        }
        let mut echoes: Vec<(i64, ServerId)> = self
            .links
            .values()
            .filter(|link| link.is_follower() && link.is_synced())
            .map(|link| (link.echoed, link.server))
            .chain([(self.rounds.begun(), ctx.settings.server)])
            .filter(|(round, _)| *round > self.rounds.confirmed())
            .collect();
        echoes.sort_unstable();
        let mut servers = BTreeSet::new();
        while let Some((round, server)) = echoes.pop() {
            servers.insert(server);
            if ctx.configs().is_quorum(&servers) {
                self.confirmed(round, ctx);
                return;
            }
        }
    }

    fn confirmed(&mut self, round: i64, ctx: &mut Context<'_, '_>) {
        if let Some(ticket) = self.rounds.confirm(round) {
            ctx.effects.push(Effect::Confirmed { ticket });
        }
        let is_proved = |stage| matches!(stage, Stage::Acknowledged { proof: Some(waits_for) } if waits_for <= round);
        for id in self.links_where(|link| is_proved(link.stage)) {
            self.release(id, ctx);
        }
    }
}
