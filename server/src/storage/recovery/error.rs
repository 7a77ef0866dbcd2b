//! Why there is nothing to go on with.

use std::path::PathBuf;

use quorate_protocol::{DecodeError, Zxid};

use crate::storage::checkpoint::CheckpointError;
use crate::storage::fs::FsError;
use crate::storage::log::{Corruption, LogError, ReadError};
use crate::storage::origin::OriginError;
use crate::zookeeper_files::FileError;

/// Why there is nothing to go on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Acknowledged writes may be missing, and nobody else may have them.
    #[error(
        "{0}. The server does not start, and nothing was changed. Restore dataDir and dataLogDir \
         from a copy, or let this server join its ensemble with empty folders"
    )]
    Lost(Box<Loss>),
    /// As [`Lost`](Self::Lost), and it is not the first time.
    #[error(
        "{loss}. A log that was lost before is still in {}, and only one is kept, so the server \
         does not start, and nothing was changed. A disk that loses something again is not to be \
         trusted: look for the cause, then move that folder away or remove it, and start again; \
         the other servers have everything",
        folder.display()
    )]
    LostAgain {
        /// What was lost now.
        loss: Box<Loss>,
        /// Where the log is that was set aside before.
        folder: PathBuf,
    },
    /// The log knows that something was lost, which only an ensemble can give back.
    #[error(
        "the log in {} has taken the place of one that was lost, and has not got everything from \
         its ensemble yet: it cannot be served alone. Let this server join the ensemble again, or \
         restore dataDir and dataLogDir from a copy",
        folder.display()
    )]
    Incomplete {
        /// The log's folder.
        folder: PathBuf,
    },
    /// An operation outside log and checkpoint failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The log failed.
    #[error(transparent)]
    Log(LogError),
    /// The checkpoint failed.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// Another server runs in the folder.
    #[error(
        "another server holds {}: stop it, or give this one a dataDir and dataLogDir of its own",
        lock.display()
    )]
    Locked {
        /// The lock's file.
        lock: PathBuf,
    },
    /// The folder is ZooKeeper's, and nothing of ours is there.
    #[error(
        "{} holds data of ZooKeeper, which would be left out: import it (quorate-server import), or set dataDir and \
         dataLogDir to other folders to start empty",
        folder.display()
    )]
    ZooKeeperData {
        /// ZooKeeper's folder.
        folder: PathBuf,
    },
    /// An import of ZooKeeper's data was not finished.
    #[error(
        "the import of ZooKeeper's data into {} was interrupted: what is there is not all of it. \
         Import it again, which begins anew",
        folder.display()
    )]
    ImportInterrupted {
        /// Our folder.
        folder: PathBuf,
    },
    /// ZooKeeper has gone on with its files after they were imported, or exported.
    #[error(
        "ZooKeeper has written {} since Quorate has had its data: there are two histories now, and \
         to go on with either gives the other up. To go on with ZooKeeper's, move {} away, and the \
         next start imports it. To go on with Quorate's, move {} away",
        newer.display(), ours.display(), theirs.display()
    )]
    ZooKeeperWrote {
        /// What it has written.
        newer: PathBuf,
        /// Our folder.
        ours: PathBuf,
        /// ZooKeeper's.
        theirs: PathBuf,
    },
    /// There was data, and ZooKeeper's beside it, and now there is none of ours.
    #[error(
        "the data that was in {} is gone, with everything written since ZooKeeper's data was \
         imported. Restore dataDir and dataLogDir from a copy; or, to import ZooKeeper's data again \
         and go on from there, remove {}",
        folder.display(), origin.display()
    )]
    Emptied {
        /// Our folder.
        folder: PathBuf,
        /// What says that there was data.
        origin: PathBuf,
    },
    /// ZooKeeper's files cannot be looked at.
    #[error("ZooKeeper's files: {0}")]
    ZooKeeperFiles(FileError),
    /// What is remembered of them cannot be read.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Log and checkpoint are of different servers, or of different times of one.
    #[error(
        "the checkpoint {} does not belong to the log in {}: dataDir and dataLogDir are not of \
         one server",
        checkpoint.display(),
        folder.display()
    )]
    Strangers {
        /// The checkpoint's file.
        checkpoint: PathBuf,
        /// The log's folder.
        folder: PathBuf,
    },
    /// A transaction in the log cannot be read, though its checksum is right.
    #[error("transaction {zxid} in the log cannot be decoded: {source}")]
    Transaction {
        /// The transaction.
        zxid: Zxid,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Acknowledged writes or promises may be missing: what was found where.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// The log is damaged.
    #[error(transparent)]
    Log(Corruption),
    /// The checkpoint cannot be read, and the log does not reach back to the beginning.
    #[error("{checkpoint}, and the log cannot replace it: {log}")]
    Checkpoint {
        /// What is wrong with the checkpoint.
        checkpoint: CheckpointError,
        /// What is wrong with the log.
        log: Corruption,
    },
    /// The checkpoint cannot be read, and there is no log.
    #[error("{checkpoint}, and there is no log in {}", folder.display())]
    Both {
        /// What is wrong with the checkpoint.
        checkpoint: CheckpointError,
        /// The log's folder.
        folder: PathBuf,
    },
    /// There is a checkpoint and no log, or one without the checkpoint's last transaction.
    #[error(
        "the log in {} ends at {log} and does not have {checkpoint}, the checkpoint's last \
         transaction: the newest transactions are missing, though they may have been \
         acknowledged, unless dataLogDir is not the folder it was",
        folder.display()
    )]
    LogEnd {
        /// The log's folder.
        folder: PathBuf,
        /// The last transaction in it.
        log: Zxid,
        /// The last transaction in the checkpoint.
        checkpoint: Zxid,
    },
    /// The log does not know of a checkpoint that it stands on.
    #[error(
        "the log in {} is older than the checkpoint {}: the newest transactions are missing, \
         though they may have been acknowledged",
        folder.display(),
        checkpoint.display()
    )]
    OldLog {
        /// The log's folder.
        folder: PathBuf,
        /// The checkpoint's file.
        checkpoint: PathBuf,
    },
    /// A log was set aside, and no other took its place.
    #[error("the log that was lost is in {}, and there is no other", folder.display())]
    SetAside {
        /// The folder that it is in.
        folder: PathBuf,
    },
}

impl From<Loss> for RecoveryError {
    fn from(loss: Loss) -> Self {
        Self::Lost(loss.into())
    }
}

impl From<Corruption> for RecoveryError {
    fn from(corruption: Corruption) -> Self {
        Loss::Log(corruption).into()
    }
}

impl From<LogError> for RecoveryError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Corruption(corruption) => corruption.into(),
            other => Self::Log(other),
        }
    }
}

impl From<ReadError> for RecoveryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corruption(corruption) => corruption.into(),
            ReadError::Io(error) => Self::Log(LogError::Io(error)),
            ReadError::Gone { .. } | ReadError::Cut => {
                unreachable!("nobody writes to the log yet, and it was read from there")
            }
        }
    }
}
