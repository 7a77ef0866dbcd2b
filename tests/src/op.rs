//! Requests as tests write them down, and their bytes. Every field a client could get wrong can be
//! wrong here too.

use bytes::BytesMut;
use quorate_protocol::{OpCode, Xid, codec::PutJute};

/// An entry of an ACL: permissions, scheme, id; both strings may be null.
pub type AclEntry = (i32, Option<String>, Option<String>);

/// `[world:anyone:ALL]`.
pub fn open_acl() -> Option<Vec<AclEntry>> {
    acl(&[(31, "world", "anyone")])
}

/// A list without nulls.
pub fn acl(entries: &[(i32, &str, &str)]) -> Option<Vec<AclEntry>> {
    let owned = |&(perms, scheme, id): &(i32, &str, &str)| {
        (perms, Some(scheme.to_owned()), Some(id.to_owned()))
    };
    Some(entries.iter().map(owned).collect())
}

/// What `create` and its relatives ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    /// The path; a sequential node's prefix.
    pub path: String,
    /// The data, which may be null.
    pub data: Option<Vec<u8>>,
    /// The list, which may be null.
    pub acl: Option<Vec<AclEntry>>,
    /// The create mode's number.
    pub flags: i32,
}

impl NewNode {
    /// An open node of the mode `flags`.
    pub fn open(path: &str, data: &[u8], flags: i32) -> Self {
        Self { path: path.to_owned(), data: Some(data.to_owned()), acl: open_acl(), flags }
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_ustring(&self.path);
        out.put_buffer(self.data.as_deref());
        put_acl(out, self.acl.as_deref());
        out.put_int(self.flags);
    }
}

/// Paths to watch again after a reconnect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchLists {
    /// The zxid the client has seen.
    pub relative_zxid: i64,
    /// One-shot data watches.
    pub data: Vec<String>,
    /// One-shot watches of nodes that were not there.
    pub exist: Vec<String>,
    /// One-shot child watches.
    pub child: Vec<String>,
    /// Persistent watches, only in `setWatches2`.
    pub persistent: Vec<String>,
    /// Persistent recursive watches, only in `setWatches2`.
    pub recursive: Vec<String>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `create`, `create2` or `createContainer`, by the code.
    Create(OpCode, NewNode),
    /// `createTTL` with a time in milliseconds.
    CreateTtl(NewNode, i64),
    /// `delete` at a version.
    Delete(String, i32),
    /// `setData` at a version.
    SetData(String, Option<Vec<u8>>, i32),
    /// `setACL` at an ACL version.
    SetAcl(String, Option<Vec<AclEntry>>, i32),
    /// `check` of a version, allowed inside a multi only.
    Check(String, i32),
    /// `exists`, `getData`, `getChildren` or `getChildren2`, by the code, with the watch flag.
    Read(OpCode, String, bool),
    /// `getACL`, `sync`, `getAllChildrenNumber` or `getEphemerals`, by the code.
    Path(OpCode, String),
    /// `ping`, `whoAmI` or `closeSession`, by the code.
    Plain(OpCode),
    /// `multi` or `multiRead`, by the code.
    Multi(OpCode, Vec<Op>),
    /// `addWatch` with a mode.
    AddWatch(String, i32),
    /// `removeWatches` or `checkWatches`, by the code, with the type of watcher.
    Watches(OpCode, String, i32),
    /// `setWatches` or `setWatches2`, by the code.
    SetWatches(OpCode, WatchLists),
    /// `auth` with scheme and credentials.
    Auth(String, Option<Vec<u8>>),
    /// `sasl` with a token.
    Sasl(Option<Vec<u8>>),
    /// `reconfig` with joining, leaving, new members and the configuration's version.
    Reconfig([Option<String>; 3], i64),
    /// Any number with any body.
    Raw(i32, Vec<u8>),
}

impl Op {
    /// `create` of an open node.
    pub fn create(path: &str, data: &[u8], flags: i32) -> Self {
        Self::Create(OpCode::Create, NewNode::open(path, data, flags))
    }

    /// `delete` at any version.
    pub fn delete(path: &str) -> Self {
        Self::Delete(path.to_owned(), -1)
    }

    /// `setData` at any version.
    pub fn set(path: &str, data: &[u8]) -> Self {
        Self::SetData(path.to_owned(), Some(data.to_owned()), -1)
    }

    /// `getData` without a watch.
    pub fn get(path: &str) -> Self {
        Self::Read(OpCode::GetData, path.to_owned(), false)
    }

    /// `exists` without a watch.
    pub fn exists(path: &str) -> Self {
        Self::Read(OpCode::Exists, path.to_owned(), false)
    }

    /// `getChildren` without a watch.
    pub fn children(path: &str) -> Self {
        Self::Read(OpCode::GetChildren, path.to_owned(), false)
    }

    /// `ping`.
    pub fn ping() -> Self {
        Self::Plain(OpCode::Ping)
    }

    /// The number on the wire.
    pub fn code(&self) -> i32 {
        match self {
            Self::CreateTtl(..) => OpCode::CreateTtl.wire(),
            Self::Delete(..) => OpCode::Delete.wire(),
            Self::SetData(..) => OpCode::SetData.wire(),
            Self::SetAcl(..) => OpCode::SetAcl.wire(),
            Self::Check(..) => OpCode::Check.wire(),
            Self::AddWatch(..) => OpCode::AddWatch.wire(),
            Self::Auth(..) => OpCode::Auth.wire(),
            Self::Sasl(..) => OpCode::Sasl.wire(),
            Self::Reconfig(..) => OpCode::Reconfig.wire(),
            Self::Raw(code, _) => *code,
            Self::Create(op, _)
            | Self::Read(op, ..)
            | Self::Path(op, _)
            | Self::Plain(op)
            | Self::Multi(op, _)
            | Self::Watches(op, ..)
            | Self::SetWatches(op, _) => op.wire(),
        }
    }

    /// The xid Java and C clients send it with, when that is not the next number.
    pub fn special_xid(&self) -> Option<i32> {
        match self {
            Self::Plain(OpCode::Ping) => Some(Xid::PING.0),
            Self::Auth(..) => Some(Xid::AUTH.0),
            Self::SetWatches(..) => Some(Xid::SET_WATCHES.0),
            _ => None,
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Create(_, node) => node.encode(out),
            Self::CreateTtl(node, ttl) => {
                node.encode(out);
                out.put_long(*ttl);
            }
            Self::Delete(path, version) | Self::Check(path, version) => {
                out.put_ustring(path);
                out.put_int(*version);
            }
            Self::SetData(path, data, version) => {
                out.put_ustring(path);
                out.put_buffer(data.as_deref());
                out.put_int(*version);
            }
            Self::SetAcl(path, acl, version) => {
                out.put_ustring(path);
                put_acl(out, acl.as_deref());
                out.put_int(*version);
            }
            Self::Read(_, path, watch) => {
                out.put_ustring(path);
                out.put_boolean(*watch);
            }
            Self::Path(_, path) => out.put_ustring(path),
            Self::Plain(_) => {}
            Self::Multi(_, ops) => {
                for op in ops {
                    put_multi_header(out, op.code(), false);
                    op.encode(out);
                }
                put_multi_header(out, -1, true);
            }
            Self::AddWatch(path, number) | Self::Watches(_, path, number) => {
                out.put_ustring(path);
                out.put_int(*number);
            }
            Self::SetWatches(op, lists) => {
                out.put_long(lists.relative_zxid);
                let newer: &[&[String]] = if *op == OpCode::SetWatches2 {
                    &[&lists.persistent, &lists.recursive]
                } else {
                    &[]
                };
                let older: [&[String]; 3] = [&lists.data, &lists.exist, &lists.child];
                for list in older.iter().chain(newer) {
                    out.put_len(list.len());
                    list.iter().for_each(|path| out.put_ustring(path));
                }
            }
            Self::Auth(scheme, auth) => {
                out.put_int(0);
                out.put_ustring(scheme);
                out.put_buffer(auth.as_deref());
            }
            Self::Sasl(token) => out.put_buffer(token.as_deref()),
            Self::Reconfig(members, version) => {
                for text in members {
                    out.put_buffer(text.as_deref().map(str::as_bytes));
                }
                out.put_long(*version);
            }
            Self::Raw(_, body) => out.extend_from_slice(body),
        }
    }
}

fn put_multi_header(out: &mut BytesMut, op: i32, done: bool) {
    out.put_int(op);
    out.put_boolean(done);
    out.put_int(-1);
}

fn put_acl(out: &mut BytesMut, acl: Option<&[AclEntry]>) {
    let Some(entries) = acl else { return out.put_int(-1) };
    out.put_len(entries.len());
    for (perms, scheme, id) in entries {
        out.put_int(*perms);
        out.put_buffer(scheme.as_deref().map(str::as_bytes));
        out.put_buffer(id.as_deref().map(str::as_bytes));
    }
}
