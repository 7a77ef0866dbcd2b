//! Writing our data as ZooKeeper's files.
//!
//! A snapshot of what is committed, a log of what is behind it, the epochs. The snapshot gets its
//! name last: without it ZooKeeper does not start with the rest.

use std::path::Path;
use std::sync::Arc;

use quorate_protocol::{Decode, Zxid};

use super::{MigrateError, import};
use crate::storage::fs::Fs;
use crate::storage::layout::Layout;
use crate::storage::log::Promises;
use crate::storage::recovery::Recovered;
use crate::tree::Tree;
use crate::txn::TxnRecord;
use crate::zookeeper_files::log::{self, LogWriter};
use crate::zookeeper_files::{self, epochs, snapshot};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The last transaction in the snapshot.
    pub snapshot_zxid: Zxid,
    /// The snapshot's length.
    pub bytes: u64,
    /// How many transactions the log has.
    pub logged: u64,
    /// The last transaction.
    pub last_zxid: Zxid,
    /// Nodes in the snapshot.
    pub nodes: usize,
    /// Sessions in the snapshot.
    pub sessions: usize,
    /// The snapshot's digest.
    pub digest: u64,
    /// What `acceptedEpoch` says.
    pub accepted_epoch: u32,
    /// What `currentEpoch` says.
    pub current_epoch: u32,
}

/// Writes what was recovered below `to`, where nothing of ZooKeeper's must be yet. `own` are our
/// folders, when the real ones are meant.
///
/// # Errors
/// When there is something, when the data is not whole, or when the disk fails.
pub fn export(
    fs: &Arc<dyn Fs>,
    recovered: &Recovered,
    to: &Path,
    own: &Layout,
) -> Result<Report, MigrateError> {
    let dir = to.join(zookeeper_files::FOLDER);
    if !fs.list(&dir)?.is_empty() {
        return Err(MigrateError::NotEmpty { folder: dir });
    }
    let (tree, log) = (&recovered.tree, &recovered.log);
    let (accepted_epoch, current_epoch) = whole_epochs(log.promises(), log.last_zxid())?;
    fs.create_dir(&dir)?;
    epochs::write(&**fs, &dir, accepted_epoch, current_epoch)?;
    let logged = write_log(&**fs, &dir, recovered)?;
    let bytes = write_snapshot(&**fs, &dir, tree)?;
    if own.zookeeper()[0] == dir {
        import::remember(&**fs, own, log.last_zxid())?;
    }
    Ok(Report {
        snapshot_zxid: tree.last_zxid(),
        bytes,
        logged,
        last_zxid: log.last_zxid(),
        nodes: tree.node_count(),
        sessions: tree.sessions().len(),
        digest: tree.digest(),
        accepted_epoch,
        current_epoch,
    })
}

/// The epochs that ZooKeeper starts with. It wants a current one no lower than the last
/// transaction's; one that is lower here stands for a history that is not all there.
fn whole_epochs(promises: &Promises, last: Zxid) -> Result<(u32, u32), MigrateError> {
    let Promises { accepted_epoch, current_epoch, incomplete, .. } = promises;
    if *incomplete {
        let what = "this server has lost something and has not got it back from its ensemble yet: \
                    export another one's data";
        return Err(MigrateError::NotWhole(what.to_owned()));
    }
    if *current_epoch > 0 && *current_epoch < last.epoch() {
        return Err(MigrateError::NotWhole(format!(
            "this server was interrupted while it got the history of epoch {} from its leader, and \
             has all only of epoch {current_epoch}: export another one's data, or let this one \
             join its ensemble first",
            last.epoch()
        )));
    }
    let current = (*current_epoch).max(last.epoch());
    Ok(((*accepted_epoch).max(current), current))
}

fn write_log(fs: &dyn Fs, dir: &Path, recovered: &Recovered) -> Result<u64, MigrateError> {
    let after = recovered.tree.last_zxid();
    let mut reader = recovered.log.source().open(after)?;
    let (mut writer, mut count) = (None, 0);
    while let Some((zxid, bytes)) = reader.next(Zxid(i64::MAX))? {
        if writer.is_none() {
            writer = Some(LogWriter::new(fs.create(&dir.join(log::name(zxid)))?));
        }
        debug_assert!(TxnRecord::from_bytes(bytes).is_ok(), "the log has transactions");
        writer.as_mut().expect("it was begun").push(bytes)?;
        count += 1;
    }
    if let Some(writer) = writer {
        writer.finish()?;
    }
    Ok(count)
}

fn write_snapshot(fs: &dyn Fs, dir: &Path, tree: &Tree) -> Result<u64, MigrateError> {
    let temporary = dir.join("unfinished");
    let file = fs.create(&temporary)?;
    let bytes = snapshot::write(&*file, tree)?;
    drop(file);
    fs.rename(&temporary, &dir.join(snapshot::name(tree.last_zxid())))?;
    fs.sync_dir(dir)?;
    Ok(bytes)
}
