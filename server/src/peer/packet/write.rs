//! Packets into bytes.

use bytes::BytesMut;
use quorate_protocol::{Encode, Id, OpCode, SessionId, Xid, Zxid, codec::PutJute};

use super::{
    FEATURES_MAGIC, Ids, Kind, PROTOCOL_VERSION, Packet,
    sessions::{self, ENTRY},
};
use crate::zab::{Features, Member, Message};

/// Where a packet has no zxid.
const NO_ZXID: Zxid = Zxid(-1);
/// The length of null data, and the count of a null vector.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

impl Encode for Packet<'_> {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Zab(message) => message.encode(out),
            Self::Request { session, cxid, op, body, ids } => {
                put_request_data(out, *session, *cxid, *op, body);
                ids.encode(out);
            }
            Self::Revalidate { session, timeout_ms } => {
                let data = sessions::entry(*session, *timeout_ms);
                put(out, Kind::Revalidate, NO_ZXID, &data);
            }
            Self::Revalidated { session, valid } => {
                put_with(out, Kind::Revalidate, NO_ZXID, 9, |out| {
                    out.put_long(session.0);
                    out.put_boolean(*valid);
                });
            }
            // `Compat:` the one packet without zxid whose zxid is 0.
            Self::Synced => put_empty(out, Kind::Sync, Zxid::ZERO),
        }
    }
}

impl Encode for Message<'_> {
    fn encode(&self, out: &mut BytesMut) {
        let begin = |epoch| Zxid::new(epoch, 0);
        match *self {
            Self::LearnerInfo { server, member, accepted_epoch, config_version, features } => {
                let kind = match member {
                    Member::Participant => Kind::FollowerInfo,
                    Member::Observer => Kind::ObserverInfo,
                };
                let length = 20 + features_length(features);
                put_with(out, kind, begin(accepted_epoch), length, |out| {
                    out.put_long(server.0);
                    out.put_int(PROTOCOL_VERSION);
                    out.put_long(config_version);
                    put_features(out, features);
                });
            }
            Self::LeaderInfo { epoch, features } => {
                let length = 4 + features_length(features);
                put_with(out, Kind::LeaderInfo, begin(epoch), length, |out| {
                    out.put_int(PROTOCOL_VERSION);
                    put_features(out, features);
                });
            }
            Self::AckEpoch { current_epoch, last } => {
                let epoch = current_epoch.map_or(-1, u32::cast_signed);
                put(out, Kind::AckEpoch, last, &epoch.to_be_bytes());
            }
            Self::Diff { last } => put_empty(out, Kind::Diff, last),
            Self::Trunc { to } => put_empty(out, Kind::Trunc, to),
            Self::Snap { zxid } => put_empty(out, Kind::Snap, zxid),
            Self::NewLeader { epoch, config } => put(out, Kind::NewLeader, begin(epoch), config),
            Self::UpToDate => put_empty(out, Kind::UpToDate, NO_ZXID),
            Self::Proposal { zxid, txn } => put_proposal(out, zxid, txn),
            Self::Ack { zxid } => put_ack(out, zxid),
            Self::Commit { zxid } => put_commit(out, zxid),
            Self::Inform { zxid, txn } => put_inform(out, zxid, txn),
            Self::CommitAndActivate { zxid, leader } => {
                put(out, Kind::CommitAndActivate, zxid, &leader.0.to_be_bytes());
            }
            Self::InformAndActivate { zxid, leader, txn } => {
                put_with(out, Kind::InformAndActivate, zxid, 8 + txn.len(), |out| {
                    out.put_long(leader.0);
                    out.extend_from_slice(txn);
                });
            }
            // `Compat:` ZooKeeper's leader cannot do with null data; from a leader, where it is
            // null, nobody looks at it.
            Self::Ping { round, sessions } => put(out, Kind::Ping, Zxid(round), sessions),
            Self::HandOver { to } => put(out, Kind::HandOver, NO_ZXID, &to.0.to_be_bytes()),
        }
    }
}

/// Appends the `PROPOSAL` of a transaction.
pub fn put_proposal(out: &mut BytesMut, zxid: Zxid, txn: &[u8]) {
    put(out, Kind::Proposal, zxid, txn);
}

/// Appends the `INFORM` of a transaction.
pub fn put_inform(out: &mut BytesMut, zxid: Zxid, txn: &[u8]) {
    put(out, Kind::Inform, zxid, txn);
}

/// Appends a `COMMIT`.
pub fn put_commit(out: &mut BytesMut, zxid: Zxid) {
    put_empty(out, Kind::Commit, zxid);
}

/// Appends an `ACK`.
pub fn put_ack(out: &mut BytesMut, zxid: Zxid) {
    put_empty(out, Kind::Ack, zxid);
}

/// Appends a `REQUEST`.
pub fn put_request(
    out: &mut BytesMut,
    session: SessionId,
    cxid: Xid,
    op: OpCode,
    body: &[u8],
    ids: &[Id],
) {
    put_request_data(out, session, cxid, op, body);
    Ids::put(ids, out);
}

/// Appends a learner's `PING`: sessions and their timeouts in milliseconds.
pub fn put_ping_answer(
    out: &mut BytesMut,
    round: i64,
    sessions: impl ExactSizeIterator<Item = (SessionId, i32)>,
) {
    put_with(out, Kind::Ping, Zxid(round), sessions.len() * ENTRY, |out| {
        for (session, timeout_ms) in sessions {
            out.extend_from_slice(&sessions::entry(session, timeout_ms));
        }
    });
}

fn put_request_data(out: &mut BytesMut, session: SessionId, cxid: Xid, op: OpCode, body: &[u8]) {
    let length = 16 + body.len();
    out.reserve(16 + length + NULL.len());
    out.extend_from_slice(&head(Kind::Request, NO_ZXID, length));
    out.put_long(session.0);
    out.put_int(cxid.0);
    out.put_int(op.wire());
    out.extend_from_slice(body);
}

/// A packet with null data.
fn put_empty(out: &mut BytesMut, kind: Kind, zxid: Zxid) {
    let mut bytes = [0xff; 20];
    bytes[..4].copy_from_slice(&kind.wire().to_be_bytes());
    bytes[4..12].copy_from_slice(&zxid.0.to_be_bytes());
    out.extend_from_slice(&bytes);
}

fn put(out: &mut BytesMut, kind: Kind, zxid: Zxid, data: &[u8]) {
    put_with(out, kind, zxid, data.len(), |out| out.extend_from_slice(data));
}

/// A packet whose data, of this length, is what `put_data` appends.
fn put_with(
    out: &mut BytesMut,
    kind: Kind,
    zxid: Zxid,
    length: usize,
    put_data: impl FnOnce(&mut BytesMut),
) {
    let head = head(kind, zxid, length);
    out.reserve(head.len() + length + NULL.len());
    out.extend_from_slice(&head);
    put_data(out);
    out.extend_from_slice(&NULL);
}

/// Type, zxid, and the data's length.
fn head(kind: Kind, zxid: Zxid, length: usize) -> [u8; 16] {
    let length = i32::try_from(length).expect("data is below 2 GiB");
    let mut head = [0; 16];
    head[..4].copy_from_slice(&kind.wire().to_be_bytes());
    head[4..12].copy_from_slice(&zxid.0.to_be_bytes());
    head[12..].copy_from_slice(&length.to_be_bytes());
    head
}

fn features_length(features: Features) -> usize {
    if features == Features::NONE { 0 } else { 8 }
}

fn put_features(out: &mut BytesMut, features: Features) {
    if features != Features::NONE {
        out.extend_from_slice(FEATURES_MAGIC);
        out.extend_from_slice(&features.0.to_be_bytes());
    }
}
