//! Reading a segment's records one after the other, each verified.

use std::ops::Range;
use std::path::PathBuf;

use quorate_protocol::Zxid;

use super::record::{self, Kind, Mark, Record, UncheckedHeader};
use super::segment::{BadHeader, Folder, Header};
use super::{Corruption, LogError, advance};
use crate::storage::fs::{self, File};

const CHUNK: u64 = 1 << 20;

/// A place in a segment between two records, and the state of the log there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the next record begins.
    pub(super) offset: u64,
    /// What the next record is chained to.
    pub(super) chain: u32,
    /// The last transaction before.
    pub(super) last: Zxid,
}

/// Reads the records of a segment: checksums, their chain and the order of zxids are verified.
#[derive(Debug)]
pub(super) struct Cursor {
    window: Window,
    path: PathBuf,
    place: Place,
}

/// What stands at a cursor's place.
pub(super) enum Next {
    /// A good record.
    Record(Found),
    /// No good record: why.
    End(&'static str),
    /// A record as it was written that cannot stand behind the one before.
    Disorder,
}

/// A good record, still to be passed.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) zxid: Zxid,
    /// Where its body stands in the window.
    body: Range<usize>,
    /// The place behind it.
    behind: Place,
}

impl Cursor {
    /// Opens a segment; the cursor stands before its first record.
    pub(super) fn open(folder: &Folder, number: u64) -> Result<(Self, Header), LogError> {
        let path = folder.path(number);
        let file = folder.fs.open(&path)?;
        let read = Header::read(&*file)?;
        let damaged = |what| Corruption { file: path.clone(), offset: 0, last: Zxid::ZERO, what };
        let (header, place) = match read {
            Ok(read) => read,
            Err(BadHeader::Damaged(what)) => return Err(damaged(what).into()),
            Err(BadHeader::OtherVersion(version)) => {
                return Err(LogError::OtherVersion { file: path.clone(), version });
            }
        };
        if header.number != number {
            return Err(damaged("the header has another number than the file's name").into());
        }
        Ok((Self::at(file, path, place)?, header))
    }

    /// A cursor at a place of a segment that is known to be one.
    pub(super) fn at(file: Box<dyn File>, path: PathBuf, place: Place) -> fs::Result<Self> {
        Ok(Self { window: Window::new(file)?, path, place })
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// How many bytes the segment has.
    pub(super) fn size(&self) -> u64 {
        self.window.size
    }

    /// The segment's file.
    pub(super) fn file(&self) -> &dyn File {
        &*self.window.file
    }

    /// The segment's file, to be written to.
    pub(super) fn into_file(self) -> Box<dyn File> {
        self.window.file
    }

    /// What stands here, if it ends before `limit`.
    pub(super) fn peek(&mut self, limit: u64) -> fs::Result<Next> {
        let Place { offset, chain, last } = self.place;
        let Some(at) = self.window.cover(offset, record::HEADER as u64, limit)? else {
            return Ok(Next::End("the segment ends without a record that says so"));
        };
        let header = UncheckedHeader::read(self.window.slice(at));
        let length = header.record_length();
        let Some(at) = self.window.cover(offset, length, limit)? else {
            return Ok(Next::End("a record is longer than its segment"));
        };
        let Some(record) = header.check(self.window.slice(at.clone())) else {
            return Ok(Next::End("no record with a right checksum"));
        };
        if header.previous != chain {
            return Ok(Next::End("a record that does not continue the one before"));
        }
        if let Some(mark) = Mark::read(record.body).filter(|_| record.kind == Kind::Mark)
            && (mark.offset != offset || mark.synced > offset)
        {
            return Ok(Next::End("a mark that does not belong here"));
        }
        let Record { kind, zxid, .. } = record;
        let in_place = kind == Kind::Transaction || zxid == last;
        let Some(last) = advance(last, &record).filter(|_| in_place) else {
            return Ok(Next::Disorder);
        };
        let body = at.start + record::HEADER..at.start + record::HEADER + record.body.len();
        let behind = Place { offset: offset + length, chain: header.checksum, last };
        Ok(Next::Record(Found { kind, zxid, body, behind }))
    }

    /// Goes on behind a record that was found here, and lends it.
    pub(super) fn pass(&mut self, found: Found) -> Record<'_> {
        self.place = found.behind;
        Record { kind: found.kind, zxid: found.zxid, body: self.window.slice(found.body) }
    }

    /// Goes on to the first place behind which `to` is the last transaction. All up to there must
    /// be good.
    pub(super) fn seek(&mut self, to: Zxid, limit: u64) -> Result<(), LogError> {
        while self.place.last != to {
            match self.peek(limit)? {
                Next::Record(found) => _ = self.pass(found),
                Next::End(what) => return Err(self.corruption(what).into()),
                Next::Disorder => return Err(self.corruption(OUT_OF_ORDER).into()),
            }
        }
        Ok(())
    }

    /// That what stands here is damaged.
    pub(super) fn corruption(&self, what: &'static str) -> Corruption {
        let Place { offset, last, .. } = self.place;
        Corruption { file: self.path.clone(), offset, last, what }
    }
}

/// What is wrong with a record in [disorder](Next::Disorder).
pub(super) const OUT_OF_ORDER: &str = "a record is out of order";

/// A file seen through a buffer that moves forward over it.
#[derive(Debug)]
struct Window {
    file: Box<dyn File>,
    size: u64,
    buffer: Vec<u8>,
    /// Where the buffer stands in the file.
    start: u64,
    /// How much of it is filled.
    filled: usize,
}

impl Window {
    fn new(file: Box<dyn File>) -> fs::Result<Self> {
        let size = file.size()?;
        Ok(Self { file, size, buffer: Vec::new(), start: 0, filled: 0 })
    }

    /// Brings `length` bytes at `offset` into the buffer and says where they stand in it; `None`
    /// when they go beyond `limit`, behind which nothing is read. So no length makes it take more
    /// memory than the file has bytes.
    fn cover(&mut self, offset: u64, length: u64, limit: u64) -> fs::Result<Option<Range<usize>>> {
        let limit = limit.min(self.size);
        if offset.checked_add(length).is_none_or(|end| end > limit) {
            return Ok(None);
        }
        let length = usize::try_from(length).expect("files are smaller than memory");
        let behind = offset.checked_sub(self.start).and_then(|n| usize::try_from(n).ok());
        if let Some(at) = behind.filter(|at| at + length <= self.filled) {
            return Ok(Some(at..at + length));
        }
        let wanted = usize::try_from(CHUNK.min(limit - offset)).expect("a chunk fits");
        let filled = wanted.max(length);
        if self.buffer.len() < filled {
            self.buffer.resize(filled, 0);
        }
        // Should the read fail, the buffer holds nothing.
        self.filled = 0;
        self.file.read_at(offset, &mut self.buffer[..filled])?;
        (self.start, self.filled) = (offset, filled);
        Ok(Some(0..length))
    }

    fn slice(&self, at: Range<usize>) -> &[u8] {
        &self.buffer[at]
    }
}
