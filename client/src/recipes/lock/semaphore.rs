//! A lock for so many at a time.

use bytes::Bytes;

use super::{Acquire, Guard, acquire, try_acquire};
use crate::{
    Client,
    error::{Error, ErrorKind},
    recipes::line::{Entry, Line, Participant, Rule},
};

/// A lock for so many at a time: see the [module](super). All who use one must agree how many.
/// Cheap to clone.
///
/// `Compat:` Apache Curator's `InterProcessSemaphoreV2`: who wants a lease first acquires the
/// mutex in `locks`, then enters the line in `leases`, and leaves the mutex to the next when it is
/// in. So a lease that is returned wakes one.
#[derive(Debug, Clone)]
pub struct Semaphore {
    locks: Line,
    leases: Line,
    places: usize,
}

impl Semaphore {
    /// The semaphore in this folder, with so many leases. Nothing is sent yet.
    ///
    /// # Errors
    /// When `folder` is no path, or the root; when there is to be no lease.
    pub fn new(client: &Client, folder: &str, leases: usize) -> Result<Self, Error> {
        if leases == 0 {
            return Err(ErrorKind::BadArgument("a semaphore of no lease").into());
        }
        let below = |name: &str| crate::create::join(folder, name);
        let locks = Line::new(client, &below("locks"), "lock-")?;
        Ok(Self { locks, leases: Line::new(client, &below("leases"), "lease-")?, places: leases })
    }

    /// What holders write into the nodes of their leases, for others to see who they are.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.leases = self.leases.with_data(data.into());
        self
    }

    /// Acquires a lease, as soon as one is left by those who came before. Its guard's token is
    /// larger than that of all leases acquired before.
    pub fn acquire(&self) -> Acquire<'_, Guard> {
        Acquire::new(async {
            loop {
                let turn = acquire(&self.locks, Rule::Alone).await?;
                // In the same session: who loses that has lost its turn, too.
                let leases = self.leases.of_client(turn.client());
                match leases.attempt(Rule::Places(self.places), true).await {
                    Ok(Some(Entry::In(seat))) => return Ok(Guard::new(seat)),
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), ErrorKind::SessionLost) => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// Acquires a lease if there is one, past those who wait.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future gives up.
    pub async fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        try_acquire(&self.leases, Rule::Places(self.places)).await
    }

    /// Who has a lease; perhaps with somebody behind them who is about to get one.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn holders(&self) -> Result<Vec<Participant>, Error> {
        let mut holders = self.leases.participants().await?;
        holders.truncate(self.places);
        Ok(holders)
    }
}
