//! What can happen to a server, as far as ZAB goes.

use quorate_protocol::Zxid;

use super::{
    configuration::Configuration,
    election::Notification,
    message::Message,
    types::{LinkId, Position, ServerId},
};

/// One thing that happened. [`Zab::step`](super::Zab::step) is told the time with each.
#[derive(Debug)]
pub enum Input<'a> {
    /// Nothing but time has passed. Comes at least every half tick, and at the time that
    /// [`Effect::Wake`](super::Effect::Wake) asked for.
    Tick {
        /// For how many milliseconds the log has been at the oldest write or sync under way; 0
        /// while there is none.
        log_waits_ms: i64,
    },

    /// A notification came by the election port. Whether `from` is a member is not checked yet.
    Notification {
        /// Who sent it.
        from: ServerId,
        /// What it says.
        notification: Notification,
    },
    /// The election port's connection to a server is there, or is gone (what was sent last may be
    /// lost then).
    Reachable {
        /// The server.
        server: ServerId,
        /// Whether there is a connection.
        up: bool,
    },

    /// Somebody connected to the quorum port.
    Accepted {
        /// The new link.
        link: LinkId,
    },
    /// The connection that [`Effect::Connect`](super::Effect::Connect) asked for is there.
    Connected {
        /// Whose quorum port it goes to.
        leader: ServerId,
        /// The new link.
        link: LinkId,
    },
    /// The connection that was asked for could not be made within the time a try may take.
    ConnectFailed {
        /// Whose quorum port was tried.
        leader: ServerId,
    },
    /// A link has ended; not by [`Effect::Close`](super::Effect::Close).
    Closed {
        /// The link.
        link: LinkId,
    },
    /// A message came.
    Message {
        /// By this link.
        link: LinkId,
        /// What it says.
        message: Message<'a>,
    },

    /// A synchronization goes on though no message says so: bytes of a snapshot came or are being
    /// installed, or more of the stream to a learner has left. At least every half tick while so.
    Progress {
        /// The link.
        link: LinkId,
    },

    /// The log is durable up to there.
    Durable {
        /// The position.
        position: Position,
    },
    /// All bytes of a leader's snapshot have come and could be understood. Answered by
    /// [`Effect::InstallSnapshot`](super::Effect::InstallSnapshot), or the link is closed. What
    /// came by the link behind the snapshot is told after `SnapshotInstalled`.
    SnapshotReceived {
        /// By this link.
        link: LinkId,
        /// The last transaction in it.
        zxid: Zxid,
    },
    /// Log and tree begin anew behind the snapshot, durably (B4).
    SnapshotInstalled {
        /// The last transaction in it.
        zxid: Zxid,
        /// The configuration that was in force then, as the tree says.
        configuration: Option<Configuration>,
    },

    /// The leader's server has prepared transactions and put them into its log. They follow the
    /// last ones without a gap. Only between `Role::Leading` and the end of leading.
    Proposed {
        /// The last of them.
        last: Zxid,
        /// How many.
        count: u64,
        /// The configuration that one of them brings.
        reconfig: Option<Configuration>,
    },
    /// The stream to a learner, begun by [`Effect::Synchronize`](super::Effect::Synchronize), has
    /// caught up.
    CaughtUp {
        /// The link.
        link: LinkId,
        /// The last transaction that was sent.
        upto: Zxid,
    },
    /// Is this server still the leader? Answered by
    /// [`Effect::Confirmed`](super::Effect::Confirmed), or never if it is not.
    Confirm {
        /// Whoever asks; tickets grow.
        ticket: u64,
    },
    /// Leave the lead to another server, if one is fit for it and can lead at once.
    HandOver {
        /// The server is to end, and will not follow the other one.
        ends: bool,
    },
}
