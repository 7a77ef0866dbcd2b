//! Synchronization: what the leader has and this server has not, in the order it comes. Nothing
//! of it is final before `UPTODATE`, since the leader may turn out not to be one.

use quorate_protocol::Zxid;

use super::{Learner, Link, Stage, State, unexpected};
use crate::zab::{
    configs,
    configuration::Configuration,
    context::{Context, Next},
    effect::{Effect, Role, Vouch},
    message::Message,
    types::{Features, LinkId, Member},
};

impl Learner {
    /// The first packet behind the promise says how.
    pub(super) fn begin_synchronization(
        &mut self,
        message: Message<'_>,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        match message {
            Message::Diff { .. } if self.needs_snapshot => unexpected(),
            Message::Diff { .. } => {
                link.begin(ctx.history.last());
                Next::Stay
            }
            Message::Trunc { to } => self.truncate(to, ctx),
            Message::Snap { .. } => {
                link.stage = Stage::Snapshot;
                Next::Stay
            }
            _ => unexpected(),
        }
    }

    /// What this server has above `to` is not in the leader's history.
    fn truncate(&mut self, to: Zxid, ctx: &mut Context<'_, '_>) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        let (floor, committed, last) =
            (ctx.history.epochs().floor(), ctx.history.committed(), ctx.history.last());
        if self.needs_snapshot || to > last || !ctx.history.is_durable() {
            return unexpected();
        }
        if to < floor {
            // The snapshot that this log stands on came from a leader that never got a quorum.
            self.needs_snapshot = true;
            return self.rejoin(ctx);
        }
        if to < committed {
            // Compat: ZooKeeper's leader counts as committed what it has applied itself; of its
            // own epoch a learner may know more for a moment.
            let is_behind = link.features == Features::NONE && to.epoch() == link.epoch;
            return if is_behind {
                Next::Leave("the leader has not applied yet what is committed here")
            } else {
                Next::Halt("the leader wants to take away transactions that are committed here")
            };
        }
        if ctx.history.epochs().contains(to) {
            ctx.history.truncate(to, ctx.effects);
            link.begin(to);
            return Next::Stay;
        }
        // The leader knows nothing of the epochs this server has there. What is below both is
        // perhaps shared; it says when asked again.
        let Some(below) = ctx.history.epochs().last_below(to) else { return unexpected() };
        ctx.history.truncate(below, ctx.effects);
        self.rejoin(ctx)
    }

    /// The bytes of the leader's snapshot are here.
    pub(in crate::zab) fn snapshot_received(
        &mut self,
        id: LinkId,
        zxid: Zxid,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        if link.id != id {
            return Next::Stay;
        }
        if link.stage != Stage::Snapshot {
            return unexpected();
        }
        // What is below the floor is known by a snapshot alone, and that may have come from a leader
        // that never got a quorum.
        let (floor, committed) = (ctx.history.epochs().floor(), ctx.history.committed());
        if (floor..committed).contains(&zxid) && !self.needs_snapshot {
            return Next::Leave("the leader's snapshot is older than what is committed here");
        }
        link.stage = Stage::Installing;
        ctx.effects.push(Effect::InstallSnapshot { link: id });
        Next::Stay
    }

    pub(in crate::zab) fn snapshot_installed(
        &mut self,
        zxid: Zxid,
        configuration: Option<&Configuration>,
        ctx: &mut Context<'_, '_>,
    ) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        if link.stage != Stage::Installing {
            return Next::Stay;
        }
        ctx.history.begin_anew(zxid, configuration, ctx.effects);
        if link.closed {
            return Next::Leave("the leader closed the link");
        }
        self.needs_snapshot = false;
        link.begin(zxid);
        link.heard_ms = ctx.now_ms;
        Next::Stay
    }

    /// Between DIFF, TRUNC or SNAP and `NEWLEADER`.
    pub(super) fn synchronize<'a>(
        &mut self,
        message: Message<'a>,
        ctx: &mut Context<'_, 'a>,
    ) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        match message {
            Message::Proposal { zxid, txn } => match link.log(zxid, txn, ctx) {
                Some(_) => Next::Stay,
                None => unexpected(),
            },
            // Whatever is in force then is what this server goes by when it is up to date.
            Message::Inform { zxid, txn } | Message::InformAndActivate { zxid, txn, .. } => {
                match link.log(zxid, txn, ctx) {
                    Some(_) if link.note_commit(zxid, ctx) => Next::Stay,
                    _ => unexpected(),
                }
            }
            Message::Commit { zxid } | Message::CommitAndActivate { zxid, .. }
                if link.note_commit(zxid, ctx) =>
            {
                Next::Stay
            }
            Message::Ping { .. } => Next::Stay,
            Message::NewLeader { epoch, config } if epoch == link.epoch => {
                link.configuration = configs::read(config);
                self.acknowledge_history(ctx);
                Next::Stay
            }
            _ => unexpected(),
        }
    }

    /// B5, B6: `NEWLEADER` is acknowledged once all that came before it, then the epoch, is
    /// durable; then what is not committed yet. A fresh server is in no epoch yet, but its
    /// acknowledgement does not count.
    fn acknowledge_history(&mut self, ctx: &mut Context<'_, '_>) {
        let State::Linked(link) = &mut self.state else { return };
        let epoch = link.epoch;
        // B12: the configuration last seen is durable, too.
        if let Some(config) = &link.configuration {
            ctx.history.told(config, ctx.effects);
        }
        if !self.fresh {
            ctx.history.enter_epoch(epoch, ctx.effects);
        }
        link.stage = Stage::Marked;
        link.acknowledge(Zxid::new(epoch, 0), ctx);
        if self.member == Member::Participant {
            let committed = link.committed.max(Zxid::new(epoch, 0));
            link.acknowledge_behind(committed, ctx);
        }
    }

    /// Between `NEWLEADER` and `UPTODATE`. Live proposals and commits come already.
    pub(super) fn await_up_to_date<'a>(
        &mut self,
        message: Message<'a>,
        ctx: &mut Context<'_, 'a>,
    ) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        match message {
            Message::Proposal { zxid, txn } => match link.log(zxid, txn, ctx) {
                Some(is_new) => {
                    if is_new && self.member == Member::Participant {
                        link.acknowledge(zxid, ctx);
                    }
                    Next::Stay
                }
                None => unexpected(),
            },
            Message::UpToDate => {
                self.needs_snapshot = false;
                self.up_to_date(ctx)
            }
            Message::NewLeader { .. } => unexpected(),
            // As before the mark.
            _ => self.synchronize(message, ctx),
        }
    }

    /// The leader is established: what came with its history is committed.
    fn up_to_date(&mut self, ctx: &mut Context<'_, '_>) -> Next {
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        ctx.commit(link.committed);
        // It may be that of a transaction that is not committed yet: a ZooKeeper leader says so much
        // of the last one seen.
        let is_waiting = |config: &Configuration| {
            ctx.configs().pending().is_some_and(|pending| pending.0 == config.version)
        };
        if let Some(config) = link.configuration.take_if(|config| !is_waiting(config)) {
            ctx.history.established(&config, ctx.effects);
        }
        if self.fresh {
            // Not before: a leader that has been deposed says NEWLEADER, too, and whoever is in
            // an epoch votes.
            ctx.history.enter_epoch(link.epoch, ctx.effects);
            self.fresh = false;
        }
        if !ctx.configs().is_eligible(self.leader) {
            return Next::Leave("the configuration is without the leader");
        }
        // Also one that votes and has joined as an observer, since it may have lost something.
        let member = ctx.configs().member(ctx.settings.server);
        if self.member != member {
            if self.by_follower {
                return Next::Leave("the configuration has changed");
            }
            self.member = member;
            return self.rejoin(ctx);
        }
        let State::Linked(link) = &mut self.state else { return Next::Stay };
        link.stage = Stage::Broadcast;
        link.acknowledge(Zxid::new(link.epoch, 0), ctx);
        ctx.become_role(Role::Following {
            link: link.id,
            leader: self.leader,
            epoch: link.epoch,
            member: self.member,
        });
        Next::Stay
    }
}

impl Link {
    /// Transactions behind `base`, which the leader shares, come now.
    fn begin(&mut self, base: Zxid) {
        self.stage = Stage::Synchronization;
        self.committed = base;
    }

    /// Logs a transaction; whether it was not there before. `None`: it does not fit.
    pub(super) fn log<'a>(
        &self,
        zxid: Zxid,
        txn: &'a [u8],
        ctx: &mut Context<'_, 'a>,
    ) -> Option<bool> {
        if ctx.history.is_next(zxid) && zxid.epoch() <= self.epoch {
            let reconfig = configs::in_transaction(txn).transpose().ok()?;
            ctx.history.log(zxid, txn, reconfig, ctx.effects);
            return Some(true);
        }
        // A joiner gets some twice: in the stream that brings it here, and live. Compat: a
        // ZooKeeper leader sends live also what its snapshot, begun later, holds already.
        let epochs = ctx.history.epochs();
        (zxid <= epochs.floor() || epochs.contains(zxid)).then_some(false)
    }

    /// Notes that a transaction is committed, if it is the next, or one of those that are here if
    /// the leader speaks of all up to it.
    pub(super) fn note_commit(&mut self, zxid: Zxid, ctx: &Context<'_, '_>) -> bool {
        if zxid <= self.committed {
            return true;
        }
        let epochs = ctx.history.epochs();
        let fits = epochs.contains(zxid)
            && (self.features.has(Features::CUMULATIVE)
                || epochs.last_below(zxid) == Some(self.committed));
        if fits {
            self.committed = zxid;
        }
        fits
    }

    /// B8: acknowledges a transaction once it and all before it are durable.
    pub(super) fn acknowledge(&self, zxid: Zxid, ctx: &mut Context<'_, '_>) {
        let cumulative = self.features.has(Features::CUMULATIVE) && zxid.counter() > 0;
        ctx.vouch_all(self.id, Vouch::Ack { zxid, cumulative });
    }

    /// Acknowledges everything behind a zxid of the epoch.
    fn acknowledge_behind(&self, zxid: Zxid, ctx: &mut Context<'_, '_>) {
        let last = ctx.history.last();
        if last <= zxid {
            return;
        }
        if self.features.has(Features::CUMULATIVE) {
            self.acknowledge(last, ctx);
            return;
        }
        let mut next = zxid.next();
        while let Some(zxid) = next.filter(|zxid| *zxid <= last) {
            self.acknowledge(zxid, ctx);
            next = zxid.next();
        }
    }

    pub(super) fn id(&self) -> LinkId {
        self.id
    }
}
