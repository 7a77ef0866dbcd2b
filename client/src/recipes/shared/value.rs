//! A value that many see and change.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use quorate_protocol::{Zxid, path};

use super::cas::{Cas, set_if};
use crate::{
    Client,
    cache::{Change, Changes, NodeCache},
    error::{Error, ErrorKind},
    request::Node,
};

/// A state of a [`SharedValue`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The data.
    pub data: Bytes,
    /// The version of the node's data.
    pub version: i32,
    /// The transaction that wrote it: later values have greater ones.
    pub zxid: Zxid,
}

impl From<&Node> for Value {
    fn from(node: &Node) -> Self {
        Self { data: node.data.clone(), version: node.stat.version, zxid: node.stat.mzxid }
    }
}

/// What came of [`SharedValue::try_set`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it may not have been set"]
pub enum TrySet {
    /// It was set, and is this now.
    Set(Value),
    /// It was not, because it is this by now.
    Changed(Value),
}

/// A value that many see and change: Curator's `SharedValue`. Kept in one node, whose data it is.
///
/// # Ordering
/// All values stand in one order. [`current`](Self::current) and [`values`](Self::values) are a little behind and
/// never go back; [`read`](Self::read) is linearizable.
///
/// # Delivery
/// A value is set at most once: as with [`Counter`](super::Counter).
///
/// # Cancel safety
/// Dropping the future of a change leaves unknown whether it was made.
#[derive(Debug)]
pub struct SharedValue {
    client: Client,
    path: String,
    cache: NodeCache,
}

impl SharedValue {
    /// Follows the value at a path. If the node is not there, it is created with `seed`.
    ///
    /// # Errors
    /// When the path is none, or the node may be neither read nor created.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the node created.
    pub async fn start(client: &Client, path: &str, seed: &[u8]) -> Result<Self, Error> {
        path::validate(path)?;
        match client.create(path, seed).repeatable().with_parents().await {
            Err(error) if !error.is_node_exists() => return Err(error),
            _ => {}
        }
        let cache = NodeCache::start(client, path).await?;
        Ok(Self { client: client.clone(), path: path.to_owned(), cache })
    }

    /// The value as it was last heard of; `None` if the node was deleted.
    pub fn current(&self) -> Option<Value> {
        self.cache.get().as_deref().map(Value::from)
    }

    /// The value as it is.
    ///
    /// # Errors
    /// When the node was deleted, too.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn read(&self) -> Result<Value, Error> {
        Ok((&self.client.get(&self.path).linearizable().await?).into())
    }

    /// The value as it was last heard of, then each new one.
    pub fn values(&self) -> Values {
        Values { changes: self.cache.changes() }
    }

    /// Replaces the value, whatever it is.
    ///
    /// # Errors
    /// When the node was deleted, too.
    pub async fn set(&self, data: &[u8]) -> Result<Value, Error> {
        let stat = self.client.set(&self.path, data).await?;
        Ok(Value { data: Bytes::copy_from_slice(data), version: stat.version, zxid: stat.mzxid })
    }

    /// Replaces the value if it is still `previous`.
    ///
    /// # Errors
    /// When the node was deleted, too.
    pub async fn try_set(&self, previous: &Value, data: &[u8]) -> Result<TrySet, Error> {
        match set_if(&self.client, &self.path, data, previous.version).await? {
            Cas::Done(stat) => {
                let data = Bytes::copy_from_slice(data);
                Ok(TrySet::Set(Value { data, version: stat.version, zxid: stat.mzxid }))
            }
            Cas::Conflict => Ok(TrySet::Changed(self.read().await?)),
        }
    }

    /// Replaces the value by what `change` makes of it. `change` is called again with a newer value when somebody else
    /// comes between.
    ///
    /// # Errors
    /// When the node was deleted, too.
    pub async fn update(&self, mut change: impl FnMut(&Value) -> Bytes) -> Result<Value, Error> {
        let mut previous: Value = (&self.client.get(&self.path).await?).into();
        loop {
            match self.try_set(&previous, &change(&previous)).await? {
                TrySet::Set(value) => return Ok(value),
                TrySet::Changed(value) => previous = value,
            }
        }
    }

    /// Waits until [`current`](Self::current) shows this value or a later one.
    ///
    /// # Errors
    /// When the client is closed.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn wait_until(&self, value: &Value) -> Result<(), Error> {
        self.cache.wait_until(value.zxid).await
    }
}

/// The values of a [`SharedValue`]. Values that follow each other faster than they are taken are left out; the last one
/// never is. Also a `Stream`.
#[derive(Debug)]
pub struct Values {
    changes: Changes,
}

impl Values {
    /// The next value: `Some(None)` when the node was deleted, `None` when there will be no more because the client or
    /// the [`SharedValue`] is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Option<Value>> {
        self.changes.next().await.map(value_after)
    }

    /// As [`next`](Self::next), for those who do not care about a node that is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when there will be no more.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next_value(&mut self) -> Result<Value, Error> {
        loop {
            match self.next().await {
                None => return Err(ErrorKind::Closed.into()),
                Some(Some(value)) => return Ok(value),
                Some(None) => {}
            }
        }
    }
}

impl Stream for Values {
    type Item = Option<Value>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Option<Value>>> {
        Pin::new(&mut self.changes).poll_next(cx).map(|change| change.map(value_after))
    }
}

/// The value that a change of its node leaves.
fn value_after(change: Change) -> Option<Value> {
    match change {
        Change::Added { node, .. } | Change::Changed { new: node, .. } => Some((&*node).into()),
        Change::Removed { .. } => None,
    }
}
