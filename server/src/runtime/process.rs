//! What a server has of its process besides files and clock: threads, and its end.

use std::error::Error;

use tracing::error;

use super::thread;

/// The status a process ends with when its disk failed: what the disk holds is unknown then, and
/// only a start from it, with every record checked, can tell.
const EXIT_DISK_FAILED: i32 = 13;

/// The process that a server runs in. A simulation has one of its own, which runs the work as
/// another event and ends nothing but the server.
pub trait Process: Send + Sync {
    /// Has work done beside everything else; nobody waits for it.
    fn spawn(&self, name: &'static str, work: Box<dyn FnOnce() + Send>);

    /// Ends the process: its state must not be trusted any more.
    fn halt(&self, why: &str, error: Option<&dyn Error>) -> !;
}

/// The process that this is.
#[derive(Debug, Clone, Copy)]
pub struct ThisProcess;

impl Process for ThisProcess {
    fn spawn(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        // Not joined: who wants to know of its end has it told.
        drop(thread::spawn(name, work));
    }

    fn halt(&self, why: &str, error: Option<&dyn Error>) -> ! {
        if let Some(error) = error {
            error!(%error, "{why}: the server ends");
        } else {
            error!("{why}: the server ends");
        }
        std::process::exit(EXIT_DISK_FAILED);
    }
}
