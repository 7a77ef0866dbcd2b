//! Nodes that stand for a participant and go with it.

use std::time::Duration;

use quorate_protocol::{SessionId, Stat, Zxid, path};

use crate::{
    Client,
    error::{Error, ErrorKind},
    recipes::loss::{self, HeldNode, Loss},
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
    There {
        czxid: Zxid,
    },
    Gone,
}

/// What tells the node from those of others.
#[derive(Debug)]
struct Wanted {
    client: Client,
    path: String,
    data: Vec<u8>,
}

/// Whether a node with this owner and data was created by somebody with that session and data.
fn is_mine(owner: SessionId, data: &[u8], session: SessionId, own_data: &[u8]) -> bool {
    owner == session && data == own_data
}

impl Wanted {
    /// The node's `Stat`, if it is there.
    async fn find(&self) -> Result<Option<Stat>, Error> {
        // The server asked now may not have seen what the one before did.
        let node = match self.client.get(&self.path).linearizable().await {
            Err(error) if error.is_no_node() => return Ok(None),
            node => node?,
        };
        let Stat { ephemeral_owner: owner, .. } = node.stat;
        let is_mine = is_mine(owner, &node.data, self.client.session_id(), &self.data);
        Ok(is_mine.then_some(node.stat))
    }

    /// Deletes the node if it is there.
    async fn clear(&self) -> Result<(), Error> {
        match self.find().await? {
            Some(_) => delete(&self.client, &self.path).await,
            None => Ok(()),
        }
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
pub(crate) async fn delete(client: &Client, path: &str) -> Result<(), Error> {
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
        let (client, data) = (client.in_this_session(), data.to_owned());
        let mut own = Self { node: Wanted { client, path, data }, known: Known::Maybe };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Wanted { client, path, data } = &own.node;
            let error = match client.create(path, data).ephemeral().with_parents().await {
                Ok(created) => {
                    own.known = Known::There { czxid: created.stat.czxid };
                    return Ok((own, created.stat));
                }
                Err(error) => error,
            };
            let is_unknown = matches!(error.kind(), ErrorKind::ConnectionLost(_));
            if is_unknown {
                if let Some(stat) = own.node.find().await? {
                    own.known = Known::There { czxid: stat.czxid };
                    return Ok((own, stat));
                }
            } else if error.surely_not_done() {
                own.known = Known::Gone;
            }
            if !is_unknown || attempts == ATTEMPTS {
                return Err(error);
            }
        }
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

    /// Waits until the node may be lost, and tells why.
    pub(crate) async fn lost(&self) -> Loss {
        let Wanted { client, path, .. } = &self.node;
        match self.known {
            Known::There { czxid } => loss::of_node(client, HeldNode { path, czxid }).await,
            Known::Maybe | Known::Gone => Loss::Deleted,
        }
    }
}

impl Drop for OwnNode {
    fn drop(&mut self) {
        if self.known == Known::Gone {
            return;
        }
        let Wanted { client, path, data } = &mut self.node;
        let client = client.clone();
        let node = Wanted { path: std::mem::take(path), data: std::mem::take(data), client };
        node.client.clone().spawn(node.clear_in_the_end());
    }
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
