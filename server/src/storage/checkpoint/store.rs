//! A checkpoint's file that one thread writes to while others read it, and that is opened anew
//! after a failure.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use super::file::{DATABASE, Loaded, OpenFile};
use super::{CheckpointError, Place, Written, path};
use crate::storage::fs::{self, Fs};
use crate::tree::{CheckpointHead, SlotImage, Tree};

type Result<T> = std::result::Result<T, CheckpointError>;

/// A checkpoint's file.
#[derive(Debug)]
pub(super) struct Store {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    /// Closed after a failure: redb then wants to find out anew what is on the disk.
    file: Option<OpenFile>,
}

/// The file that counts, as all threads see it. Whoever reads or writes holds the lock shared;
/// it is held alone to close the file, to open it, and to replace it by another.
#[derive(Debug)]
pub(super) struct Shared(RwLock<Store>);

impl Store {
    /// Creates the file of a generation, without a tree yet.
    pub(super) fn create(
        fs: Arc<dyn Fs>,
        dir: &Path,
        generation: u64,
        database: u64,
    ) -> Result<Self> {
        let temporary = dir.join("checkpoint.tmp");
        fs::remove_if_there(&*fs, &temporary)?;
        drop(fs.create(&temporary).map_err(no_room)?);
        let file = OpenFile::open(&*fs, &temporary)?;
        file.initialize(database).map_err(|error| file.explain(&temporary, &error))?;
        drop(file);
        let path = path(dir, generation);
        fs.rename(&temporary, &path).map_err(no_room)?;
        fs.sync_dir(dir)?;
        let file = Some(OpenFile::open(&*fs, &path)?);
        Ok(Self { fs, path, file })
    }

    /// Opens the file of a generation and verifies its pages; gives the id of its log, too.
    pub(super) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        generation: u64,
    ) -> Result<Option<(Self, u64)>> {
        let path = path(dir, generation);
        match fs.open(&path).and_then(|file| file.size()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // redb would take it for one to be made.
            Ok(0) => return Err(CheckpointError::damaged(&path, &"it is empty")),
            size => size?,
        };
        let file = OpenFile::open(&*fs, &path)?;
        let database = file.meta(DATABASE).map_err(|error| file.explain(&path, &error))?;
        let database = database.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let Some(database) = database else {
            return Err(CheckpointError::damaged(
                &path,
                &"it does not say to which log it belongs",
            ));
        };
        Ok(Some((Self { fs, path, file: Some(file) }, database)))
    }

    /// See [`super::Checkpoint::write`].
    pub(super) fn write(
        &self,
        head: &CheckpointHead,
        next: impl FnMut() -> Option<Vec<SlotImage>>,
    ) -> Result<Option<Written>> {
        let file = self.file.as_ref().expect("it is open");
        file.write(head, next).map_err(|error| file.explain(&self.path, &error))
    }
}

/// The error of an attempt that has left everything as it was.
fn no_room(error: fs::FsError) -> CheckpointError {
    if error.is_full() { CheckpointError::Full(error) } else { CheckpointError::Io(error) }
}

impl Shared {
    pub(super) fn new(store: Store) -> Self {
        Self(RwLock::new(store))
    }

    /// Where it is.
    pub(super) fn place(&self) -> Place {
        let store = self.0.read();
        let dir = store.path.parent().expect("the checkpoint is in a folder").to_owned();
        Place { fs: store.fs.clone(), dir }
    }

    /// Goes on with another file.
    pub(super) fn replace(&self, store: Store) {
        *self.0.write() = store;
    }

    /// See [`super::Checkpoint::write`].
    pub(super) fn write(
        &self,
        head: &CheckpointHead,
        next: impl FnMut() -> Option<Vec<SlotImage>>,
    ) -> Result<Option<Written>> {
        let written = self.opened()?.write(head, next);
        if written.is_err() {
            self.0.write().file = None;
        }
        written
    }

    /// See [`super::Checkpoint::write_alone`].
    pub(super) fn leave_alone(&self) -> Result<()> {
        self.opened()?.file.as_ref().expect("it is open").leave_alone();
        Ok(())
    }

    /// See [`super::Checkpoint::load`].
    pub(super) fn load(&self, seed: u64) -> Result<Option<Tree>> {
        loop {
            let store = self.opened()?;
            let file = store.file.as_ref().expect("it is open");
            let error = match file.load(seed) {
                Ok(Loaded::Tree(tree)) => return Ok(Some(*tree)),
                Ok(Loaded::Nothing) => return Ok(None),
                Ok(Loaded::Damage(what)) => {
                    return Err(CheckpointError::damaged(&store.path, &what));
                }
                // Somebody wrote to it meanwhile and failed.
                Err(redb::Error::PreviousIo) => None,
                Err(error) => Some(file.explain(&store.path, &error)),
            };
            drop(store);
            self.0.write().file = None;
            if let Some(error) = error {
                return Err(error);
            }
        }
    }

    /// The file, open.
    fn opened(&self) -> Result<RwLockReadGuard<'_, Store>> {
        loop {
            let store = self.0.read();
            if store.file.is_some() {
                return Ok(store);
            }
            drop(store);
            let mut store = self.0.write();
            if store.file.is_none() {
                store.file = Some(OpenFile::open(&*store.fs, &store.path)?);
            }
        }
    }
}
