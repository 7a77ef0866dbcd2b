//! What leader and learner say to each other, as far as ZAB goes.

use quorate_protocol::Zxid;

use super::types::{Features, Member, ServerId};

/// A message on a link of the quorum port. Transactions are opaque bytes.
///
/// The names are those of ZooKeeper's packets (`client-protocol` and `Leader.java`); `peer::packet`
/// has their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// `FOLLOWERINFO` or `OBSERVERINFO`: a learner's first words.
    LearnerInfo {
        /// Who it is.
        server: ServerId,
        /// As what it wants to join.
        member: Member,
        /// The newest epoch it has promised to follow.
        accepted_epoch: u32,
        /// The version of the newest configuration it knows.
        config_version: i64,
        /// What it can do.
        features: Features,
    },
    /// `LEADERINFO`: the new epoch. B2: sent only when the leader's own promise is durable.
    LeaderInfo {
        /// The new epoch.
        epoch: u32,
        /// What the leader can do.
        features: Features,
    },
    /// `ACKEPOCH`: the learner has promised to follow (B1), or had done so before.
    AckEpoch {
        /// The epoch whose history it has; `None` when it had promised this epoch before, and
        /// does not count therefore.
        current_epoch: Option<u32>,
        /// The last transaction in its log that a crash cannot take (B11). -1: it has nothing that
        /// can be built upon and needs a snapshot (ZooKeeper's leader sends one then, too).
        last: Zxid,
    },
    /// `DIFF`: transactions behind the learner's last follow.
    Diff {
        /// The leader's last committed transaction; only for information.
        last: Zxid,
    },
    /// `TRUNC`: what the learner has above must go; transactions behind it follow.
    Trunc {
        /// The last transaction that stays.
        to: Zxid,
    },
    /// `SNAP`: a snapshot's bytes follow this packet, then transactions behind it.
    Snap {
        /// The last transaction in the snapshot.
        zxid: Zxid,
    },
    /// `NEWLEADER`: the initial history of the epoch is complete.
    NewLeader {
        /// The epoch.
        epoch: u32,
        /// The configuration last seen, as text; may be empty.
        config: &'a [u8],
    },
    /// `UPTODATE`: a quorum has the initial history; the learner may serve clients.
    UpToDate,
    /// `PROPOSAL`.
    Proposal {
        /// Its zxid.
        zxid: Zxid,
        /// Header, record and digest.
        txn: &'a [u8],
    },
    /// `ACK` of a proposal, of `NEWLEADER` or of `UPTODATE` (counter 0). B8: everything up to
    /// there is durable.
    Ack {
        /// What is acknowledged.
        zxid: Zxid,
    },
    /// `COMMIT`.
    Commit {
        /// What is committed.
        zxid: Zxid,
    },
    /// `COMMITANDACTIVATE`: `COMMIT` of a new configuration, which is in force from now on.
    CommitAndActivate {
        /// The transaction that brought it.
        zxid: Zxid,
        /// Who leads from now on.
        leader: ServerId,
    },
    /// `INFORMANDACTIVATE`: the same, with the transaction, for an observer.
    InformAndActivate {
        /// Its zxid.
        zxid: Zxid,
        /// Who leads from now on.
        leader: ServerId,
        /// Header, record and digest.
        txn: &'a [u8],
    },
    /// `INFORM`: a committed transaction, for an observer.
    Inform {
        /// Its zxid.
        zxid: Zxid,
        /// Header, record and digest.
        txn: &'a [u8],
    },
    /// `PING`, in both directions.
    Ping {
        /// The leader's number for it, echoed by the learner in the packet's zxid.
        round: i64,
        /// In a learner's answer: the sessions heard of since the last, with their timeouts.
        sessions: &'a [u8],
    },
    /// Native only ([`Features::HAND_OVER`]): the next leader. Everything the leader has taken is
    /// committed.
    HandOver {
        /// Whom to follow.
        to: ServerId,
    },
}
