//! What the holder of a lock has.

use tokio::time::{Instant, sleep_until};

use crate::{
    Call, Client, EventType, State,
    error::Error,
    recipes::{
        FencingToken,
        line::{Seat, session_ended},
    },
    request,
};

/// The part of a session's timeout by which [`Guard::lost`] is early: for clocks that do not run
/// equally fast, and to stop in time.
const MARGIN: u32 = 10;

/// A lock that was acquired. Dropping it releases the lock in the background.
#[derive(Debug)]
#[must_use = "dropping the guard releases the lock"]
pub struct Guard {
    seat: Seat,
}

/// Why a lock may not be held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The session has ended, or must be taken for ended.
    Session,
    /// Nothing was heard of the servers for so long that the session is about to expire.
    Silence,
    /// Somebody deleted the lock's node.
    Deleted,
    /// The client was closed.
    Closed,
}

impl Guard {
    pub(in crate::recipes) fn new(seat: Seat) -> Self {
        Self { seat }
    }

    /// The fencing token: larger than that of all who held the lock before.
    pub fn token(&self) -> FencingToken {
        self.seat.node().stat.czxid.into()
    }

    /// The path of the lock's node.
    pub fn path(&self) -> &str {
        &self.seat.node().path
    }

    /// The client, bound to the session of the lock: see
    /// [`in_this_session`](Client::in_this_session).
    pub fn client(&self) -> &Client {
        self.seat.client()
    }

    /// A transaction that is done only if the lock is held: its first operation is a check that
    /// the lock's node is there. So when the lock is lost it fails with
    /// [`ErrorKind::MultiFailed`](crate::ErrorKind::MultiFailed) of operation 0 and
    /// [`ErrorCode::NoNode`](crate::ErrorCode::NoNode), and the outcomes and numbers of your own
    /// operations begin with 1.
    ///
    /// The check is for any version: the node's name has a unique id and is never used again, so
    /// that it is there means that it is this one.
    pub fn multi(&self) -> Call<'_, request::Multi> {
        self.client().multi().check(self.path(), request::ANY)
    }

    /// Waits until the lock may be lost, and tells why. Stop what the lock is for then.
    ///
    /// It resolves before the servers can let the session expire: a tenth of its timeout earlier
    /// than that, counted from the last sign of life that they have confirmed.
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        tokio::select! {
            () = session_ended(self.client()) => match self.client().state() {
                State::Closed => Loss::Closed,
                _ => Loss::Session,
            },
            () = silence(self.client()) => Loss::Silence,
            () = self.deleted() => Loss::Deleted,
        }
    }

    /// Waits until the node has gone.
    async fn deleted(&self) {
        loop {
            match self.client().get(self.path()).watch().await {
                Ok((_, watch)) => match watch.await {
                    Ok(event) if event.kind == EventType::NodeDeleted => return,
                    // Its data has changed: somebody has left a note.
                    Ok(_) => {}
                    Err(_) => break,
                },
                Err(error) if error.is_no_node() => return,
                // The connection was away for long, or the client ends: that is told otherwise.
                Err(error) if error.is_retryable() && !error.is_session_lost() => {
                    if self.client().wait_connected().await.is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Releases the lock, and waits until that is sure.
    ///
    /// # Errors
    /// When the lock was lost before, or its node may not be deleted.
    ///
    /// # Cancel safety
    /// Dropping the future releases the lock in the background.
    pub async fn release(self) -> Result<(), Error> {
        self.seat.leave().await
    }
}

/// Waits until the session may soon expire.
async fn silence(client: &Client) {
    loop {
        let margin = client.session_timeout() / MARGIN;
        let deadline = client.session_deadline().earliest - margin;
        if deadline <= Instant::now() {
            return;
        }
        sleep_until(deadline).await;
    }
}
