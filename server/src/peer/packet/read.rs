//! Bytes into packets.

use quorate_protocol::{Decode, DecodeError, Decoder, OpCode, SessionId, Xid, Zxid};

use super::{
    FEATURES_MAGIC, Ids, Kind, PROTOCOL_VERSION, Packet, PacketError, PacketType, sessions::ENTRY,
};
use crate::zab::{Features, Member, Message, ServerId};

/// Bytes in front of a packet's data: type, zxid, and the data's length.
const HEAD: usize = 16;

/// The length of the first packet in a stream; `None` while it is not all there. Its data may have
/// `limit` bytes, and so may its authinfo. No more is looked at than is needed to find the end.
///
/// # Errors
/// When something is too long, as soon as that can be seen: the stream cannot be cut further.
pub fn peek_packet(bytes: &[u8], limit: usize) -> Result<Option<usize>, PacketError> {
    let Some(kind) = int_at(bytes, 0) else { return Ok(None) };
    let Some(length) = int_at(bytes, HEAD - 4) else { return Ok(None) };
    let kind = PacketType(kind);
    let too_long = |part, length: i64| PacketError::Length { kind, part, length, limit };
    let length = bounded(length, limit).ok_or_else(|| too_long("data", length.into()))?;
    let vector = HEAD + length;
    let Some(count) = int_at(bytes, vector) else { return Ok(None) };
    // A null vector, and as in Java any other of negative length, has no entries.
    let strings = 2 * u64::from(count.max(0).cast_unsigned());
    let entries = vector + 4;
    let mut end = entries;
    for read in 0..strings {
        let so_far = (end - entries) as u64 + 4 * (strings - read);
        if so_far > limit as u64 {
            return Err(too_long("authinfo", so_far.cast_signed()));
        }
        let Some(length) = int_at(bytes, end) else { return Ok(None) };
        end += 4 + bounded(length, limit).ok_or_else(|| too_long("authinfo", length.into()))?;
    }
    Ok((end <= bytes.len()).then_some(end))
}

/// The zxid of a first packet that is a `SNAP`, whole or not.
pub(in crate::peer) fn snapshot_announced(bytes: &[u8]) -> Option<Zxid> {
    let zxid = bytes.get(4..)?.first_chunk()?;
    (int_at(bytes, 0) == Some(Kind::Snap.wire())).then(|| Zxid(i64::from_be_bytes(*zxid)))
}

fn int_at(bytes: &[u8], offset: usize) -> Option<i32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// How many bytes follow a length; null has none.
fn bounded(length: i32, limit: usize) -> Option<usize> {
    if length == -1 { Some(0) } else { usize::try_from(length).ok().filter(|&n| n <= limit) }
}

/// Takes the next packet that a learner sent to its leader.
///
/// # Errors
/// When it is none that a learner sends. If the error [`is_skippable`](PacketError::is_skippable)
/// the decoder stands behind the packet all the same.
pub fn decode_from_learner<'a>(input: &mut Decoder<'a>) -> Result<Packet<'a>, PacketError> {
    let raw = Raw::decode(input)?;
    let zxid = raw.zxid;
    Ok(match raw.kind()? {
        Kind::Ack => Packet::Zab(Message::Ack { zxid }),
        Kind::Request => raw.request()?,
        Kind::Ping => Packet::Zab(raw.answered_ping()?),
        Kind::Revalidate => raw.read(|data| {
            Ok(Packet::Revalidate { session: SessionId(data.long()?), timeout_ms: data.int()? })
        })?,
        Kind::AckEpoch => raw.read(|data| {
            let current_epoch = Some(data.int()?).filter(|&epoch| epoch != -1);
            let current_epoch = current_epoch.map(i32::cast_unsigned);
            Ok(Packet::Zab(Message::AckEpoch { current_epoch, last: zxid }))
        })?,
        Kind::FollowerInfo => Packet::Zab(raw.learner_info(Member::Participant)?),
        Kind::ObserverInfo => Packet::Zab(raw.learner_info(Member::Observer)?),
        _ => return Err(raw.unexpected()),
    })
}

/// Takes the next packet that a leader sent to its learner. Behind a `SNAP` no packet follows but
/// the snapshot.
///
/// # Errors
/// As [`decode_from_learner`].
pub fn decode_from_leader<'a>(input: &mut Decoder<'a>) -> Result<Packet<'a>, PacketError> {
    let raw = Raw::decode(input)?;
    let zxid = raw.zxid;
    Ok(match raw.kind()? {
        Kind::Proposal => Packet::Zab(Message::Proposal { zxid, txn: raw.data()? }),
        Kind::Commit => Packet::Zab(Message::Commit { zxid }),
        Kind::Inform => Packet::Zab(Message::Inform { zxid, txn: raw.data()? }),
        Kind::Ping => Packet::Zab(Message::Ping { round: zxid.0, sessions: &[] }),
        Kind::Sync => Packet::Synced,
        Kind::Revalidate => raw.read(|data| {
            Ok(Packet::Revalidated { session: SessionId(data.long()?), valid: data.boolean()? })
        })?,
        Kind::LeaderInfo => raw.read(|data| {
            // `Compat:` nobody looks at the version.
            data.int()?;
            let features = features(data.rest());
            Ok(Packet::Zab(Message::LeaderInfo { epoch: zxid.epoch(), features }))
        })?,
        Kind::Diff => Packet::Zab(Message::Diff { last: zxid }),
        Kind::Trunc => Packet::Zab(Message::Trunc { to: zxid }),
        Kind::Snap => Packet::Zab(Message::Snap { zxid }),
        Kind::NewLeader => {
            let config = raw.data.unwrap_or_default();
            Packet::Zab(Message::NewLeader { epoch: zxid.epoch(), config })
        }
        Kind::UpToDate => Packet::Zab(Message::UpToDate),
        Kind::CommitAndActivate => raw.read(|data| {
            let leader = ServerId(data.long()?);
            Ok(Packet::Zab(Message::CommitAndActivate { zxid, leader }))
        })?,
        Kind::InformAndActivate => raw.read(|data| {
            let leader = ServerId(data.long()?);
            Ok(Packet::Zab(Message::InformAndActivate { zxid, leader, txn: data.rest() }))
        })?,
        Kind::HandOver => {
            raw.read(|data| Ok(Packet::Zab(Message::HandOver { to: ServerId(data.long()?) })))?
        }
        _ => return Err(raw.unexpected()),
    })
}

/// A packet whose data is not looked at yet.
struct Raw<'a> {
    number: i32,
    zxid: Zxid,
    data: Option<&'a [u8]>,
    /// The authinfo, and what is behind the packet.
    behind: Decoder<'a>,
}

impl<'a> Raw<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, PacketError> {
        let cut = |source| PacketError::Cut { source };
        let number = input.int().map_err(cut)?;
        let zxid = Zxid(input.long().map_err(cut)?);
        let data = input.buffer().map_err(cut)?;
        let behind = input.clone();
        skip_ids(input).map_err(cut)?;
        Ok(Self { number, zxid, data, behind })
    }

    fn kind(&self) -> Result<Kind, PacketError> {
        Kind::from_wire(self.number).ok_or_else(|| self.unexpected())
    }

    fn unexpected(&self) -> PacketError {
        PacketError::UnexpectedKind { kind: PacketType(self.number) }
    }

    fn wrong(&self, source: DecodeError) -> PacketError {
        PacketError::Data { kind: PacketType(self.number), source }
    }

    fn data(&self) -> Result<&'a [u8], PacketError> {
        self.data.ok_or_else(|| self.wrong(DecodeError::Null { field: "data" }))
    }

    /// Reads the data. `Compat:` what it ends with beyond that is ignored.
    fn read<T>(
        &self,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, PacketError> {
        read(&mut Decoder::new(self.data()?)).map_err(|source| self.wrong(source))
    }

    fn request(mut self) -> Result<Packet<'a>, PacketError> {
        let ids = Ids::decode(&mut self.behind).map_err(|source| self.wrong(source))?;
        self.read(|data| {
            let (session, cxid) = (SessionId(data.long()?), Xid(data.int()?));
            let op = data.int()?;
            let op = OpCode::from_wire(op)
                .ok_or(DecodeError::BadValue { field: "operation", value: op.into() })?;
            Ok(Packet::Request { session, cxid, op, body: data.rest(), ids })
        })
    }

    fn answered_ping(&self) -> Result<Message<'a>, PacketError> {
        let sessions = self.data.unwrap_or_default();
        let partial = sessions.len() % ENTRY;
        if partial != 0 {
            let offset = sessions.len();
            return Err(self.wrong(DecodeError::Truncated { offset, needed: ENTRY - partial }));
        }
        Ok(Message::Ping { round: self.zxid.0, sessions })
    }

    /// `Compat:` `LearnerInfo` has grown over time: server, then the protocol's version, then the
    /// configuration's, then what only this project's servers look for.
    fn learner_info(&self, member: Member) -> Result<Message<'a>, PacketError> {
        let mut info = Decoder::new(self.data.unwrap_or_default());
        let mut read = || {
            let server = ServerId(info.long()?);
            let version = if info.remaining() == 0 { 1 } else { info.int()? };
            let config_version = if info.remaining() == 0 { 0 } else { info.long()? };
            Ok((server, version, config_version))
        };
        let (server, version, config_version) = match self.data {
            None => return Err(PacketError::OldProtocol { version: 1 }),
            Some(_) => read().map_err(|source| self.wrong(source))?,
        };
        if version < PROTOCOL_VERSION {
            return Err(PacketError::OldProtocol { version });
        }
        let features = features(info.rest());
        let accepted_epoch = self.zxid.epoch();
        Ok(Message::LearnerInfo { server, member, accepted_epoch, config_version, features })
    }
}

/// Moves behind an authinfo, whatever is in it.
fn skip_ids(input: &mut Decoder<'_>) -> Result<(), DecodeError> {
    for _ in 0..2 * input.vector_len(8)?.unwrap_or(0) {
        input.buffer()?;
    }
    Ok(())
}

/// The features named behind what ZooKeeper's servers look at.
fn features(extension: &[u8]) -> Features {
    match extension.strip_prefix(FEATURES_MAGIC).and_then(<[u8]>::first_chunk) {
        Some(features) => Features(u32::from_be_bytes(*features)),
        None => Features::NONE,
    }
}
