//! Images of slots, by which the tree is kept on disk.
//!
//! A checkpoint is the state at exactly one zxid, though it is taken in the background while
//! transactions go on. [`Tree::checkpoint_begin`] fixes the zxid and takes the set of slots changed
//! since the last checkpoint; [`Tree::checkpoint_chunk`], called again and again, each time under a
//! short lock, hands out their images; [`Tree::checkpoint_end`] says how it went. A slot that is
//! about to change before its turn is saved first as it was. That is the only cost to writers, and
//! only while a checkpoint runs; otherwise a change sets a bit.
//!
//! Image of a slot, integers big-endian:
//!
//! ```text
//! parent's slot: u32 | has extra: u8 | [extra] | packed bytes
//! extra: create count: i32 | aversion: i32 | pzxid: i64 | content counted: u8 | content CRC: u32
//!        | kind: u8 (0 persistent, 1 ephemeral, 2 container, 3 TTL) | session or milliseconds: i64
//! ```
//!
//! Links between children are not in it: creating or deleting a node changes its own image and its
//! parent's, not its neighbours'.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use quorate_protocol::{Decode, DecodeError, Decoder, Encode, SessionId, Zxid, codec::PutJute};

use super::{
    NodeKind, Tree,
    digest::ContentCrc,
    packed::Packed,
    slab::NIL,
    store::{Extra, Store},
};

/// A slot's number, and what is in it; `None` if nothing.
pub type SlotImage = (u32, Option<Box<[u8]>>);

/// Everything of a checkpoint but the slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointHead {
    /// The last transaction in it.
    pub zxid: Zxid,
    /// The tree's digest.
    pub digest: u64,
    /// The lowest slot number never used.
    pub next_slot: u32,
    /// How many slots have a node.
    pub nodes: u64,
    /// What [`Tree::data_size`] was.
    pub data_size: u64,
    /// The encoded ACLs by the number that nodes have of them; all numbers above 0 in order.
    pub acls: Vec<(u32, Arc<[u8]>)>,
    /// The sessions and their timeouts in milliseconds.
    pub sessions: Vec<(SessionId, i32)>,
}

impl Encode for CheckpointHead {
    fn encode(&self, out: &mut BytesMut) {
        out.put_i64(self.zxid.0);
        out.put_u64(self.digest);
        out.put_u32(self.next_slot);
        out.put_u64(self.nodes);
        out.put_u64(self.data_size);
        out.put_len(self.acls.len());
        for (number, raw) in &self.acls {
            out.put_u32(*number);
            out.put_buffer(Some(raw));
        }
        out.put_len(self.sessions.len());
        for (session, timeout_ms) in &self.sessions {
            out.put_i64(session.0);
            out.put_i32(*timeout_ms);
        }
    }
}

impl Decode<'_> for CheckpointHead {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            zxid: Zxid(input.long()?),
            digest: input.long()?.cast_unsigned(),
            next_slot: input.int()?.cast_unsigned(),
            nodes: input.long()?.cast_unsigned(),
            data_size: input.long()?.cast_unsigned(),
            acls: (0..input.vector_len(8)?.unwrap_or(0))
                .map(|_| {
                    let number = input.int()?.cast_unsigned();
                    let raw = input.buffer()?.ok_or(DecodeError::Null { field: "ACL" })?;
                    Ok((number, raw.into()))
                })
                .collect::<Result<_, _>>()?,
            sessions: (0..input.vector_len(12)?.unwrap_or(0))
                .map(|_| Ok((SessionId(input.long()?), input.int()?)))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Which slots the next checkpoint has to write, and where the one under way is.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    dirty: Bits,
    run: Option<Run>,
}

/// A checkpoint under way.
#[derive(Debug, Clone, Default)]
struct Run {
    /// The slots to write.
    taken: Bits,
    /// Those among them whose image is written or saved.
    done: Bits,
    /// Images of slots that changed before their turn.
    saved: Vec<SlotImage>,
    /// All taken slots below are done.
    position: u32,
}

impl Changes {
    /// A slot is about to change; it still is as `image` says.
    pub(super) fn touch(&mut self, slot: u32, image: impl FnOnce() -> Option<Box<[u8]>>) {
        self.dirty.insert(slot);
        if let Some(run) = &mut self.run
            && run.taken.contains(slot)
            && run.done.insert(slot)
        {
            run.saved.push((slot, image()));
        }
    }
}

impl Tree {
    /// Begins a checkpoint of the state as it is now.
    ///
    /// # Panics
    /// When one is under way.
    pub fn checkpoint_begin(&mut self) -> CheckpointHead {
        assert!(self.changes.run.is_none(), "one checkpoint at a time");
        let taken = std::mem::take(&mut self.changes.dirty);
        self.changes.run = Some(Run { taken, ..Run::default() });
        CheckpointHead {
            zxid: self.last_zxid,
            digest: self.digest,
            next_slot: self.store.slots.end(),
            nodes: self.nodes as u64,
            data_size: self.data_size,
            acls: self.acls.iter().map(|(number, raw)| (number, Arc::clone(raw))).collect(),
            sessions: self.sessions.iter().map(|(&id, &timeout_ms)| (id, timeout_ms)).collect(),
        }
    }

    /// As [`checkpoint_begin`](Self::checkpoint_begin), but of all slots in use, for a file that
    /// holds none of them yet.
    ///
    /// # Panics
    /// When one is under way.
    pub fn checkpoint_begin_whole(&mut self) -> CheckpointHead {
        let slots = &self.store.slots;
        self.changes.dirty = Bits::default();
        for slot in (0..slots.end()).filter(|&slot| slots.is_used(slot)) {
            self.changes.dirty.insert(slot);
        }
        self.checkpoint_begin()
    }

    /// Images of at most `max_slots` slots as they were when the checkpoint began. Each changed
    /// slot comes once, in no particular order; nothing comes when all have.
    ///
    /// # Panics
    /// When no checkpoint is under way.
    pub fn checkpoint_chunk(&mut self, max_slots: usize) -> Vec<SlotImage> {
        let run = self.changes.run.as_mut().expect("a checkpoint is under way");
        let mut images = run.saved.split_off(run.saved.len().saturating_sub(max_slots));
        while images.len() < max_slots {
            let Some(slot) = run.taken.next(run.position) else { break };
            run.position = slot + 1;
            if run.done.insert(slot) {
                images.push((slot, image(&self.store, slot)));
            }
        }
        images
    }

    /// Ends the checkpoint. If it did not reach the disk, its slots are left to the next.
    ///
    /// # Panics
    /// When no checkpoint is under way.
    pub fn checkpoint_end(&mut self, success: bool) {
        let run = self.changes.run.take().expect("a checkpoint is under way");
        if !success {
            self.changes.dirty.insert_all(&run.taken);
        }
    }

    /// How many slots the next checkpoint has to write.
    pub fn dirty_slots(&self) -> usize {
        self.changes.dirty.count()
    }
}

/// What is in a slot.
pub(super) fn image(store: &Store, slot: u32) -> Option<Box<[u8]>> {
    if !store.slots.is_used(slot) {
        return None;
    }
    let bytes = store.bytes(slot);
    let packed = &bytes[..store.packed(slot).length];
    let extra = store.own_extra(slot);
    let mut image = Vec::with_capacity(5 + extra.map_or(0, |_| 30) + packed.len());
    image.put_u32(store.slots.get(slot).parent);
    image.put_u8(extra.is_some().into());
    if let Some(extra) = extra {
        put_extra(extra, &mut image);
    }
    image.put_slice(packed);
    Some(image.into_boxed_slice())
}

fn put_extra(extra: &Extra, image: &mut Vec<u8>) {
    image.put_i32(extra.create_count);
    image.put_i32(extra.aversion);
    image.put_i64(extra.pzxid.0);
    let (counted, crc) = match extra.content {
        ContentCrc::Counted(crc) => (true, crc),
        ContentCrc::LeftOut => (false, 0),
    };
    image.put_boolean(counted);
    image.put_u32(crc);
    let (kind, value) = match extra.kind {
        NodeKind::Persistent => (0, 0),
        NodeKind::Ephemeral(session) => (1, session.0),
        NodeKind::Container => (2, 0),
        NodeKind::Ttl(ms) => (3, ms),
    };
    image.put_u8(kind);
    image.put_i64(value);
}

/// A slot's image taken apart.
pub(super) struct Image<'a> {
    pub(super) parent: u32,
    pub(super) extra: Option<Extra>,
    pub(super) node: Packed<'a>,
    pub(super) packed: &'a [u8],
}

impl<'a> Decode<'a> for Image<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let parent = input.int()?.cast_unsigned();
        let extra = if input.boolean()? { Some(decode_extra(input)?) } else { None };
        let packed = input.rest();
        let node = Packed::read(packed)
            .filter(|node| node.length == packed.len() && std::str::from_utf8(node.name).is_ok())
            .ok_or(DecodeError::BadValue { field: "packed node", value: 0 })?;
        Ok(Self { parent, extra, node, packed })
    }
}

fn decode_extra(input: &mut Decoder<'_>) -> Result<Extra, DecodeError> {
    let create_count = input.int()?;
    let aversion = input.int()?;
    let pzxid = Zxid(input.long()?);
    let counted = input.boolean()?;
    let crc = input.int()?.cast_unsigned();
    let kind = input.take(1)?[0];
    let value = input.long()?;
    Ok(Extra {
        first_child: NIL,
        child_count: 0,
        create_count,
        aversion,
        pzxid,
        kind: match kind {
            0 => NodeKind::Persistent,
            1 => NodeKind::Ephemeral(SessionId(value)),
            2 => NodeKind::Container,
            3 => NodeKind::Ttl(value),
            _ => return Err(DecodeError::BadValue { field: "kind", value: kind.into() }),
        },
        content: if counted { ContentCrc::Counted(crc) } else { ContentCrc::LeftOut },
    })
}

/// A set of slot numbers.
#[derive(Debug, Clone, Default)]
struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// Adds a number; says whether it is new.
    fn insert(&mut self, slot: u32) -> bool {
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    fn contains(&self, slot: u32) -> bool {
        self.words.get(slot as usize / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// The lowest number from `from` on.
    fn next(&self, from: u32) -> Option<u32> {
        let first = from as usize / 64;
        let mut mask = u64::MAX << (from % 64);
        for (index, word) in self.words.iter().enumerate().skip(first) {
            let rest = word & mask;
            if rest != 0 {
                let word = u32::try_from(index).expect("slot numbers have 32 bits");
                return Some(word * 64 + rest.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }

    fn insert_all(&mut self, other: &Self) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}
