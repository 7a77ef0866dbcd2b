//! The way in from ZooKeeper, and back.
//!
//! [`history`] makes of ZooKeeper's folders the one history that is in them, or says what keeps
//! it from being whole; [`import`] writes that as our data folder; [`export`] writes ours as
//! ZooKeeper's. ZooKeeper's files are only ever read. `docs/files.md` tells operators about it.

pub mod export;
pub mod history;
pub mod import;
mod loss;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::storage::checkpoint::CheckpointError;
use crate::storage::fs::{self, Fs, FsError};
use crate::storage::log::{LogError, ReadError};
use crate::storage::origin::OriginError;
use crate::storage::recovery::RecoveryError;
use crate::zookeeper_files::{self, FileError};

pub use loss::Loss;

/// The folders of a ZooKeeper server's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Of its snapshots and epochs.
    pub snapshots: PathBuf,
    /// Of its logs.
    pub logs: PathBuf,
}

impl Source {
    /// Those below these `dataDir` and `dataLogDir`; or they themselves, when the files are right in
    /// them.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn below(fs: &dyn Fs, data_dir: &Path, log_dir: &Path) -> fs::Result<Self> {
        let folder = |dir: &Path| {
            let below = dir.join(zookeeper_files::FOLDER);
            let is_itself = fs.list(&below)?.is_empty()
                && !(zookeeper_files::snapshots(fs, dir)?.is_empty()
                    && zookeeper_files::logs(fs, dir)?.is_empty());
            Ok(if is_itself { dir.to_owned() } else { below })
        };
        Ok(Self { snapshots: folder(data_dir)?, logs: folder(log_dir)? })
    }

    fn folders(&self) -> [PathBuf; 2] {
        [self.snapshots.clone(), self.logs.clone()]
    }
}

/// Why nothing was imported or exported.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The data is not whole.
    #[error("{0}")]
    Lost(Box<Loss>),
    /// There is no data.
    #[error(
        "there is neither a snapshot nor a log of ZooKeeper in {}{}",
        folders.snapshots.display(), and_logs(folders)
    )]
    Nothing {
        /// Where it was looked for.
        folders: Source,
    },
    /// The folder to write to has something.
    #[error("{} holds data already: move it away, or choose another folder", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process works in the folder.
    #[error("another process holds {}: stop it first", lock.display())]
    Locked {
        /// The lock's file.
        lock: PathBuf,
    },
    /// A server that lacks something cannot be exported.
    #[error("{0}")]
    NotWhole(String),
    /// The disk failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Our log cannot be written or read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Our log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Our checkpoint cannot be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// What is remembered of ZooKeeper's files cannot be read.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Our data cannot be read.
    #[error(transparent)]
    Recovery(#[from] Box<RecoveryError>),
}

impl From<Loss> for MigrateError {
    fn from(loss: Loss) -> Self {
        Self::Lost(loss.into())
    }
}

impl From<FileError> for MigrateError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Fs(error) => error.into(),
            FileError::Damaged(damage) => Loss::Damage(damage).into(),
        }
    }
}

fn and_logs(folders: &Source) -> String {
    let Source { snapshots, logs } = folders;
    if snapshots == logs { String::new() } else { format!(" and {}", logs.display()) }
}
