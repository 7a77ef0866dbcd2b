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
                return self.commit(None, ctx);
            }
            (Message::Inform { zxid, txn }, Member::Observer) => {
                if link.log(zxid, txn, ctx).is_none() || !link.note_commit(zxid, ctx) {
                    return unexpected();
                }
                return self.commit(None, ctx);
            }
            (Message::CommitAndActivate { zxid, leader }, Member::Participant) => {
                if !link.note_commit(zxid, ctx) {
                    return unexpected();
                }
                return self.commit(Some(leader), ctx);
            }
            (Message::InformAndActivate { zxid, leader, txn }, Member::Observer) => {
                if link.log(zxid, txn, ctx).is_none() || !link.note_commit(zxid, ctx) {
                    return unexpected();
                }
                return self.commit(Some(leader), ctx);
            }
            // What an observer has no use for.
            (
                Message::Proposal { .. }
                | Message::Commit { .. }
                | Message::CommitAndActivate { .. },
                Member::Observer,
            ) => {}
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

    /// Takes what is committed for so, and goes where the configuration wants this server if another
    /// one is in force now; to the `designated` leader if one is named.
    fn commit(&mut self, designated: Option<ServerId>, ctx: &mut Context<'_, '_>) -> Next {
        let State::Linked(link) = &self.state else { return Next::Stay };
        let before = ctx.configs().in_force().version;
        ctx.commit(link.committed);
        if ctx.configs().in_force().version == before {
            return Next::Stay;
        }
        let features = link.features;
        let (configs, me) = (ctx.configs(), ctx.settings.server);
        if self.by_follower {
            // A follower lets its observers go when it has another leader. As long as it serves them
            // nothing is known of the requests that have gone by it.
            return match designated {
                _ if configs.member(me) == self.member => Next::Stay,
                Some(leader) => Next::Turn(leader),
                None => Next::Leave("the configuration has changed"),
            };
        }
        let leader = designated.unwrap_or(self.leader);
        if configs.in_force().weight(leader) == 0 {
            return Next::Leave("the configuration is without the leader");
        }
        if leader != self.leader {
            // One of ours proposes nothing behind the configuration that it is not to lead.
            return if features.has(Features::HAND_OVER) {
                Next::Follow(leader)
            } else {
                Next::Turn(leader)
            };
        }
        if configs.member(me) == self.member { Next::Stay } else { Next::Turn(leader) }
    }

    fn handed_over(&self, to: ServerId, ctx: &Context<'_, '_>) -> Next {
        let settings = ctx.settings;
        let can_lead = ctx.configs().in_force().weight(to) > 0;
        if can_lead && (to != settings.server || self.member == Member::Participant) {
            Next::Follow(to)
        } else {
            Next::Leave("the leader has gone to a server that cannot lead")
        }
    }
}
