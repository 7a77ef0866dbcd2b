//! A barrier that somebody lifts.

use quorate_protocol::path;

use crate::{
    Client,
    error::{Error, ErrorKind},
    recipes::ensure_node,
};

/// A barrier: all wait while its node is there. Curator's `DistributedBarrier`, kazoo's `Barrier`.
///
/// The node is persistent: it stays when whoever set it is gone, until somebody removes it.
#[derive(Debug, Clone)]
pub struct Barrier {
    client: Client,
    path: String,
}

impl Barrier {
    /// A barrier at a path.
    ///
    /// # Errors
    /// When the path is none.
    pub fn new(client: &Client, path: &str) -> Result<Self, Error> {
        path::validate(path)?;
        Ok(Self { client: client.clone(), path: path.to_owned() })
    }

    /// Sets the barrier. That it is set already is no error.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown whether it was set; setting it again does no harm.
    pub async fn set(&self) -> Result<(), Error> {
        ensure_node(&self.client, &self.path).await
    }

    /// Removes the barrier, and answers whether it was there. After a lost connection that may be `true` although
    /// somebody else removed it at the same time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown whether it was removed; removing it again does no harm.
    pub async fn remove(&self) -> Result<bool, Error> {
        match self.client.delete(&self.path).repeatable().await {
            Ok(()) => Ok(true),
            Err(error) if error.is_no_node() => Ok(!error.surely_not_done()),
            Err(error) => Err(error),
        }
    }

    /// Waits until the barrier is not there. Returns at once if it is not, as of a moment after the call.
    ///
    /// # Errors
    /// When the node cannot be looked at for longer than the client's retry policy allows.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn wait(&self) -> Result<(), Error> {
        let mut events = self.client.watch(&self.path).await?;
        while self.client.exists(&self.path).linearizable().await?.is_some() {
            events.next().await.ok_or(ErrorKind::Closed)?;
            // All that is there by now is answered by one look.
            while events.try_next().is_some() {}
        }
        Ok(())
    }
}
