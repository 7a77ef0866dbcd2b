//! The log: every durable promise of this server, in one order.
//!
//! Segments of records, each record chained to the one before it by CRC-32C; `docs/format.md` has
//! every byte and every crash case. [`Log`] appends [`Batch`]es and syncs them; [`LogSource`] reads
//! what is there, on any thread, while the writer goes on. [`LogFiles`] and [`Replay`] find the log
//! when the server starts, tell a torn tail from damage, and turn into the [`Log`].
//!
//! The log decides nothing: bodies are opaque bytes to it, and what may be answered when is its
//! caller's business. It has no thread and no clock: what takes long and may be done beside it is
//! handed out as a job ([`Preparation`], [`Retirement`]).
//!
//! A segment says in its header where in an earlier one it goes on. Usually that is the end of the
//! one before; where the log is cut, an earlier place, and what is behind that place is void from
//! the moment the new segment has its name.
//!
//! Positions, on one axis:
//! `first record kept <= synced mark <= durable <= last appended <= end of the segment`.
//!
//! Invariants: a record is never changed as long as it counts; what a segment continues is durable
//! before the segment has its name, and so is the name before anything is in the segment; after a
//! failed write or sync the log refuses everything, since nothing is known about the disk.

mod batch;
mod cursor;
mod cut;
mod epochs;
pub mod inspect;
mod live;
mod reader;
mod record;
mod replay;
mod retirement;
mod segment;
mod tail;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use quorate_protocol::Zxid;

use super::fs::FsError;

use self::record::{Kind, Mark, Record};

pub use batch::Batch;
pub use epochs::Epochs;
pub use reader::{LogReader, LogSource, ReadError};
pub use replay::{LogFiles, Replay};
pub use retirement::Retirement;
pub(super) use segment::write_zeros;
pub use segment::{Preparation, Spare};
pub use writer::Log;

/// Settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How large a segment is made; one batch larger than that gets a larger one.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// What this server has promised to its ensemble: the newest record of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Promises {
    /// The newest epoch whose leader it agreed to follow.
    pub accepted_epoch: u32,
    /// The newest epoch whose initial history it holds.
    pub current_epoch: u32,
    /// The last configuration seen; empty when there was none.
    pub configuration: Vec<u8>,
    /// There were others, or acknowledged transactions, that were lost. It holds until this server
    /// has the initial history of an epoch again.
    pub incomplete: bool,
}

/// Why an operation on the log failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No room for the batch. Nothing of it is in the log, and the log is as before: the batch
    /// may be appended again when there is room.
    #[error("no room for the log: {0}")]
    Full(#[source] FsError),
    /// The batch does not continue the log. Nothing of it is in the log.
    #[error("transaction {found} does not follow {last}")]
    OutOfOrder {
        /// The last transaction before.
        last: Zxid,
        /// The one that should have followed it.
        found: Zxid,
    },
    /// The log cannot be cut there: the transaction is not in it. It is as before.
    #[error("the log cannot be cut behind {to}, which is not in it: it has {floor} to {last}")]
    NotThere {
        /// The last transaction that was to stay.
        to: Zxid,
        /// The last transaction before the log.
        floor: Zxid,
        /// The last transaction in the log.
        last: Zxid,
    },
    /// The log must not be cut there: more is committed. It is as before.
    #[error("the log must not be cut behind {to}: everything up to {committed} is committed")]
    Committed {
        /// The last transaction that was to stay.
        to: Zxid,
        /// The last transaction known to be committed.
        committed: Zxid,
    },
    /// Records that had reached the disk are gone.
    #[error(transparent)]
    Corruption(#[from] Corruption),
    /// The log was written by a server with another format.
    #[error(
        "{} has version {version} of the log's format, which this server cannot read: run the one \
         that wrote it",
        file.display()
    )]
    OtherVersion {
        /// The segment.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The disk failed. What it holds of the unsynced part is unknown: this log must not be used
    /// any more, and the process has to end.
    #[error("the log's disk failed: {0}")]
    Io(#[from] FsError),
    /// The log was used after its disk had failed.
    #[error("the log cannot be used after a failure of its disk")]
    Failed,
}

impl LogError {
    /// An error of an attempt that has left everything as it was: that there is no room can be
    /// lived with.
    fn no_room(error: FsError) -> Self {
        if error.is_full() { Self::Full(error) } else { Self::Io(error) }
    }
}

/// Damage that is not the torn end of an interrupted write: durable records are missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is damaged at offset {offset}: {what}. Transactions after {last} cannot be read, \
     though they may have been acknowledged",
    file.display()
)]
pub struct Corruption {
    /// The damaged file.
    pub file: PathBuf,
    /// Where reading it ended.
    pub offset: u64,
    /// The last transaction that could be read.
    pub last: Zxid,
    /// What was found there.
    pub what: &'static str,
}

/// What a log adds up to, so that none of its older segments is needed to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    epochs: Epochs,
    promises: Promises,
    /// The last transaction known to be committed.
    committed: Zxid,
    /// The generation of the checkpoint that the log stands on.
    generation: u64,
}

impl State {
    /// Takes in a record of the log.
    fn note(&mut self, record: &Record<'_>) {
        let promises = &mut self.promises;
        match record.kind {
            Kind::Transaction => self.epochs.extend(record.zxid),
            Kind::Mark => {
                let committed = Mark::read(record.body).map(|mark| mark.committed);
                self.committed = self.committed.max(committed.unwrap_or_default());
            }
            Kind::AcceptedEpoch => {
                promises.accepted_epoch = record.body_u32().unwrap_or(promises.accepted_epoch);
            }
            Kind::CurrentEpoch => {
                promises.current_epoch = record.body_u32().unwrap_or(promises.current_epoch);
                promises.incomplete = false;
            }
            Kind::Configuration => promises.configuration = record.body.to_vec(),
            Kind::Seal => {}
        }
    }
}

/// The last transaction after `record`, when `record` may stand behind `last`: a transaction is
/// the next of its epoch or the first of a later one.
fn advance(last: Zxid, record: &Record<'_>) -> Option<Zxid> {
    match record.kind {
        Kind::Transaction => {
            let next = record.zxid;
            let follows =
                last.next() == Some(next) || (next.epoch() > last.epoch() && next.counter() == 1);
            follows.then_some(next)
        }
        Kind::AcceptedEpoch | Kind::CurrentEpoch => record.body_u32().map(|_| last),
        Kind::Seal => record.body_u64().map(|_| last),
        Kind::Configuration | Kind::Mark => Some(last),
    }
}
