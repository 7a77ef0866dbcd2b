//! Creating nodes of every kind.

use std::borrow::Cow;

use quorate_protocol::{
    AclList, ErrorCode, OpCode, Perms,
    record::{CreateMode, CreateRequest, CreateTtlRequest},
};

use super::{
    outstanding::{Projected, length_of, parent_of},
    prepare::{Context, Preparer, Sink, fixed, validate},
};
use crate::{
    tree::NodeKind,
    txn::{CreateTtlTxn, CreateTxn, Txn, TxnHeader},
};

/// The longest time to live, in milliseconds: what fits beside the mark of a TTL node's owner.
const TTL_MAX_MS: i64 = 0xff_ffff_ffff;

/// What a request to create a node says, whichever operation it uses.
#[derive(Debug, Clone)]
pub(super) struct Create<'a> {
    /// The operation, which is the transaction's kind too.
    op: OpCode,
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: AclList<'a>,
    flags: i32,
    /// Only of [`OpCode::CreateTtl`].
    ttl_ms: Option<i64>,
}

impl<'a> Create<'a> {
    /// `create`, `create2` or `createContainer`.
    pub(super) fn new(op: OpCode, request: &'a CreateRequest<'_>) -> Self {
        let CreateRequest { ref path, data, acl, flags } = *request;
        Self { op, path, data, acl, flags, ttl_ms: None }
    }

    /// `createTTL`.
    pub(super) fn with_ttl(request: &'a CreateTtlRequest<'_>) -> Self {
        let CreateTtlRequest { ref path, data, acl, flags, ttl } = *request;
        Self { op: OpCode::CreateTtl, path, data, acl, flags, ttl_ms: Some(ttl) }
    }

    /// `createTTL` whose flags ask for no TTL, in a multi. `Compat:` the mode decides there
    /// (`Op.create`), and the time to live is ignored.
    pub(super) fn without_ttl(request: &'a CreateTtlRequest<'_>) -> Self {
        let op = match CreateMode::from_flags(request.flags) {
            Some(CreateMode::Container) => OpCode::CreateContainer,
            _ => OpCode::Create,
        };
        Self { op, ttl_ms: None, ..Self::with_ttl(request) }
    }

    /// Which kind of node it makes, numbered or not.
    fn mode(&self, extended_types: bool) -> Result<(CreateMode, Option<i64>), ErrorCode> {
        let mode = CreateMode::from_flags(self.flags).ok_or(ErrorCode::BadArguments)?;
        if mode.has_ttl() && !extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        match self.ttl_ms {
            None if !mode.has_ttl() => Ok((mode, None)),
            Some(ttl_ms @ 1..=TTL_MAX_MS) if mode.has_ttl() => Ok((mode, Some(ttl_ms))),
            _ => Err(ErrorCode::BadArguments),
        }
    }
}

impl Preparer {
    pub(super) fn create(
        &mut self,
        context: &Context<'_>,
        request: &Create<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ErrorCode> {
        let Context { tree, header, is_local, .. } = *context;
        let (mode, ttl_ms) = request.mode(self.settings.extended_types)?;
        if mode.is_ephemeral() {
            self.sessions.check_owner(header.client_id, is_local)?;
        } else {
            self.sessions.check(header.client_id, is_local)?;
        }
        let parent_path = parent_of(request.path).filter(|_| !request.path.contains('\0'));
        let parent_path = parent_path.ok_or(ErrorCode::BadArguments)?;
        let raw = self.settings.schemes.fix_up(request.acl, context.ids)?;

        let mut found_parent = self.outstanding.find(tree, parent_path);
        let parent = found_parent.existing()?;
        context.allow(parent_path, parent, Perms::CREATE)?;
        let path = if mode.is_sequential() {
            Cow::Owned(format!("{}{:010}", request.path, parent.parts.create_count))
        } else {
            Cow::Borrowed(request.path)
        };
        validate(&path)?;
        let mut found = self.outstanding.find(tree, &path);
        if found.node.is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(parent.parts.kind, NodeKind::Ephemeral(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        self.check_quota(tree, &path, length_of(request.data), 1)?;

        let acl = fixed(&raw);
        // `Compat:` the operation decides before the flags: `create` with a container's flag makes
        // a persistent node, `createContainer` a container whatever its flags. ZooKeeper goes by
        // the flags when it projects the digest, and then logs one that its own tree does not have.
        let kind = match (request.op, ttl_ms) {
            (OpCode::CreateContainer, _) => NodeKind::Container,
            (_, Some(ttl_ms)) => NodeKind::Ttl(ttl_ms),
            _ if mode.is_ephemeral() => NodeKind::Ephemeral(header.client_id),
            _ => NodeKind::Persistent,
        };
        let parent_cversion = parent.child_created(header.zxid);
        let TxnHeader { zxid, time_ms, .. } = header;
        found.node = Some(Projected::created(kind, &path, request.data, acl, zxid, time_ms));
        self.outstanding.put(parent_path, found_parent, zxid);
        self.outstanding.put(&path, found, zxid);

        let (path, data) = (Cow::Borrowed(&*path), request.data);
        let txn = if let NodeKind::Ttl(ttl_ms) = kind {
            Txn::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion, ttl_ms })
        } else {
            let ephemeral = matches!(kind, NodeKind::Ephemeral(_));
            let parent_cversion = Some(parent_cversion);
            let txn = CreateTxn { path, data, acl, ephemeral, parent_cversion };
            if kind == NodeKind::Container { Txn::CreateContainer(txn) } else { Txn::Create(txn) }
        };
        sink.put(context, request.op, &txn);
        Ok(())
    }
}
