//! Reading the log while it is written to.

use std::io;
use std::sync::Arc;

use quorate_protocol::Zxid;

use super::Corruption;
use super::cursor::{Cursor, Next, OUT_OF_ORDER};
use super::live::{Live, Segment};
use super::record::Kind;
use super::segment::Folder;
use crate::storage::fs::FsError;

/// Where any thread can read what is in a log.
#[derive(Debug, Clone)]
pub struct LogSource {
    folder: Folder,
    live: Arc<Live>,
}

/// The transactions of a log behind some zxid, in order, while the log is written to.
///
/// What it reads is verified as at a start: checksums and their chain, the order of zxids, within
/// segments and across them. Memory is bounded by the largest transaction and a window of 1 MiB.
#[derive(Debug)]
pub struct LogReader {
    source: LogSource,
    /// How often the log had been cut when reading began.
    cuts: u64,
    segment: Arc<Segment>,
    cursor: Cursor,
    /// Transactions up to here are passed over.
    after: Zxid,
}

/// Why the log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What follows is not in the log any more, or never was: only a snapshot helps.
    #[error("the log does not have what follows {after}")]
    Gone {
        /// The last transaction that was read, or behind which reading was to begin.
        after: Zxid,
    },
    /// Transactions were taken back while the log was read: what was read may be void.
    #[error("the log was cut or begun anew while it was read")]
    Cut,
    /// Records that had reached the disk are gone.
    #[error(transparent)]
    Corruption(#[from] Corruption),
    /// The disk failed.
    #[error("the log's disk failed: {0}")]
    Io(#[from] FsError),
}

impl LogSource {
    pub(super) fn new(folder: Folder, live: Arc<Live>) -> Self {
        Self { folder, live }
    }

    /// Begins to read behind `after`, which must be in the log or be its floor.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the log begins later.
    pub fn open(&self, after: Zxid) -> Result<LogReader, ReadError> {
        let cuts = self.live.cuts();
        let segment = self.live.holding(after).ok_or(ReadError::Gone { after })?;
        let cursor = self.enter(&segment, after)?;
        Ok(LogReader { source: self.clone(), cuts, segment, cursor, after })
    }

    /// Opens a segment at the last place known before what follows `after`.
    fn enter(&self, segment: &Segment, after: Zxid) -> Result<Cursor, ReadError> {
        let path = self.folder.path(segment.number);
        match self.folder.fs.open(&path) {
            Ok(file) => Ok(Cursor::at(file, path, segment.nearest(after))?),
            // It was removed in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReadError::Gone { after }),
            Err(error) => Err(error.into()),
        }
    }
}

impl LogReader {
    /// The next transaction, unless it is above `upto` or not appended yet.
    ///
    /// # Errors
    /// After any error there is nothing more to read.
    pub fn next(&mut self, upto: Zxid) -> Result<Option<(Zxid, &[u8])>, ReadError> {
        let found = loop {
            if self.source.live.cuts() != self.cuts {
                return Err(ReadError::Cut);
            }
            let place = self.cursor.place();
            if place.last >= upto {
                return Ok(None);
            }
            let end = self.segment.end();
            if place.offset == end {
                if self.enter_next()? {
                    continue;
                }
                return Ok(None);
            }
            let found = match self.cursor.peek(end)? {
                Next::Record(found) => found,
                Next::End(what) => return Err(self.damage(what)),
                Next::Disorder => return Err(self.damage(OUT_OF_ORDER)),
            };
            if found.kind == Kind::Transaction && found.zxid > self.after {
                if found.zxid > upto {
                    return Ok(None);
                }
                // The first one shows whether the log contains what it was to follow.
                if place.last < self.after {
                    return Err(ReadError::Gone { after: self.after });
                }
                break found;
            }
            self.cursor.pass(found);
        };
        let record = self.cursor.pass(found);
        Ok(Some((record.zxid, record.body)))
    }

    /// Goes on in the segment behind this one; false when there is none yet.
    fn enter_next(&mut self) -> Result<bool, ReadError> {
        let place = self.cursor.place();
        let Some(next) = self.source.live.behind(self.segment.number) else {
            return Ok(false);
        };
        match next.base {
            Some(base) if base.segment == self.segment.number => {
                // More may have been appended to this one, before the next was begun.
                if base.offset == place.offset {
                    if base.chain != place.chain || next.start.last != place.last {
                        return Err(self.damage("the next segment does not continue this one"));
                    }
                    self.cursor = self.source.enter(&next, place.last)?;
                    self.segment = next;
                }
                Ok(true)
            }
            // This one and others behind it have been let go.
            _ => Err(ReadError::Gone { after: place.last }),
        }
    }

    /// That what stands here is damaged, unless it was overwritten because it is void.
    fn damage(&self, what: &'static str) -> ReadError {
        if self.source.live.cuts() == self.cuts {
            self.cursor.corruption(what).into()
        } else {
            ReadError::Cut
        }
    }
}
