//! The proposals a leader may still have to send: those that are not applied yet, and a little more.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use quorate_protocol::{Decoder, Encode, Zxid};

use crate::{
    peer::packet::{self, Packet, decode_from_leader},
    zab::{Message, ServerId},
};

/// Bytes of applied proposals that a leader keeps while a learner catches up.
pub(super) const KEPT_BYTES: usize = 16 << 20;
/// Bytes of applied proposals that a follower keeps for observers.
///
/// Compat: `zookeeper.observerMaster.sizeLimit`.
pub(super) const KEPT_FOR_OBSERVERS_BYTES: usize = 32 << 20;

/// Proposals in order, encoded once for everybody.
#[derive(Debug, Default)]
pub(super) struct Window {
    chunks: VecDeque<Chunk>,
    /// Packets of the proposals made since the last chunk.
    open: BytesMut,
    open_count: u64,
    /// The last proposal made, or what the first one follows.
    last: Zxid,
    /// The last one in `chunks`.
    closed: Zxid,
    bytes: usize,
}

/// The proposals of one step.
#[derive(Debug)]
struct Chunk {
    /// The transaction before the first.
    after: Zxid,
    last: Zxid,
    packets: Bytes,
}

impl Window {
    /// A window that begins behind `last`.
    pub(super) fn new(last: Zxid) -> Self {
        Self { last, closed: last, ..Self::default() }
    }

    /// Adds a proposal.
    pub(super) fn push(&mut self, zxid: Zxid, txn: &[u8]) {
        packet::put_proposal(&mut self.open, zxid, txn);
        self.open_count += 1;
        self.last = zxid;
    }

    /// Ends the chunk being filled: its last proposal and how many there are, if any.
    pub(super) fn close_chunk(&mut self) -> Option<(Zxid, u64)> {
        if self.open_count == 0 {
            return None;
        }
        let packets = self.open.split().freeze();
        self.bytes += packets.len();
        self.chunks.push_back(Chunk { after: self.closed, last: self.last, packets });
        self.closed = self.last;
        Some((self.last, std::mem::take(&mut self.open_count)))
    }

    /// The packets of the newest chunk.
    pub(super) fn newest(&self) -> &[u8] {
        self.chunks.back().map_or(&[], |chunk| &chunk.packets)
    }

    /// Whether everything behind `after` is here.
    pub(super) fn reaches_back_to(&self, after: Zxid) -> bool {
        after >= self.chunks.front().map_or(self.closed, |chunk| chunk.after)
    }

    /// Appends the packets of the proposals behind `after` up to `upto`.
    pub(super) fn put_proposals(&self, after: Zxid, upto: Zxid, out: &mut BytesMut) {
        for chunk in self.chunks.iter().filter(|chunk| chunk.last > after && chunk.after < upto) {
            if chunk.after >= after && chunk.last <= upto {
                out.extend_from_slice(&chunk.packets);
            } else {
                for (zxid, txn) in proposals(&chunk.packets) {
                    if zxid > after && zxid <= upto {
                        packet::put_proposal(out, zxid, txn);
                    }
                }
            }
        }
    }

    /// Appends the transactions behind `after` up to `upto` as an observer gets them.
    pub(super) fn put_informs(&self, after: Zxid, upto: Zxid, out: &mut BytesMut) {
        let first = self.chunks.partition_point(|chunk| chunk.last <= after);
        let chunks = self.chunks.range(first..).take_while(|chunk| chunk.after < upto);
        for (zxid, txn) in chunks.flat_map(|chunk| proposals(&chunk.packets)) {
            if zxid > after && zxid <= upto {
                packet::put_inform(out, zxid, txn);
            }
        }
    }

    /// Appends the transaction `zxid`, which brings a configuration, as an observer gets it.
    pub(super) fn put_activation(&self, zxid: Zxid, leader: ServerId, out: &mut BytesMut) {
        let chunks = self.chunks.iter().filter(|chunk| chunk.last >= zxid && chunk.after < zxid);
        for (_, txn) in
            chunks.flat_map(|chunk| proposals(&chunk.packets)).filter(|(z, _)| *z == zxid)
        {
            Packet::Zab(Message::InformAndActivate { zxid, leader, txn }).encode(out);
        }
    }

    /// Lets go what is applied, but for the last `kept` bytes.
    pub(super) fn prune(&mut self, applied: Zxid, kept: usize) {
        while let Some(chunk) = self.chunks.front()
            && chunk.last <= applied
            && self.bytes > kept
        {
            self.bytes -= chunk.packets.len();
            self.chunks.pop_front();
        }
    }
}

/// The proposals in a chunk's packets.
fn proposals(packets: &[u8]) -> impl Iterator<Item = (Zxid, &[u8])> {
    let mut packets = Decoder::new(packets);
    std::iter::from_fn(move || {
        if packets.remaining() == 0 {
            return None;
        }
        match decode_from_leader(&mut packets).expect("packets made by push") {
            Packet::Zab(Message::Proposal { zxid, txn }) => Some((zxid, txn)),
            packet => unreachable!("{packet:?} is no proposal"),
        }
    })
}
