//! Answers every request that changes nothing in the tree.
//!
//! Runs on the connection's own task, or in the pipeline right behind the session's earlier
//! writes; both hold the tree's lock, so that nothing changes between what is read, the zxid in
//! the reply and the watch that is set.
//!
//! Compat: reads do not validate paths: one that cannot exist is simply not there, and the empty
//! one means the root.

use bytes::BytesMut;
use quorate_protocol::{
    Decode, DecodeError, Encode, ErrorCode, Id, OpCode, Perms, SessionId, Stat, Xid,
    codec::PutJute,
    record::{
        AddWatchMode, AddWatchRequest, AddWatchResponse, AllChildrenNumberResponse,
        EphemeralsRequest, EventType, MultiHeader, MultiOp, MultiOps, MultiResult, PathRequest,
        PathWatchRequest, RemoveWatchesRequest, SetWatches2Request, SetWatchesRequest, SyncRequest,
        SyncResponse, WatcherType,
    },
};

use super::{
    Request,
    frame::{self, NO_ZXID},
};
use crate::{
    auth,
    tree::{Node, Tree},
    watch::{ConnId, Mode, WatchTable},
};

/// Bytes of a multiRead's reply above which it is refused: each of its operations asks in a few
/// bytes for as much as a node holds, so a small request could take all memory.
const MULTI_READ_MAX: usize = 128 << 20;

/// A request of [`super::Class::Read`], lent from wherever it is.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    /// The session it belongs to.
    pub session: SessionId,
    /// The connection it came by.
    pub conn: ConnId,
    /// The client's number for it.
    pub xid: Xid,
    /// What it asks for.
    pub op: OpCode,
    /// The request's record.
    pub body: &'a [u8],
    /// Who the connection was when the request arrived.
    pub ids: &'a [Id],
}

impl Request {
    /// The same for [`execute`].
    pub fn as_read(&self) -> Read<'_> {
        let Self { session, conn, xid, op, body, auth, is_local: _ } = self;
        Read { session: *session, conn: *conn, xid: *xid, op: *op, body, ids: auth }
    }
}

/// Executes a request and appends its reply; ahead of it, for `setWatches`, the events that the
/// client has missed.
///
/// # Panics
/// When the request is not of [`super::Class::Read`].
pub fn execute(tree: &Tree, watches: &WatchTable, request: &Read<'_>, out: &mut BytesMut) {
    let zxid = tree.last_zxid();
    let reader = Reader { tree, watches, request };
    match request.op {
        // Compat: the answer to a ping has its own xid, whatever the request had.
        OpCode::Ping => frame::put_empty_reply(out, Xid::PING, zxid, ErrorCode::Ok),
        OpCode::SetWatches | OpCode::SetWatches2 => {
            let code = reader.set_watches(out).err().unwrap_or(ErrorCode::Ok);
            frame::put_empty_reply(out, request.xid, zxid, code);
        }
        _ => frame::put_reply(out, request.xid, zxid, |out| reader.answer(out)),
    }
}

/// A request being executed. A method appends the body of its reply, or refuses: then what it
/// appended does not count.
struct Reader<'a> {
    tree: &'a Tree,
    watches: &'a WatchTable,
    request: &'a Read<'a>,
}

impl<'a> Reader<'a> {
    fn answer(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        match self.request.op {
            OpCode::Exists => self.exists(out),
            OpCode::GetData => self.get_data(out),
            OpCode::GetChildren => self.get_children(out).map(|_| ()),
            OpCode::GetChildren2 => {
                let stat = self.get_children(out)?;
                stat.encode(out);
                Ok(())
            }
            OpCode::GetAcl => self.get_acl(out),
            OpCode::GetAllChildrenNumber => self.get_all_children_number(out),
            OpCode::GetEphemerals => self.get_ephemerals(out),
            OpCode::MultiRead => self.multi_read(out),
            OpCode::AddWatch => self.add_watch(out),
            OpCode::CheckWatches => self.on_watches(WatchTable::check),
            OpCode::RemoveWatches => self.on_watches(WatchTable::remove),
            OpCode::WhoAmI => {
                auth::put_client_infos(self.request.ids, out);
                Ok(())
            }
            OpCode::Sync => {
                let SyncRequest { path } = self.decode()?;
                SyncResponse { path }.encode(out);
                Ok(())
            }
            op => unreachable!("{op} is not a read"),
        }
    }

    fn decode<T: Decode<'a>>(&self) -> Result<T, ErrorCode> {
        T::from_bytes(self.request.body).map_err(|_| ErrorCode::MarshallingError)
    }

    fn node(&self, path: &str) -> Result<Node<'a>, ErrorCode> {
        self.tree.get(path).ok_or(ErrorCode::NoNode)
    }

    /// The node, if it is there and the connection may do one of `wanted`.
    fn node_for(&self, path: &str, wanted: Perms) -> Result<Node<'a>, ErrorCode> {
        let node = self.node(path)?;
        if self.may(&node, wanted) { Ok(node) } else { Err(ErrorCode::NoAuth) }
    }

    fn may(&self, node: &Node<'_>, wanted: Perms) -> bool {
        auth::check(node.acl().raw(), wanted, self.request.ids)
    }

    /// Sets a watch. `path` stays as the client wrote it: so it is named when it is removed.
    fn watch(&self, path: &str, mode: Mode) {
        self.watches.add(self.request.conn, path, mode);
    }

    fn exists(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        let PathWatchRequest { path, watch } = self.decode()?;
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let node = match self.node_for(&path, Perms::READ) {
            Err(ErrorCode::NoNode) => None,
            readable => Some(readable?),
        };
        if watch {
            self.watch(&path, Mode::Data);
        }
        node.ok_or(ErrorCode::NoNode)?.stat().encode(out);
        Ok(())
    }

    fn get_data(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        let PathWatchRequest { path, watch } = self.decode()?;
        let node = self.node_for(&path, Perms::READ)?;
        if watch {
            self.watch(&path, Mode::Data);
        }
        put_data(&node, out);
        Ok(())
    }

    /// Appends the names only.
    fn get_children(&self, out: &mut BytesMut) -> Result<Stat, ErrorCode> {
        let PathWatchRequest { path, watch } = self.decode()?;
        let node = self.node_for(&path, Perms::READ)?;
        if watch {
            self.watch(&path, Mode::Child);
        }
        put_children(&node, out);
        Ok(node.stat())
    }

    fn get_acl(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        let PathRequest { path } = self.decode()?;
        let node = self.node_for(&path, Perms::READ.union(Perms::ADMIN))?;
        let acl = node.acl().raw();
        if self.may(&node, Perms::ADMIN) {
            out.extend_from_slice(acl);
        } else {
            auth::put_redacted(acl, out).expect("an ACL is checked before it is stored");
        }
        node.stat().encode(out);
        Ok(())
    }

    fn get_all_children_number(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        let PathRequest { path } = self.decode()?;
        let node = self.node_for(&path, Perms::READ)?;
        let total = i32::try_from(node.descendant_count()).expect("nodes are counted by int");
        AllChildrenNumberResponse { total }.encode(out);
        Ok(())
    }

    /// Compat: a prefix of the text, not of the path: `/foo` finds `/foobar`. Blank ones and the
    /// root find all; blank is what Java's `String.trim` removes.
    fn get_ephemerals(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        let EphemeralsRequest { prefix } = self.decode()?;
        let prefix = prefix.as_deref().unwrap_or_default();
        let trimmed = prefix.trim_matches(|c| c <= ' ');
        let prefix = if matches!(trimmed, "" | "/") { "" } else { prefix };
        let start = out.len();
        let mut count = 0;
        out.put_len(count);
        for path in self.tree.ephemerals(self.request.session) {
            if path.starts_with(prefix) {
                out.put_ustring(&path);
                count += 1;
            }
        }
        (&mut out[start..]).put_len(count);
        Ok(())
    }

    /// Each operation succeeds or fails by itself. Their watch flags do not count.
    fn multi_read(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        let before = out.len();
        for op in MultiOps::new(OpCode::MultiRead, self.request.body) {
            let op = op.map_err(|_| ErrorCode::MarshallingError)?;
            if out.len() - before > MULTI_READ_MAX {
                return Err(ErrorCode::MarshallingError);
            }
            let (MultiOp::GetData(PathWatchRequest { path, .. })
            | MultiOp::GetChildren(PathWatchRequest { path, .. })) = &op
            else {
                unreachable!("no other operation decodes in a multiRead");
            };
            match self.node_for(path, Perms::READ) {
                Err(code) => MultiResult::Error(code.wire()).encode(out),
                Ok(node) => {
                    MultiHeader::result(op.op()).encode(out);
                    match op {
                        MultiOp::GetData(_) => put_data(&node, out),
                        _ => put_children(&node, out),
                    }
                }
            }
        }
        MultiHeader::END.encode(out);
        Ok(())
    }

    /// No ACL is checked: what the connection may not know it is not told when the watch fires.
    fn add_watch(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        let AddWatchRequest { path, mode } = self.decode()?;
        let mode = AddWatchMode::from_wire(mode).ok_or(ErrorCode::MarshallingError)?;
        self.watch(&path, mode.into());
        AddWatchResponse { error: 0 }.encode(out);
        Ok(())
    }

    fn on_watches(
        &self,
        found: impl FnOnce(&WatchTable, ConnId, &str, WatcherType) -> bool,
    ) -> Result<(), ErrorCode> {
        let RemoveWatchesRequest { path, kind } = self.decode()?;
        let kind = WatcherType::from_wire(kind).ok_or(ErrorCode::MarshallingError)?;
        if found(self.watches, self.request.conn, &path, kind) {
            Ok(())
        } else {
            Err(ErrorCode::NoWatcher)
        }
    }

    /// Sets the watches that a client had on its last connection, or, where what they wait for has
    /// happened in between, appends the event at once. No ACL is checked.
    fn set_watches(&self, out: &mut BytesMut) -> Result<(), ErrorCode> {
        let watches = self.watches_to_set().map_err(|_| ErrorCode::MarshallingError)?;
        let since = watches.relative_zxid;
        for path in &watches.data {
            let event = match self.node(path) {
                Err(_) => Some(EventType::NodeDeleted),
                Ok(node) => (node.stat().mzxid > since).then_some(EventType::NodeDataChanged),
            };
            self.tell_or_watch(event, path, Mode::Data, out);
        }
        for path in &watches.exist {
            let event = self.node(path).is_ok().then_some(EventType::NodeCreated);
            self.tell_or_watch(event, path, Mode::Data, out);
        }
        for path in &watches.child {
            let event = match self.node(path) {
                Err(_) => Some(EventType::NodeDeleted),
                Ok(node) => (node.pzxid() > since).then_some(EventType::NodeChildrenChanged),
            };
            self.tell_or_watch(event, path, Mode::Child, out);
        }
        for path in &watches.persistent {
            self.watch(path, Mode::Persistent);
        }
        for path in &watches.persistent_recursive {
            self.watch(path, Mode::PersistentRecursive);
        }
        Ok(())
    }

    fn watches_to_set(&self) -> Result<SetWatches2Request<'a>, DecodeError> {
        if self.request.op == OpCode::SetWatches2 {
            return SetWatches2Request::from_bytes(self.request.body);
        }
        let SetWatchesRequest { relative_zxid, data, exist, child } =
            SetWatchesRequest::from_bytes(self.request.body)?;
        let (persistent, persistent_recursive) = (Vec::new(), Vec::new());
        Ok(SetWatches2Request {
            relative_zxid,
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        })
    }

    fn tell_or_watch(&self, event: Option<EventType>, path: &str, mode: Mode, out: &mut BytesMut) {
        match event {
            Some(kind) => frame::put_event(out, NO_ZXID, kind, path),
            None => self.watch(path, mode),
        }
    }
}

fn put_data(node: &Node<'_>, out: &mut BytesMut) {
    let data = node.data();
    out.reserve(4 + data.map_or(0, <[u8]>::len) + Stat::SIZE);
    out.put_buffer(data);
    node.stat().encode(out);
}

fn put_children(node: &Node<'_>, out: &mut BytesMut) {
    let count = node.child_count() as usize;
    let mut names = node.children().peekable();
    // Names below one node are alike, so room for all is made at once.
    let name = names.peek().map_or(0, |name| name.len());
    out.reserve(4 + count * (4 + name) + Stat::SIZE);
    out.put_len(count);
    for name in names {
        out.put_ustring(name);
    }
}

#[cfg(test)]
mod tests;
