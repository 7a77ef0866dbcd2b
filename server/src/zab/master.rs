//! The observer master: a follower that serves observers in the place of its leader.
//!
//! What an observer gets is committed already, so nobody is asked: the epoch is the one this server
//! follows, the history is its own, and what it learns to be committed goes on to its observers. All
//! of them go when it ceases to follow.

use std::collections::BTreeMap;

use quorate_protocol::Zxid;

use super::{
    LinkInfo,
    context::{Context, Greeting},
    effect::{Effect, Vouch},
    leader::plan::plan,
    message::Message,
    types::{Features, LinkId, Member, ServerId},
};

/// The observers of a follower.
#[derive(Debug, Default)]
pub(super) struct Master {
    /// The epoch that is followed, while there are links.
    epoch: u32,
    /// Whom this server follows, once there was a link.
    leader: Option<ServerId>,
    links: BTreeMap<LinkId, Observer>,
    next_ping_ms: i64,
    round: i64,
}

#[derive(Debug)]
struct Observer {
    server: ServerId,
    features: Features,
    stage: Stage,
    heard_ms: i64,
    /// What it was told to be committed, once it is told that at all.
    committed: Zxid,
}

/// How far an observer has come, as at a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// `LEADERINFO` was sent.
    Invited,
    /// The stream that brings it here is under way.
    Streaming,
    /// `NEWLEADER` was sent. From here on it gets what is committed.
    Marked,
    /// `UPTODATE` was sent.
    Synced,
}

impl Master {
    pub(super) fn contains(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    /// Whether it was there.
    pub(super) fn leave(&mut self, link: LinkId) -> bool {
        self.links.remove(&link).is_some()
    }

    pub(super) fn links(&self) -> impl Iterator<Item = LinkInfo> {
        self.links.iter().map(|(&link, observer)| LinkInfo {
            link,
            server: observer.server,
            member: Member::Observer,
            features: observer.features,
            synced: observer.stage == Stage::Synced,
        })
    }

    /// An observer has come to a follower of this leader and epoch.
    pub(super) fn admit(
        &mut self,
        id: LinkId,
        greeting: Greeting,
        (leader, epoch): (ServerId, u32),
        ctx: &mut Context<'_, '_>,
    ) {
        if greeting.config_version > ctx.configs().newest().version
            || greeting.accepted_epoch > epoch
        {
            ctx.close(id);
            return;
        }
        let same = |(_, old): &(&LinkId, &Observer)| old.server == greeting.server;
        if let Some((&old, _)) = self.links.iter().find(same) {
            self.drop_link(old, ctx);
        }
        self.epoch = epoch;
        self.leader = Some(leader);
        let observer = Observer {
            server: greeting.server,
            features: greeting.features.common(Features::ALL),
            stage: Stage::Invited,
            heard_ms: ctx.now_ms,
            committed: Zxid::ZERO,
        };
        self.links.insert(id, observer);
        ctx.vouch_all(id, Vouch::LeaderInfo { epoch });
        ctx.wake(ctx.now_ms + ctx.settings.tick_ms / 2);
    }

    pub(super) fn message<'a>(
        &mut self,
        id: LinkId,
        message: Message<'a>,
        ctx: &mut Context<'_, 'a>,
    ) {
        let epoch = self.epoch;
        let Some(observer) = self.links.get_mut(&id) else { return };
        observer.heard_ms = ctx.now_ms;
        match (message, observer.stage) {
            // It has more than is known here to be committed: others, or the leader, may help it.
            (Message::AckEpoch { last, .. }, Stage::Invited) if last > ctx.history.committed() => {
                self.drop_link(id, ctx);
            }
            (Message::AckEpoch { last, .. }, Stage::Invited) => {
                observer.stage = Stage::Streaming;
                let until = ctx.history.committed();
                let is_native = observer.features != Features::NONE;
                let plan = plan(ctx.history.epochs(), until, last, is_native);
                ctx.effects.push(Effect::Synchronize { link: id, plan, until });
            }
            (Message::Ack { zxid }, Stage::Marked) if zxid == Zxid::new(epoch, 0) => {
                observer.stage = Stage::Synced;
                ctx.send(id, Message::UpToDate);
            }
            // Compat: an observer acknowledges the mark once more, and what the stream brought.
            (Message::Ack { .. }, Stage::Marked | Stage::Synced) => {}
            (Message::Ping { sessions, .. }, Stage::Synced) => {
                if !sessions.is_empty() {
                    ctx.effects.push(Effect::SessionsHeard { link: id, sessions });
                }
            }
            _ => self.drop_link(id, ctx),
        }
    }

    pub(super) fn progress(&mut self, id: LinkId, now_ms: i64) {
        if let Some(observer) = self.links.get_mut(&id) {
            observer.heard_ms = now_ms;
        }
    }

    /// The stream to an observer has sent everything up to `upto`.
    pub(super) fn caught_up(&mut self, id: LinkId, upto: Zxid, ctx: &mut Context<'_, '_>) {
        let epoch = self.epoch;
        let Some(observer) = self.links.get_mut(&id) else { return };
        if observer.stage == Stage::Streaming {
            observer.stage = Stage::Marked;
            observer.heard_ms = ctx.now_ms;
            observer.committed = upto;
            self.pass_on(ctx);
            // The last one seen may come to nothing; if not, it comes when it is committed.
            ctx.effects.push(Effect::SendNewLeader { link: id, epoch, newest: false });
        }
    }

    /// Tells observers of what is committed since they were told last.
    pub(super) fn pass_on(&mut self, ctx: &mut Context<'_, '_>) {
        let Some(leader) = self.leader else { return };
        let upto = ctx.history.committed();
        // The transaction that brought the configuration in force, if one did.
        let activated = Zxid(ctx.configs().in_force().version);
        for (&link, observer) in &mut self.links {
            if observer.stage >= Stage::Marked && observer.committed < upto {
                let mut after = std::mem::replace(&mut observer.committed, upto);
                if after < activated && activated <= upto {
                    let before = Zxid(activated.0 - 1);
                    if after < before {
                        ctx.effects.push(Effect::SendInforms { link, after, upto: before });
                    }
                    let (zxid, observes) = (activated, true);
                    ctx.effects.push(Effect::SendActivation { link, zxid, leader, observes });
                    after = activated;
                }
                if after < upto {
                    ctx.effects.push(Effect::SendInforms { link, after, upto });
                }
            }
        }
    }

    pub(super) fn tick(&mut self, ctx: &mut Context<'_, '_>) {
        let settings = ctx.settings;
        let is_silent = |observer: &Observer| {
            let limit_ms = match observer.stage {
                Stage::Synced => settings.sync_ms(),
                _ => settings.init_ms() + settings.sync_ms(),
            };
            ctx.now_ms - observer.heard_ms > limit_ms
        };
        let silent: Vec<_> =
            self.links.iter().filter(|(_, one)| is_silent(one)).map(|(&id, _)| id).collect();
        for id in silent {
            self.drop_link(id, ctx);
        }
        if self.links.is_empty() || ctx.now_ms < self.next_ping_ms {
            return;
        }
        self.next_ping_ms = ctx.now_ms + ctx.settings.tick_ms / 2;
        ctx.wake(self.next_ping_ms);
        self.round += 1;
        for (&id, observer) in &self.links {
            if observer.stage >= Stage::Marked {
                ctx.send(id, Message::Ping { round: self.round, sessions: &[] });
            }
        }
    }

    /// This server follows no longer.
    pub(super) fn end(&mut self, ctx: &mut Context<'_, '_>) {
        for id in std::mem::take(&mut self.links).into_keys() {
            ctx.close(id);
        }
    }

    fn drop_link(&mut self, id: LinkId, ctx: &mut Context<'_, '_>) {
        self.links.remove(&id);
        ctx.close(id);
    }
}
