//! Applying transactions.
//!
//! Follows `DataTree.processTxn` and the methods it calls, in what changes and in the order in
//! which watchers learn of it.

use quorate_protocol::{AclList, ErrorCode, OpCode, SessionId, Stat, Zxid, path};

use super::{
    CONFIG, Node, NodeKind, SYSTEM_PATHS, Tree,
    digest::{ContentCrc, node_digest},
    length,
    packed::Facts,
    path_units,
    store::Extra,
};
use crate::{
    txn::{CreateTxn, MultiTxn, SetAclTxn, SetDataTxn, Txn, TxnDigest, TxnHeader, TxnRecord},
    watch::{Change, ChangeKind},
};

/// Gets every change as it happens.
type Sink<'s> = dyn FnMut(Change<'_>) + 's;

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why the request was refused, or OK. OK for every multi: its operations have their own.
    pub error: ErrorCode,
    /// The node's `Stat` right after a create, setData or setACL. A plain create is answered
    /// without one, so it has none.
    pub stat: Option<Stat>,
    /// For a multi, an entry for each operation.
    pub multi: Vec<OpOutcome>,
    /// The tree is not what the maker of the transaction expected.
    pub digest_mismatch: Option<DigestMismatch>,
}

impl Outcome {
    /// Has the request refused for another reason, if this one was it.
    pub fn replace_error(&mut self, reason: ErrorCode, by: ErrorCode) {
        let of_ops = self.multi.iter_mut().map(|op| &mut op.error);
        for error in of_ops.chain([&mut self.error]) {
            if *error == reason {
                *error = by;
            }
        }
    }
}

/// What came of an operation in a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpOutcome {
    /// What it was; [`OpCode::Error`] for every operation of a multi that failed.
    pub kind: OpCode,
    /// `Compat:` of a failed multi, OK before the failing operation, its code, and
    /// RUNTIMEINCONSISTENCY behind it.
    pub error: ErrorCode,
    /// As in [`Outcome`].
    pub stat: Option<Stat>,
}

/// Two digests that should be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestMismatch {
    /// The one in the transaction.
    pub expected: u64,
    /// The tree's.
    pub found: u64,
}

/// What one change of the tree comes to.
type Applied = Result<Option<Stat>, ErrorCode>;

/// A node to create, whatever kind of record it came in.
struct NewNode<'a> {
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: AclList<'a>,
    kind: NodeKind,
    parent_cversion: Option<i32>,
}

impl Tree {
    /// Applies a transaction. `sink` gets each change of a node right after it was made.
    ///
    /// # Panics
    /// When the transaction does not fit the tree: the state it was made for is not this one, and
    /// a stopped replica is safer than a diverged one. See [`Tree::set_lenient`].
    pub fn apply(&mut self, record: &TxnRecord<'_>, sink: &mut Sink<'_>) -> Outcome {
        let header = &record.header;
        assert!(
            self.lenient || header.zxid > self.last_zxid,
            "transaction {} comes behind {}",
            header.zxid,
            self.last_zxid
        );
        let (applied, multi) = match &record.txn {
            Txn::Multi(multi) => (Ok(None), self.apply_multi(header, multi, sink)),
            txn => (self.apply_one(header, header.kind, txn, sink), Vec::new()),
        };
        self.last_zxid = header.zxid;
        let digest_mismatch = record
            .digest
            .filter(|digest| digest.version == TxnDigest::VERSION)
            .filter(|digest| digest.tree_digest != self.digest)
            .map(|digest| DigestMismatch { expected: digest.tree_digest, found: self.digest });
        let error = applied.err().unwrap_or(ErrorCode::Ok);
        Outcome { error, stat: applied.ok().flatten(), multi, digest_mismatch }
    }

    fn apply_multi(
        &mut self,
        header: &TxnHeader,
        multi: &MultiTxn<'_>,
        sink: &mut Sink<'_>,
    ) -> Vec<OpOutcome> {
        let failed = multi.error().is_some();
        let apply = |(kind, txn): (OpCode, Txn<'_>)| {
            let (kind, applied) = match txn {
                Txn::Error { code } => (OpCode::Error, Err(error_code(code))),
                _ if failed => (OpCode::Error, Ok(None)),
                txn => (kind, self.apply_one(header, kind, &txn, sink)),
            };
            let error = applied.err().unwrap_or(ErrorCode::Ok);
            OpOutcome { kind, error, stat: applied.ok().flatten() }
        };
        multi.ops().map(apply).collect()
    }

    fn apply_one(
        &mut self,
        header: &TxnHeader,
        kind: OpCode,
        txn: &Txn<'_>,
        sink: &mut Sink<'_>,
    ) -> Applied {
        match txn {
            Txn::Create(create) => {
                let node_kind = if create.ephemeral {
                    NodeKind::Ephemeral(header.client_id)
                } else {
                    NodeKind::Persistent
                };
                let slot = self.create(header, &NewNode::of(create, node_kind), sink)?;
                Ok((kind == OpCode::Create2).then(|| self.stat(slot)))
            }
            Txn::CreateContainer(create) => {
                let slot = self.create(header, &NewNode::of(create, NodeKind::Container), sink)?;
                Ok(Some(self.stat(slot)))
            }
            Txn::CreateTtl(create) => {
                let new = NewNode {
                    path: &create.path,
                    data: create.data,
                    acl: create.acl,
                    kind: NodeKind::Ttl(create.ttl_ms),
                    parent_cversion: Some(create.parent_cversion),
                };
                let slot = self.create(header, &new, sink)?;
                Ok(Some(self.stat(slot)))
            }
            Txn::Delete { path } | Txn::DeleteContainer { path } => {
                self.delete(header, path, sink)?;
                Ok(None)
            }
            Txn::SetData(set) | Txn::Reconfig(set) => self.set_data(header, set, sink),
            Txn::SetAcl(set) => self.set_acl(header, set),
            Txn::Check { .. } => Ok(None),
            Txn::Error { code } => Err(error_code(*code)),
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(header.client_id, *timeout_ms);
                Ok(None)
            }
            Txn::CloseSession(close) => {
                // A node that does not fit (see `misfit`) does not keep the session alive.
                for path in close.paths() {
                    _ = self.delete(header, &path, sink);
                }
                // Records of old servers list nothing.
                for path in self.ephemerals(header.client_id) {
                    _ = self.delete(header, &path, sink);
                }
                self.sessions.remove(&header.client_id);
                Ok(None)
            }
            Txn::Multi(_) => unreachable!("a multi's operations are no multis"),
        }
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        new: &NewNode<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<u32, ErrorCode> {
        let Some((parent_path, name)) = path::split(new.path) else {
            return Err(self.misfit(header, new.path, ErrorCode::NodeExists));
        };
        let Some(parent) = self.find(parent_path) else {
            return Err(self.misfit(header, new.path, ErrorCode::NoNode));
        };
        let hash = self.index.hash(parent, name.as_bytes());
        if let Some(present) = self.child_by_hash(hash, parent, name.as_bytes()) {
            let error = self.misfit(header, new.path, ErrorCode::NodeExists);
            self.count_create(parent, parent_path, new.parent_cversion, header.zxid);
            // `Compat:` as in `DataTree.createNode`. The node may have come with an ACL that was
            // not known; one set later comes again, too.
            self.replace_acl(present, new.acl);
            return Err(error);
        }
        let (zxid, time) = (header.zxid, header.time_ms);
        let acl = self.acls.acquire(new.acl);
        let facts = Facts { czxid: zxid, ctime: time, mzxid: zxid, mtime: time, version: 0, acl };
        let slot = self.store.insert(name.as_bytes(), &facts, new.data);
        self.changes.touch(slot, || None);
        let parent_facts = self.count_create(parent, parent_path, new.parent_cversion, zxid);
        self.attach(slot, parent, hash);
        self.nodes += 1;
        self.data_size += path_units(new.path) + length(new.data);
        match new.kind {
            NodeKind::Persistent => {}
            NodeKind::Ephemeral(owner) => self.ephemerals.insert(owner, slot),
            NodeKind::Container | NodeKind::Ttl(_) => _ = self.reapable.insert(slot),
        }
        let digest = if new.kind == NodeKind::Persistent {
            let content = ContentCrc::of(new.path, new.data);
            node_digest(content, &Extra::of_leaf(zxid).digest_parts(&facts))
        } else {
            let extra = self.store.need_extra(slot, new.path);
            extra.kind = new.kind;
            extra.digest(&facts)
        };
        self.set_digest(slot, digest);
        self.quota_node_created(new.path);
        self.charge_quota(new.path, length(new.data).cast_signed(), 1);
        sink(Change {
            kind: ChangeKind::Created,
            path: new.path,
            zxid,
            acl: self.acls.get(acl).raw(),
            parent_acl: self.acls.get(parent_facts.acl).raw(),
        });
        Ok(slot)
    }

    /// A child was created: counts it as the transaction says. `Compat:` `DataTree.createNode`
    /// never lowers the counter, and leaves pzxid alone with it.
    fn count_create(
        &mut self,
        parent: u32,
        path: &str,
        cversion: Option<i32>,
        zxid: Zxid,
    ) -> Facts {
        self.change_extra(parent, path, |extra| {
            let count = match cversion {
                None | Some(-1) => extra.create_count.wrapping_add(1),
                Some(count) => count,
            };
            if count > extra.create_count {
                (extra.create_count, extra.pzxid) = (count, zxid);
            }
        })
    }

    fn delete(
        &mut self,
        header: &TxnHeader,
        path: &str,
        sink: &mut Sink<'_>,
    ) -> Result<(), ErrorCode> {
        let Some((parent_path, name)) = path::split(path) else {
            return Err(self.misfit(header, path, ErrorCode::BadArguments));
        };
        let Some(parent) = self.find(parent_path) else {
            return Err(self.misfit(header, path, ErrorCode::NoNode));
        };
        let hash = self.index.hash(parent, name.as_bytes());
        let Some(slot) = self.child_by_hash(hash, parent, name.as_bytes()) else {
            let error = self.misfit(header, path, ErrorCode::NoNode);
            self.raise_pzxid(parent, parent_path, header.zxid);
            return Err(error);
        };
        if (slot as usize) < SYSTEM_PATHS.len() {
            return Err(self.misfit(header, path, ErrorCode::BadArguments));
        }
        let node = Node::new(self, slot);
        if node.child_count() > 0 {
            return Err(self.misfit(header, path, ErrorCode::NotEmpty));
        }
        let (kind, acl, bytes) = (node.kind(), node.acl().id(), length(node.data()));
        self.touch(slot);
        match kind {
            NodeKind::Persistent => {}
            NodeKind::Ephemeral(owner) => self.ephemerals.remove(owner, slot),
            NodeKind::Container | NodeKind::Ttl(_) => _ = self.reapable.remove(&slot),
        }
        self.set_digest(slot, 0);
        self.detach(slot, hash);
        self.store.remove(slot);
        self.nodes -= 1;
        self.data_size -= path_units(path) + bytes;
        let parent_facts = self.raise_pzxid(parent, parent_path, header.zxid);
        self.charge_quota(path, -bytes.cast_signed(), -1);
        sink(Change {
            kind: ChangeKind::Deleted,
            path,
            zxid: header.zxid,
            acl: self.acls.get(acl).raw(),
            parent_acl: self.acls.get(parent_facts.acl).raw(),
        });
        self.acls.release(acl);
        Ok(())
    }

    /// A child was deleted. `Compat:` `DataTree.deleteNode` never lowers pzxid.
    fn raise_pzxid(&mut self, parent: u32, path: &str, zxid: Zxid) -> Facts {
        self.change_extra(parent, path, |extra| extra.pzxid = extra.pzxid.max(zxid))
    }

    /// Changes what a node's extra says, and its digest with it. Returns the node's other numbers.
    fn change_extra(&mut self, slot: u32, path: &str, change: impl FnOnce(&mut Extra)) -> Facts {
        self.touch(slot);
        let facts = self.store.packed(slot).facts;
        let extra = self.store.need_extra(slot, path);
        change(extra);
        let digest = extra.digest(&facts);
        self.set_digest(slot, digest);
        facts
    }

    /// Sets the data of `/zookeeper/config` to a configuration that is in force and in no transaction.
    ///
    /// Compat: it has no version of its own, and its mzxid is the configuration's version. No digest
    /// counts the node. ZooKeeper notes its own time; here all servers show the same.
    pub fn set_configuration(&mut self, text: &[u8], version: i64, sink: &mut Sink<'_>) {
        let header = TxnHeader {
            client_id: SessionId::NONE,
            cxid: 0,
            zxid: Zxid(version),
            time_ms: 0,
            kind: OpCode::Reconfig,
        };
        let set = SetDataTxn { path: CONFIG.into(), data: Some(text), version: -1 };
        // Compat: in a tree of before ZooKeeper 3.5 it may not be there.
        if self.find(CONFIG).is_some() {
            _ = self.set_data(&header, &set, sink);
        }
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        set: &SetDataTxn<'_>,
        sink: &mut Sink<'_>,
    ) -> Applied {
        let Some(slot) = self.find(&set.path) else {
            return Err(self.misfit(header, &set.path, ErrorCode::NoNode));
        };
        self.touch(slot);
        let packed = self.store.packed(slot);
        let old_length = length(packed.data);
        let facts = Facts {
            mzxid: header.zxid,
            mtime: header.time_ms,
            version: set.version,
            ..packed.facts
        };
        self.store.rewrite(slot, &facts, set.data);
        self.data_size = self.data_size - old_length + length(set.data);
        let content = ContentCrc::of(&set.path, set.data);
        if let Some(extra) = self.store.own_extra_mut(slot) {
            extra.content = content;
        }
        let extra = self.store.extra(slot, facts.czxid);
        self.set_digest(slot, node_digest(content, &extra.digest_parts(&facts)));
        self.charge_quota(&set.path, length(set.data).wrapping_sub(old_length).cast_signed(), 0);
        sink(Change {
            kind: ChangeKind::DataChanged,
            path: &set.path,
            zxid: header.zxid,
            acl: self.acls.get(facts.acl).raw(),
            // No watch on children fires.
            parent_acl: AclList::OPEN,
        });
        Ok(Some(extra.stat(&facts, set.data)))
    }

    fn set_acl(&mut self, header: &TxnHeader, set: &SetAclTxn<'_>) -> Applied {
        let Some(slot) = self.find(&set.path) else {
            return Err(self.misfit(header, &set.path, ErrorCode::NoNode));
        };
        self.replace_acl(slot, set.acl);
        self.change_extra(slot, &set.path, |extra| extra.aversion = set.version);
        Ok(Some(self.stat(slot)))
    }

    fn replace_acl(&mut self, slot: u32, acl: AclList<'_>) {
        self.touch(slot);
        let packed = self.store.packed(slot);
        let data = packed.data.map(<[u8]>::to_vec);
        let old = packed.facts;
        let facts = Facts { acl: self.acls.acquire(acl), ..old };
        self.acls.release(old.acl);
        self.store.rewrite(slot, &facts, data.as_deref());
    }

    /// A transaction does not fit the tree. The one place that decides what then: the process
    /// ends, unless the tree's beginning was not exact.
    fn misfit(&self, header: &TxnHeader, path: &str, error: ErrorCode) -> ErrorCode {
        assert!(
            self.lenient,
            "transaction {} ({}) does not fit the tree at {}: {error} at {path}",
            header.zxid, header.kind, self.last_zxid
        );
        error
    }

    fn stat(&self, slot: u32) -> Stat {
        Node::new(self, slot).stat()
    }
}

impl<'a> NewNode<'a> {
    fn of(create: &'a CreateTxn<'_>, kind: NodeKind) -> Self {
        Self {
            path: &create.path,
            data: create.data,
            acl: create.acl,
            kind,
            parent_cversion: create.parent_cversion,
        }
    }
}

fn error_code(number: i32) -> ErrorCode {
    ErrorCode::from_wire(number).unwrap_or(ErrorCode::SystemError)
}
