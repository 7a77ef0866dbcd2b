//! Keeps the files that operators look at in step with the configuration.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use tracing::warn;

use super::thread;
use crate::{
    config::{EnsembleSettings, dynamic},
    zab::{Configs, ServerId},
};

/// The files of this server's configuration.
#[derive(Debug)]
pub(super) struct Files {
    file: PathBuf,
    me: ServerId,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    newest: Option<Configs>,
    /// A thread writes, and looks for more when it has.
    is_writing: bool,
}

impl Files {
    /// None for a server that was started without a file.
    pub(super) fn new(ensemble: &EnsembleSettings) -> Option<Arc<Self>> {
        let file = ensemble.file.clone()?;
        Some(Arc::new(Self { file, me: ensemble.me, waiting: Mutex::default() }))
    }

    /// Writes what they say now, on a thread of its own, and nothing older afterwards.
    pub(super) fn write(self: &Arc<Self>, configs: &Configs) {
        let mut waiting = self.waiting.lock();
        waiting.newest = Some(configs.clone());
        if !std::mem::replace(&mut waiting.is_writing, true) {
            let files = self.clone();
            // Not joined: nothing depends on the files.
            drop(thread::spawn("config", move || files.run()));
        }
    }

    fn run(&self) {
        while let Some(configs) = self.next() {
            if let Err(error) = dynamic::write(&self.file, self.me, &configs) {
                warn!(%error, "the files do not show the ensemble as it is; the log does");
            }
        }
    }

    fn next(&self) -> Option<Configs> {
        let mut waiting = self.waiting.lock();
        let next = waiting.newest.take();
        waiting.is_writing = next.is_some();
        next
    }
}
