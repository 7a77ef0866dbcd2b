//! The one door to the disk: a small file-system trait with four implementations.
//!
//! [`RealFs`] is the machine's; [`MemoryFs`] is the simulator's and forgets what was not synced
//! when it crashes; [`FaultyFs`] wraps another and fails operations by number; [`OverlayFs`] keeps
//! all changes of another to itself, so that files can be looked at as a start would. The trait offers
//! no more than the log and the checkpoint need, and no convenience that would hide a sync: a
//! caller that depends on a created, renamed or removed name calls [`Fs::sync_dir`] itself.
//!
//! What the callers may take from the disk, and the tests try to break: a write of bytes that are
//! there already changes nothing, a sector of 512 bytes is old or new and never a mixture, and
//! nothing else is promised before the sync.

mod faulty;
mod memory;
mod overlay;
mod real;

use std::fmt::{Debug, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};

pub use faulty::{Fault, FaultyFs};
pub use memory::MemoryFs;
pub use overlay::OverlayFs;
pub use real::RealFs;

/// A failed operation on a file, with its name and path.
#[derive(Debug)]
pub struct FsError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FsError {
    /// That `operation` (a verb) on `path` failed with `source`.
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether there was no room: the operation can succeed later.
    pub fn is_full(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl Display for FsError {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.path.display(), self.source)
    }
}

impl std::error::Error for FsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<FsError> for io::Error {
    fn from(error: FsError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// What an operation on files gives.
pub type Result<T> = std::result::Result<T, FsError>;

/// A file system.
pub trait Fs: Debug + Send + Sync {
    /// Creates a file that must not be there yet and opens it for reading and writing.
    fn create(&self, path: &Path) -> Result<Box<dyn File>>;

    /// Opens a file that must be there for reading and writing.
    fn open(&self, path: &Path) -> Result<Box<dyn File>>;

    /// Opens a file that must be there, only to read it: one that may not be written to will do.
    fn open_to_read(&self, path: &Path) -> Result<Box<dyn File>> {
        self.open(path)
    }

    /// Gives a file another name in the same folder, replacing what had that name; or a folder,
    /// when nothing has that name.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Makes the names in a folder durable: created, renamed and removed ones.
    fn sync_dir(&self, dir: &Path) -> Result<()>;

    /// Creates a folder and those above it where they are missing, durably.
    fn create_dir(&self, dir: &Path) -> Result<()>;

    /// The names in a folder, of files and folders, in ascending order; none when there is no such folder.
    fn list(&self, dir: &Path) -> Result<Vec<String>>;

    /// Takes the exclusive lock that a file stands for, creating the file; `None` when another
    /// process (or another part of this one) holds it.
    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Lock>>>;
}

/// An open file.
pub trait File: Debug + Send + Sync {
    /// Fills `buffer` from `offset` on; the end of the file within it is an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Writes all of `data` at `offset`, growing the file where needed.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// How many bytes the file has.
    fn size(&self) -> Result<u64>;

    /// Cuts the file, or grows it by bytes that read as zero.
    fn set_size(&self, size: u64) -> Result<()>;

    /// Makes the bytes and the size durable (`fdatasync`). After an error nothing is known about
    /// what was written since the last success, and asking again does not change that.
    fn sync_data(&self) -> Result<()>;
}

/// A held lock; dropping it releases it.
pub trait Lock: Debug + Send + Sync {}

/// Writes a small file so that after a crash it has its old content or its new one: a temporary
/// file, synced, renamed into place, and the folder synced.
pub fn replace_file(fs: &dyn Fs, path: &Path, content: &[u8]) -> Result<()> {
    let dir = path.parent().expect("a file to replace has a folder");
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    remove_if_there(fs, &temporary)?;
    let file = fs.create(&temporary)?;
    file.write_at(0, content)?;
    file.sync_data()?;
    drop(file);
    fs.rename(&temporary, path)?;
    fs.sync_dir(dir)
}

/// The content of a small file; `None` when there is no such file.
pub fn read_file(fs: &dyn Fs, path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match fs.open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let size = usize::try_from(file.size()?).expect("a small file fits into memory");
    let mut content = vec![0; size];
    file.read_at(0, &mut content)?;
    Ok(Some(content))
}

/// Removes a file; that there is none is fine.
pub fn remove_if_there(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests;
