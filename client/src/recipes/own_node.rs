//! Nodes that stand for a participant and go with it.

use std::time::Duration;

use quorate_protocol::Stat;

use crate::{
    Client,
    error::{Error, ErrorKind},
    state::{State, Status},
};

/// Between attempts to delete a node that is not wanted any more.
const PAUSE: Duration = Duration::from_millis(500);

/// An ephemeral node whose name nobody else of this session uses at the same time, or whose data is unique. It is deleted when this is dropped, also when the future that
/// creates it is: calls are carried out in order, so the deletion comes behind the creation.
///
/// All its calls are made in the session it belongs to.
#[derive(Debug)]
pub(crate) struct OwnNode {
    client: Client,
    path: String,
    gone: bool,
}

impl OwnNode {
    /// Creates the node exactly once, and its parents if they are missing.
    ///
    /// # Errors
    /// [`ErrorCode::NodeExists`](quorate_protocol::ErrorCode::NodeExists) when the name is somebody else's after all.
    pub(crate) async fn create(
        client: &Client,
        path: String,
        data: &[u8],
    ) -> Result<(Self, Stat), Error> {
        let own = Self { client: client.in_this_session(), path, gone: false };
        let create = own.client.create(&own.path, data).ephemeral().repeatable();
        let error = match create.with_parents().await {
            Ok(created) => return Ok((own, created.stat)),
            Err(error) if error.is_node_exists() => error,
            Err(error) => return Err(error),
        };
        // It may be there because the answer of an earlier attempt was lost.
        if !error.surely_not_done()
            && let Some(stat) = own.is_mine(data).await?
        {
            return Ok((own, stat));
        }
        Err(own.not_mine(error))
    }

    /// The node's `Stat` if it was created here. Others may use the name too, but not the data as well.
    async fn is_mine(&self, data: &[u8]) -> Result<Option<Stat>, Error> {
        let node = match self.client.get(&self.path).await {
            Err(error) if error.is_no_node() => return Ok(None),
            node => node?,
        };
        let is_mine = node.stat.ephemeral_owner == self.client.session_id() && node.data == data;
        Ok(is_mine.then_some(node.stat))
    }

    fn not_mine(mut self, error: Error) -> Error {
        self.gone = true;
        error
    }

    /// The client, bound to the session.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Somebody deleted it, perhaps this client together with something else.
    pub(crate) fn set_gone(&mut self) {
        self.gone = true;
    }

    /// Deletes the node. That it is not there is no error.
    ///
    /// Dropping the future leaves the node to the drop of this value.
    pub(crate) async fn delete(&mut self) -> Result<(), Error> {
        match self.client.delete(&self.path).repeatable().await {
            Err(error) if !error.is_no_node() => Err(error),
            _ => {
                self.gone = true;
                Ok(())
            }
        }
    }

    /// Until the session is lost: the node is not to be relied on then.
    pub(crate) async fn lost(&self) {
        session_lost(&self.client).await;
    }
}

impl Drop for OwnNode {
    fn drop(&mut self) {
        if !self.gone {
            delete_in_background(self.client.clone(), std::mem::take(&mut self.path));
        }
    }
}

/// Until the session that `bound` is bound to is lost, or the client closed.
pub(crate) async fn session_lost(bound: &Client) {
    let number = bound.view().session();
    let over = |status: &Status| {
        let ended = matches!(status.state, State::Lost) && status.session_number == number;
        number == u64::MAX || status.session_number > number || ended || status.state == State::Closed
    };
    // The sender is gone when the client is.
    let _ = bound.status().wait_for(over).await;
}

/// Deletes a node of the session that `bound` is bound to. The request goes out behind all that were sent, and again
/// until it is answered or the session is lost, which deletes the node too.
fn delete_in_background(bound: Client, path: String) {
    let mut answer = bound.delete(&path).repeatable().send();
    // Without a runtime, at the end of the process, there is nobody to look after it.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        while let Err(error) = answer.await {
            let again = error.is_retryable() && !error.is_session_lost();
            if !again {
                if !error.is_no_node() && !matches!(error.kind(), ErrorKind::SessionLost) {
                    tracing::warn!(%error, path, "a node of this session is left behind");
                }
                return;
            }
            tokio::time::sleep(PAUSE).await;
            answer = bound.delete(&path).repeatable().send();
        }
    });
}
