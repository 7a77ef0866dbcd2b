//! From the data folders to the state before the crash.
//!
//! Locks the folders, loads the checkpoint, replays the log behind it, and gives tree, log and
//! checkpoint to whoever runs the server. It refuses rather than guesses: whenever acknowledged
//! writes may be missing, or the folders are not one server's, it stops with a report of what was
//! found where, and changes nothing. Where other servers have everything, it sets aside what is
//! left of a loss and begins anew, with a log that knows of it.

mod error;
mod set_aside;
mod zookeeper;

use std::path::PathBuf;
use std::sync::Arc;

use quorate_protocol::{Decode, Zxid};

use super::checkpoint::{self, Checkpoint, CheckpointError};
use super::fs::{Fs, Lock};
use super::layout::Layout;
use super::log::{self, Log, LogError, LogFiles, Replay};
use crate::tree::Tree;
use crate::txn::TxnRecord;

pub use error::{Loss, RecoveryError};
pub use zookeeper::{Beside, look_beside};

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
    /// What to do when something was lost.
    pub on_loss: OnLoss,
}

/// What to do when acknowledged writes or promises may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// Stop.
    Refuse,
    /// Set aside what is left and begin with an empty log whose promises are
    /// [incomplete](log::Promises::incomplete): other servers have everything.
    SetAside,
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
    /// What was lost, when the log was set aside for it.
    pub lost: Option<String>,
}

/// Recovers the state, or makes a new one in empty folders.
pub fn open(fs: &Arc<dyn Fs>, settings: &Settings) -> Result<Recovered, RecoveryError> {
    let layout = &settings.layout;
    zookeeper::refuse(&**fs, layout)?;
    fs.create_dir(&layout.data())?;
    fs.create_dir(&layout.log())?;
    let locks = lock(&**fs, layout)?;
    let recovered = match recover(fs, settings) {
        Err(RecoveryError::Lost(loss)) if settings.on_loss == OnLoss::SetAside => {
            set_aside::begin_anew(fs, settings, loss)?
        }
        recovered => recovered?,
    };
    if settings.replay == Extent::All && recovered.log.promises().incomplete {
        return Err(RecoveryError::Incomplete { folder: layout.log() });
    }
    Ok(Recovered { locks, ..recovered })
}

/// Recovers the state from folders that are there and locked.
fn recover(fs: &Arc<dyn Fs>, settings: &Settings) -> Result<Recovered, RecoveryError> {
    let layout = &settings.layout;
    let files = LogFiles::find(fs.clone(), &layout.log(), settings.log)?;
    let Some(files) = files else {
        return begin(fs, settings);
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
        (Err(LogError::Corruption(log)), Some(checkpoint)) => {
            return Err(Loss::Checkpoint { checkpoint, log }.into());
        }
        (replay, damage) => {
            report.damaged_checkpoint = damage.map(|damage| damage.to_string());
            replay?
        }
    };
    if !replay.contains(tree.last_zxid()) {
        let (log, checkpoint) = (replay.last_zxid(), tree.last_zxid());
        return Err(Loss::LogEnd { folder: layout.log(), log, checkpoint }.into());
    }
    if checkpoint.is_none() && report.damaged_checkpoint.is_none() {
        refuse_old_log(&**fs, layout, generation)?;
    }
    let log = finish(replay, settings.replay, &mut tree, &mut report)?;
    // Of a snapshot that did not come to count, or of the time before one that did.
    checkpoint::remove_others(&**fs, &layout.data(), generation)?;
    let checkpoint = match checkpoint {
        Some(checkpoint) => checkpoint,
        None => renew_checkpoint(fs, layout, &log, &report)?,
    };
    let committed = tree.last_zxid();
    Ok(Recovered { committed, tree, log, checkpoint, locks: Vec::new(), report })
}

/// A new state in empty folders.
fn begin(fs: &Arc<dyn Fs>, settings: &Settings) -> Result<Recovered, RecoveryError> {
    let Settings { layout, log, database, .. } = settings;
    if let Some(generation) = checkpoint::generations(&**fs, &layout.data())?.pop() {
        return Err(without_log(fs, settings, generation));
    }
    if set_aside::is_there(&**fs, layout)? {
        return Err(Loss::SetAside { folder: layout.damaged_log() }.into());
    }
    let generation = checkpoint::FIRST_GENERATION;
    let log = Log::create(fs.clone(), &layout.log(), *log, *database, generation, Zxid::ZERO)?;
    empty(fs, settings, log, Report { is_new: true, ..Report::default() })
}

/// The state of an empty log.
fn empty(
    fs: &Arc<dyn Fs>,
    settings: &Settings,
    log: Log,
    report: Report,
) -> Result<Recovered, RecoveryError> {
    let checkpoint = renew_checkpoint(fs, &settings.layout, &log, &report)?;
    let tree = Tree::new(settings.tree_seed);
    let committed = tree.last_zxid();
    Ok(Recovered { committed, tree, log, checkpoint, locks: Vec::new(), report })
}

/// That there is a checkpoint of this generation and no log.
fn without_log(fs: &Arc<dyn Fs>, settings: &Settings, generation: u64) -> RecoveryError {
    let folder = settings.layout.log();
    match load(fs, settings, generation) {
        Ok((_, tree)) => {
            let checkpoint = tree.map_or(Zxid::ZERO, |tree| tree.last_zxid());
            Loss::LogEnd { folder, log: Zxid::ZERO, checkpoint }.into()
        }
        Err(checkpoint @ CheckpointError::Damaged { .. }) => {
            Loss::Both { checkpoint, folder }.into()
        }
        Err(error) => RecoveryError::Checkpoint(error),
    }
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
        fs.rename(&path, &checkpoint::damaged_path(&dir, generation))?;
        fs.sync_dir(&dir)?;
    }
    Checkpoint::create(fs.clone(), &dir, generation, log.database())
        .map_err(RecoveryError::Checkpoint)
}

/// A checkpoint is removed when the log stands on the next one. So where only a later one than the
/// log's is there, the log has been exchanged for what it was before.
fn refuse_old_log(fs: &dyn Fs, layout: &Layout, generation: u64) -> Result<(), RecoveryError> {
    let newest = checkpoint::generations(fs, &layout.data())?.pop();
    let Some(newest) = newest.filter(|newest| *newest > generation) else {
        return Ok(());
    };
    let checkpoint = checkpoint::path(&layout.data(), newest);
    Err(Loss::OldLog { folder: layout.log(), checkpoint }.into())
}

fn lock(fs: &dyn Fs, layout: &Layout) -> Result<Vec<Box<dyn Lock>>, RecoveryError> {
    let take = |lock: PathBuf| fs.lock(&lock)?.ok_or(RecoveryError::Locked { lock });
    layout.locks().into_iter().map(take).collect()
}

#[cfg(test)]
mod tests;
