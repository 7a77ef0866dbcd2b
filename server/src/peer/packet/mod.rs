//! The packets of the quorum port: `QuorumPacket` in ZooKeeper, what is in it, and in which
//! direction it may go.
//!
//! A packet is `int type | long zxid | buffer data | vector<Id> authinfo`; packets follow each other
//! without a length of the whole. [`peek_packet`] finds where the first one ends,
//! [`decode_from_learner`] and [`decode_from_leader`] take it apart without copying, and
//! [`Packet`]'s `Encode` writes one. What is sent for each transaction or request has functions of its
//! own ([`put_proposal`] and so on).

mod ids;
mod read;
mod sessions;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;

use quorate_protocol::{DecodeError, OpCode, SessionId, Xid};

pub(super) use self::read::snapshot_announced;
pub use self::{
    ids::Ids,
    read::{decode_from_leader, decode_from_learner, peek_packet},
    sessions::HeardSessions,
    write::{put_ack, put_commit, put_inform, put_ping_answer, put_proposal, put_request},
};
use crate::zab::Message;

/// The version of the protocol, in `LearnerInfo` and `LEADERINFO`. `Compat:` there was one before,
/// without a promise of epochs, which is not spoken here.
const PROTOCOL_VERSION: i32 = 0x10000;

/// What stands in front of the features that only this project's servers have, behind the end of
/// `LearnerInfo` and of `LEADERINFO`'s data, where ZooKeeper's servers do not look.
const FEATURES_MAGIC: &[u8; 4] = b"QRTE";

/// A packet of the quorum port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// What ZAB says.
    Zab(Message<'a>),
    /// `REQUEST`, to the leader: what a learner's client, or the learner itself, wants to have
    /// written or synchronized.
    Request {
        /// The client's session.
        session: SessionId,
        /// The client's number for the request.
        cxid: Xid,
        /// What is asked for.
        op: OpCode,
        /// The request's record.
        body: &'a [u8],
        /// Who asks.
        ids: Ids<'a>,
    },
    /// `REVALIDATE`, to the leader: a client has come to the learner with a session that it may
    /// have had elsewhere.
    Revalidate {
        /// The session.
        session: SessionId,
        /// Its timeout.
        timeout_ms: i32,
    },
    /// `REVALIDATE`, from the leader: the answer.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it exists; the learner is its owner then.
        valid: bool,
    },
    /// `SYNC`, from the leader: the oldest request to synchronize of this link that is not answered
    /// yet is done when everything in front of this packet is.
    Synced,
}

/// Bytes that are no packet, or none that may come from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The end of the packet cannot be found: its data or authinfo is longer than allowed, or of
    /// negative length.
    #[error("{part} of packet {kind} has length {length}, which is outside 0..={limit}")]
    Length {
        /// The packet's type.
        kind: PacketType,
        /// What is too long.
        part: &'static str,
        /// How long it is, as far as is known.
        length: i64,
        /// The longest that is accepted.
        limit: usize,
    },
    /// The packet is not all there, which [`peek_packet`] would have found.
    #[error("packet is cut off: {source}")]
    Cut {
        /// What is missing.
        source: DecodeError,
    },
    /// Nothing that this end may send. `Compat:` ZooKeeper's servers log and ignore such packets.
    #[error("packet {kind} is not expected from there")]
    UnexpectedKind {
        /// The packet's type.
        kind: PacketType,
    },
    /// What is in the packet is not what its type demands.
    #[error("packet {kind}: {source}")]
    Data {
        /// The packet's type.
        kind: PacketType,
        /// What is wrong.
        source: DecodeError,
    },
    /// The learner speaks the protocol of before ZooKeeper 3.4.
    #[error("learner speaks protocol {version:#x}, which is older than {PROTOCOL_VERSION:#x}")]
    OldProtocol {
        /// The version it names, or stands for.
        version: i32,
    },
}

impl PacketError {
    /// Whether packets behind this one can still be found.
    pub fn is_skippable(&self) -> bool {
        !matches!(self, Self::Length { .. } | Self::Cut { .. })
    }
}

macro_rules! kinds {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// The types of packets.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(i32)]
        enum Kind {
            $($variant = $number,)*
        }

        impl Kind {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant,)*];

            const fn from_wire(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name in ZooKeeper's source.
            const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    Request = 1, "REQUEST";
    Proposal = 2, "PROPOSAL";
    Ack = 3, "ACK";
    Commit = 4, "COMMIT";
    Ping = 5, "PING";
    Revalidate = 6, "REVALIDATE";
    Sync = 7, "SYNC";
    Inform = 8, "INFORM";
    CommitAndActivate = 9, "COMMITANDACTIVATE";
    NewLeader = 10, "NEWLEADER";
    FollowerInfo = 11, "FOLLOWERINFO";
    UpToDate = 12, "UPTODATE";
    Diff = 13, "DIFF";
    Trunc = 14, "TRUNC";
    Snap = 15, "SNAP";
    ObserverInfo = 16, "OBSERVERINFO";
    LeaderInfo = 17, "LEADERINFO";
    AckEpoch = 18, "ACKEPOCH";
    InformAndActivate = 19, "INFORMANDACTIVATE";
    // Between this project's servers only.
    HandOver = 64, "HANDOVER";
}

impl Kind {
    const fn wire(self) -> i32 {
        self as i32
    }
}

/// The number of a packet's type, which may be none that is known. Shown by its name in
/// ZooKeeper's source if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketType(pub i32);

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Kind::from_wire(self.0) {
            Some(kind) => f.write_str(kind.name()),
            None => self.0.fmt(f),
        }
    }
}
