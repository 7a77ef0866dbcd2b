//! Room kept for a full disk.
//!
//! When the log finds no room, writes are refused, but what makes room again takes some first: a
//! checkpoint, so that segments of the log can go. A file of zeros keeps that much back; it is
//! removed for the purpose, and writes are accepted again once it is there again.

use std::path::PathBuf;
use std::sync::Arc;

use super::fs::{self, Fs};
use super::log::write_zeros;

/// The reserve, taken or not.
#[derive(Debug)]
pub struct Reserve {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// A reserve of `bytes` at `path`, not taken yet.
    pub fn new(fs: Arc<dyn Fs>, path: PathBuf, bytes: u64) -> Self {
        Self { fs, path, bytes }
    }

    /// Takes the room, unless it is taken already.
    ///
    /// # Errors
    /// Without room ([`fs::FsError::is_full`]) nothing of it stays taken.
    pub fn take(&self) -> fs::Result<()> {
        match self.fs.open(&self.path).and_then(|file| file.size()) {
            Ok(size) if size == self.bytes => return Ok(()),
            _ => fs::remove_if_there(&*self.fs, &self.path)?,
        }
        let file = self.fs.create(&self.path)?;
        let taken = write_zeros(&*file, 0, self.bytes);
        if taken.is_err() {
            // What is left of it goes at the next attempt if it cannot now.
            let _ = self.fs.remove(&self.path);
        }
        taken
    }

    /// Gives the room back to whoever is faster.
    pub fn release(&self) -> fs::Result<()> {
        fs::remove_if_there(&*self.fs, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::fs::{Fault, FaultyFs, MemoryFs};

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let fs = FaultyFs::new(Arc::new(MemoryFs::new()), Fault::None);
        fs.create_dir(Path::new("/d")).unwrap();
        let reserve = Reserve::new(Arc::new(fs.clone()), PathBuf::from("/d/reserve"), 3 << 20);
        fs.set(Fault::Full(fs.changes() + 2));
        assert!(reserve.take().unwrap_err().is_full());
        assert!(fs.list(Path::new("/d")).unwrap().is_empty());
        fs.set(Fault::None);
        reserve.take().unwrap();
        let changes = fs.changes();
        reserve.take().unwrap();
        assert_eq!(fs.changes(), changes);
        assert_eq!(fs.open(Path::new("/d/reserve")).unwrap().size().unwrap(), 3 << 20);
        reserve.release().unwrap();
        reserve.release().unwrap();
        assert!(fs.list(Path::new("/d")).unwrap().is_empty());
    }
}
