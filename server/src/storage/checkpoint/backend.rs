//! redb's door to the disk, through ours.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::storage::fs::{self, File, FsError};

/// After so many bytes they are synced, though redb did not ask for it: the log's syncs must not
/// queue behind all that a checkpoint writes.
const EARLY_SYNC_BYTES: u64 = 64 << 10;

/// What both sides of the door see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The first operation that failed.
    failure: Mutex<Option<Failure>>,
    /// Nothing is written any more.
    is_closed: AtomicBool,
    /// Nobody else needs the disk.
    is_alone: AtomicBool,
}

/// A failed operation.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: FsError,
    /// What was on the disk before is still there.
    pub(super) is_harmless: bool,
}

impl Shared {
    /// The first operation that failed.
    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.failure.lock().take()
    }

    /// Refuses all that redb still wants to write.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Says that nobody else needs the disk: what is written is synced when redb asks for it.
    pub(super) fn leave_alone(&self) {
        self.is_alone.store(true, Ordering::SeqCst);
    }

    fn note<T>(&self, is_change: bool, done: fs::Result<T>) -> io::Result<T> {
        done.map_err(|error| {
            let kind = error.kind();
            let is_harmless = is_change && error.is_full();
            self.failure.lock().get_or_insert(Failure { error, is_harmless });
            kind.into()
        })
    }

    fn refuse_when_closed(&self) -> io::Result<()> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

/// An open file, as redb sees it.
#[derive(Debug)]
pub(super) struct Backend {
    file: Box<dyn File>,
    unsynced: AtomicU64,
    shared: Arc<Shared>,
}

impl Backend {
    pub(super) fn new(file: Box<dyn File>) -> (Self, Arc<Shared>) {
        let shared = Arc::<Shared>::default();
        (Self { file, unsynced: AtomicU64::new(0), shared: shared.clone() }, shared)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.shared.note(false, self.file.size())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.shared.note(false, self.file.read_at(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.shared.refuse_when_closed()?;
        self.shared.note(true, self.file.set_size(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.refuse_when_closed()?;
        self.unsynced.store(0, Ordering::Relaxed);
        self.shared.note(false, self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.shared.refuse_when_closed()?;
        self.shared.note(true, self.file.write_at(offset, data))?;
        let length = data.len() as u64;
        if self.shared.is_alone.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.unsynced.fetch_add(length, Ordering::Relaxed) + length < EARLY_SYNC_BYTES {
            return Ok(());
        }
        self.sync_data()
    }
}
