//! Writing a history as our data folder.
//!
//! The folder says first that an import is under way, then gets the checkpoint and the log, and
//! then says that it counts; each durably. Wherever the power goes, the folder is empty, or says
//! that what is in it does not count, or is whole.

use std::path::PathBuf;
use std::sync::Arc;

use quorate_protocol::Zxid;

use super::history::{self, History, Report};
use super::{MigrateError, Source};
use crate::storage::checkpoint::{self, Checkpoint};
use crate::storage::fs::{Fs, Lock};
use crate::storage::layout::Layout;
use crate::storage::log::{self, Batch, Log};
use crate::storage::origin::{Files, Origin};

/// Slots of the tree that are written at once.
const CHUNK: usize = 1024;
/// Bytes of transactions that are written at once.
const BATCH: usize = 4 << 20;

/// What an import has to be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where ours is to be.
    pub layout: Layout,
    /// Settings of the log.
    pub log: log::Options,
    /// A number drawn at random, to be the id of the log.
    pub database: u64,
    /// How to read.
    pub history: history::Settings,
}

/// Imports ZooKeeper's files into folders that have no data of ours, or a part of an import.
///
/// # Errors
/// When there is nothing to import, when it is not whole, when there is data of ours, or when the
/// disk fails. Nothing counts then that was not there before.
pub fn import(
    fs: &Arc<dyn Fs>,
    source: &Source,
    settings: &Settings,
) -> Result<Report, MigrateError> {
    let layout = &settings.layout;
    refuse_data(&**fs, layout)?;
    let history = history::read(&**fs, source, settings.history)?;
    let last_zxid = history.report.last_zxid;
    let files = Files::look(&**fs, &source.folders(), last_zxid)?;
    fs.create_dir(&layout.data())?;
    fs.create_dir(&layout.log())?;
    let locks = lock(&**fs, layout)?;
    refuse_data(&**fs, layout)?;
    // Elsewhere nobody goes on with ZooKeeper's files beside ours.
    let is_beside = source.folders() == layout.zookeeper();
    let files = if is_beside { files } else { Files::default() };
    let sessions = history.tree.sessions().keys().copied().collect();
    let mut origin = Origin { is_complete: false, files, sessions };
    origin.write(&**fs, layout)?;
    remove_parts(&**fs, layout)?;
    let report = write(fs, settings, history)?;
    origin.is_complete = true;
    origin.write(&**fs, layout)?;
    drop(locks);
    Ok(report)
}

fn lock(fs: &dyn Fs, layout: &Layout) -> Result<Vec<Box<dyn Lock>>, MigrateError> {
    let take = |lock: PathBuf| fs.lock(&lock)?.ok_or(MigrateError::Locked { lock });
    layout.locks().into_iter().map(take).collect()
}

/// Refuses folders whose content counts.
fn refuse_data(fs: &dyn Fs, layout: &Layout) -> Result<(), MigrateError> {
    if Origin::read(fs, layout)?.is_some_and(|origin| !origin.is_complete) {
        return Ok(());
    }
    if !checkpoint::generations(fs, &layout.data())?.is_empty() {
        return Err(MigrateError::NotEmpty { folder: layout.data() });
    }
    let in_log = fs.list(&layout.log())?;
    let has_log = !in_log.is_empty() || !fs.list(&layout.damaged_log())?.is_empty();
    if has_log {
        return Err(MigrateError::NotEmpty { folder: layout.data_log() });
    }
    Ok(())
}

/// Removes what an interrupted import has left.
fn remove_parts(fs: &dyn Fs, layout: &Layout) -> Result<(), MigrateError> {
    for generation in checkpoint::generations(fs, &layout.data())? {
        fs.remove(&checkpoint::path(&layout.data(), generation))?;
    }
    fs.sync_dir(&layout.data())?;
    for name in fs.list(&layout.log())? {
        fs.remove(&layout.log().join(name))?;
    }
    Ok(fs.sync_dir(&layout.log())?)
}

/// Writes the checkpoint, then the log that stands on it.
fn write(fs: &Arc<dyn Fs>, settings: &Settings, history: History) -> Result<Report, MigrateError> {
    let Settings { layout, log: options, database, .. } = settings;
    let History { mut tree, head, tail, accepted_epoch, current_epoch, report } = history;
    let generation = checkpoint::FIRST_GENERATION;
    let mut checkpoint = Checkpoint::create(fs.clone(), &layout.data(), generation, *database)?;
    checkpoint.write_alone(&head, || Some(tree.checkpoint_chunk(CHUNK)))?;
    tree.checkpoint_end(true);
    drop(checkpoint);

    let mut log =
        Log::create(fs.clone(), &layout.log(), *options, *database, generation, head.zxid)?;
    let mut batch = Batch::new();
    if (accepted_epoch, current_epoch) != (0, 0) {
        batch.push_accepted_epoch(accepted_epoch);
        batch.push_current_epoch(current_epoch);
    }
    for (zxid, bytes) in &tail {
        push(&mut log, &mut batch, *zxid, bytes)?;
    }
    log.append(&mut batch)?;
    log.close()?;
    Ok(report)
}

fn push(log: &mut Log, batch: &mut Batch, zxid: Zxid, bytes: &[u8]) -> Result<(), MigrateError> {
    if batch.size() + bytes.len() > BATCH {
        log.append(batch)?;
        batch.clear();
    }
    batch.push(zxid, |out| out.extend_from_slice(bytes));
    Ok(())
}

/// Has the folder remember what ZooKeeper's files beside it are now.
pub(super) fn remember(fs: &dyn Fs, layout: &Layout, last_zxid: Zxid) -> Result<(), MigrateError> {
    let files = Files::look(fs, &layout.zookeeper(), last_zxid)?;
    let sessions = Origin::read(fs, layout)?.map_or_else(Vec::new, |origin| origin.sessions);
    Ok(Origin { is_complete: true, files, sessions }.write(fs, layout)?)
}
