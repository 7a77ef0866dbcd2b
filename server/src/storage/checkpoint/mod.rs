//! The checkpoint: the tree at exactly one zxid, in a redb file.
//!
//! Each checkpoint is one transaction that writes the slots changed since the last, so the file
//! holds the old tree or the new one, whenever the power goes. It shortens the replay and lets the
//! log give up segments. It must not be ahead of the log on the disk: before it is written, the
//! log is durable up to the checkpoint's zxid, which the caller sees to.
//!
//! A tree that comes whole from a peer goes into a file of its own, the next *generation*. Which
//! generation counts is said by the log: the moment it begins anew behind the new one, the old one
//! is superfluous.
//!
//! The caller's thread does the work. [`Checkpoint::write`] asks for chunk after chunk, so that no
//! lock on the tree is held while the disk is written to, and so that the caller sets the pace.
//! Meanwhile others can load what the file holds by a [`CheckpointSource`].
//! See `docs/format.md` for tables and crash cases.

mod backend;
mod file;
mod store;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_protocol::Zxid;

use self::store::{Shared, Store};
use super::fs::{self, Fs, FsError};
use crate::tree::{CheckpointHead, SlotImage, Tree};

/// The generation of a new server's checkpoint.
pub const FIRST_GENERATION: u64 = 1;
/// Slots of a snapshot that are held in memory besides the tree.
const SNAPSHOT_CHUNK: usize = 1024;

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
    shared: Arc<Shared>,
    database: u64,
    generation: u64,
    /// A snapshot in the next generation's file, which does not count yet.
    installed: Option<Store>,
}

/// Where any thread can load the newest checkpoint.
#[derive(Debug, Clone)]
pub struct CheckpointSource {
    shared: Arc<Shared>,
}

impl Checkpoint {
    /// Creates the file of a generation in the folder `dir`, without a tree yet, for the log with
    /// this id.
    pub fn create(
        fs: Arc<dyn Fs>,
        dir: &Path,
        generation: u64,
        database: u64,
    ) -> Result<Self, CheckpointError> {
        let store = Store::create(fs, dir, generation, database)?;
        Ok(Self::new(store, generation, database))
    }

    /// Opens the file of a generation and verifies its pages; `None` when there is none.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        generation: u64,
    ) -> Result<Option<Self>, CheckpointError> {
        let opened = Store::open(fs, dir, generation)?;
        Ok(opened.map(|(store, database)| Self::new(store, generation, database)))
    }

    fn new(store: Store, generation: u64, database: u64) -> Self {
        Self { shared: Arc::new(Shared::new(store)), database, generation, installed: None }
    }

    /// The id of the log that it belongs to.
    pub fn database(&self) -> u64 {
        self.database
    }

    /// Its generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Where other threads can load it.
    pub fn source(&self) -> CheckpointSource {
        CheckpointSource { shared: self.shared.clone() }
    }

    /// The tree, verified; `None` when none was written yet. For `seed` see [`Tree::new`].
    pub fn load(&self, seed: u64) -> Result<Option<Tree>, CheckpointError> {
        self.shared.load(seed)
    }

    /// Writes the slots that `next` gives, until it gives none, and the head, in one transaction.
    /// When `next` gives `None`, the checkpoint is given up, and that is the result.
    /// After that and after [`CheckpointError::Full`] the file holds what it held before.
    pub fn write(
        &mut self,
        head: &CheckpointHead,
        next: impl FnMut() -> Option<Vec<SlotImage>>,
    ) -> Result<Option<Written>, CheckpointError> {
        self.shared.write(head, next)
    }

    /// As [`write`](Self::write), as fast as it goes: there is no log whose syncs have to wait. Any
    /// later write is so, too.
    pub fn write_alone(
        &mut self,
        head: &CheckpointHead,
        next: impl FnMut() -> Option<Vec<SlotImage>>,
    ) -> Result<Option<Written>, CheckpointError> {
        self.shared.leave_alone()?;
        self.shared.write(head, next)
    }

    /// Writes a whole tree into the next generation's file, durably, and gives that generation.
    /// It counts as soon as the log [begins anew](super::log::Log::begin_anew) with it; then
    /// [`switch`](Self::switch) is due. Until then this is the old checkpoint, and stays it if
    /// that never comes.
    ///
    /// # Errors
    /// After [`CheckpointError::Full`] nothing of it is left.
    pub fn install_snapshot(&mut self, tree: &mut Tree) -> Result<u64, CheckpointError> {
        let generation = self.generation + 1;
        self.installed = None;
        let Place { fs, dir } = self.shared.place();
        fs::remove_if_there(&*fs, &path(&dir, generation))?;
        let written =
            Store::create(fs.clone(), &dir, generation, self.database).and_then(|store| {
                let head = tree.checkpoint_begin_whole();
                let written = store.write(&head, || Some(tree.checkpoint_chunk(SNAPSHOT_CHUNK)));
                tree.checkpoint_end(written.is_ok());
                written.map(|_| store)
            });
        match written {
            Ok(store) => self.installed = Some(store),
            Err(error) => {
                // What is left of it is removed at the next start if it cannot be now.
                let _ = fs.remove(&path(&dir, generation));
                return Err(error);
            }
        }
        Ok(generation)
    }

    /// Goes on with the snapshot installed last, which the log stands on now, and removes the
    /// checkpoint before it.
    ///
    /// # Panics
    /// When none was installed.
    pub fn switch(&mut self) -> Result<(), CheckpointError> {
        let installed = self.installed.take().expect("a snapshot was installed");
        self.shared.replace(installed);
        self.generation += 1;
        let Place { fs, dir } = self.shared.place();
        Ok(remove_others(&*fs, &dir, self.generation)?)
    }
}

impl CheckpointSource {
    /// The tree in the newest checkpoint, verified; `None` when none was written yet. It may be
    /// loaded while the next is written. For `seed` see [`Tree::new`].
    pub fn load(&self, seed: u64) -> Result<Option<Tree>, CheckpointError> {
        self.shared.load(seed)
    }
}

/// Where checkpoints are.
struct Place {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
}

/// The file of a generation.
pub fn path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("checkpoint-{generation}.redb"))
}

/// The name of a file that does not count any more, because it or its log is damaged.
pub fn damaged_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("checkpoint-{generation}.damaged"))
}

/// The generation whose file this is by its name.
pub fn generation(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.strip_suffix(".redb")?;
    digits.parse().ok()
}

/// The generations whose files are in a folder, ascending.
pub fn generations(fs: &dyn Fs, dir: &Path) -> fs::Result<Vec<u64>> {
    list(fs, dir, path)
}

/// The generations of the files that have such a path, ascending.
fn list(fs: &dyn Fs, dir: &Path, path: fn(&Path, u64) -> PathBuf) -> fs::Result<Vec<u64>> {
    let names = fs.list(dir)?;
    let parse = |name: &String| {
        let generation = name.strip_prefix("checkpoint-")?.split('.').next()?.parse().ok()?;
        (path(dir, generation) == dir.join(name)).then_some(generation)
    };
    let mut generations: Vec<u64> = names.iter().filter_map(parse).collect();
    generations.sort_unstable();
    Ok(generations)
}

/// Lets the files of all generations be files that do not count any more, durably. Gives the
/// generation to go on with: the first without a file of either kind.
pub fn set_aside(fs: &dyn Fs, dir: &Path) -> fs::Result<u64> {
    for generation in generations(fs, dir)? {
        fs.rename(&path(dir, generation), &damaged_path(dir, generation))?;
    }
    fs.sync_dir(dir)?;
    let last = list(fs, dir, damaged_path)?.pop();
    Ok(last.map_or(FIRST_GENERATION, |last| last + 1))
}

/// Removes the files of all generations but one, durably.
pub fn remove_others(fs: &dyn Fs, dir: &Path, generation: u64) -> fs::Result<()> {
    let mut others = generations(fs, dir)?;
    others.retain(|other| *other != generation);
    for other in &others {
        fs.remove(&path(dir, *other))?;
    }
    if others.is_empty() { Ok(()) } else { fs.sync_dir(dir) }
}
