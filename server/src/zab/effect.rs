//! What is to be done.

use quorate_protocol::Zxid;

use super::{
    election::Notification,
    message::Message,
    types::{LinkId, Position, ServerId},
};

/// One thing to do. Effects are to be performed in their order.
///
/// Messages that vouch for something on this server's disk are never in [`Effect::Send`] but in
/// [`Effect::SendDurable`], which carries what must be durable first; the barriers B1 to B14 are
/// those of the storage design (`docs/ensemble.md`).
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// Be stepped at this time at the latest.
    Wake {
        /// In milliseconds of the monotonic clock.
        at_ms: i64,
    },

    /// Send a notification by the election port, replacing one that waits there for the same
    /// server.
    Notify {
        /// To whom; never this server.
        to: ServerId,
        /// What to say.
        notification: Notification,
    },

    /// Connect to a leader's quorum port. One try at a time, answered by `Connected` or
    /// `ConnectFailed`; a new one takes the place of one that is under way.
    Connect {
        /// The leader.
        leader: ServerId,
    },
    /// Close a link, after what was sent on it before has left. Nothing is heard of it any more.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Send a message that says nothing about this server's disk.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        message: Message<'a>,
    },
    /// Send a message once the log is durable up to `after`. Messages of a link leave in the order
    /// of their effects among those that wait; one that does not wait may overtake them.
    SendDurable {
        /// What must be durable first.
        after: Position,
        /// The link.
        link: LinkId,
        /// The message.
        message: Vouch,
    },

    /// Append to the log; the record has the position `position`.
    Append {
        /// One more than the record before.
        position: Position,
        /// The record.
        record: Record<'a>,
    },
    /// Cut the log behind `to` and sync it (B3): takes effect before any later append, and is
    /// durable when this returns. Nothing above `to` was ever applied.
    Truncate {
        /// The last transaction that stays.
        to: Zxid,
    },
    /// Let log and tree begin anew with the snapshot that has come by this link, even if the link
    /// ends meanwhile: answered by `SnapshotInstalled` in any case. Takes effect before any later
    /// append.
    InstallSnapshot {
        /// The link.
        link: LinkId,
    },

    /// What this server is now.
    Become(Role),
    /// Everything up to there is committed: it may be applied as soon as it is durable here.
    Commit {
        /// The last committed transaction.
        upto: Zxid,
    },

    /// Leader: bring a learner to where this server is, by a stream of its own: the packet that
    /// begins the plan, then the transactions behind it, each as a proposal and a commit (cumulative
    /// commits where the link has them). Answered by `CaughtUp` when everything up to `until`
    /// and up to what is committed and durable by then is sent.
    Synchronize {
        /// The link.
        link: LinkId,
        /// How.
        plan: SyncPlan,
        /// To be sent at least.
        until: Zxid,
    },
    /// Leader: send the proposals behind `after` up to `upto`; the core has them in its window.
    SendWindow {
        /// The link.
        link: LinkId,
        /// The last that the link has been sent.
        after: Zxid,
        /// The last to be sent.
        upto: Zxid,
    },
    /// Leader: send the proposals of the last [`Input::Proposed`](super::Input::Proposed).
    SendProposals {
        /// The link.
        link: LinkId,
    },
    /// Leader: send `NEWLEADER`, with the configuration that the learner is to go by.
    SendNewLeader {
        /// The link.
        link: LinkId,
        /// The epoch.
        epoch: u32,
        /// It is the last configuration seen, and not the one in force: this server leads only if a quorum
        /// goes by it.
        newest: bool,
    },
    /// Leader: send that the configuration of this transaction is committed and in force, to an
    /// observer with the transaction.
    SendActivation {
        /// The link.
        link: LinkId,
        /// The transaction.
        zxid: Zxid,
        /// Who leads from now on.
        leader: ServerId,
        /// Whether the learner observes.
        observes: bool,
    },
    /// Leader: send that everything behind `after` up to `upto` is committed, in one packet where
    /// `cumulative`, else in one for each.
    SendCommits {
        /// The link.
        link: LinkId,
        /// Committed before.
        after: Zxid,
        /// Committed now.
        upto: Zxid,
        /// One packet says it all.
        cumulative: bool,
    },
    /// Leader, or a follower with observers: send the transactions behind `after` up to `upto`, which
    /// are committed, to an observer.
    SendInforms {
        /// The link.
        link: LinkId,
        /// Committed before.
        after: Zxid,
        /// Committed now.
        upto: Zxid,
    },
    /// Learner: answer the leader's ping with the sessions heard of.
    AnswerPing {
        /// The link.
        link: LinkId,
        /// The ping's number.
        round: i64,
    },
    /// Leader, or a follower with observers: a learner has heard of these sessions.
    SessionsHeard {
        /// By this link.
        link: LinkId,
        /// As in the packet.
        sessions: &'a [u8],
    },
    /// Leader: this server was the leader at some time after this ticket was asked for.
    Confirmed {
        /// This ticket and all before it.
        ticket: u64,
    },
    /// The configurations have changed, see [`Zab::configs`](super::Zab::configs): other servers
    /// are to be reached, or elsewhere.
    Configured,
    /// Invariants do not hold any more: the process must end, with this message.
    Halt(&'static str),
}

/// What goes to the log besides the transactions that the leader's own server prepares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// The promise to follow only this epoch or later ones.
    AcceptedEpoch(u32),
    /// The initial history of this epoch is here: everything before this record.
    CurrentEpoch(u32),
    /// What is known of configurations and is in no transaction, as [`Configs`](super::Configs)
    /// reads it.
    Configuration(Vec<u8>),
    /// A transaction.
    Transaction {
        /// Its zxid.
        zxid: Zxid,
        /// Header, record and digest.
        txn: &'a [u8],
    },
}

/// A message that vouches for something durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouch {
    /// B2: the leader's own promise.
    LeaderInfo {
        /// The new epoch.
        epoch: u32,
    },
    /// B1 and B11: the learner's promise.
    AckEpoch {
        /// See [`Message::AckEpoch`].
        current_epoch: Option<u32>,
        /// See [`Message::AckEpoch`].
        last: Zxid,
    },
    /// B5, B6: the initial history and its epoch. B8: a transaction and all before it.
    Ack {
        /// What is acknowledged.
        zxid: Zxid,
        /// A later `Ack` that is ready at the same time says it all.
        cumulative: bool,
    },
}

/// How a learner is brought to the leader's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPlan {
    /// Transactions behind `after`.
    Diff {
        /// The learner's last.
        after: Zxid,
    },
    /// The learner cuts its log first; then transactions behind `to`.
    Trunc {
        /// The last that stays.
        to: Zxid,
    },
    /// A snapshot, then transactions behind it.
    Snap,
}

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Without a leader: no client is served.
    Looking {
        /// It was told whom to follow next: clients are kept, since nothing they sent was lost.
        planned: bool,
    },
    /// The leader of an established epoch. The next transaction is `(epoch, 1)`; everything in
    /// the log is committed.
    Leading {
        /// Its epoch.
        epoch: u32,
    },
    /// The leader waits for its proposals to be committed, to end: no new ones are made.
    Draining,
    /// Synchronized with a leader.
    Following {
        /// The leader's link.
        link: LinkId,
        /// The leader.
        leader: ServerId,
        /// Its epoch.
        epoch: u32,
        /// As what.
        member: super::types::Member,
    },
}
