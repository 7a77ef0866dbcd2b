//! The checkpoint: the tree at exactly one zxid, in a redb file.
//!
//! Each checkpoint is one transaction that writes the slots changed since the last, so the file
//! holds the old tree or the new one, whenever the power goes. It shortens the replay and lets the
//! log give up segments. It must not be ahead of the log on the disk: before it is written, the
//! log is durable up to the checkpoint's zxid, which the caller sees to.
//!
//! The caller's thread does the work. [`Checkpoint::write`] asks for chunk after chunk, so that no
//! lock on the tree is held while the disk is written to, and so that the caller sets the pace.
//! See `docs/format.md` for tables and crash cases.

mod backend;
mod file;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_protocol::{Decode, Zxid};

use self::file::{DATABASE, HEAD, OpenFile};
use super::fs::{self, Fs, FsError};
use crate::tree::{CheckpointHead, SlotImage, Tree, TreeBuilder};

/// Why an operation on the checkpoint failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// No room. The checkpoint is as it was, and can be written when there is room.
    #[error("no room for the checkpoint: {0}")]
    Full(#[source] FsError),
    /// The disk failed; the process has to end.
    #[error("the checkpoint's disk failed: {0}")]
    Io(#[from] FsError),
    /// The file does not hold what was written into it.
    #[error("the checkpoint {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
}

impl CheckpointError {
    fn damaged(path: &Path, what: &impl Display) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.to_string() }
    }
}

/// What a checkpoint took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The last transaction in it.
    pub zxid: Zxid,
    /// How many slots were written.
    pub slots: u64,
    /// How many bytes they took.
    pub bytes: u64,
}

/// The checkpoint's file.
#[derive(Debug)]
pub struct Checkpoint {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    /// Closed after a failed write: redb then wants to find out anew what is on the disk.
    file: Option<OpenFile>,
    database: u64,
}

impl Checkpoint {
    /// Creates the file, without a tree yet, for the log with this id.
    pub fn create(fs: Arc<dyn Fs>, path: &Path, database: u64) -> Result<Self, CheckpointError> {
        let temporary = path.with_extension("tmp");
        fs::remove_if_there(&*fs, &temporary)?;
        drop(fs.create(&temporary)?);
        let file = OpenFile::open(&*fs, &temporary)?;
        file.initialize(database).map_err(|error| file.explain(&temporary, &error))?;
        drop(file);
        fs.rename(&temporary, path)?;
        fs.sync_dir(path.parent().expect("the checkpoint is in a folder"))?;
        let file = Some(OpenFile::open(&*fs, path)?);
        Ok(Self { fs, path: path.to_owned(), file, database })
    }

    /// Opens the file and verifies its pages; `None` when there is none.
    pub fn open(fs: Arc<dyn Fs>, path: &Path) -> Result<Option<Self>, CheckpointError> {
        match fs.open(path).and_then(|file| file.size()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // redb would take it for one to be made.
            Ok(0) => return Err(CheckpointError::damaged(path, &"it is empty")),
            size => size?,
        };
        let file = OpenFile::open(&*fs, path)?;
        let database = file.meta(DATABASE).map_err(|error| file.explain(path, &error))?;
        let database = database.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let Some(database) = database else {
            return Err(CheckpointError::damaged(path, &"it does not say to which log it belongs"));
        };
        Ok(Some(Self { fs, path: path.to_owned(), file: Some(file), database }))
    }

    /// The id of the log that it belongs to.
    pub fn database(&self) -> u64 {
        self.database
    }

    /// The tree, verified; `None` when none was written yet. For `seed` see [`Tree::new`].
    ///
    /// # Panics
    /// After a failed [`write`](Self::write): the tree is loaded before the first.
    pub fn load(&self, seed: u64) -> Result<Option<Tree>, CheckpointError> {
        let file = self.file.as_ref().expect("no write has failed");
        let explain = |error| file.explain(&self.path, &error);
        let Some(head) = file.meta(HEAD).map_err(explain)? else {
            return Ok(None);
        };
        let damaged = |what: &dyn Display| CheckpointError::damaged(&self.path, &what);
        let head = CheckpointHead::from_bytes(&head).map_err(|error| damaged(&error))?;
        let mut builder = TreeBuilder::new(head, seed).map_err(|error| damaged(&error))?;
        file.read(&mut builder).map_err(explain)?.map_err(|damage| damaged(&damage))?;
        builder.finish().map(Some).map_err(|error| damaged(&error))
    }

    /// Writes the slots that `next` gives, until it gives none, and the head, in one transaction.
    /// When `next` gives `None`, the checkpoint is given up, and that is the result.
    /// After that and after [`CheckpointError::Full`] the file holds what it held before.
    pub fn write(
        &mut self,
        head: &CheckpointHead,
        next: impl FnMut() -> Option<Vec<SlotImage>>,
    ) -> Result<Option<Written>, CheckpointError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => OpenFile::open(&*self.fs, &self.path)?,
        };
        let written = file.write(head, next).map_err(|error| file.explain(&self.path, &error))?;
        self.file = Some(file);
        Ok(written)
    }
}
