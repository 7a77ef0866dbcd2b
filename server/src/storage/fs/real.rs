//! The machine's file system.
//!
//! Files are readable by their owner only: they hold data and credentials of all clients.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::{File, Fs, FsError, Lock, Result};

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    /// Where it was opened, for errors; the file may have been renamed since.
    path: PathBuf,
}

/// Closing the file releases its `flock`.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}

fn options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FsError + 'a {
    move |source| FsError::new(operation, path, source)
}

impl Fs for RealFs {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = options().create_new(true).open(path).map_err(failed("create", path))?;
        Ok(Box::new(RealFile { file, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = options().open(path).map_err(failed("open", path))?;
        Ok(Box::new(RealFile { file, path: path.to_owned() }))
    }

    fn open_to_read(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = fs::File::open(path).map_err(failed("open", path))?;
        Ok(Box::new(RealFile { file, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        debug_assert_eq!(from.parent(), to.parent(), "one sync_dir covers both names");
        fs::rename(from, to).map_err(failed("rename", from))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(failed("remove", path))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync folder", dir))
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FsError::new("create folder", dir, error));
            }
            _ => {}
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("list", dir))?,
        };
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<OsString>>>()
            .map_err(failed("list", dir))?;
        names.sort();
        // No file of ours has a name that is not text, so others may be passed over.
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Lock>>> {
        let file =
            options().create(true).truncate(false).open(path).map_err(failed("open", path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(RealLock { _file: file }))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(FsError::new("lock", path, error.into())),
        }
    }
}

impl File for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(failed("read", &self.path))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_all_at(data, offset).map_err(failed("write", &self.path))
    }

    fn size(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(failed("size", &self.path))
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.file.set_len(size).map_err(failed("resize", &self.path))
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(failed("sync", &self.path))
    }
}
