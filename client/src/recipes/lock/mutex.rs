//! A lock for one.

use bytes::Bytes;

use super::{Acquire, Guard, acquire, try_acquire};
use crate::{
    Client,
    error::Error,
    recipes::line::{Line, Participant, Rule},
};

/// A lock for one at a time: see the [module](super). Cheap to clone.
///
/// `Compat:` Apache Curator's `InterProcessMutex`.
#[derive(Debug, Clone)]
pub struct Mutex {
    line: Line,
}

impl Mutex {
    /// The lock with this folder for its contenders. Nothing is sent yet.
    ///
    /// # Errors
    /// When `folder` is no path, or the root.
    pub fn new(client: &Client, folder: &str) -> Result<Self, Error> {
        Ok(Self { line: Line::new(client, folder, "lock-")? })
    }

    /// What contenders write into their nodes, for others to see who they are.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.line = self.line.with_data(data.into());
        self
    }

    /// Acquires the lock, as soon as all who came before have left.
    pub fn acquire(&self) -> Acquire<'_, Guard> {
        Acquire::new(acquire(&self.line, Rule::Alone))
    }

    /// Acquires the lock if nobody holds it or waits for it.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future gives up.
    pub async fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        try_acquire(&self.line, Rule::Alone).await
    }

    /// Who holds the lock (the first) and who waits for it, in order.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn participants(&self) -> Result<Vec<Participant>, Error> {
        self.line.participants().await
    }

    pub(super) fn folder(&self) -> &str {
        self.line.folder()
    }
}
