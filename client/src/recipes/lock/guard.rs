//! What the holder of a lock has.

use crate::{
    Call, Client, Zxid,
    error::Error,
    recipes::{FencingToken, Loss, line::Seat},
    request,
};

/// A lock that was acquired. Dropping it releases the lock in the background.
#[derive(Debug)]
#[must_use = "dropping the guard releases the lock"]
pub struct Guard {
    seat: Seat,
}

impl Guard {
    pub(in crate::recipes) fn new(seat: Seat) -> Self {
        Self { seat }
    }

    /// The fencing token: larger than that of all who held the lock before.
    pub fn token(&self) -> FencingToken {
        self.czxid().into()
    }

    pub(in crate::recipes) fn czxid(&self) -> Zxid {
        self.seat.node().stat.czxid
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

    /// Waits until the lock may be lost, and tells why, before the session can have expired: see
    /// [`Loss`]. Stop what the lock is for then.
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        self.seat.lost().await
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
