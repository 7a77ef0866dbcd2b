//! From the data folders to the state before the crash.
//!
//! Locks the folders, loads the checkpoint, replays the log behind it, and gives tree, log and
//! checkpoint to whoever runs the server. It refuses rather than guesses: whenever acknowledged
//! writes may be missing, or the folders are not one server's, it stops with a report of what was
//! found where, and changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use quorate_protocol::{Decode, DecodeError, Zxid};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::fs::{Fs, FsError, Lock};
use super::layout::Layout;
use super::log::{self, Kind, Log, LogError, Replay};
use crate::tree::Tree;
use crate::txn::TxnRecord;

/// What recovery has to be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is.
    pub layout: Layout,
    /// Settings of the log.
    pub log: log::Options,
    /// A number drawn at random, to be the id of a new log.
    pub database: u64,
    /// See [`Tree::new`].
    pub tree_seed: u64,
}

/// The state before the crash, ready to go on.
#[derive(Debug)]
pub struct Recovered {
    /// The tree, as of the log's last transaction.
    pub tree: Tree,
    /// The log, positioned behind that transaction, all of it durable.
    pub log: Log,
    /// The checkpoint, to write the next one.
    pub checkpoint: Checkpoint,
    /// Keeps other servers out of the folders until it is dropped.
    pub locks: Vec<Box<dyn Lock>>,
    /// How it went.
    pub report: Report,
}

/// How recovery went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The folders were empty.
    pub is_new: bool,
    /// The last transaction in the checkpoint.
    pub checkpoint_zxid: Zxid,
    /// How many transactions were replayed.
    pub replayed: u64,
    /// The first transaction after which the tree was not what its maker expected.
    pub digest_mismatch: Option<Zxid>,
    /// What was wrong with the checkpoint, when all was taken from the log instead.
    pub damaged_checkpoint: Option<String>,
}

/// Why there is nothing to go on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// An operation outside log and checkpoint failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The log failed or is damaged.
    #[error(transparent)]
    Log(#[from] LogError),
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
        "{} holds data of ZooKeeper, which would be left out: import it, or set dataDir and \
         dataLogDir to other folders to start empty",
        folder.display()
    )]
    ZooKeeperData {
        /// ZooKeeper's folder.
        folder: PathBuf,
    },
    /// The checkpoint cannot be read, and the log does not reach back to the beginning.
    #[error(
        "{checkpoint}, and the log cannot replace it: {log}. Restore dataDir and dataLogDir from a \
         copy, or let this server join its ensemble with empty folders"
    )]
    CheckpointLost {
        /// What is wrong with the checkpoint.
        checkpoint: CheckpointError,
        /// What is wrong with the log.
        log: LogError,
    },
    /// There is a checkpoint and no log, or one that ends before it.
    #[error(
        "the log in {} ends at {log}, before the checkpoint at {checkpoint}: the newest \
         transactions are missing, though they may have been acknowledged. Restore dataDir and \
         dataLogDir from a copy, or check that dataLogDir is the folder it was",
        folder.display()
    )]
    LogLost {
        /// The log's folder.
        folder: PathBuf,
        /// The last transaction in it.
        log: Zxid,
        /// The last transaction in the checkpoint.
        checkpoint: Zxid,
    },
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
    /// The log takes back transactions that the tree holds.
    #[error("the log is cut back to {to}, behind which the tree at {tree} cannot go")]
    Truncated {
        /// The last transaction that counts.
        to: Zxid,
        /// The last transaction in the tree.
        tree: Zxid,
    },
}

/// Recovers the state, or makes a new one in empty folders.
pub fn open(fs: Arc<dyn Fs>, settings: &Settings) -> Result<Recovered, RecoveryError> {
    let layout = &settings.layout;
    refuse_zookeeper_data(&*fs, layout)?;
    fs.create_dir(&layout.data())?;
    fs.create_dir(&layout.log())?;
    let locks = lock(&*fs, layout)?;

    let mut report = Report::default();
    let loaded = load(&fs, settings);
    let (checkpoint, tree, damage) = match loaded {
        Ok((checkpoint, tree)) => (checkpoint, tree, None),
        Err(damage @ CheckpointError::Damaged { .. }) => (None, None, Some(damage)),
        Err(error) => return Err(RecoveryError::Checkpoint(error)),
    };
    let mut tree = tree.unwrap_or_else(|| Tree::new(settings.tree_seed));
    report.checkpoint_zxid = tree.last_zxid();

    let replay = Replay::open(fs.clone(), &layout.log(), settings.log, tree.last_zxid());
    let replay = match (replay, damage) {
        (Err(log @ LogError::Corruption(_)), Some(checkpoint)) => {
            return Err(RecoveryError::CheckpointLost { checkpoint, log });
        }
        (Ok(None), Some(damage)) => return Err(RecoveryError::Checkpoint(damage)),
        (replay, damage) => {
            report.damaged_checkpoint = damage.map(|damage| damage.to_string());
            replay?
        }
    };
    let log = match replay {
        Some(replay) => {
            self::replay(replay, settings, checkpoint.as_ref(), &mut tree, &mut report)?
        }
        None if checkpoint.is_none() => {
            report.is_new = true;
            let Settings { log, database, .. } = *settings;
            Log::create(fs.clone(), &layout.log(), log, database, Zxid::ZERO)?
        }
        None => {
            return Err(RecoveryError::LogLost {
                folder: layout.log(),
                log: Zxid::ZERO,
                checkpoint: tree.last_zxid(),
            });
        }
    };
    let checkpoint = match checkpoint {
        Some(checkpoint) => checkpoint,
        None => renew_checkpoint(fs, layout, log.database(), &report)?,
    };
    Ok(Recovered { tree, log, checkpoint, locks, report })
}

/// The checkpoint and the tree in it, if there are.
fn load(
    fs: &Arc<dyn Fs>,
    settings: &Settings,
) -> Result<(Option<Checkpoint>, Option<Tree>), CheckpointError> {
    let Some(checkpoint) = Checkpoint::open(fs.clone(), &settings.layout.checkpoint())? else {
        return Ok((None, None));
    };
    let tree = checkpoint.load(settings.tree_seed)?;
    Ok((Some(checkpoint), tree))
}

/// Applies what is in the log behind the tree's last transaction.
fn replay(
    mut replay: Replay,
    settings: &Settings,
    checkpoint: Option<&Checkpoint>,
    tree: &mut Tree,
    report: &mut Report,
) -> Result<Log, RecoveryError> {
    let layout = &settings.layout;
    if checkpoint.is_some_and(|checkpoint| checkpoint.database() != replay.database()) {
        return Err(RecoveryError::Strangers {
            checkpoint: layout.checkpoint(),
            folder: layout.log(),
        });
    }
    while let Some(record) = replay.next()? {
        match record.kind {
            Kind::Transaction => {
                let zxid = record.zxid;
                let transaction = TxnRecord::from_bytes(record.body)
                    .map_err(|source| RecoveryError::Transaction { zxid, source })?;
                let outcome = tree.apply(&transaction, &mut |_| {});
                if outcome.digest_mismatch.is_some() {
                    report.digest_mismatch.get_or_insert(zxid);
                }
                report.replayed += 1;
            }
            // Only an ensemble takes transactions back, and then fetches the tree from a peer.
            Kind::Truncation => {
                let to = record.truncated_to();
                if to.is_none_or(|to| to < tree.last_zxid()) {
                    let to = to.unwrap_or_default();
                    return Err(RecoveryError::Truncated { to, tree: tree.last_zxid() });
                }
            }
            _ => {}
        }
    }
    if replay.last_zxid() < tree.last_zxid() {
        return Err(RecoveryError::LogLost {
            folder: layout.log(),
            log: replay.last_zxid(),
            checkpoint: tree.last_zxid(),
        });
    }
    Ok(replay.finish()?)
}

/// A new checkpoint's file; one that cannot be read is kept under another name.
fn renew_checkpoint(
    fs: Arc<dyn Fs>,
    layout: &Layout,
    database: u64,
    report: &Report,
) -> Result<Checkpoint, RecoveryError> {
    let path = layout.checkpoint();
    if report.damaged_checkpoint.is_some() {
        fs.rename(&path, &path.with_extension("damaged"))?;
        fs.sync_dir(&layout.data())?;
    }
    Checkpoint::create(fs, &path, database).map_err(RecoveryError::Checkpoint)
}

fn refuse_zookeeper_data(fs: &dyn Fs, layout: &Layout) -> Result<(), RecoveryError> {
    let has_checkpoint = fs.list(&layout.data())?.iter().any(|name| name == Layout::CHECKPOINT);
    if has_checkpoint || !fs.list(&layout.log())?.is_empty() {
        return Ok(());
    }
    for folder in layout.zookeeper() {
        if !fs.list(&folder)?.is_empty() {
            return Err(RecoveryError::ZooKeeperData { folder });
        }
    }
    Ok(())
}

fn lock(fs: &dyn Fs, layout: &Layout) -> Result<Vec<Box<dyn Lock>>, RecoveryError> {
    let take = |lock: PathBuf| fs.lock(&lock)?.ok_or(RecoveryError::Locked { lock });
    layout.locks().into_iter().map(take).collect()
}

#[cfg(test)]
mod tests;
