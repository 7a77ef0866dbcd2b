//! What lies behind the last good record of the last segment: nothing, a torn end, or damage.
//!
//! The chain breaks at the first bad record, so what follows it cannot be trusted as history. But
//! a mark found there says that the segment was durable up to some offset when it was written. If
//! that is past the bad record, then the record had reached the disk and was damaged later: its
//! transactions may have been acknowledged. Otherwise no sync had covered it: it is the torn end
//! of a write that was never acknowledged.

use super::record::{self, Kind, Mark, UncheckedHeader};
use super::segment;
use crate::storage::fs::{self, File};

const CHUNK: usize = 1 << 20;

/// What was found behind the last good record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Zeros up to the end of the file.
    Empty,
    /// The rest of a write that was never synced; all behind `end` is zero.
    Torn {
        /// Where the last byte ends that is not zero.
        end: u64,
    },
    /// Records that were durable are damaged.
    Damaged,
}

/// Judges the bytes of `file` from `start`, a multiple of 8, on.
pub(super) fn judge(file: &dyn File, database: u64, start: u64) -> fs::Result<Tail> {
    let size = file.size()?;
    let mut buffer = vec![0; CHUNK];
    let mut end = start;
    let mut offset = start;
    while offset < size {
        let length = usize::try_from(size - offset).unwrap_or(CHUNK).min(CHUNK);
        let bytes = &mut buffer[..length];
        file.read_at(offset, bytes)?;
        if let Some(last) = last_byte(bytes) {
            end = offset + last as u64 + 1;
            if marks(bytes, database, offset).any(|mark| mark.synced > start) {
                return Ok(Tail::Damaged);
            }
        }
        // A mark across the seam is whole in the next chunk.
        let overlap = if offset + (length as u64) < size { record::MARK } else { 0 };
        offset += (length - overlap) as u64;
    }
    Ok(if end == start { Tail::Empty } else { Tail::Torn { end } })
}

/// Where the last byte stands that is not zero.
fn last_byte(bytes: &[u8]) -> Option<usize> {
    let mut words = bytes.chunks_exact(record::ALIGN);
    let in_rest = words.remainder().iter().any(|&byte| byte != 0);
    if in_rest || words.any(|word| word != [0; record::ALIGN]) {
        bytes.iter().rposition(|&byte| byte != 0)
    } else {
        None
    }
}

/// The marks that are whole in `bytes`, which stand at `offset` in the segment.
fn marks(bytes: &[u8], database: u64, offset: u64) -> impl Iterator<Item = Mark> {
    let words = bytes.chunks_exact(record::ALIGN).enumerate().skip(1);
    words.filter(|(_, word)| *word == Mark::WORD.to_le_bytes()).filter_map(move |(index, _)| {
        let start = (index - 1) * record::ALIGN;
        let bytes = bytes.get(start..start + record::MARK)?;
        let record = UncheckedHeader::read(bytes).check(bytes)?;
        debug_assert_eq!(record.kind, Kind::Mark, "the word says so");
        let mark = Mark::read(record.body)?;
        (mark.database == database && mark.offset == offset + start as u64).then_some(mark)
    })
}

/// Overwrites a torn end with zeros, durably: what is left of it must never continue a later
/// record. A crash in between leaves another torn end, judged as this one was.
pub(super) fn erase(file: &dyn File, start: u64, tail: Tail) -> fs::Result<()> {
    match tail {
        Tail::Torn { end } => segment::write_zeros(file, start, end),
        Tail::Empty | Tail::Damaged => Ok(()),
    }
}
