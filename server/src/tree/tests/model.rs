//! The tree as a plain map, and random histories that fit it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use bytes::BytesMut;
use proptest::prelude::*;
use quorate_protocol::{Acl, AclList, Decode, Encode, OpCode, Perms, SessionId, Stat, Zxid, path};

use crate::{
    tree::{NodeKind, Tree},
    txn::{
        CloseSessionTxn, CreateTtlTxn, CreateTxn, MultiTxn, MultiWriter, SetAclTxn, SetDataTxn,
        Txn, TxnDigest, TxnHeader, TxnRecord,
    },
    watch::ChangeKind,
};

/// What a history does next. Numbers choose among what there is at that moment.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Change(Op),
    Multi(Vec<Op>, bool),
    CloseSession { session: u8, listed: bool },
    CreateSession { session: u8 },
    Refusal,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create { parent: u8, name: u8, kind: u8, data: Option<u16>, acl: u8, old_record: bool },
    Delete { node: u8 },
    SetData { node: u8, data: Option<u16> },
    SetAcl { node: u8, acl: u8 },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let data = || prop::option::of(0_u16..700);
    let op = prop_oneof![
        6 => (any::<u8>(), 0_u8..6, 0_u8..6, data(), 0_u8..4, prop::bool::weighted(0.1)).prop_map(
            |(parent, name, kind, data, acl, old_record)| {
                Op::Create { parent, name, kind, data, acl, old_record }
            }
        ),
        3 => any::<u8>().prop_map(|node| Op::Delete { node }),
        4 => (any::<u8>(), data()).prop_map(|(node, data)| Op::SetData { node, data }),
        1 => (any::<u8>(), 0_u8..4).prop_map(|(node, acl)| Op::SetAcl { node, acl }),
    ];
    prop_oneof![
        20 => op.clone().prop_map(Step::Change),
        2 => (prop::collection::vec(op, 0..6), any::<bool>())
            .prop_map(|(ops, fails)| Step::Multi(ops, fails)),
        1 => (0_u8..3, any::<bool>())
            .prop_map(|(session, listed)| Step::CloseSession { session, listed }),
        1 => (0_u8..3).prop_map(|session| Step::CreateSession { session }),
        1 => Just(Step::Refusal),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct ModelNode {
    stat: Stat,
    create_count: i32,
    data: Option<Vec<u8>>,
    acl: Vec<u8>,
    kind: NodeKind,
}

/// The tree as a plain map. In `stat`, what follows from other nodes is left 0.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    nodes: BTreeMap<String, ModelNode>,
    sessions: BTreeMap<SessionId, i32>,
    zxid: i64,
}

/// A change as the sink gets it: kind, path, ACL, the parent's ACL.
pub(crate) type Seen = (ChangeKind, String, Vec<u8>, Vec<u8>);

const SESSIONS: [SessionId; 3] = [SessionId(1), SessionId(-5), SessionId(0x1234_5678_9abc_def0)];

fn acl(choice: u8) -> Vec<u8> {
    match choice {
        0 | 1 => AclList::OPEN.to_vec(),
        2 => [Acl::world(Perms::READ)].to_bytes().to_vec(),
        _ => [Acl::world(Perms::WRITE), Acl::world(Perms(choice.into()))].to_bytes().to_vec(),
    }
}

fn bytes(length: Option<u16>) -> Option<Vec<u8>> {
    length.map(|length| (0..length).map(|i| (i * 7 % 251).to_le_bytes()[0]).collect())
}

/// An operation's record, owning what it needs.
struct Made {
    kind: OpCode,
    bytes: BytesMut,
}

impl Model {
    pub(crate) fn new() -> Self {
        let mut model = Self { nodes: BTreeMap::new(), sessions: BTreeMap::new(), zxid: 0 };
        for (path, aversion) in
            [("/", 0), ("/zookeeper", 0), ("/zookeeper/quota", 0), ("/zookeeper/config", -1)]
        {
            let stat = Stat { aversion, ..Stat::default() };
            let acl = acl(if aversion == 0 { 0 } else { 2 });
            let node = ModelNode {
                stat,
                create_count: 0,
                data: Some(Vec::new()),
                acl,
                kind: NodeKind::Persistent,
            };
            model.nodes.insert(path.to_owned(), node);
        }
        model
    }

    /// Makes the step's transaction, with the digest the tree will have, and does the same here.
    /// Returns its bytes and the changes the sink has to see.
    pub(crate) fn step(&mut self, step: &Step) -> (BytesMut, Vec<Seen>) {
        self.zxid += 1;
        let mut seen = Vec::new();
        let mut client = SESSIONS[0];
        let made = match step {
            Step::Change(op) => {
                if let Op::Create { kind, .. } = op {
                    client = SESSIONS[usize::from(*kind) % 3];
                }
                self.op(op, client, &mut seen).unwrap_or_else(refusal)
            }
            Step::Multi(ops, fails) => {
                let mut result = self.clone();
                let mut changes = Vec::new();
                let mut out = BytesMut::new();
                let mut writer = MultiWriter::begin(&mut out);
                for made in ops.iter().filter_map(|op| result.op(op, client, &mut changes)) {
                    let txn =
                        Txn::decode(made.kind, &mut quorate_protocol::Decoder::new(&made.bytes));
                    writer.push(&mut out, made.kind, &txn.unwrap());
                }
                if *fails {
                    writer.push(&mut out, OpCode::Error, &Txn::Error { code: -101 });
                } else {
                    *self = result;
                    seen = changes;
                }
                writer.finish(&mut out);
                assert!(MultiTxn::from_bytes(&out).is_ok());
                Made { kind: OpCode::Multi, bytes: out }
            }
            Step::CloseSession { session, listed } => {
                client = SESSIONS[usize::from(*session)];
                self.sessions.remove(&client);
                let owned: Vec<_> = self
                    .nodes
                    .iter()
                    .filter(|(_, node)| node.kind == NodeKind::Ephemeral(client))
                    .map(|(path, _)| path.clone())
                    .collect();
                for path in &owned {
                    self.delete(path, &mut seen);
                }
                let mut out = BytesMut::new();
                if *listed {
                    CloseSessionTxn::write(owned.iter().map(String::as_str), &mut out);
                }
                Made { kind: OpCode::CloseSession, bytes: out }
            }
            Step::CreateSession { session } => {
                client = SESSIONS[usize::from(*session)];
                self.sessions.insert(client, 4000);
                let bytes = Txn::CreateSession { timeout_ms: 4000 }.to_bytes();
                Made { kind: OpCode::CreateSession, bytes }
            }
            Step::Refusal => refusal(),
        };
        let header = TxnHeader {
            client_id: client,
            cxid: 1,
            zxid: Zxid(self.zxid),
            time_ms: self.time(),
            kind: made.kind,
        };
        let mut out = header.to_bytes();
        out.extend_from_slice(&made.bytes);
        let digest = TxnDigest { version: 2, tree_digest: self.digest() };
        // A create of an old server, whose parent's version is found missing by the end of the
        // bytes, has no digest either.
        if TxnRecord::from_bytes(&out).is_ok_and(|record| !is_old_create(&record)) {
            digest.encode(&mut out);
        }
        (out, seen)
    }

    fn op(&mut self, op: &Op, client: SessionId, seen: &mut Vec<Seen>) -> Option<Made> {
        match op {
            Op::Create { parent, name, kind, data, acl, old_record } => {
                let parent = self.pick(*parent).to_owned();
                self.create(&parent, *name, *kind, (*data, *acl), *old_record, client, seen)
            }
            Op::Delete { node } => {
                let path = self.pick(*node).to_owned();
                let is_system = path == "/" || path.starts_with("/zookeeper");
                if is_system || self.children(&path).next().is_some() {
                    return None;
                }
                self.delete(&path, seen);
                let container = node % 2 == 0;
                let path = Cow::Owned(path);
                Some(if container {
                    made(OpCode::DeleteContainer, &Txn::DeleteContainer { path })
                } else {
                    made(OpCode::Delete, &Txn::Delete { path })
                })
            }
            Op::SetData { node, data } => {
                let path = self.pick(*node).to_owned();
                let data = bytes(*data);
                let (zxid, time) = (Zxid(self.zxid), self.time());
                let node = self.nodes.get_mut(&path)?;
                node.stat = Stat {
                    mzxid: zxid,
                    mtime: time,
                    version: node.stat.version + 1,
                    data_length: data.as_ref().map_or(0, |data| data.len().try_into().unwrap()),
                    ..node.stat
                };
                node.data.clone_from(&data);
                let version = node.stat.version;
                let open = AclList::OPEN.to_vec();
                seen.push((ChangeKind::DataChanged, path.clone(), node.acl.clone(), open));
                let path = Cow::Owned(path);
                let set = SetDataTxn { path, data: data.as_deref(), version };
                Some(made(OpCode::SetData, &Txn::SetData(set)))
            }
            Op::SetAcl { node, acl: choice } => {
                let path = self.pick(*node).to_owned();
                let node = self.nodes.get_mut(&path)?;
                node.acl = acl(*choice);
                node.stat.aversion += 1;
                let version = node.stat.aversion;
                let acl = AclList::from_bytes(&node.acl).unwrap();
                let set = SetAclTxn { path: Cow::Owned(path), acl, version };
                Some(made(OpCode::SetAcl, &Txn::SetAcl(set)))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that a create can differ in")]
    fn create(
        &mut self,
        parent: &str,
        name: u8,
        kind: u8,
        (data, acl_choice): (Option<u16>, u8),
        old_record: bool,
        client: SessionId,
        seen: &mut Vec<Seen>,
    ) -> Option<Made> {
        let name = ["a", "b", "c", "quite-a-long-name-of-a-node", "\u{e9}\u{4e2d}", "-"]
            [usize::from(name)];
        let path = format!("{}/{name}", parent.trim_end_matches('/'));
        let is_ephemeral = matches!(self.nodes[parent].kind, NodeKind::Ephemeral(_));
        // Usage below /zookeeper/quota is another test's.
        if is_ephemeral || parent.starts_with("/zookeeper/quota") || self.nodes.contains_key(&path)
        {
            return None;
        }
        let zxid = Zxid(self.zxid);
        let time = self.time();
        let (kind, code) = match kind {
            0 => (NodeKind::Ephemeral(client), OpCode::Create),
            1 => (NodeKind::Container, OpCode::CreateContainer),
            2 => (NodeKind::Ttl(1000), OpCode::CreateTtl),
            3 => (NodeKind::Persistent, OpCode::Create2),
            _ => (NodeKind::Persistent, OpCode::Create),
        };
        let data = bytes(data);
        let acl = acl(acl_choice);
        let above = self.nodes.get_mut(parent)?;
        above.create_count += 1;
        above.stat.pzxid = zxid;
        let parent_cversion = above.create_count;
        let parent_acl = above.acl.clone();
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: match kind {
                NodeKind::Ephemeral(owner) => owner,
                _ => SessionId::NONE,
            },
            data_length: data.as_ref().map_or(0, |data| data.len().try_into().unwrap()),
            ..Stat::default()
        };
        seen.push((ChangeKind::Created, path.clone(), acl.clone(), parent_acl));
        let node = ModelNode { stat, create_count: 0, data: data.clone(), acl: acl.clone(), kind };
        self.nodes.insert(path.clone(), node);
        let path = Cow::Owned(path);
        let data = data.as_deref();
        let acl = AclList::from_bytes(&acl).unwrap();
        if let NodeKind::Ttl(ttl_ms) = kind {
            let create = CreateTtlTxn { path, data, acl, parent_cversion, ttl_ms };
            return Some(made(code, &Txn::CreateTtl(create)));
        }
        let old_record = old_record && kind != NodeKind::Container;
        let create = CreateTxn {
            path,
            data,
            acl,
            ephemeral: matches!(kind, NodeKind::Ephemeral(_)),
            parent_cversion: (!old_record).then_some(parent_cversion),
        };
        Some(made(
            code,
            &if kind == NodeKind::Container {
                Txn::CreateContainer(create)
            } else {
                Txn::Create(create)
            },
        ))
    }

    fn delete(&mut self, path: &str, seen: &mut Vec<Seen>) {
        let node = self.nodes.remove(path).unwrap();
        let (parent, _) = path::split(path).unwrap();
        let parent = self.nodes.get_mut(parent).unwrap();
        parent.stat.pzxid = Zxid(self.zxid);
        seen.push((ChangeKind::Deleted, path.to_owned(), node.acl, parent.acl.clone()));
    }

    fn pick(&self, choice: u8) -> &str {
        let index = usize::from(choice) % self.nodes.len();
        self.nodes.keys().nth(index).unwrap()
    }

    fn time(&self) -> i64 {
        // Clocks go back at times.
        1_700_000_000_000 + self.zxid * 1000 % 7919
    }

    fn children<'m>(&'m self, path: &'m str) -> impl Iterator<Item = &'m str> {
        self.nodes.keys().filter_map(move |key| match path::split(key) {
            Some((parent, name)) if parent == path => Some(name),
            _ => None,
        })
    }

    fn digest(&self) -> u64 {
        self.nodes.iter().map(|(path, node)| u64::from(node.digest(path))).sum()
    }

    /// Compares everything that can be seen of the tree.
    pub(crate) fn compare(&self, tree: &Tree) {
        assert_eq!(tree.last_zxid(), Zxid(self.zxid));
        assert_eq!(tree.digest(), self.digest());
        assert_eq!(tree.verify_digests(), Ok(()));
        assert_eq!(tree.sessions(), &self.sessions);
        assert_eq!(tree.node_count(), self.nodes.len() + 1);
        let mut size = 0;
        for (path, expected) in &self.nodes {
            let node = tree.get(path).unwrap_or_else(|| panic!("{path} is missing"));
            let children: BTreeSet<_> = node.children().collect();
            let expected_children: BTreeSet<_> = self.children(path).collect();
            assert_eq!(children, expected_children, "{path}");
            let num_children = i32::try_from(children.len()).unwrap();
            let cversion = 2 * expected.create_count - num_children;
            let stat = Stat { num_children, cversion, ..expected.stat };
            assert_eq!(node.stat(), stat, "{path}");
            assert_eq!(node.data(), expected.data.as_deref(), "{path}");
            assert_eq!(node.acl().raw(), expected.acl, "{path}");
            assert_eq!(node.kind(), expected.kind, "{path}");
            assert_eq!(node.create_count(), expected.create_count, "{path}");
            assert_eq!(node.digest(), expected.digest(path), "{path}");
            assert_eq!(&node.path(), path);
            assert_eq!(node.child_nodes().count(), children.len());
            let prefix = format!("{}/", path.trim_end_matches('/'));
            let below = self.nodes.keys().filter(|key| key.starts_with(&prefix) && *key != path);
            assert_eq!(node.descendant_count(), below.count(), "{path}");
            size += path.encode_utf16().count() + expected.data.as_ref().map_or(0, Vec::len);
        }
        assert_eq!(tree.data_size(), size as u64);
        let ephemeral = |owner| {
            let is_owned =
                move |(_, node): &(&String, &ModelNode)| node.kind == NodeKind::Ephemeral(owner);
            self.nodes.iter().filter(is_owned).map(|(path, _)| path.clone()).collect::<Vec<_>>()
        };
        for owner in SESSIONS {
            assert_eq!(tree.ephemerals(owner), ephemeral(owner));
        }
        let owners: Vec<_> = tree.ephemeral_owners().collect();
        let count = owners.iter().map(|&owner| ephemeral(owner).len()).sum::<usize>();
        assert_eq!(tree.ephemeral_count(), count);
    }
}

impl ModelNode {
    fn digest(&self, path: &str) -> u32 {
        if path.starts_with("/zookeeper/") {
            return 0;
        }
        let mut all = if path == "/" { Vec::new() } else { path.as_bytes().to_vec() };
        all.extend_from_slice(self.data.as_deref().unwrap_or_default());
        let stat = &self.stat;
        for long in [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime, stat.mtime] {
            all.extend(long.to_be_bytes());
        }
        for int in [stat.version, self.create_count, stat.aversion] {
            all.extend(int.to_be_bytes());
        }
        all.extend(match self.kind {
            NodeKind::Persistent => [0; 8],
            NodeKind::Ephemeral(owner) => owner.0.to_be_bytes(),
            NodeKind::Container => [0x80, 0, 0, 0, 0, 0, 0, 0],
            NodeKind::Ttl(ms) => (0xff00_0000_0000_0000 | ms.cast_unsigned()).to_be_bytes(),
        });
        crc32fast::hash(&all)
    }
}

fn made(kind: OpCode, txn: &Txn<'_>) -> Made {
    Made { kind, bytes: txn.to_bytes() }
}

fn refusal() -> Made {
    made(OpCode::Error, &Txn::Error { code: -101 })
}

fn is_old_create(record: &TxnRecord<'_>) -> bool {
    matches!(&record.txn, Txn::Create(create) if create.parent_cversion.is_none())
}
