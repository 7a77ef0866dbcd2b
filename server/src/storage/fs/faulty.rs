//! A file system that fails on demand, by the number of the operation.
//!
//! Counted is what can change the disk: create, write, resize, rename, remove, sync. A failing
//! write leaves half of its bytes behind, as a full disk does; any other failing operation does
//! nothing. Reads are counted apart and can be failed apart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{File, Fs, FsError, Lock, Result};

/// What is to go wrong; operations count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: operations are only counted.
    None,
    /// The `n`-th change fails once with this error.
    Change(u64, io::ErrorKind),
    /// From the `n`-th change on everything that needs room fails as on a full disk.
    Full(u64),
    /// From the `n`-th change on everything fails: the power is off.
    PowerCut(u64),
    /// The `n`-th read fails once with this error.
    Read(u64, io::ErrorKind),
}

/// Wraps a file system. Clones share counters and fault.
#[derive(Debug, Clone)]
pub struct FaultyFs {
    inner: Arc<dyn Fs>,
    control: Arc<Control>,
}

#[derive(Debug)]
struct Control {
    fault: Mutex<Fault>,
    changes: AtomicU64,
    reads: AtomicU64,
}

#[derive(Debug)]
struct FaultyFile {
    inner: Box<dyn File>,
    control: Arc<Control>,
    path: PathBuf,
}

impl FaultyFs {
    /// Wraps `inner` and lets `fault` happen.
    pub fn new(inner: Arc<dyn Fs>, fault: Fault) -> Self {
        let control = Control {
            fault: Mutex::new(fault),
            changes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        };
        Self { inner, control: Arc::new(control) }
    }

    /// Lets another fault happen from now on; the counters go on.
    pub fn set(&self, fault: Fault) {
        *self.control.fault.lock() = fault;
    }

    /// How many changes were attempted.
    pub fn changes(&self) -> u64 {
        self.control.changes.load(Ordering::SeqCst)
    }

    /// How many reads were attempted.
    pub fn reads(&self) -> u64 {
        self.control.reads.load(Ordering::SeqCst)
    }

    fn wrap(&self, path: &Path, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(FaultyFile { inner, control: self.control.clone(), path: path.to_owned() })
    }
}

impl Control {
    /// Counts a change; an error when it is to fail.
    fn change(&self, operation: &'static str, path: &Path, needs_room: bool) -> Result<()> {
        let n = self.changes.fetch_add(1, Ordering::SeqCst);
        let kind = match *self.fault.lock() {
            Fault::Change(at, kind) if n == at => kind,
            Fault::Full(from) if n >= from && needs_room => io::ErrorKind::StorageFull,
            Fault::PowerCut(from) if n >= from => io::ErrorKind::Other,
            _ => return Ok(()),
        };
        Err(FsError::new(operation, path, kind.into()))
    }

    fn read(&self, operation: &'static str, path: &Path) -> Result<()> {
        let n = self.reads.fetch_add(1, Ordering::SeqCst);
        let kind = match *self.fault.lock() {
            Fault::Read(at, kind) if n == at => kind,
            Fault::PowerCut(from) if self.changes.load(Ordering::SeqCst) > from => {
                io::ErrorKind::Other
            }
            _ => return Ok(()),
        };
        Err(FsError::new(operation, path, kind.into()))
    }
}

impl Fs for FaultyFs {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        self.control.change("create", path, true)?;
        Ok(self.wrap(path, self.inner.create(path)?))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        self.control.read("open", path)?;
        Ok(self.wrap(path, self.inner.open(path)?))
    }

    fn open_to_read(&self, path: &Path) -> Result<Box<dyn File>> {
        self.control.read("open", path)?;
        Ok(self.wrap(path, self.inner.open_to_read(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.control.change("rename", from, true)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.control.change("remove", path, false)?;
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.control.change("sync folder", dir, false)?;
        self.inner.sync_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        self.control.change("create folder", dir, true)?;
        self.inner.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.control.read("list", dir)?;
        self.inner.list(dir)
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Lock>>> {
        self.control.change("lock", path, true)?;
        self.inner.lock(path)
    }
}

impl File for FaultyFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.control.read("read", &self.path)?;
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        // Bytes that are there already take no new room.
        let grows = offset + data.len() as u64 > self.inner.size()?;
        let failed = self.control.change("write", &self.path, grows);
        if failed.is_err() {
            self.inner.write_at(offset, &data[..data.len() / 2])?;
            return failed;
        }
        self.inner.write_at(offset, data)
    }

    fn size(&self) -> Result<u64> {
        self.control.read("size", &self.path)?;
        self.inner.size()
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.control.change("resize", &self.path, true)?;
        self.inner.set_size(size)
    }

    fn sync_data(&self) -> Result<()> {
        self.control.change("sync", &self.path, false)?;
        self.inner.sync_data()
    }
}
