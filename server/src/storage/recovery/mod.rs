//! From the data folders to the state before the crash.
//!
//! Locks the folders, loads the checkpoint, replays the log behind it, and gives tree, log and
//! checkpoint to whoever runs the server. It refuses rather than guesses: whenever acknowledged
//! writes may be missing, or the folders are not one server's, it stops with a report of what was
//! found where, and changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use quorate_protocol::{Decode, DecodeError, Zxid};

use super::checkpoint::{self, Checkpoint, CheckpointError};
use super::fs::{Fs, FsError, Lock};
use super::layout::Layout;
use super::log::{self, Log, LogError, LogFiles, ReadError, Replay};
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
    /// How much of the log counts.
    pub replay: Extent,
}

/// How much of the log is applied to the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it: what is durable is committed, since no other server has a say.
    All,
    /// What the log says is committed, and no less than the checkpoint holds. What is behind it
    /// waits for a leader.
    Committed,
}

/// The state before the crash, ready to go on.
#[derive(Debug)]
pub struct Recovered {
    /// The tree, as of `committed`.
    pub tree: Tree,
    /// The last transaction that is applied; with [`Extent::All`], the last in the log.
    pub committed: Zxid,
    /// The log, positioned behind its last transaction, all of it durable.
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
    /// The log, good a moment before, cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
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
    /// There is a checkpoint and no log, or one without the checkpoint's last transaction.
    #[error(
        "the log in {} ends at {log} and does not have {checkpoint}, the checkpoint's last \
         transaction: the newest transactions are missing, though they may have been \
         acknowledged. Restore dataDir and dataLogDir from a copy, or check that dataLogDir is \
         the folder it was",
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
}

/// Recovers the state, or makes a new one in empty folders.
pub fn open(fs: &Arc<dyn Fs>, settings: &Settings) -> Result<Recovered, RecoveryError> {
    let layout = &settings.layout;
    refuse_zookeeper_data(&**fs, layout)?;
    fs.create_dir(&layout.data())?;
    fs.create_dir(&layout.log())?;
    let locks = lock(&**fs, layout)?;

    let files = LogFiles::find(fs.clone(), &layout.log(), settings.log)?;
    let Some(files) = files else {
        return begin(fs, settings, locks);
    };
    let generation = files.generation();
    let (checkpoint, tree, damage) = match load(fs, settings, generation) {
        Ok((checkpoint, tree)) => (checkpoint, tree, None),
        Err(damage @ CheckpointError::Damaged { .. }) => (None, None, Some(damage)),
        Err(error) => return Err(RecoveryError::Checkpoint(error)),
    };
    if checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.database() != files.database()) {
        return Err(RecoveryError::Strangers {
            checkpoint: checkpoint::path(&layout.data(), generation),
            folder: layout.log(),
        });
    }
    let mut tree = tree.unwrap_or_else(|| Tree::new(settings.tree_seed));
    let mut report = Report { checkpoint_zxid: tree.last_zxid(), ..Report::default() };
    let replay = match (files.replay(tree.last_zxid()), damage) {
        (Err(log @ LogError::Corruption(_)), Some(checkpoint)) => {
            return Err(RecoveryError::CheckpointLost { checkpoint, log });
        }
        (replay, damage) => {
            report.damaged_checkpoint = damage.map(|damage| damage.to_string());
            replay?
        }
    };
    if !replay.contains(tree.last_zxid()) {
        return Err(RecoveryError::LogLost {
            folder: layout.log(),
            log: replay.last_zxid(),
            checkpoint: tree.last_zxid(),
        });
    }
    let log = finish(replay, settings.replay, &mut tree, &mut report)?;
    let checkpoint = match checkpoint {
        Some(checkpoint) => checkpoint,
        None => renew_checkpoint(fs, layout, &log, &report)?,
    };
    // Of a snapshot that did not come to count, or of the time before one that did.
    checkpoint::remove_others(&**fs, &layout.data(), generation)?;
    Ok(Recovered { committed: tree.last_zxid(), tree, log, checkpoint, locks, report })
}

/// A new state in empty folders.
fn begin(
    fs: &Arc<dyn Fs>,
    settings: &Settings,
    locks: Vec<Box<dyn Lock>>,
) -> Result<Recovered, RecoveryError> {
    let Settings { layout, log, database, tree_seed, .. } = settings;
    if let Some(&generation) = checkpoint::generations(&**fs, &layout.data())?.last() {
        let (_, tree) = load(fs, settings, generation).map_err(RecoveryError::Checkpoint)?;
        return Err(RecoveryError::LogLost {
            folder: layout.log(),
            log: Zxid::ZERO,
            checkpoint: tree.map_or(Zxid::ZERO, |tree| tree.last_zxid()),
        });
    }
    let generation = checkpoint::FIRST_GENERATION;
    let log = Log::create(fs.clone(), &layout.log(), *log, *database, generation, Zxid::ZERO)?;
    let report = Report { is_new: true, ..Report::default() };
    let checkpoint = renew_checkpoint(fs, layout, &log, &report)?;
    let tree = Tree::new(*tree_seed);
    Ok(Recovered { committed: Zxid::ZERO, tree, log, checkpoint, locks, report })
}

/// The checkpoint and the tree in it, if there are.
fn load(
    fs: &Arc<dyn Fs>,
    settings: &Settings,
    generation: u64,
) -> Result<(Option<Checkpoint>, Option<Tree>), CheckpointError> {
    let opened = Checkpoint::open(fs.clone(), &settings.layout.data(), generation)?;
    let Some(checkpoint) = opened else {
        return Ok((None, None));
    };
    let tree = checkpoint.load(settings.tree_seed)?;
    Ok((Some(checkpoint), tree))
}

/// Applies what counts of the log behind the tree's last transaction.
fn finish(
    replay: Replay,
    extent: Extent,
    tree: &mut Tree,
    report: &mut Report,
) -> Result<Log, RecoveryError> {
    let mut log = replay.finish()?;
    let upto = match extent {
        Extent::All => log.last_zxid(),
        Extent::Committed => log.committed().max(tree.last_zxid()),
    };
    // A snapshot of a ZooKeeper leader holds effects of transactions that follow it in the log.
    tree.set_lenient(extent == Extent::Committed);
    log.set_committed(upto);
    let mut reader = log.source().open(tree.last_zxid())?;
    while let Some((zxid, body)) = reader.next(upto)? {
        let transaction = TxnRecord::from_bytes(body)
            .map_err(|source| RecoveryError::Transaction { zxid, source })?;
        let outcome = tree.apply(&transaction, &mut |_| {});
        if outcome.digest_mismatch.is_some() {
            report.digest_mismatch.get_or_insert(zxid);
        }
        report.replayed += 1;
    }
    Ok(log)
}

/// A new checkpoint's file; one that cannot be read is kept under another name.
fn renew_checkpoint(
    fs: &Arc<dyn Fs>,
    layout: &Layout,
    log: &Log,
    report: &Report,
) -> Result<Checkpoint, RecoveryError> {
    let (dir, generation) = (layout.data(), log.generation());
    if report.damaged_checkpoint.is_some() {
        let path = checkpoint::path(&dir, generation);
        fs.rename(&path, &path.with_extension("damaged"))?;
        fs.sync_dir(&dir)?;
    }
    Checkpoint::create(fs.clone(), &dir, generation, log.database())
        .map_err(RecoveryError::Checkpoint)
}

fn refuse_zookeeper_data(fs: &dyn Fs, layout: &Layout) -> Result<(), RecoveryError> {
    let has_checkpoint = !checkpoint::generations(fs, &layout.data())?.is_empty();
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
