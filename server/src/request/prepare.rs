//! From a write request to the bytes of a transaction.
//!
//! [`Preparer`] checks a request against the tree and everything proposed that is not applied yet,
//! in ZooKeeper's order of checks, since the first that fails decides the answer. It appends the
//! transaction (header, record, digest) exactly as ZooKeeper would log it. A refused request
//! becomes an error transaction: it is logged, uses up a zxid and is answered in its turn.
//!
//! The pipeline calls [`Preparer::prepare`] while nothing is being applied, in the order the
//! requests are to have, and [`Preparer::applied`] for each transaction some time after the tree
//! applied it. Transactions must be applied as prepared, without a gap; if they cannot be logged,
//! [`Preparer::reset`] forgets all that were not applied.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use quorate_protocol::{
    AclList, Decode, DecodeError, Decoder, Encode, ErrorCode, Id, OpCode, Perms, Zxid, path,
    record::{
        CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest, PathRequest, ReconfigRequest,
        SetAclRequest, SetDataRequest,
    },
};

use super::{
    Ensemble, Request,
    create::Create,
    outstanding::{Outstanding, Projected, ProjectedAcl, length_of, parent_of},
    sessions::Sessions,
};
use crate::{
    auth::{self, Schemes},
    tree::{CONFIG, NodeKind, Tree},
    txn::{CloseSessionTxn, MultiWriter, SetAclTxn, SetDataTxn, Txn, TxnDigest, TxnHeader},
    zab::Configuration,
};

/// What an operator can switch that decides about writes.
#[expect(clippy::struct_excessive_bools, reason = "independent switches, not a state")]
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The schemes an ACL may name.
    pub schemes: Schemes,
    /// Whether nodes may have a time to live (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Whether hard quotas are enforced (`enforceQuota`).
    pub enforce_quota: bool,
    /// Whether the servers of an ensemble may be changed (`reconfigEnabled`).
    pub reconfig: bool,
    /// Whether the server is a member of an ensemble. Then every request becomes a transaction,
    /// since that is how the server that forwarded it learns what became of it.
    ///
    /// `Compat:` and an unknown session is an expired one, as for `LeaderSessionTracker`.
    pub in_ensemble: bool,
    /// This server's number, if there are local sessions (`localSessionsEnabled`): a session that
    /// another server has named may be known to that one alone.
    pub local_sessions_of: Option<u8>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// A transaction with this zxid was appended; it may be one that says the request is refused.
    Logged(Zxid),
    /// Nothing was appended: the request is to be answered with this error, in its turn.
    ///
    /// `Compat:` a record that does not decode uses up no zxid in ZooKeeper, except in a multi.
    Refused(ErrorCode),
}

/// Why a request is refused, and whether that uses up a zxid.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    Logged(ErrorCode),
    Unlogged(ErrorCode),
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::Logged(code)
    }
}

/// Turns writes into transactions; see the module.
#[derive(Debug)]
pub struct Preparer {
    pub(super) settings: Settings,
    /// Of the last transaction prepared.
    last_zxid: Zxid,
    pub(super) outstanding: Outstanding,
    pub(super) sessions: Sessions,
    /// A path whose soft quota was exceeded since somebody last asked.
    over_quota: RefCell<Option<String>>,
    /// The configuration that the last transaction brings.
    pub(super) reconfigured: Option<Configuration>,
}

/// What all operations of one request have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) tree: &'a Tree,
    pub(super) header: TxnHeader,
    pub(super) ids: &'a [Id],
    /// See [`Request::is_local`].
    pub(super) is_local: bool,
}

/// Where an operation's record goes once nothing speaks against it any more.
#[derive(Debug)]
pub(super) enum Sink<'o> {
    /// Behind a header of its own.
    Alone(&'o mut BytesMut),
    /// Among those of a multi.
    Multi(&'o mut BytesMut, &'o mut MultiWriter),
}

impl Preparer {
    /// A preparer that continues after what `tree` holds. `seed` keeps clients from choosing paths
    /// that collide in its tables; it has no influence on anything that can be seen.
    pub fn new(settings: Settings, tree: &Tree, seed: u64) -> Self {
        let sessions = Sessions::new(tree, &settings);
        Self {
            settings,
            last_zxid: tree.last_zxid(),
            outstanding: Outstanding::new(tree, seed),
            sessions,
            over_quota: RefCell::default(),
            reconfigured: None,
        }
    }

    /// The zxid of the last transaction prepared.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Appends the transaction for a write to `out`. `tree` is at some transaction between the
    /// last one reported to [`Self::applied`] and the last one prepared.
    pub fn prepare(
        &mut self,
        tree: &Tree,
        now_ms: i64,
        request: &Request,
        out: &mut BytesMut,
    ) -> Prepared {
        self.prepare_in(None, tree, now_ms, request, out)
    }

    /// As [`Self::prepare`], by the leader of this ensemble: only `reconfig` asks for it.
    pub fn prepare_in(
        &mut self,
        ensemble: Option<&Ensemble<'_>>,
        tree: &Tree,
        now_ms: i64,
        request: &Request,
        out: &mut BytesMut,
    ) -> Prepared {
        let start = out.len();
        let header = self.header(request, now_ms);
        let context = Context { tree, header, ids: &request.auth, is_local: request.is_local };
        match self.dispatch(&context, ensemble, &request.body, out) {
            Ok(()) => {
                let tree_digest = self.outstanding.tree_digest();
                TxnDigest { version: TxnDigest::VERSION, tree_digest }.encode(out);
            }
            Err(Refusal::Unlogged(code)) if !self.settings.in_ensemble => {
                out.truncate(start);
                return Prepared::Refused(code);
            }
            Err(Refusal::Logged(code) | Refusal::Unlogged(code)) => {
                out.truncate(start);
                put_refusal(header, code, out);
            }
        }
        self.last_zxid = header.zxid;
        Prepared::Logged(header.zxid)
    }

    /// Appends the transaction that refuses a request for a reason of the caller's own.
    pub fn refuse(
        &mut self,
        code: ErrorCode,
        now_ms: i64,
        request: &Request,
        out: &mut BytesMut,
    ) -> Prepared {
        let header = self.header(request, now_ms);
        put_refusal(header, code, out);
        self.last_zxid = header.zxid;
        Prepared::Logged(header.zxid)
    }

    /// What the request's transaction begins with, if it is the next.
    fn header(&self, request: &Request, now_ms: i64) -> TxnHeader {
        TxnHeader {
            client_id: request.session,
            cxid: request.xid.0,
            zxid: next_zxid(self.last_zxid),
            time_ms: now_ms,
            kind: request.op,
        }
    }

    /// The configuration that a transaction prepared since the last call brings.
    pub fn take_reconfigured(&mut self) -> Option<Configuration> {
        self.reconfigured.take()
    }

    /// Goes on in another epoch, behind what `tree` holds; nothing is outstanding.
    pub fn begin_epoch(&mut self, tree: &Tree, epoch: u32) {
        self.reset(tree);
        self.last_zxid = Zxid::new(epoch, 0);
    }

    /// The tree has applied everything up to `zxid`.
    pub fn applied(&mut self, zxid: Zxid) {
        self.outstanding.applied(zxid);
        self.sessions.applied(zxid);
    }

    /// Forgets every transaction that `tree` has not applied: they will not be logged.
    pub fn reset(&mut self, tree: &Tree) {
        self.last_zxid = tree.last_zxid();
        self.outstanding.reset(tree);
        self.sessions = Sessions::new(tree, &self.settings);
    }

    /// Whether nothing is outstanding, so that the view of the future is the tree.
    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.outstanding.is_empty()
    }

    fn dispatch(
        &mut self,
        context: &Context<'_>,
        ensemble: Option<&Ensemble<'_>>,
        body: &Bytes,
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        let op = context.header.kind;
        let sink = &mut Sink::Alone(out);
        match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
                let request = decode::<CreateRequest<'_>>(body, ErrorCode::MarshallingError)?;
                self.create(context, &Create::new(op, &request), sink)?;
            }
            OpCode::CreateTtl => {
                let request = decode::<CreateTtlRequest<'_>>(body, ErrorCode::MarshallingError)?;
                self.create(context, &Create::with_ttl(&request), sink)?;
            }
            OpCode::Delete => {
                let request = decode(body, ErrorCode::MarshallingError)?;
                self.delete(context, &request, sink)?;
            }
            OpCode::SetData => {
                let request = decode(body, ErrorCode::BadArguments)?;
                self.set_data(context, &request, sink)?;
            }
            OpCode::SetAcl => {
                let request = decode(body, ErrorCode::BadArguments)?;
                self.set_acl(context, &request, sink)?;
            }
            OpCode::Multi => self.multi(context, body, out)?,
            OpCode::Reconfig => {
                let request = decode::<ReconfigRequest<'_>>(body, ErrorCode::MarshallingError)?;
                self.reconfig(context, &request, ensemble, sink)?;
            }
            OpCode::DeleteContainer => {
                let request = decode::<PathRequest<'_>>(body, ErrorCode::MarshallingError)?;
                self.delete_container(context, &request.path, sink)?;
            }
            OpCode::CreateSession => {
                let timeout_ms = Decoder::new(body).int().expect("the server wrote it");
                self.sessions.open(context.header.client_id);
                sink.put(context, op, &Txn::CreateSession { timeout_ms });
            }
            OpCode::CloseSession => self.close_session(context, out),
            _ => unreachable!("{op} is no write"),
        }
        Ok(())
    }
}

/// The operations on nodes that are there already, alone or in a multi.
impl Preparer {
    pub(super) fn delete(
        &mut self,
        context: &Context<'_>,
        request: &DeleteRequest<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ErrorCode> {
        self.sessions.check(context.header.client_id, context.is_local)?;
        let path = &*request.path;
        let parent_path = deletable(path)?;
        let mut parent = self.outstanding.find(context.tree, parent_path);
        context.allow(parent_path, parent.existing()?, Perms::DELETE)?;
        let mut found = self.outstanding.find(context.tree, path);
        let node = found.existing()?;
        expect_version(node.parts.version, request.version)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        parent.existing()?.child_deleted(context.header.zxid);
        found.node = None;
        self.outstanding.put(parent_path, parent, context.header.zxid);
        self.outstanding.put(path, found, context.header.zxid);
        sink.put(context, OpCode::Delete, &Txn::Delete { path: path.into() });
        Ok(())
    }

    /// Nobody's session or ACL is asked: the reaper works for the server.
    fn delete_container(
        &mut self,
        context: &Context<'_>,
        path: &str,
        sink: &mut Sink<'_>,
    ) -> Result<(), ErrorCode> {
        let parent_path = deletable(path)?;
        let mut found = self.outstanding.find(context.tree, path);
        let node = found.existing()?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        if matches!(node.parts.kind, NodeKind::Ephemeral(_)) {
            return Err(ErrorCode::BadVersion);
        }
        let mut parent = self.outstanding.find(context.tree, parent_path);
        parent.existing()?.child_deleted(context.header.zxid);
        found.node = None;
        self.outstanding.put(parent_path, parent, context.header.zxid);
        self.outstanding.put(path, found, context.header.zxid);
        sink.put(context, OpCode::DeleteContainer, &Txn::DeleteContainer { path: path.into() });
        Ok(())
    }

    pub(super) fn set_data(
        &mut self,
        context: &Context<'_>,
        request: &SetDataRequest<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ErrorCode> {
        self.sessions.check(context.header.client_id, context.is_local)?;
        let path = &*request.path;
        validate(path)?;
        let mut found = self.outstanding.find(context.tree, path);
        let node = found.existing()?;
        context.allow(path, node, Perms::WRITE)?;
        let growth = length_of(request.data) - node.data_length;
        self.check_quota(context.tree, path, growth, 0)?;
        expect_version(node.parts.version, request.version)?;
        let version = version_after(node.parts.version);
        let TxnHeader { zxid, time_ms, .. } = context.header;
        node.set_data(path, request.data, version, zxid, time_ms);
        self.outstanding.put(path, found, zxid);
        let txn = SetDataTxn { path: path.into(), data: request.data, version };
        sink.put(context, OpCode::SetData, &Txn::SetData(txn));
        Ok(())
    }

    fn set_acl(
        &mut self,
        context: &Context<'_>,
        request: &SetAclRequest<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ErrorCode> {
        self.sessions.check(context.header.client_id, context.is_local)?;
        let path = &*request.path;
        validate(path)?;
        let raw = self.settings.schemes.fix_up(request.acl, context.ids)?;
        let mut found = self.outstanding.find(context.tree, path);
        let node = found.existing()?;
        context.allow(path, node, Perms::ADMIN)?;
        expect_version(node.parts.aversion, request.version)?;
        let version = version_after(node.parts.aversion);
        node.parts.aversion = version;
        let acl = fixed(&raw);
        node.acl = ProjectedAcl::of(acl);
        self.outstanding.put(path, found, context.header.zxid);
        let txn = SetAclTxn { path: path.into(), acl, version };
        sink.put(context, OpCode::SetAcl, &Txn::SetAcl(txn));
        Ok(())
    }

    /// Compares a version, in a multi. It changes nothing, so it leaves no projection.
    pub(super) fn check(
        &mut self,
        context: &Context<'_>,
        request: &CheckRequest<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ErrorCode> {
        self.sessions.check(context.header.client_id, context.is_local)?;
        let path = &*request.path;
        validate(path)?;
        let mut found = self.outstanding.find(context.tree, path);
        let node = found.existing()?;
        context.allow(path, node, Perms::READ)?;
        expect_version(node.parts.version, request.version)?;
        // `Compat:` the transaction carries the version a write would have led to.
        let version = version_after(node.parts.version);
        sink.put(context, OpCode::Check, &Txn::Check { path: path.into(), version });
        Ok(())
    }

    /// The last path at which a soft quota was exceeded, once: somebody should be told.
    pub fn take_over_quota(&mut self) -> Option<String> {
        self.over_quota.take()
    }

    /// Whether a hard quota allows so many more bytes and nodes at `path`; that a soft one does
    /// not is noted.
    ///
    /// `Compat:` what is outstanding does not count yet, nor do earlier operations of a multi.
    pub(super) fn check_quota(
        &self,
        tree: &Tree,
        path: &str,
        bytes: i64,
        nodes: i64,
    ) -> Result<(), ErrorCode> {
        let Some(quota) = tree.quota(path) else { return Ok(()) };
        if self.settings.enforce_quota && quota.refuses(bytes, nodes) {
            return Err(ErrorCode::QuotaExceeded);
        }
        if quota.warns(bytes, nodes) {
            self.over_quota.replace(Some(path.to_owned()));
        }
        Ok(())
    }

    /// Ends the session with all its nodes. Never refused: it may be closing already, when its
    /// client and its timeout come together.
    fn close_session(&mut self, context: &Context<'_>, out: &mut BytesMut) {
        let Context { tree, header, .. } = *context;
        let paths = self.outstanding.ephemerals(tree, header.client_id);
        for path in &paths {
            let parent_path = parent_of(path).expect("a node's path has a /");
            let mut parent = self.outstanding.find(tree, parent_path);
            let node = parent.node.as_mut().expect("a node with children exists");
            node.child_deleted(header.zxid);
            self.outstanding.put(parent_path, parent, header.zxid);
            let mut found = self.outstanding.find(tree, path);
            found.node = None;
            self.outstanding.put(path, found, header.zxid);
        }
        self.sessions.close(header.client_id, header.zxid);
        header.encode(out);
        CloseSessionTxn::write(paths.iter().map(String::as_str), out);
    }
}

impl Context<'_> {
    /// Whether the requester may do `wanted` to the node at `path`.
    pub(super) fn allow(
        &self,
        path: &str,
        node: &Projected,
        wanted: Perms,
    ) -> Result<(), ErrorCode> {
        let allowed = match &node.acl {
            ProjectedAcl::Open => true,
            ProjectedAcl::InTree => {
                let node = self.tree.get(path).expect("only nodes in the tree are projected so");
                auth::check(node.acl().raw(), wanted, self.ids)
            }
            ProjectedAcl::Changed(raw) => auth::check(raw, wanted, self.ids),
        };
        if allowed { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }
}

impl Sink<'_> {
    pub(super) fn put(&mut self, context: &Context<'_>, kind: OpCode, txn: &Txn<'_>) {
        match self {
            Self::Alone(out) => {
                TxnHeader { kind, ..context.header }.encode(out);
                txn.encode(out);
            }
            Self::Multi(out, writer) => writer.push(out, kind, txn),
        }
    }
}

/// Reads a request's record. `null` is the answer when a field is null that must not be: only
/// then does ZooKeeper get far enough to use up a zxid.
fn decode<'a, T: Decode<'a>>(body: &'a [u8], null: ErrorCode) -> Result<T, Refusal> {
    T::from_bytes(body).map_err(|error| match error {
        DecodeError::Null { .. } => Refusal::Logged(null),
        _ => Refusal::Unlogged(ErrorCode::MarshallingError),
    })
}

/// An ACL that `fix_up` accepted.
pub(super) fn fixed(raw: &[u8]) -> AclList<'_> {
    AclList::from_bytes(raw).expect("fix_up answers an encoded list")
}

pub(super) fn validate(path: &str) -> Result<(), ErrorCode> {
    path::validate(path).map_err(|_| ErrorCode::BadArguments)
}

/// The parent of a node that clients may delete, if the path is such. Nothing more is checked: a
/// path that no node can have is not found.
fn deletable(path: &str) -> Result<&str, ErrorCode> {
    let system = matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | CONFIG);
    match parent_of(path) {
        Some(parent) if !system && !path.contains('\0') => Ok(parent),
        _ => Err(ErrorCode::BadArguments),
    }
}

/// Whether a request that expects `expected` (-1: any) fits the present version.
fn expect_version(present: i32, expected: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == present { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// `Compat:` -1 is skipped, since a request that expects it takes any (ZOOKEEPER-4743).
fn version_after(present: i32) -> i32 {
    match present.wrapping_add(1) {
        -1 => 0,
        version => version,
    }
}

/// The transaction of a refused request.
fn put_refusal(header: TxnHeader, code: ErrorCode, out: &mut BytesMut) {
    TxnHeader { kind: OpCode::Error, ..header }.encode(out);
    Txn::Error { code: code.wire() }.encode(out);
}

/// `Compat:` a standalone ZooKeeper counts on into the epoch's half. A leader must end its epoch
/// before that.
fn next_zxid(last: Zxid) -> Zxid {
    Zxid(last.0 + 1)
}
