//! Nodes that stand for a participant and go with it.

use std::time::Duration;

use quorate_protocol::{SessionId, Stat, path};

use crate::{
    Client,
    create::join,
    error::{Error, ErrorKind},
    state::{State, Status},
};

/// Between attempts to delete a node that is not wanted any more.
const PAUSE: Duration = Duration::from_millis(500);

/// How often the creation of a node is tried whose answer is lost each time.
const ATTEMPTS: usize = 10;

/// An ephemeral node that stands for a participant. It is deleted when this is dropped; also when the future is that
/// creates it, since calls are carried out in order: whoever looks for the node behind its creation finds it.
///
/// All its calls are made in the session it belongs to. When that is lost there is nothing left to delete.
#[derive(Debug)]
pub(crate) struct OwnNode {
    node: Wanted,
    known: Known,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It may be there: it is being created.
    Maybe,
    There,
    Gone,
}

/// What tells the node from those of others.
#[derive(Debug)]
struct Wanted {
    client: Client,
    /// Without its number as long as it has none.
    path: String,
    data: Vec<u8>,
    /// The server gives it a number; its path without that is unique.
    is_sequential: bool,
}

/// Whether a node with this owner and data was created by somebody with that session and data.
fn is_mine(owner: SessionId, data: &[u8], session: SessionId, own_data: &[u8]) -> bool {
    owner == session && data == own_data
}

impl Wanted {
    /// The node, if it is there: its path and its `Stat`.
    async fn find(&self) -> Result<Option<(String, Stat)>, Error> {
        let path = if self.is_sequential {
            let (parent, begin) = path::split(&self.path).unwrap_or(("/", ""));
            let children = match self.client.children(parent).await {
                Err(error) if error.is_no_node() => return Ok(None),
                children => children?,
            };
            let Some(name) = children.names.iter().find(|name| name.starts_with(begin)) else {
                return Ok(None);
            };
            join(parent, name)
        } else {
            self.path.clone()
        };
        let node = match self.client.get(&path).await {
            Err(error) if error.is_no_node() => return Ok(None),
            node => node?,
        };
        let Stat { ephemeral_owner: owner, .. } = node.stat;
        let is_mine = is_mine(owner, &node.data, self.client.session_id(), &self.data);
        Ok(is_mine.then_some((path, node.stat)))
    }

    /// Deletes the node if it is there.
    async fn clear(&self) -> Result<(), Error> {
        let Some((path, _)) = self.find().await? else { return Ok(()) };
        delete(&self.client, &path).await
    }

    /// Deletes the node, however long that takes: until it is gone, or the session with it.
    async fn clear_in_the_end(self) {
        while let Err(error) = self.clear().await {
            if error.is_session_lost() {
                return;
            }
            if !error.is_retryable() {
                tracing::warn!(%error, path = self.path, "a node stays until its session ends");
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Deletes a node; that it is not there is no error.
async fn delete(client: &Client, path: &str) -> Result<(), Error> {
    match client.delete(path).repeatable().await {
        Err(error) if !error.is_no_node() => Err(error),
        _ => Ok(()),
    }
}

impl OwnNode {
    /// Creates a node exactly once, and its parents if they are missing. The path, or else the data, must be used by nobody
    /// else of the session.
    ///
    /// # Errors
    /// [`ErrorCode::NodeExists`](quorate_protocol::ErrorCode::NodeExists) when the path is somebody else's.
    pub(crate) async fn create(
        client: &Client,
        path: String,
        data: &[u8],
    ) -> Result<(Self, Stat), Error> {
        Self::begin(client, path, data, false).finish().await
    }

    /// The same with a number at the end of its name. The path must be unique without the number.
    pub(crate) async fn create_sequential(
        client: &Client,
        path: String,
        data: &[u8],
    ) -> Result<(Self, Stat), Error> {
        Self::begin(client, path, data, true).finish().await
    }

    fn begin(client: &Client, path: String, data: &[u8], is_sequential: bool) -> Self {
        let (client, data) = (client.in_this_session(), data.to_owned());
        Self { node: Wanted { client, path, data, is_sequential }, known: Known::Maybe }
    }

    async fn finish(mut self) -> Result<(Self, Stat), Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Wanted { client, path, data, is_sequential } = &self.node;
            let create = client.create(path, data).ephemeral();
            let create = if *is_sequential { create.sequential() } else { create };
            let error = match create.with_parents().await {
                Ok(created) => return Ok(self.found(created.path, created.stat)),
                Err(error) => error,
            };
            let is_unknown = matches!(error.kind(), ErrorKind::ConnectionLost(_));
            if is_unknown {
                if let Some((path, stat)) = self.node.find().await? {
                    return Ok(self.found(path, stat));
                }
            } else if error.surely_not_done() {
                self.known = Known::Gone;
            }
            if !is_unknown || attempts == ATTEMPTS {
                return Err(error);
            }
        }
    }

    fn found(mut self, path: String, stat: Stat) -> (Self, Stat) {
        self.node.path = path;
        self.node.is_sequential = false;
        self.known = Known::There;
        (self, stat)
    }

    /// The client, bound to the session.
    pub(crate) fn client(&self) -> &Client {
        &self.node.client
    }

    pub(crate) fn path(&self) -> &str {
        &self.node.path
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        path::split(&self.node.path).map_or("", |(_, name)| name)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.known == Known::Gone
    }

    /// It was deleted otherwise, perhaps together with something else.
    pub(crate) fn set_gone(&mut self) {
        self.known = Known::Gone;
    }

    /// Deletes the node. That it is not there is no error.
    ///
    /// Dropping the future leaves the node to the drop of this value.
    pub(crate) async fn delete(&mut self) -> Result<(), Error> {
        delete(&self.node.client, &self.node.path).await?;
        self.known = Known::Gone;
        Ok(())
    }

    /// Until the session is lost: the node is not to be relied on then.
    pub(crate) async fn lost(&self) {
        session_lost(&self.node.client).await;
    }
}

impl Drop for OwnNode {
    fn drop(&mut self) {
        if self.known == Known::Gone {
            return;
        }
        let Wanted { client, path, data, is_sequential } = &mut self.node;
        // At the end of the process there is no runtime, nor need for one: the session is closed.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let node = Wanted {
            client: client.clone(),
            path: std::mem::take(path),
            data: std::mem::take(data),
            is_sequential: *is_sequential,
        };
        runtime.spawn(node.clear_in_the_end());
    }
}

/// Until the session that `bound` is bound to is lost, or the client closed.
pub(crate) async fn session_lost(bound: &Client) {
    let number = bound.view().session();
    let is_over = |status: &Status| {
        let has_ended = status.state == State::Lost && status.session_number == number;
        has_ended || status.session_number > number || status.state == State::Closed
    };
    // Bound to none, for want of one.
    if number == u64::MAX {
        return;
    }
    // The sender is gone when the client is.
    let _ = bound.status().wait_for(is_over).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_mine_by_session_and_data() {
        let mine = SessionId(1);
        assert!(is_mine(mine, b"id", mine, b"id"));
        assert!(!is_mine(SessionId(2), b"id", mine, b"id"));
        assert!(!is_mine(mine, b"other", mine, b"id"));
    }
}
