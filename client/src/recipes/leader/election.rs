//! Leadership for a piece of work.

use super::Leadership;
use crate::{
    Client,
    error::Error,
    recipes::{Loss, Participant, lock::Mutex},
};

/// An election for one term at a time: see the [module](super). Cheap to clone.
///
/// `Compat:` Apache Curator's `LeaderSelector`.
#[derive(Debug, Clone)]
pub struct LeaderElection {
    mutex: Mutex,
}

/// How a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term<T> {
    /// The work is done.
    Finished(T),
    /// The leadership may have been lost, so the work was dropped where it was.
    Lost(Loss),
}

impl LeaderElection {
    /// The election with this folder for its participants. Nothing is sent yet.
    ///
    /// # Errors
    /// When `folder` is no path, or the root.
    pub fn new(client: &Client, folder: &str) -> Result<Self, Error> {
        Ok(Self { mutex: Mutex::new(client, folder)? })
    }

    /// Who this is, for the others to see. Empty without it.
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        Self { mutex: self.mutex.data(id.to_owned()) }
    }

    /// Waits until it leads, does `work`, and steps down. When the leadership may be lost
    /// meanwhile (see [`Leadership::lost`]), the work's future is
    /// dropped at its next await.
    ///
    /// # Errors
    /// As acquiring a lock.
    ///
    /// # Cancel safety
    /// Dropping the future drops the work and steps down, in the background.
    pub async fn lead<T>(&self, work: impl AsyncFnOnce(Leadership) -> T) -> Result<Term<T>, Error> {
        let guard = self.mutex.acquire().await?;
        let leadership = Leadership::of(&guard);
        tracing::info!(path = leadership.path(), token = %leadership.token(), "leads");
        let done = tokio::select! {
            biased;
            loss = guard.lost() => {
                tracing::info!(path = leadership.path(), ?loss, "leads no more");
                return Ok(Term::Lost(loss));
            }
            done = work(leadership.clone()) => done,
        };
        if let Err(error) = guard.release().await {
            // The work is done, and its writes were fenced.
            tracing::info!(%error, "had lost the leadership before stepping down");
        }
        Ok(Term::Finished(done))
    }

    /// Who leads (the first) and who waits for it, in order.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn participants(&self) -> Result<Vec<Participant>, Error> {
        self.mutex.participants().await
    }

    /// Who leads, if somebody does.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn leader(&self) -> Result<Option<Participant>, Error> {
        Ok(self.participants().await?.into_iter().next())
    }
}
