//! Setting aside what is left of data of which something was lost.
//!
//! First the folder of the log gets another name, then the checkpoints do, then a log is created
//! that knows of the loss; each durably. Wherever the power goes, the next start finds the loss
//! itself, or that there is a log set aside and no other, and goes on from there. It never finds
//! empty folders.

use std::sync::Arc;

use super::{Loss, Recovered, RecoveryError, Report, Settings, empty};
use crate::storage::checkpoint;
use crate::storage::fs::{self, Fs};
use crate::storage::layout::Layout;
use crate::storage::log::Log;

/// Sets aside log and checkpoint, and begins with an empty log in their place.
pub(super) fn begin_anew(
    fs: &Arc<dyn Fs>,
    settings: &Settings,
    loss: Box<Loss>,
) -> Result<Recovered, RecoveryError> {
    let layout = &settings.layout;
    let has_log = !fs.list(&layout.log())?.is_empty();
    if !is_there(&**fs, layout)? {
        fs.rename(&layout.log(), &layout.damaged_log())?;
        fs.sync_dir(&layout.data_log())?;
    } else if has_log {
        return Err(RecoveryError::LostAgain { loss, folder: layout.damaged_log() });
    }
    let generation = checkpoint::set_aside(&**fs, &layout.data())?;
    let log = Log::create_after_loss(
        fs.clone(),
        &layout.log(),
        settings.log,
        settings.database,
        generation,
    )?;
    empty(fs, settings, log, Report { lost: Some(loss.to_string()), ..Report::default() })
}

/// Whether there is a log that was set aside.
pub(super) fn is_there(fs: &dyn Fs, layout: &Layout) -> fs::Result<bool> {
    let damaged = layout.damaged_log();
    Ok(fs.list(&layout.data_log())?.iter().any(|name| damaged.ends_with(name)))
}
