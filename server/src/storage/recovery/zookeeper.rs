//! ZooKeeper's files beside ours: which of the two count.

use super::{RecoveryError, set_aside};
use crate::storage::checkpoint;
use crate::storage::fs::{self, Fs};
use crate::storage::layout::Layout;
use crate::storage::origin::{Files, Origin};
use crate::zookeeper_files::FileError;

/// What there is in the data folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Ours, or nothing: a start is for recovery to judge.
    Ours,
    /// ZooKeeper's data, and none of ours that counts.
    ZooKeepers {
        /// An import of it was begun.
        was_begun: bool,
    },
}

/// Looks whose data is in the folders.
///
/// # Errors
/// When ours counts and ZooKeeper has gone on with its own, when there is only a part of an import
/// and not what it is of, or when the disk fails.
pub fn look_beside(fs: &dyn Fs, layout: &Layout) -> Result<Beside, RecoveryError> {
    let folders = layout.zookeeper();
    let mut theirs = None;
    for folder in &folders {
        if theirs.is_none() && !fs.list(folder)?.is_empty() {
            theirs = Some(folder.clone());
        }
    }
    match Origin::read(fs, layout)? {
        Some(Origin { is_complete: false, .. }) if theirs.is_some() => {
            Ok(Beside::ZooKeepers { was_begun: true })
        }
        Some(Origin { is_complete: false, .. }) => {
            Err(RecoveryError::ImportInterrupted { folder: layout.data() })
        }
        origin if is_ours_there(fs, layout)? => {
            let files = origin.map_or_else(Files::default, |origin| origin.files);
            let newer = files.what_is_new(fs, &folders).map_err(|error| match error {
                FileError::Fs(error) => error.into(),
                damaged @ FileError::Damaged(_) => RecoveryError::ZooKeeperFiles(damaged),
            })?;
            match (newer, theirs) {
                (Some(newer), Some(theirs)) => {
                    let theirs = newer.parent().map_or(theirs, std::path::Path::to_owned);
                    Err(RecoveryError::ZooKeeperWrote { newer, ours: layout.data(), theirs })
                }
                _ => Ok(Beside::Ours),
            }
        }
        Some(_) => Err(RecoveryError::Emptied { folder: layout.data(), origin: layout.origin() }),
        None if theirs.is_some() => Ok(Beside::ZooKeepers { was_begun: false }),
        None => Ok(Beside::Ours),
    }
}

fn is_ours_there(fs: &dyn Fs, layout: &Layout) -> fs::Result<bool> {
    Ok(!checkpoint::generations(fs, &layout.data())?.is_empty()
        || !fs.list(&layout.log())?.is_empty()
        || set_aside::is_there(fs, layout)?)
}

/// Refuses to begin with nothing where ZooKeeper has left something.
pub(super) fn refuse(fs: &dyn Fs, layout: &Layout) -> Result<(), RecoveryError> {
    match look_beside(fs, layout)? {
        Beside::Ours => Ok(()),
        Beside::ZooKeepers { was_begun: true } => {
            Err(RecoveryError::ImportInterrupted { folder: layout.data() })
        }
        Beside::ZooKeepers { was_begun: false } => {
            let [data, log] = layout.zookeeper();
            let folder = if fs.list(&data)?.is_empty() { log } else { data };
            Err(RecoveryError::ZooKeeperData { folder })
        }
    }
}
