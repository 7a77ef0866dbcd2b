//! Where everything is.

use std::path::{Path, PathBuf};

use crate::zookeeper_files;

/// Paths of the files below `dataDir` and `dataLogDir`. All are in a folder of our own, beside
/// what ZooKeeper may have there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    data_dir: PathBuf,
    data_log_dir: PathBuf,
}

/// Our folder in `dataDir` and in `dataLogDir`.
const FOLDER: &str = "quorate";
impl Layout {
    /// The files of a server with these settings.
    pub fn new(data_dir: &Path, data_log_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), data_log_dir: data_log_dir.to_owned() }
    }

    /// The folder of everything but the log: the checkpoints and the secret.
    pub fn data(&self) -> PathBuf {
        self.data_dir.join(FOLDER)
    }

    /// The folder of the log's folder.
    pub fn data_log(&self) -> PathBuf {
        self.data_log_dir.join(FOLDER)
    }

    /// The folder of the log's segments.
    pub fn log(&self) -> PathBuf {
        self.data_log().join("log")
    }

    /// The folder of a log that was set aside because something of it was lost.
    pub fn damaged_log(&self) -> PathBuf {
        self.data_log().join("damaged")
    }

    /// The key that session passwords are made with.
    pub fn secret(&self) -> PathBuf {
        self.data().join("secret")
    }

    /// What is remembered of ZooKeeper's files.
    pub fn origin(&self) -> PathBuf {
        self.data().join("origin")
    }

    /// Room kept for a full disk.
    pub fn reserve(&self) -> PathBuf {
        self.data_log().join("reserve")
    }

    /// The locks against a second server: one for each of our folders.
    pub fn locks(&self) -> Vec<PathBuf> {
        let mut locks = vec![self.data().join("LOCK"), self.data_log().join("LOCK")];
        locks.dedup();
        locks
    }

    /// Where ZooKeeper would have its snapshots and its log.
    pub fn zookeeper(&self) -> [PathBuf; 2] {
        [&self.data_dir, &self.data_log_dir].map(|dir| dir.join(zookeeper_files::FOLDER))
    }
}
