//! Caches: a node, a node's children or a whole subtree, kept current by events.
//!
//! A cache reads without a lock and without the network, and shows one moment of the tree, a
//! little behind. To see at least what somebody else has seen or done, pass its zxid on and
//! `wait_until` the cache has it. After a lost connection a cache catches up by itself; while the
//! connection is away it shows what it had.
//!
//! The `Stat` of a node is that of its last read: versions and times of its data are current, the
//! counts of its children are not.

mod mirror;

use std::{ops::Bound, sync::Arc};

use quorate_protocol::Zxid;

pub use self::mirror::{Change, Changes};
use self::mirror::{Map, Mirror};
use crate::{Client, error::Error, request::Node};

macro_rules! cache_methods {
    () => {
        /// The last transaction that the cache surely shows.
        pub fn zxid(&self) -> Zxid {
            self.mirror.zxid()
        }

        /// Waits until the cache shows this transaction.
        ///
        /// # Errors
        /// When the client is closed.
        ///
        /// # Cancel safety
        /// Dropping the future has no effect.
        pub async fn wait_until(&self, zxid: Zxid) -> Result<(), Error> {
            self.mirror.wait_until(zxid).await
        }

        /// The content as changes: what is there, then each difference.
        pub fn changes(&self) -> Changes {
            self.mirror.changes()
        }
    };
}

/// A node, kept current.
#[derive(Debug)]
pub struct NodeCache {
    mirror: Mirror,
    path: String,
}

impl NodeCache {
    /// Starts a cache of a node, which need not be there, and waits until it is filled.
    ///
    /// # Errors
    /// When the path is none, the node may not be read, or the client ends.
    ///
    /// # Cancel safety
    /// Dropping the future ends it.
    pub async fn start(client: &Client, path: &str) -> Result<Self, Error> {
        let mirror = Mirror::start(client, path, 0).await?;
        Ok(Self { mirror, path: path.to_owned() })
    }

    /// The node, if it is there.
    pub fn get(&self) -> Option<Arc<Node>> {
        self.mirror.node(&self.path)
    }

    cache_methods!();
}

/// A node's children with their data, kept current.
#[derive(Debug)]
pub struct ChildrenCache {
    mirror: Mirror,
    path: String,
}

impl ChildrenCache {
    /// Starts a cache of a node's children and waits until it is filled. The node need not be
    /// there. It is in the cache as well.
    ///
    /// # Errors
    /// As [`NodeCache::start`].
    ///
    /// # Cancel safety
    /// Dropping the future ends it.
    pub async fn start(client: &Client, path: &str) -> Result<Self, Error> {
        let mirror = Mirror::start(client, path, 1).await?;
        Ok(Self { mirror, path: path.to_owned() })
    }

    /// The node and its children, as of one moment.
    pub fn snapshot(&self) -> Tree {
        Tree(self.mirror.map())
    }

    /// The names of the children and the children, ordered by name.
    pub fn children(&self) -> Vec<(String, Arc<Node>)> {
        let tree = self.snapshot();
        tree.children(&self.path).map(|(name, node)| (name.to_owned(), Arc::clone(node))).collect()
    }

    cache_methods!();
}

/// A node and all below, kept current.
#[derive(Debug)]
pub struct TreeCache {
    mirror: Mirror,
}

impl TreeCache {
    /// Starts a cache of a node and all below, and waits until it is filled. The node need not be
    /// there.
    ///
    /// # Errors
    /// As [`NodeCache::start`].
    ///
    /// # Cancel safety
    /// Dropping the future ends it.
    pub async fn start(client: &Client, path: &str) -> Result<Self, Error> {
        Ok(Self { mirror: Mirror::start(client, path, usize::MAX).await? })
    }

    /// A node, if it is there.
    pub fn get(&self, path: &str) -> Option<Arc<Node>> {
        self.mirror.node(path)
    }

    /// All nodes, as of one moment.
    pub fn snapshot(&self) -> Tree {
        Tree(self.mirror.map())
    }

    cache_methods!();
}

/// Nodes of a cache as of one moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tree(Arc<Map>);

impl Tree {
    /// A node, if it is there.
    pub fn get(&self, path: &str) -> Option<&Arc<Node>> {
        self.0.get(path)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All paths and nodes, ordered by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Node>)> {
        self.0.iter().map(|(path, node)| (&**path, node))
    }

    /// The names of a node's children and the children, ordered by name.
    pub fn children(&self, path: &str) -> impl Iterator<Item = (&str, &Arc<Node>)> {
        let parent = if path == "/" { "" } else { path };
        let first: Arc<str> = format!("{parent}/").into();
        let length = first.len();
        self.0
            .range::<(Bound<Arc<str>>, Bound<Arc<str>>), Arc<str>>((
                Bound::Excluded(Arc::clone(&first)),
                Bound::Unbounded,
            ))
            .take_while(move |(path, _)| path.starts_with(&*first))
            .map(move |(path, node)| (&path[length..], node))
            .filter(|(name, _)| !name.contains('/'))
    }
}
