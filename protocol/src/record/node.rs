//! Requests about nodes, and their replies.

use std::borrow::Cow;

use super::field::{records, wire_enums};
use crate::{acl::AclList, stat::Stat};

records! {
    /// `create`, `create2`, `createContainer`.
    pub struct CreateRequest<'a> {
        /// The node's path; a sequential one gets a number at its end.
        path: Cow<'a, str>,
        /// Its data.
        data: Option<&'a [u8]>,
        /// Its ACL.
        acl: AclList<'a>,
        /// A [`CreateMode`]'s number, if it is one.
        flags: i32,
    }

    /// `createTTL`.
    pub struct CreateTtlRequest<'a> {
        /// The node's path; a sequential one gets a number at its end.
        path: Cow<'a, str>,
        /// Its data.
        data: Option<&'a [u8]>,
        /// Its ACL.
        acl: AclList<'a>,
        /// A [`CreateMode`]'s number, if it is one.
        flags: i32,
        /// How long the node stays without being written to, in milliseconds.
        ttl: i64,
    }

    /// `delete`.
    pub struct DeleteRequest<'a> {
        /// The node's path.
        path: Cow<'a, str>,
        /// The version its data must have; -1 for any.
        version: i32,
    }

    /// `setData`.
    pub struct SetDataRequest<'a> {
        /// The node's path.
        path: Cow<'a, str>,
        /// Its new data.
        data: Option<&'a [u8]>,
        /// The version its data must have; -1 for any.
        version: i32,
    }

    /// `setACL`.
    pub struct SetAclRequest<'a> {
        /// The node's path.
        path: Cow<'a, str>,
        /// Its new ACL.
        acl: AclList<'a>,
        /// The version its ACL must have; -1 for any.
        version: i32,
    }

    /// `check`, inside a multi.
    pub struct CheckRequest<'a> {
        /// The node's path.
        path: Cow<'a, str>,
        /// The version its data must have; -1 for any.
        version: i32,
    }

    /// `exists`, `getData`, `getChildren`, `getChildren2`.
    pub struct PathWatchRequest<'a> {
        /// The node's path.
        path: Cow<'a, str>,
        /// Whether to tell of the next change.
        watch: bool,
    }

    /// `getACL`, `getAllChildrenNumber`.
    pub struct PathRequest<'a> {
        /// The node's path.
        path: Cow<'a, str>,
    }

    /// `sync`.
    pub struct SyncRequest<'a> {
        /// Whatever the client likes to be echoed, by custom a path.
        path: Option<Cow<'a, str>>,
    }

    /// `getEphemerals`.
    pub struct EphemeralsRequest<'a> {
        /// What the paths must begin with; null for all.
        prefix: Option<Cow<'a, str>>,
    }

    /// `reconfig`. Null and empty both mean absent.
    pub struct ReconfigRequest<'a> {
        /// Servers to add or to change.
        joining: Option<Cow<'a, str>>,
        /// Ids of servers to remove.
        leaving: Option<Cow<'a, str>>,
        /// The whole new membership, instead of the two above.
        new_members: Option<Cow<'a, str>>,
        /// The version the configuration must have; -1 for any.
        config_id: i64,
    }

    /// The answer to `create`.
    pub struct CreateResponse<'a> {
        /// The node's path with its number, if it has one.
        path: Cow<'a, str>,
    }

    /// The answer to `create2`, `createContainer` and `createTTL`.
    pub struct Create2Response<'a> {
        /// The node's path with its number, if it has one.
        path: Cow<'a, str>,
        /// Of the new node.
        stat: Stat,
    }

    /// The answer to `getData`; to `reconfig` too, where the data is the new configuration.
    pub struct GetDataResponse<'a> {
        /// The node's data.
        data: Option<&'a [u8]>,
        /// Of the node.
        stat: Stat,
    }

    /// The answer to `getACL`.
    pub struct GetAclResponse<'a> {
        /// The node's ACL.
        acl: AclList<'a>,
        /// Of the node.
        stat: Stat,
    }

    /// The answer to `getChildren`.
    pub struct ChildrenResponse<'a> {
        /// Names of the children, in no particular order.
        children: Vec<Cow<'a, str>>,
    }

    /// The answer to `getChildren2`.
    pub struct Children2Response<'a> {
        /// Names of the children, in no particular order.
        children: Vec<Cow<'a, str>>,
        /// Of the node.
        stat: Stat,
    }

    /// The answer to `sync`.
    pub struct SyncResponse<'a> {
        /// The request's path.
        path: Option<Cow<'a, str>>,
    }

    /// The answer to `getEphemerals`.
    pub struct EphemeralsResponse<'a> {
        /// Paths of the session's ephemeral nodes.
        ephemerals: Vec<Cow<'a, str>>,
    }

    /// The answer to `getAllChildrenNumber`.
    #[derive(Copy)]
    pub struct AllChildrenNumberResponse {
        /// How many nodes there are below.
        total: i32,
    }
}

wire_enums! {
    /// How long a node lives, and whether its name gets a number. What the flags of a create say.
    pub enum CreateMode {
        /// Until it is deleted.
        Persistent = 0,
        /// Until its session ends.
        Ephemeral = 1,
        /// Until it is deleted; numbered.
        PersistentSequential = 2,
        /// Until its session ends; numbered.
        EphemeralSequential = 3,
        /// Until its last child has gone.
        Container = 4,
        /// Until it has no children and has not been written to for a time.
        PersistentWithTtl = 5,
        /// Likewise; numbered.
        PersistentSequentialWithTtl = 6,
    }
}

impl CreateMode {
    /// The mode these flags of a create stand for, if they do.
    pub const fn from_flags(flags: i32) -> Option<Self> {
        Self::from_wire(flags)
    }

    /// Whether the name gets a number.
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential
                | Self::EphemeralSequential
                | Self::PersistentSequentialWithTtl
        )
    }

    /// Whether the node goes with its session.
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Whether the node has a time to live.
    pub const fn has_ttl(self) -> bool {
        matches!(self, Self::PersistentWithTtl | Self::PersistentSequentialWithTtl)
    }
}
