//! One record of the log: its kinds, its header, its checksum.
//!
//! A header of 24 bytes, the body, and zeros up to a multiple of 8; integers are little-endian.

use bytes::{BufMut, BytesMut};
use quorate_protocol::Zxid;

/// Length of a record's header.
pub(super) const HEADER: usize = 24;
/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 8;
/// Length of a whole [`Kind::Mark`] record.
pub(super) const MARK: usize = HEADER + MARK_BODY;
const MARK_BODY: usize = 32;
/// Length of a whole [`Kind::Seal`] record.
pub(super) const SEAL: usize = HEADER + 8;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A transaction: `TxnHeader`, record and digest in ZooKeeper's encoding.
    Transaction = 1,
    /// How far the segment was durable, and what was known to be committed, when the batch that
    /// begins here was written.
    Mark = 2,
    /// The epoch whose leader this server agreed to follow (`u32`).
    AcceptedEpoch = 3,
    /// The epoch whose initial history this server holds (`u32`).
    CurrentEpoch = 4,
    /// The configuration last seen, as the text of the dynamic file.
    Configuration = 5,
    /// The log goes on in the segment of this number (`u64`).
    Seal = 6,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{AcceptedEpoch, Configuration, CurrentEpoch, Mark, Seal, Transaction};
        [Transaction, Mark, AcceptedEpoch, CurrentEpoch, Configuration, Seal]
            .into_iter()
            .find(|&kind| kind as u8 == byte)
    }
}

/// A record as read; it borrows its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// What it says.
    pub(super) kind: Kind,
    /// The transaction's zxid; in other kinds, that of the last transaction before.
    pub(super) zxid: Zxid,
    /// The body.
    pub(super) body: &'a [u8],
}

impl Record<'_> {
    /// The body of a kind that is a `u32`; `None` when it has another length.
    pub(super) fn body_u32(&self) -> Option<u32> {
        self.body.try_into().ok().map(u32::from_le_bytes)
    }

    /// The body of a kind that is 8 bytes; `None` when it has another length.
    pub(super) fn body_u64(&self) -> Option<u64> {
        self.body.try_into().ok().map(u64::from_le_bytes)
    }
}

/// The header's fields, before the checksum says that they mean anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct UncheckedHeader {
    pub(super) checksum: u32,
    pub(super) previous: u32,
    length: u32,
    kind: u8,
    zxid: Zxid,
}

/// The little-endian number at `offset`.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("4 bytes"))
}

/// The little-endian number at `offset`.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("8 bytes"))
}

/// The little-endian zxid at `offset`.
pub(super) fn zxid_at(bytes: &[u8], offset: usize) -> Zxid {
    Zxid(u64_at(bytes, offset).cast_signed())
}

/// Length of a whole record with a body of `body` bytes.
pub(super) fn length_with(body: usize) -> usize {
    (HEADER + body).next_multiple_of(ALIGN)
}

impl UncheckedHeader {
    /// The fields of the first [`HEADER`] bytes.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self {
            checksum: u32_at(bytes, 0),
            previous: u32_at(bytes, 4),
            length: u32_at(bytes, 8),
            kind: bytes[12],
            zxid: zxid_at(bytes, 16),
        }
    }

    /// Length of the whole record, were the header right.
    pub(super) fn record_length(&self) -> u64 {
        (HEADER as u64 + u64::from(self.length)).next_multiple_of(ALIGN as u64)
    }

    /// Length of the whole record at the beginning of bytes that are known to hold it.
    pub(super) fn length_in(&self, bytes: &[u8]) -> usize {
        let length = length_with(self.length as usize);
        debug_assert!(length <= bytes.len(), "the record is there");
        length
    }

    /// The record, when the checksum over its bytes is right and its kind is known.
    pub(super) fn check<'a>(&self, record: &'a [u8]) -> Option<Record<'a>> {
        if crc32c::crc32c(&record[4..]) != self.checksum {
            return None;
        }
        self.trust(record)
    }

    /// The record, whatever its checksum; `None` when its kind is not known.
    pub(super) fn trust<'a>(&self, record: &'a [u8]) -> Option<Record<'a>> {
        let body = &record[HEADER..HEADER + self.length as usize];
        Some(Record { kind: Kind::from_byte(self.kind)?, zxid: self.zxid, body })
    }
}

/// Appends a header whose checksum, chain and zxid [`link`] fills in, for a body to follow.
pub(super) fn begin(out: &mut BytesMut) -> usize {
    let start = out.len();
    out.put_bytes(0, HEADER);
    start
}

/// Ends the record that [`begin`] began at `start`: pads it and notes length, kind and zxid.
pub(super) fn end(out: &mut BytesMut, start: usize, kind: Kind, zxid: Zxid) {
    let body = out.len().checked_sub(start + HEADER).expect("a body is appended, never cut");
    out.put_bytes(0, length_with(body) - HEADER - body);
    let length = u32::try_from(body).expect("a record is smaller than 4 GiB");
    let header = &mut out[start..start + HEADER];
    header[8..12].copy_from_slice(&length.to_le_bytes());
    header[12] = kind as u8;
    header[16..24].copy_from_slice(&zxid.0.to_le_bytes());
}

/// Chains a whole record to the one before it; gives the value the next one is chained to.
pub(super) fn link(record: &mut [u8], previous: u32) -> u32 {
    record[4..8].copy_from_slice(&previous.to_le_bytes());
    let checksum = crc32c::crc32c(&record[4..]);
    record[0..4].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// A whole record that ends a segment behind `last`: the log goes on in the segment `next`.
pub(super) fn seal(next: u64, last: Zxid, chain: u32) -> [u8; SEAL] {
    let mut seal = [0; SEAL];
    seal[8..12].copy_from_slice(&8_u32.to_le_bytes());
    seal[12] = Kind::Seal as u8;
    seal[16..24].copy_from_slice(&last.0.to_le_bytes());
    seal[24..32].copy_from_slice(&next.to_le_bytes());
    link(&mut seal, chain);
    seal
}

/// What a [`Kind::Mark`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The log it belongs to; no client knows this number, so none can plant a mark in its data.
    pub(super) database: u64,
    /// Where in the segment the mark itself stands.
    pub(super) offset: u64,
    /// The segment was durable up to this offset.
    pub(super) synced: u64,
    /// Everything up to this transaction was known to be committed.
    pub(super) committed: Zxid,
}

impl Mark {
    /// The length and kind of a mark as they stand in its header, to search for.
    pub(super) const WORD: u64 = (Kind::Mark as u64) << 32 | MARK_BODY as u64;

    /// Writes the whole record but for its chain into `record`.
    pub(super) fn write(&self, record: &mut [u8], zxid: Zxid) {
        record[8..16].copy_from_slice(&Self::WORD.to_le_bytes());
        record[16..24].copy_from_slice(&zxid.0.to_le_bytes());
        record[24..32].copy_from_slice(&self.database.to_le_bytes());
        record[32..40].copy_from_slice(&self.offset.to_le_bytes());
        record[40..48].copy_from_slice(&self.synced.to_le_bytes());
        record[48..56].copy_from_slice(&self.committed.0.to_le_bytes());
    }

    /// Reads the body of a mark; `None` when it has another length.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        (body.len() == MARK_BODY).then(|| Self {
            database: u64_at(body, 0),
            offset: u64_at(body, 8),
            synced: u64_at(body, 16),
            committed: zxid_at(body, 24),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_a_record_as_others() {
        let bytes = seal(9, Zxid(5), 7);
        let header = UncheckedHeader::read(&bytes);
        assert_eq!((header.record_length(), header.previous), (SEAL as u64, 7));
        let record = header.check(&bytes).unwrap();
        assert_eq!((record.kind, record.zxid, record.body_u64()), (Kind::Seal, Zxid(5), Some(9)));
    }

    #[test]
    fn a_record_is_header_body_and_padding() {
        let mut out = BytesMut::new();
        let start = begin(&mut out);
        out.put_slice(b"abc");
        end(&mut out, start, Kind::Transaction, Zxid(5));
        let checksum = link(&mut out, 0x0403_0201);
        assert_eq!(
            &out[4..],
            b"\x01\x02\x03\x04\x03\0\0\0\x01\0\0\0\x05\0\0\0\0\0\0\0abc\0\0\0\0\0"
        );
        let header = UncheckedHeader::read(&out);
        assert_eq!((header.checksum, header.previous), (checksum, 0x0403_0201));
        assert_eq!(header.record_length(), 32);
        let record = header.check(&out);
        let expected = Record { kind: Kind::Transaction, zxid: Zxid(5), body: b"abc" };
        assert_eq!(record, Some(expected));
        for byte in 0..out.len() {
            out[byte] ^= 0x10;
            let header = UncheckedHeader::read(&out);
            assert!(header.record_length() != 32 || header.check(&out).is_none(), "byte {byte}");
            out[byte] ^= 0x10;
        }
    }
}
