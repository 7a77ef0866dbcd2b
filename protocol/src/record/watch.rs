//! Setting and removing watches, and the events they bring.

use std::borrow::Cow;

use bytes::BytesMut;

use super::field::{Field, records, wire_enums};
use crate::{
    codec::{DecodeError, Decoder, PutJute},
    id::Zxid,
};

records! {
    /// `addWatch`.
    pub struct AddWatchRequest<'a> {
        /// The node's path; it need not be there.
        path: Cow<'a, str>,
        /// An [`AddWatchMode`]'s number, if it is one.
        mode: i32,
    }

    /// The answer to `addWatch`. `Compat:` the only watch request whose answer has a body
    /// (ZooKeeper's `ErrorResponse`); clients fall out of step without it.
    #[derive(Copy)]
    pub struct AddWatchResponse {
        /// Always 0: a failure is in the header.
        error: i32,
    }

    /// `removeWatches` and `checkWatches`.
    pub struct RemoveWatchesRequest<'a> {
        /// The node's path.
        path: Cow<'a, str>,
        /// A [`WatcherType`]'s number, if it is one.
        kind: i32,
    }

    /// `setWatches`: the one-shot watches a client had on its last connection.
    pub struct SetWatchesRequest<'a> {
        /// The last zxid the client has seen: what changed since then is told at once.
        relative_zxid: Zxid,
        /// Set by `getData` and by `exists` on a node that was there.
        data: Vec<Cow<'a, str>>,
        /// Set by `exists` on a node that was not there.
        exist: Vec<Cow<'a, str>>,
        /// Set by `getChildren` and `getChildren2`.
        child: Vec<Cow<'a, str>>,
    }

    /// `setWatches2`: as `setWatches`, with the persistent watches.
    pub struct SetWatches2Request<'a> {
        /// The last zxid the client has seen: what changed since then is told at once.
        relative_zxid: Zxid,
        /// Set by `getData` and by `exists` on a node that was there.
        data: Vec<Cow<'a, str>>,
        /// Set by `exists` on a node that was not there.
        exist: Vec<Cow<'a, str>>,
        /// Set by `getChildren` and `getChildren2`.
        child: Vec<Cow<'a, str>>,
        /// Set by `addWatch` for a node.
        persistent: Vec<Cow<'a, str>>,
        /// Set by `addWatch` for a node and all below it.
        persistent_recursive: Vec<Cow<'a, str>>,
    }

    /// What a watch tells, behind a reply header with [`Xid::EVENT`](crate::Xid::EVENT).
    pub struct WatcherEvent<'a> {
        /// What happened.
        kind: EventType,
        /// From servers always [`Self::SYNC_CONNECTED`].
        state: i32,
        /// The node it happened to; for [`EventType::NodeChildrenChanged`] the parent.
        path: Cow<'a, str>,
    }
}

impl WatcherEvent<'_> {
    /// The only state a server sends; the others are made by clients for themselves.
    pub const SYNC_CONNECTED: i32 = 3;
}

wire_enums! {
    /// What happened to a node. Clients know more kinds, which they make for themselves.
    pub enum EventType {
        /// It was created.
        NodeCreated = 1,
        /// It was deleted.
        NodeDeleted = 2,
        /// Its data was written, changed or not.
        NodeDataChanged = 3,
        /// A child was created or deleted.
        NodeChildrenChanged = 4,
    }

    /// What `addWatch` sets.
    pub enum AddWatchMode {
        /// A watch on a node and its list of children.
        Persistent = 0,
        /// A watch on a node and all below it.
        PersistentRecursive = 1,
    }

    /// Which watches `removeWatches` and `checkWatches` mean.
    pub enum WatcherType {
        /// One-shot, on the list of children.
        Children = 1,
        /// One-shot, on the node.
        Data = 2,
        /// All of them.
        Any = 3,
        /// Persistent.
        Persistent = 4,
        /// Persistent and recursive.
        PersistentRecursive = 5,
    }
}

impl Field<'_> for EventType {
    fn read(input: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let number = input.int()?;
        let bad = DecodeError::BadValue { field: "event type", value: i64::from(number) };
        Self::from_wire(number).map(Some).ok_or(bad)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_int(self.wire());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Decode;

    #[test]
    fn null_vectors_are_refused() {
        let mut bytes = BytesMut::new();
        bytes.put_long(0);
        bytes.put_len(0);
        bytes.put_int(-1);
        bytes.put_len(0);
        assert_eq!(
            SetWatchesRequest::from_bytes(&bytes),
            Err(DecodeError::Null { field: "exist" })
        );
    }
}
