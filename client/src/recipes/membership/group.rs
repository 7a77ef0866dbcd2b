//! Who is there.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::path;

use super::persistent_node::PersistentNode;
use crate::{
    Client,
    cache::{Changes, ChildrenCache},
    create::join,
    error::Error,
    recipes::Loss,
};

/// A member of a group, who sees the others: Curator's `GroupMember`. Members are ephemeral children of the group's node,
/// named by their ids, with data of their own. Whoever wants to see a group without being in it uses a
/// [`ChildrenCache`].
///
/// kazoo's `Party` keeps its members as children named `<32 hex digits>__party__`, with the identifier as data, and
/// `ShallowParty` as `<32 hex digits>-<identifier>`: with such ids members of both kinds see each other.
///
/// # Ordering
/// [`members`](Self::members) shows one moment of the group, a little behind. It always shows this member.
///
/// # Delivery
/// A member whose program has crashed is shown until its session ends. A member whose session was lost comes back by
/// itself, see [`PersistentNode`].
#[derive(Debug)]
pub struct GroupMember {
    id: String,
    node: PersistentNode,
    cache: ChildrenCache,
    path: String,
}

impl GroupMember {
    /// Joins a group, and waits until this member is there. Ids must be unique: while another session has the same, this
    /// member waits for that one to go, see [`node`](Self::node).
    ///
    /// # Errors
    /// When the path or the id are none, or the node cannot be created.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the group.
    pub async fn join(
        client: &Client,
        path: &str,
        id: &str,
        data: impl Into<Bytes>,
    ) -> Result<Self, Error> {
        path::validate(path)?;
        let member = join(path, id);
        let node = PersistentNode::builder(client, &member, data).start().await?;
        let cache = ChildrenCache::start(client, path).await?;
        Ok(Self { id: id.to_owned(), node, cache, path: path.to_owned() })
    }

    /// This member's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// This member's node: whether it is there.
    pub fn node(&self) -> &PersistentNode {
        &self.node
    }

    /// The ids and data of all members.
    pub fn members(&self) -> BTreeMap<String, Bytes> {
        let tree = self.cache.snapshot();
        let children = tree.children(&self.path);
        let mut members: BTreeMap<_, _> =
            children.map(|(id, node)| (id.to_owned(), node.data.clone())).collect();
        members.entry(self.id.clone()).or_insert_with(|| self.node.data());
        members
    }

    /// The nodes of the members as changes: those that are there, then each that comes, goes or changes its data. The
    /// group's own node is among them.
    pub fn changes(&self) -> Changes {
        self.cache.changes()
    }

    /// Gives this member other data, as [`PersistentNode::set`].
    pub fn set_data(&self, data: impl Into<Bytes>) {
        self.node.set(data);
    }

    /// Waits until the others may not see this member any more: as [`PersistentNode::lost`].
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        self.node.lost().await
    }

    /// Leaves the group, and waits until the node is gone. Dropping the member leaves too, without waiting.
    ///
    /// # Errors
    /// As [`PersistentNode::close`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the group in the background.
    pub async fn leave(self) -> Result<(), Error> {
        self.node.close().await
    }
}
