//! Locks: who has the only right to do something.
//!
//! ```no_run
//! # async fn example(client: quorate_client::Client) -> Result<(), quorate_client::Error> {
//! use std::time::Duration;
//!
//! use quorate_client::recipes::lock::Mutex;
//!
//! let mutex = Mutex::new(&client, "/locks/report")?;
//! let guard = mutex.acquire().timeout(Duration::from_secs(10)).await?;
//! // Outside: the store compares tokens and refuses those that are too old.
//! println!("write with token {}", guard.token());
//! // Inside: done only if the lock is still held at that moment.
//! guard.multi().set("/report/state", "running", -1).await?;
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a lock is not
//!
//! A lock in a distributed system is a statement about the past: *when the server answered*, the
//! lock was held. It is held by an ephemeral node, and that goes when the servers have not heard
//! of the client for the session's timeout. They cannot tell a client that has died from one that
//! is paused (a swapped-out process, a suspended machine) or cut off. So nothing on the holder's
//! side, no check right before a write, makes it sure that it still has the lock when the write
//! arrives somewhere. Use all of this that applies:
//!
//! * **Fencing.** [`Guard::token`] grows from holder to holder. A store that remembers the largest
//!   token it has seen, and refuses smaller ones, cannot be harmed by a holder of the past.
//! * **[`Guard::multi`]** for writes to these servers: they are done only if the lock's node is
//!   there in the same transaction.
//! * **[`Guard::lost`]** to stop work in time. It tells *before* the session can have expired, as
//!   long as this process runs and its clock is about as fast as the servers'. It makes harm
//!   unlikely; the two above make it impossible.
//!
//! # Sessions and pauses
//!
//! A guard belongs to the session in which it was acquired, and never moves to the next one. A
//! short loss of the connection, a restarted server or a new leader cost nothing. The session's
//! timeout is the time after which others get the lock of a holder that died; what pauses a
//! process for longer than that loses its locks.
//!
//! While acquiring, the loss of a session loses no more than the place in the line: the contender
//! enters it again at its end.
//!
//! # Rules
//!
//! * No lock is re-entrant: who holds it and acquires it again waits for itself, each contender
//!   being its own. Pass the guard on instead, in an [`Arc`](std::sync::Arc) where several need
//!   it; guards are not cloneable, so that there is one who releases.
//! * Locks are fair: in the order in which the contenders came, but for those that only try.
//! * An acquire that is dropped, times out or fails leaves no node behind: what may be there is
//!   removed in the background, for as long as it takes. So does a guard that is dropped;
//!   [`Guard::release`] also tells when it is done. Both need the runtime to live on.
//! * A hand-over wakes one contender (readers that may go in together: all of them) and costs it
//!   one round trip.
//! * A lock's folder and those above it are created as containers: servers remove them some time
//!   after the last contender has gone.
//! * All sequential nodes in a lock's folder are contenders, whoever made them: Apache Curator
//!   and kazoo exclude us and we them. kazoo must be told which names are contenders:
//!   `Lock(client, path, extra_lock_patterns=["-lock-"])`.

mod guard;
mod multiple;
mod mutex;
mod read_write;
mod semaphore;

use std::{fmt, pin::Pin, time::Duration};

pub use self::{
    guard::Guard,
    multiple::{MultiGuard, MultiLock},
    mutex::Mutex,
    read_write::ReadWriteLock,
    semaphore::Semaphore,
};
use super::line::{Entry, Line, Rule};
use crate::error::{Error, ErrorKind};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A lock to be acquired. Await it.
///
/// # Errors
/// [`ErrorKind::Timeout`] when the lock was not to be had in time; otherwise as the client's calls.
/// Outages are sat out as long as the client's [`RetryPolicy`](crate::RetryPolicy) says, the loss
/// of the session however long it takes.
///
/// # Cancel safety
/// Dropping the future gives up; its node is removed in the background.
#[must_use = "a lock that is not awaited is not acquired"]
pub struct Acquire<'a, G> {
    attempt: Boxed<'a, Result<G, Error>>,
    timeout: Option<Duration>,
}

impl<G> fmt::Debug for Acquire<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<'a, G> Acquire<'a, G> {
    fn new(attempt: impl Future<Output = Result<G, Error>> + Send + 'a) -> Self {
        Self { attempt: Box::pin(attempt), timeout: None }
    }

    /// How long to try. Without it, for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<'a, G: 'a> IntoFuture for Acquire<'a, G> {
    type Output = Result<G, Error>;
    type IntoFuture = Boxed<'a, Result<G, Error>>;

    fn into_future(self) -> Self::IntoFuture {
        let Some(timeout) = self.timeout else { return self.attempt };
        Box::pin(async move {
            let acquired = tokio::time::timeout(timeout, self.attempt).await;
            acquired.unwrap_or_else(|_| Err(ErrorKind::Timeout.into()))
        })
    }
}

/// Stands in line until it is in.
async fn acquire(line: &Line, rule: Rule) -> Result<Guard, Error> {
    match line.enter(rule, true).await? {
        Entry::In(seat) => Ok(Guard::new(seat)),
        Entry::Busy => unreachable!("the patient are not turned away"),
    }
}

/// Is in at once, or leaves.
async fn try_acquire(line: &Line, rule: Rule) -> Result<Option<Guard>, Error> {
    Ok(match line.enter(rule, false).await? {
        Entry::In(seat) => Some(Guard::new(seat)),
        Entry::Busy => None,
    })
}
