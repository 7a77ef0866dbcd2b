//! A learner as its leader sees it.

use quorate_protocol::Zxid;

use crate::zab::{
    LinkInfo,
    context::Context,
    types::{Features, LinkId, Member, ServerId},
};

/// How far a learner has come.
///
/// ```text
/// Known -> Invited -> Promised -> Streaming -> Marked -> Acknowledged -> Synced
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It said who it is; the epoch is not fixed yet.
    Known,
    /// `LEADERINFO` was sent.
    Invited,
    /// `ACKEPOCH` came; a quorum of them has not come yet.
    Promised {
        /// The learner's last transaction.
        last: Zxid,
    },
    /// The stream that brings it here is under way.
    Streaming,
    /// `NEWLEADER` was sent. From here on it gets what is proposed.
    Marked,
    /// It has acknowledged `NEWLEADER`: its promise and its log are of this epoch.
    Acknowledged {
        /// What is to be confirmed before it is told that it is up to date.
        proof: Option<i64>,
    },
    /// `UPTODATE` was sent.
    Synced,
}

/// A link to a learner that said who it is.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) server: ServerId,
    pub(super) member: Member,
    pub(super) features: Features,
    pub(super) stage: Stage,
    /// It has joined as an observer, and promised this epoch as a voter would: it may vote by a
    /// configuration that it does not know of yet.
    pub(super) has_vouched: bool,
    /// The last transaction of this epoch that is durable there, with all before it. Grows.
    pub(super) acked: Zxid,
    /// What the stream that brought it here ended with.
    pub(super) streamed: Zxid,
    /// What it was told to be committed.
    pub(super) committed: Zxid,
    /// The newest ping round it has echoed.
    pub(super) echoed: i64,
    /// When it is given up, unless something is heard of it.
    deadline_ms: i64,
    /// A proposal that it has not acknowledged, and since when it is waited for.
    unacked: Option<(Zxid, i64)>,
}

impl Link {
    pub(super) fn new(server: ServerId, member: Member, features: Features) -> Self {
        Self {
            server,
            member,
            features,
            stage: Stage::Known,
            has_vouched: false,
            acked: Zxid::ZERO,
            streamed: Zxid::ZERO,
            committed: Zxid::ZERO,
            echoed: 0,
            deadline_ms: i64::MAX,
            unacked: None,
        }
    }

    pub(super) fn info(&self, link: LinkId) -> LinkInfo {
        LinkInfo {
            link,
            server: self.server,
            member: self.member,
            features: self.features,
            synced: self.is_synced(),
        }
    }

    /// Whether what it says counts for quorums as far as it is a voter: it has come as a participant.
    pub(super) fn is_follower(&self) -> bool {
        self.member == Member::Participant
    }

    /// Whether its promise and its history count as far as it is a voter.
    ///
    /// An observer of ours promises and acknowledges as durably as a follower does, unless it is new
    /// or has lost something, and then it does not promise at all.
    pub(super) fn vouches(&self) -> bool {
        self.is_follower() || self.has_vouched
    }

    /// Whether it gets what is proposed, or what is committed if it is an observer.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Marked | Stage::Acknowledged { .. } | Stage::Synced)
    }

    /// Whether it has this epoch's initial history durably. What it acknowledges before does not
    /// count: a crash would leave it with a lower epoch than a server without that transaction.
    pub(super) fn has_epoch(&self) -> bool {
        matches!(self.stage, Stage::Acknowledged { .. } | Stage::Synced)
    }

    /// Whether it follows this epoch, and nothing older.
    pub(super) fn has_promised(&self) -> bool {
        !matches!(self.stage, Stage::Known | Stage::Invited)
    }

    pub(super) fn is_synced(&self) -> bool {
        self.stage == Stage::Synced
    }

    pub(super) fn enter(&mut self, stage: Stage, ctx: &Context<'_, '_>) {
        self.stage = stage;
        self.heard(ctx);
    }

    /// Something was heard of it, or something was done for it.
    pub(super) fn heard(&mut self, ctx: &Context<'_, '_>) {
        let settings = ctx.settings;
        self.deadline_ms = match self.stage {
            // It waits for the leader, which waits for others.
            Stage::Known | Stage::Promised { .. } | Stage::Acknowledged { .. } => i64::MAX,
            Stage::Invited | Stage::Streaming | Stage::Marked => {
                ctx.now_ms + settings.init_ms() + settings.sync_ms()
            }
            Stage::Synced => ctx.now_ms + settings.sync_ms(),
        };
    }

    /// Proposals up to `last` were sent to it.
    pub(super) fn proposed(&mut self, last: Zxid, now_ms: i64) {
        if self.unacked.is_none() && last > self.acked {
            self.unacked = Some((last, now_ms));
        }
    }

    /// It has everything up to `zxid`, of which proposals up to `last` were sent.
    pub(super) fn acknowledged(&mut self, zxid: Zxid, last: Zxid, now_ms: i64) {
        self.acked = self.acked.max(zxid);
        if self.unacked.is_some_and(|(waited, _)| waited <= self.acked) {
            // The oldest of the others was sent at some time since; it gets a limit of its own.
            self.unacked = (last > self.acked).then_some((last, now_ms));
        }
    }

    /// Whether it was silent, or slow to acknowledge, for too long.
    pub(super) fn is_overdue(&self, ctx: &Context<'_, '_>) -> bool {
        let late = |(_, since_ms)| ctx.now_ms - since_ms > ctx.settings.sync_ms();
        ctx.now_ms > self.deadline_ms || (self.is_synced() && self.unacked.is_some_and(late))
    }
}
