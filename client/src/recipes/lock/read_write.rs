//! A lock for one writer or many readers.

use bytes::Bytes;

use super::{Acquire, Guard, acquire, try_acquire};
use crate::{
    Client,
    error::Error,
    recipes::line::{Line, Participant, Rule},
};

/// A lock for one writer at a time, or any number of readers: see the [module](super). It is fair:
/// a reader that comes behind a waiting writer waits with it. Cheap to clone.
///
/// `Compat:` Apache Curator's `InterProcessReadWriteLock`, and kazoo's `ReadLock` and `WriteLock`.
#[derive(Debug, Clone)]
pub struct ReadWriteLock {
    readers: Line,
    writers: Line,
}

impl ReadWriteLock {
    /// The lock with this folder for its contenders. Nothing is sent yet.
    ///
    /// # Errors
    /// When `folder` is no path, or the root.
    pub fn new(client: &Client, folder: &str) -> Result<Self, Error> {
        let readers = Line::new(client, folder, "__READ__")?;
        let writers = Line::new(client, folder, "__WRIT__")?;
        Ok(Self { readers, writers })
    }

    /// What contenders write into their nodes, for others to see who they are.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        let data = data.into();
        self.readers = self.readers.with_data(data.clone());
        self.writers = self.writers.with_data(data);
        self
    }

    /// Acquires the lock for a reader, as soon as all writers that came before have left.
    pub fn read(&self) -> Acquire<'_, Guard> {
        Acquire::new(acquire(&self.readers, Rule::Shared))
    }

    /// Acquires the lock for a writer, as soon as all who came before have left.
    pub fn write(&self) -> Acquire<'_, Guard> {
        Acquire::new(acquire(&self.writers, Rule::Alone))
    }

    /// Acquires the lock for a reader if no writer holds it or waits for it.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future gives up.
    pub async fn try_read(&self) -> Result<Option<Guard>, Error> {
        try_acquire(&self.readers, Rule::Shared).await
    }

    /// Acquires the lock for a writer if nobody holds it or waits for it.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future gives up.
    pub async fn try_write(&self) -> Result<Option<Guard>, Error> {
        try_acquire(&self.writers, Rule::Alone).await
    }

    /// Who holds the lock and who waits for it, in the order in which they came.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn participants(&self) -> Result<Vec<Participant>, Error> {
        self.writers.participants().await
    }
}
