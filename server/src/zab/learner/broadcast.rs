//! Broadcast: what the leader proposes is logged and acknowledged, what it commits is applied.

use super::{Learner, State, unexpected};
use crate::zab::{
    context::{Context, Next},
    effect::Effect,
    message::Message,
    types::{Features, Member, ServerId},
};

impl Learner {
    pub(super) fn broadcast<'a>(
        &mut self,
        message: Message<'a>,
        ctx: &mut Context<'_, 'a>,
    ) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        match (message, self.member) {
            (Message::Proposal { zxid, txn }, Member::Participant) => {
                match link.log(zxid, txn, ctx) {
                    Some(true) => link.acknowledge(zxid, ctx),
                    Some(false) => {}
                    None => return unexpected(),
                }
            }
            (Message::Commit { zxid }, Member::Participant) => {
                if !link.note_commit(zxid, ctx) {
                    return unexpected();
                }
                ctx.commit(link.committed);
            }
            (Message::Inform { zxid, txn }, Member::Observer) => {
                if link.log(zxid, txn, ctx).is_none() || !link.note_commit(zxid, ctx) {
                    return unexpected();
                }
                ctx.commit(link.committed);
            }
            // What an observer has no use for.
            (Message::Proposal { .. } | Message::Commit { .. }, Member::Observer) => {}
            (Message::Ping { round, .. }, _) => {
                ctx.effects.push(Effect::AnswerPing { link: link.id(), round });
            }
            (Message::HandOver { to }, _) if link.features.has(Features::HAND_OVER) => {
                return self.handed_over(to, ctx);
            }
            _ => return unexpected(),
        }
        Next::Stay
    }

    fn handed_over(&self, to: ServerId, ctx: &Context<'_, '_>) -> Next {
        let settings = ctx.settings;
        let can_lead = settings.configuration.weight(to) > 0;
        if can_lead && (to != settings.server || self.member == Member::Participant) {
            Next::Follow(to)
        } else {
            Next::Leave("the leader has gone to a server that cannot lead")
        }
    }
}
