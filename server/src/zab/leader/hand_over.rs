//! How a leader ends on purpose: everything proposed is committed first, then those who
//! understand it are told whom to follow, and nobody elects.

use std::collections::BTreeSet;

use quorate_protocol::Zxid;

use super::{Leader, Link, Phase};
use crate::zab::{
    context::{Context, Next},
    effect::Role,
    message::Message,
    types::{Features, ServerId},
};

/// Why no more proposals are made, and until when that may go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draining {
    to: Successor,
    deadline_ms: i64,
}

#[derive(Debug, Clone, Copy)]
enum Successor {
    /// The most up-to-date of the others.
    Another,
    /// This server itself, in an epoch behind this one.
    Renewed(u32),
    /// Whoever is named when the configuration comes into force that does without this server as
    /// the leader.
    Designated,
}

impl Leader {
    /// Leaves the lead to another server, if there is one that can take it and those who understand
    /// it are a quorum: the others elect, and ZooKeeper's follow nobody who leads without a quorum
    /// yet. They would wait for each other.
    pub(in crate::zab) fn hand_over(&mut self, ends: bool, ctx: &mut Context<'_, '_>) -> Next {
        let candidates = self.links.values().filter(|link| is_candidate(link, ctx));
        let mut following: BTreeSet<_> = candidates.map(|link| link.server).collect();
        if following.is_empty() {
            return Next::Stay;
        }
        if !ends {
            following.insert(ctx.settings.server);
        }
        if ctx.configs().is_quorum(&following) {
            self.drain(Successor::Another, ctx)
        } else {
            Next::Stay
        }
    }

    /// Goes on in an epoch behind `newest`, and behind this one.
    pub(super) fn roll_over(&mut self, newest: u32, ctx: &mut Context<'_, '_>) -> Next {
        self.drain(Successor::Renewed(newest), ctx)
    }

    /// Proposes nothing more: the configuration that was proposed last does without this server as
    /// the leader.
    pub(super) fn resign(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        self.drain(Successor::Designated, ctx)
    }

    fn drain(&mut self, to: Successor, ctx: &mut Context<'_, '_>) -> Next {
        let Phase::Broadcast { draining: draining @ None } = &mut self.phase else {
            return Next::Stay;
        };
        *draining = Some(Draining { to, deadline_ms: ctx.now_ms + ctx.settings.sync_ms() });
        ctx.become_role(Role::Draining);
        self.drained(ctx)
    }

    /// Ends, if it is to and everything is committed.
    pub(super) fn drained(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        let Phase::Broadcast { draining: Some(draining) } = self.phase else { return Next::Stay };
        let last = ctx.history.last();
        if ctx.history.committed() < last {
            return Next::Stay;
        }
        match draining.to {
            Successor::Another => {
                let Some(to) = self.successor(last, ctx) else { return Next::Stay };
                self.announce(to, ctx);
                Next::Follow(to)
            }
            Successor::Designated => Next::Stay,
            Successor::Renewed(newest) => {
                let is_old = |link: &Link| {
                    link.is_follower()
                        && ctx.configs().is_voter(link.server)
                        && link.is_synced()
                        && !link.features.has(Features::HAND_OVER)
                };
                if self.links.values().any(is_old) {
                    return Next::Leave("the epoch is used up");
                }
                self.announce(ctx.settings.server, ctx);
                Next::Renew(newest.max(self.epoch))
            }
        }
    }

    /// Ends without a successor, if it is to and that has taken too long.
    pub(super) fn drained_in_time(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        match self.phase {
            Phase::Broadcast { draining: Some(draining) } if ctx.now_ms > draining.deadline_ms => {
                Next::Leave("nobody could take over in time")
            }
            _ => self.drained(ctx),
        }
    }

    /// Of those who have everything durably, the one with the highest number.
    fn successor(&self, last: Zxid, ctx: &Context<'_, '_>) -> Option<ServerId> {
        let has_all = |link: &&Link| last.epoch() < self.epoch || link.acked >= last;
        self.links
            .values()
            .filter(|link| is_candidate(link, ctx))
            .filter(has_all)
            .map(|link| link.server)
            .max()
    }

    fn announce(&mut self, to: ServerId, ctx: &mut Context<'_, '_>) {
        for id in self.links_where(|l| l.is_synced() && l.features.has(Features::HAND_OVER)) {
            ctx.send(id, Message::HandOver { to });
        }
    }
}

fn is_candidate(link: &Link, ctx: &Context<'_, '_>) -> bool {
    link.is_follower()
        && link.is_synced()
        && link.features.has(Features::HAND_OVER)
        && ctx.configs().in_force().weight(link.server) > 0
}
