//! Leadership: one of many does what must be done once.
//!
//! * [`LeaderLatch`]: stands for election until it is closed, and tells whether it leads.
//! * [`LeaderElection`]: waits until it leads, does a piece of work as leader, and steps down.
//!
//! Both are locks, so what [`lock`](super::lock) says of sessions, pauses and fencing is true of
//! them: there can be a leader that has not noticed yet that it is none any more. What it does to
//! the outside must carry its [`token`](Leadership::token), what it writes to these servers goes
//! through [`Leadership::multi`].
//!
//! ```no_run
//! # async fn example(client: quorate_client::Client) -> Result<(), quorate_client::Error> {
//! use quorate_client::recipes::leader::{LeaderElection, Term};
//!
//! let election = LeaderElection::new(&client, "/leader")?.id("host-1");
//! let term = election.lead(async |leadership| {
//!     leadership.multi().set("/config", "chosen by the leader", -1).await
//! });
//! match term.await? {
//!     Term::Finished(written) => drop(written?),
//!     Term::Lost(loss) => println!("not the leader any more: {loss:?}"),
//! }
//! # Ok(())
//! # }
//! ```

mod election;
mod latch;

use std::sync::Arc;

pub use self::{
    election::{LeaderElection, Term},
    latch::LeaderLatch,
};
use super::{
    FencingToken, Loss,
    lock::Guard,
    loss::{self, HeldNode},
};
use crate::{Call, Client, Zxid, request};

/// The leadership of one, for one term.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Bound to the session of the node.
    client: Client,
    path: Arc<str>,
    czxid: Zxid,
}

impl Leadership {
    fn of(guard: &Guard) -> Self {
        let (client, path) = (guard.client().clone(), guard.path().into());
        Self { client, path, czxid: guard.czxid() }
    }

    /// The fencing token: larger than that of all leaders before.
    pub fn token(&self) -> FencingToken {
        self.czxid.into()
    }

    /// The path of the leader's node.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Waits until the leadership may be lost, or was given up, and tells why, before the session
    /// can have expired: see [`Loss`].
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        loss::of_node(&self.client, HeldNode { path: &self.path, czxid: self.czxid }).await
    }

    /// A transaction that is done only if this is still the leader: see
    /// [`Guard::multi`].
    pub fn multi(&self) -> Call<'_, request::Multi> {
        self.client.multi().check(&self.path, request::ANY)
    }
}
