//! Real servers for tests: `quorate-server` as child processes on free loopback ports, with their data in temporary folders.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use quorate_client::testing::TestEnsemble;
//!
//! let mut ensemble = TestEnsemble::start(3).await?;
//! // ... connect to `ensemble.hosts()` and use it ...
//! let leader = ensemble.wait_for_leader().await?;
//! ensemble.kill(leader)?;
//! // ... what does the program under test do now? ...
//! ensemble.restart(leader).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where the program is
//! The variable `QUORATE_SERVER` names it. Without that it is looked for beside the running test (`target/debug/quorate-server`), then in
//! the folders of `PATH`.
//!
//! # Time
//! The servers live in real time: a test that has paused tokio's clock waits in vain.
//!
//! # Ends
//! Processes end and folders go when their value is dropped. A test that is itself killed leaves its servers running.

mod ensemble;
mod ports;
mod server;

use std::{io, path::PathBuf, time::Duration};

use quorate_protocol::SessionId;

pub use self::{ensemble::TestEnsemble, server::TestServer};

/// How long a server is waited for, at the longest.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// Why there is no server to test with, or it did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestingError {
    /// The program is nowhere.
    #[error(
        "quorate-server is not at {}, nor beside this program, nor in a folder of PATH: build it, or name it in QUORATE_SERVER",
        .named.as_deref().unwrap_or(std::path::Path::new("QUORATE_SERVER (not set)")).display()
    )]
    NoProgram {
        /// What `QUORATE_SERVER` says.
        named: Option<PathBuf>,
    },
    /// A file, a process or a connection did not do what was asked.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done, with which file or process.
        what: String,
        /// Why it was not.
        source: io::Error,
    },
    /// The process has ended by itself.
    #[error("the server has ended by itself ({status}) and said at last:\n{said}")]
    Ended {
        /// How.
        status: std::process::ExitStatus,
        /// The end of its log.
        said: String,
    },
    /// It did not come to this in time.
    #[error("{what} was waited for in vain for {PATIENCE:?}; the server said at last:\n{said}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// The end of its log.
        said: String,
    },
    /// The server is running already, or is not running.
    #[error("the server is {0}")]
    WrongState(&'static str),
    /// The session that was to expire is not known to the server, or its password is another.
    #[error("the server does not know session {0}, or it has another password")]
    NoSession(SessionId),
}

/// Says what an operation was for when it fails.
trait During<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, TestingError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, TestingError> {
        self.map_err(|source| TestingError::Io { what: what(), source })
    }
}

/// Looks again and again until there is something; `None` when there is nothing for too long.
async fn wait_for<T>(
    mut look: impl FnMut() -> Result<Option<T>, TestingError>,
) -> Result<Option<T>, TestingError> {
    let until_found = async {
        loop {
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, until_found).await.unwrap_or(Ok(None))
}
