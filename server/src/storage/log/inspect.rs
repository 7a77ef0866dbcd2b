//! Looking at a log segment by segment, every record of it, without going on with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_protocol::Zxid;

use super::cursor::{Cursor, Next, OUT_OF_ORDER};
use super::record::{Kind, Mark};
use super::segment::{self, Folder, Header};
use super::tail::{self, Tail};
use super::{LogError, Options, Promises};
use crate::storage::fs::{self, Fs};

/// A record of the log, as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A transaction: header, record and digest.
    Transaction {
        /// Its zxid.
        zxid: Zxid,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// How far the segment was durable, and what was known to be committed.
    Mark {
        /// The offset up to which it was durable.
        synced: u64,
        /// The last transaction known to be committed.
        committed: Zxid,
    },
    /// The epoch whose leader the server agreed to follow.
    AcceptedEpoch(u32),
    /// The epoch whose initial history it holds.
    CurrentEpoch(u32),
    /// The configuration last seen.
    Configuration(&'a [u8]),
    /// The log goes on in the segment of this number.
    Seal(u64),
}

/// What a segment's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The file.
    pub path: PathBuf,
    /// Its number.
    pub number: u64,
    /// The log's number.
    pub database: u64,
    /// The segment that it continues, and where there; `None` behind a checkpoint.
    pub continues: Option<(u64, u64)>,
    /// The generation of the checkpoint that the log stands on.
    pub generation: u64,
    /// The last transaction before the segment.
    pub previous: Zxid,
    /// The last transaction known to be committed then.
    pub committed: Zxid,
    /// The promises before the segment.
    pub promises: Promises,
}

/// Reads all records of one segment, verifying each.
#[derive(Debug)]
pub struct SegmentReader {
    info: SegmentInfo,
    cursor: Cursor,
    at_end: bool,
    torn: Option<u64>,
}

/// The numbers of the segments in a folder, ascending.
///
/// # Errors
/// When the disk fails.
pub fn segments(fs: &dyn Fs, dir: &Path) -> fs::Result<Vec<u64>> {
    Ok(fs.list(dir)?.iter().filter_map(|name| segment::parse_name(name)).collect())
}

impl SegmentReader {
    /// Opens the segment of this number.
    ///
    /// # Errors
    /// When the disk fails, the header is damaged, or it is of another version.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, number: u64) -> Result<Self, LogError> {
        let folder = Folder::new(fs, dir, Options::default(), 0);
        let (cursor, header) = Cursor::open(&folder, number)?;
        let previous = header.previous();
        let Header { database, number, base, state } = header;
        let info = SegmentInfo {
            path: folder.path(number),
            number,
            database,
            continues: base.map(|base| (base.segment, base.offset)),
            generation: state.generation,
            previous,
            committed: state.committed,
            promises: state.promises,
        };
        Ok(Self { info, cursor, at_end: false, torn: None })
    }

    /// What its header says.
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// The next record and its offset; `None` at the end.
    ///
    /// # Errors
    /// When the disk fails, or a record that was durable is damaged.
    pub fn read(&mut self) -> Result<Option<(u64, Entry<'_>)>, LogError> {
        if self.at_end {
            return Ok(None);
        }
        let offset = self.cursor.place().offset;
        let found = match self.cursor.peek(u64::MAX)? {
            Next::Record(found) => found,
            Next::Disorder => return Err(self.cursor.corruption(OUT_OF_ORDER).into()),
            Next::End(why) => {
                self.at_end = true;
                match tail::judge(self.cursor.file(), self.info.database, offset)? {
                    Tail::Empty => {}
                    Tail::Torn { .. } => self.torn = Some(offset),
                    Tail::Damaged => return Err(self.cursor.corruption(why).into()),
                }
                return Ok(None);
            }
        };
        // What is behind a seal does not count.
        self.at_end = found.kind == Kind::Seal;
        let record = self.cursor.pass(found);
        let number = record.body_u32().unwrap_or_default();
        let entry = match record.kind {
            Kind::Transaction => Entry::Transaction { zxid: record.zxid, bytes: record.body },
            Kind::Mark => {
                let mark = Mark::read(record.body);
                let (synced, committed) =
                    mark.map_or_else(Default::default, |mark| (mark.synced, mark.committed));
                Entry::Mark { synced, committed }
            }
            Kind::AcceptedEpoch => Entry::AcceptedEpoch(number),
            Kind::CurrentEpoch => Entry::CurrentEpoch(number),
            Kind::Configuration => Entry::Configuration(record.body),
            Kind::Seal => Entry::Seal(record.body_u64().unwrap_or_default()),
        };
        Ok(Some((offset, entry)))
    }

    /// Where the torn end of a write begins that was never acknowledged, when it ended so.
    pub fn torn(&self) -> Option<u64> {
        self.torn
    }

    /// The last transaction read, or before the segment.
    pub fn last_zxid(&self) -> Zxid {
        self.cursor.place().last
    }
}
