use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use quorate_protocol::{Acl, Encode, Perms, codec::PutJute};

use super::*;
use crate::{
    peer::testdata,
    tree::{
        Node, NodeKind, Tree,
        tests::model::{self, Model, Op, Step},
    },
    txn::TxnRecord,
};
use bytes::BytesMut;
use quorate_protocol::{Decode, SessionId, Zxid};

const LIMIT: usize = 4096;

fn written(tree: &Tree) -> BytesMut {
    let mut out = BytesMut::new();
    assert!(!SnapshotWriter::new(tree).write(&mut out, usize::MAX));
    out
}

fn received(zxid: Zxid, bytes: &[u8]) -> Result<Box<Tree>, SnapshotError> {
    let mut input = BytesMut::from(bytes);
    match SnapshotReceiver::new(zxid, LIMIT, 9).receive(&mut input)? {
        Received::Tree(tree) => {
            assert!(input.is_empty());
            Ok(tree)
        }
        Received::Incomplete => panic!("{} bytes are not all", bytes.len()),
    }
}

/// What can be seen of a tree, in one order.
fn content(tree: &Tree) -> impl PartialEq + std::fmt::Debug {
    let mut nodes: Vec<_> = tree
        .nodes()
        .map(|node| {
            let data = node.data().map(<[u8]>::to_vec);
            (node.path(), node.stat(), node.kind(), data, node.acl().raw().to_vec(), node.digest())
        })
        .collect();
    nodes.sort_by(|a, b| a.0.cmp(&b.0));
    (nodes, tree.sessions().clone(), tree.digest(), tree.data_size(), tree.last_zxid())
}

#[test]
fn a_new_tree_goes_there_and_back() {
    let tree = Tree::new(1);
    let bytes = written(&tree);
    let again = received(Zxid::ZERO, &bytes).unwrap();
    assert_eq!(content(&again), content(&tree));
    assert_eq!(again.verify_digests(), Ok(()));
    assert_eq!((again.node_count(), again.digest()), (5, 1_371_985_504));
}

/// The file of a real server: every kind of node, and the digest that the server had.
#[test]
fn a_real_snapshot_is_the_real_tree() {
    let (body, zxid, digest) = testdata::snapshot_file();
    let tree = received(zxid, &body).unwrap();
    assert_eq!((tree.digest(), tree.last_zxid()), (digest, zxid));
    assert_eq!(tree.verify_digests(), Ok(()));
    assert!(!tree.has_unknown_acls());

    let get = |path: &str| tree.get(path).unwrap_or_else(|| panic!("{path}"));
    let owner = *tree.sessions().keys().next().unwrap();
    assert_eq!(tree.sessions().values().collect::<Vec<_>>(), [&30_000, &30_000]);
    assert_eq!(tree.ephemerals(owner), ["/eph", "/eph-seq-0000000005"]);
    assert_eq!(get("/eph").kind(), NodeKind::Ephemeral(owner));
    assert_eq!(get("/container").kind(), NodeKind::Container);
    assert_eq!(get("/ttl").kind(), NodeKind::Ttl(3_600_000));
    assert_eq!((get("/app/null").data(), get("/app/empty").data()), (None, Some(&b""[..])));
    let app = get("/app").stat();
    assert_eq!((app.version, app.cversion, app.num_children), (2, 9, 7));
    assert_eq!(get("/guarded").acl().list().iter().count(), 2);
    assert_eq!(get("/guarded-too").acl().id(), get("/zookeeper/config").acl().id());
    assert!(get("/app").acl().is_open());
    let quota = tree.quota("/quota/b").unwrap();
    assert_eq!((quota.usage.count, quota.usage.bytes), (3, 10));

    let again = received(zxid, &written(&tree)).unwrap();
    assert_eq!(content(&again), content(&tree));
}

/// Where the writer has a choice it does as ZooKeeper: the same nodes have the same bytes.
#[test]
fn nodes_are_written_as_a_real_server_writes_them() {
    let (body, zxid, _) = testdata::snapshot_file();
    let tree = received(zxid, &body).unwrap();
    let bytes = written(&tree);
    // Both end the same way, and have the same size but for open ACLs, which ZooKeeper's clients
    // set without its server noticing that it knows them: 35 bytes in its list.
    assert_eq!(body[body.len() - 19..], bytes[bytes.len() - 19..]);
    assert_eq!(body.len(), bytes.len() + 35);
    for path in ["/app/null", "/container", "/ttl", "/eph", "/guarded"] {
        let record = |bytes: &[u8]| {
            let mut needle = BytesMut::new();
            needle.put_ustring(path);
            let at = bytes.windows(needle.len()).position(|window| window == &needle[..]).unwrap();
            let data = tree.get(path).unwrap().data().map_or(0, <[u8]>::len);
            let mut record = bytes[at..at + needle.len() + 4 + data + NUMBERS].to_vec();
            // ACLs have numbers of their own on each side.
            record.drain(needle.len() + 4 + data..needle.len() + 12 + data);
            record
        };
        assert_eq!(record(&body), record(&bytes), "{path}");
    }
}

/// A tree with whatever steps make, and its model.
fn made(steps: &[Step]) -> (Tree, Model) {
    let (mut tree, mut model) = (Tree::new(3), Model::new());
    for step in steps {
        let (bytes, _) = model.step(step);
        tree.apply(&TxnRecord::from_bytes(&bytes).unwrap(), &mut |_| {});
    }
    (tree, model)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// In whatever pieces it is written and received; and life goes on in the tree received.
    #[test]
    fn any_tree_goes_there_and_back(
        steps in prop::collection::vec(model::step(), 0..120),
        more in prop::collection::vec(model::step(), 0..30),
        piece in 1_usize..300,
        cut in 1_usize..300,
    ) {
        let (tree, mut model) = made(&steps);
        let whole = written(&tree);
        let mut writer = SnapshotWriter::new(Arc::new(tree));
        let zxid = Zxid(i64::try_from(steps.len()).unwrap());
        let mut receiver = SnapshotReceiver::new(zxid, LIMIT, 4);
        let (mut sent, mut input) = (BytesMut::new(), BytesMut::new());
        let mut tree = None;
        loop {
            let mut out = BytesMut::new();
            let goes_on = writer.write(&mut out, piece);
            prop_assert!(!goes_on || out.len() >= piece);
            sent.extend_from_slice(&out);
            for part in out.chunks(cut) {
                prop_assert!(tree.is_none());
                input.extend_from_slice(part);
                if let Received::Tree(all) = receiver.receive(&mut input).unwrap() {
                    tree = Some(all);
                }
                prop_assert!(input.len() < 1000);
            }
            if !goes_on {
                break;
            }
        }
        prop_assert_eq!(sent, whole);
        let mut tree = tree.expect("all of it came");
        model.compare(&tree);
        tree.set_lenient(false);
        for step in &more {
            let (bytes, _) = model.step(step);
            let outcome = tree.apply(&TxnRecord::from_bytes(&bytes).unwrap(), &mut |_| {});
            prop_assert_eq!(outcome.digest_mismatch, None);
        }
        model.compare(&tree);
    }

    /// A snapshot like ZooKeeper's, during which transactions go on, leads to the exact tree when
    /// they come again.
    #[test]
    fn a_fuzzy_snapshot_becomes_exact(
        before in prop::collection::vec(current_step(), 0..60),
        during in prop::collection::vec((current_step(), 0_u8..4), 0..60),
    ) {
        let (mut tree, mut model) = made(&before);
        let zxid = tree.last_zxid();
        let mut writer = FuzzyWriter::begin(&tree);
        let mut txns = Vec::new();
        for (step, nodes) in &during {
            let (bytes, _) = model.step(step);
            tree.apply(&TxnRecord::from_bytes(&bytes).unwrap(), &mut |_| {});
            txns.push(bytes);
            (0..*nodes).for_each(|_| writer.put_node(&tree));
        }
        let mut received = received(zxid, &writer.finish(&tree)).unwrap();
        prop_assert_eq!(received.verify_digests(), Ok(()));
        for bytes in &txns {
            received.apply(&TxnRecord::from_bytes(bytes).unwrap(), &mut |_| {});
        }
        prop_assert!(!received.has_unknown_acls());
        model.compare(&received);
    }

    /// Whatever the damage: it is refused, or the tree hangs together.
    #[test]
    fn damage_does_no_harm(
        steps in prop::collection::vec(model::step(), 0..60),
        damage in prop::collection::vec((any::<u16>(), 1_u8..), 1..4),
    ) {
        let (tree, _) = made(&steps);
        let mut bytes = written(&tree);
        for (at, flip) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= flip;
        }
        let mut receiver = SnapshotReceiver::new(Zxid(1), LIMIT, 4);
        if let Ok(Received::Tree(tree)) = receiver.receive(&mut bytes) {
            prop_assert_eq!(tree.verify_digests(), Ok(()));
            for node in tree.nodes() {
                prop_assert_eq!(tree.get(&node.path()).map(|found| found.digest()), Some(node.digest()));
            }
        }
    }
}

/// Steps as servers since ZooKeeper 3.6 make them. Older transactions cannot come again over what
/// they did: they do not say the parent's counter, or what goes with a session.
fn current_step() -> impl Strategy<Value = Step> {
    let current = |op: &mut Op| {
        if let Op::Create { old_record, .. } = op {
            *old_record = false;
        }
    };
    model::step().prop_map(move |mut step| {
        match &mut step {
            Step::Change(op) => current(op),
            Step::Multi(ops, _) => ops.iter_mut().for_each(current),
            Step::CloseSession { listed, .. } => *listed = true,
            _ => {}
        }
        step
    })
}

/// Writes as ZooKeeper's servers do: sessions and ACLs first, then each node as it is when its turn
/// comes, with the children it has then.
struct FuzzyWriter {
    out: BytesMut,
    acls: BTreeMap<Vec<u8>, i64>,
    stack: Vec<String>,
}

impl FuzzyWriter {
    fn begin(tree: &Tree) -> Self {
        let mut out = BytesMut::new();
        out.put_len(tree.sessions().len());
        for (session, timeout_ms) in tree.sessions() {
            out.put_long(session.0);
            out.put_int(*timeout_ms);
        }
        let acls: BTreeMap<_, _> = tree.acls().map(|acl| acl.raw().to_vec()).zip(1..).collect();
        out.put_len(acls.len());
        for (raw, number) in &acls {
            out.put_long(*number);
            out.extend_from_slice(raw);
        }
        Self { out, acls, stack: vec![String::new()] }
    }

    fn put_node(&mut self, tree: &Tree) {
        let Some(path) = self.stack.pop() else { return };
        let Some(node) = tree.get(&path) else { return };
        // Numbers are never used again, and those of ACLs that came later mean nothing yet.
        let unknown = 1000 + i64::try_from(self.acls.len()).unwrap();
        let number = if node.acl().is_open() {
            -1
        } else {
            *self.acls.entry(node.acl().raw().to_vec()).or_insert(unknown)
        };
        put_node(&path, &node, number, &mut self.out);
        self.stack.extend(node.children().map(|name| format!("{path}/{name}")));
    }

    fn finish(mut self, tree: &Tree) -> BytesMut {
        while !self.stack.is_empty() {
            self.put_node(tree);
        }
        self.out.put_ustring(END);
        self.out.put_ustring(SIGNATURE);
        self.out
    }
}

fn put_node(path: &str, node: &Node<'_>, acl: i64, out: &mut BytesMut) {
    let stat = node.stat();
    let stored = Stored {
        acl,
        zxids: [stat.czxid, stat.mzxid, stat.pzxid],
        times: [stat.ctime, stat.mtime],
        versions: [stat.version, node.create_count(), stat.aversion],
        owner: node.kind().owner(),
    };
    stored.put(path, node.data(), out);
}

/// The numbers of a node.
#[derive(Clone, Default)]
struct Stored {
    acl: i64,
    zxids: [Zxid; 3],
    times: [i64; 2],
    versions: [i32; 3],
    owner: i64,
}

impl Stored {
    const OPEN: Self =
        Self { acl: -1, zxids: [Zxid::ZERO; 3], times: [0; 2], versions: [0; 3], owner: 0 };

    fn put(&self, path: &str, data: Option<&[u8]>, out: &mut BytesMut) {
        let [czxid, mzxid, pzxid] = self.zxids;
        out.put_ustring(path);
        out.put_buffer(data);
        out.put_long(self.acl);
        out.put_long(czxid.0);
        out.put_long(mzxid.0);
        self.times.iter().for_each(|time| out.put_long(*time));
        self.versions.iter().for_each(|version| out.put_int(*version));
        out.put_long(self.owner);
        out.put_long(pzxid.0);
    }
}

/// A snapshot of these nodes, which are open and without data unless `numbers` says otherwise.
fn snapshot_of<'p>(paths: impl IntoIterator<Item = &'p str>, numbers: &Stored) -> BytesMut {
    let mut out = BytesMut::from(&[0; 8][..]);
    for path in paths {
        let is_system = path.is_empty() || path.starts_with("/zookeeper");
        let numbers = if is_system { &Stored::OPEN } else { numbers };
        numbers.put(path, Some(b""), &mut out);
    }
    out.put_ustring(END);
    out.put_ustring(SIGNATURE);
    out
}

const SYSTEM: [&str; 4] = ["", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];

#[test]
fn nodes_that_are_no_tree_are_refused() {
    let check = |more: &[&str], expected: &str| {
        let paths = SYSTEM.iter().chain(more).copied();
        let error = received(Zxid(1), &snapshot_of(paths, &Stored::OPEN)).map(|_| ());
        assert_eq!(error.unwrap_err().to_string(), format!("snapshot: {expected}"));
    };
    check(&["/a", "/a"], "node \"/a\" comes twice");
    check(&[""], "node \"\" comes twice");
    check(&["/zookeeper/quota"], "node \"/zookeeper/quota\" comes twice");
    check(&["/a/b", "/a"], "node \"/a/b\" comes without its parent");
    check(&["a"], "\"a\" is no node's path: path does not begin with /");
    check(
        &["/a", "/a//b"],
        "\"/a//b\" is no node's path: path has an empty name (// or / at its end)",
    );
    check(&["/\u{1}"], "\"/\\u{1}\" is no node's path: path has a character that is not allowed");

    for missing in [0, 1, 3] {
        let mut paths = SYSTEM.to_vec();
        paths.remove(missing);
        assert!(received(Zxid(1), &snapshot_of(paths, &Stored::OPEN)).is_err(), "{missing}");
    }
    let child_first = ["/zookeeper", "", "/zookeeper/quota"];
    assert!(received(Zxid(1), &snapshot_of(child_first, &Stored::OPEN)).is_err());
    let no_root = received(Zxid(1), &snapshot_of(["/zookeeper/quota"], &Stored::OPEN));
    assert!(no_root.is_err());
    let mut ephemeral = BytesMut::from(&[0; 8][..]);
    Stored { owner: 7, ..Stored::OPEN }.put("", None, &mut ephemeral);
    let error = received(Zxid(1), &ephemeral).unwrap_err().to_string();
    assert_eq!(error, "snapshot: system node \"\" has owner 0x7");
}

#[test]
fn a_server_of_before_3_5_has_no_configuration_node() {
    let paths = ["", "/zookeeper", "/zookeeper/quota"];
    let tree = received(Zxid(1), &snapshot_of(paths, &Stored::OPEN)).unwrap();
    let config = tree.get("/zookeeper/config").unwrap();
    assert_eq!(config.acl().raw(), &[Acl::world(Perms::READ)].to_bytes()[..]);
    assert_eq!(config.aversion(), -1);
    assert_eq!(tree.verify_digests(), Ok(()));
}

#[test]
fn an_unknown_acl_closes_the_node_until_it_comes_again() {
    let paths = SYSTEM.into_iter().chain(["/a"]);
    let mut tree =
        received(Zxid(1), &snapshot_of(paths, &Stored { acl: 7, ..Stored::OPEN })).unwrap();
    assert!(tree.has_unknown_acls());
    let entries: Vec<_> = tree.get("/a").unwrap().acl().list().iter().collect();
    assert!(entries.iter().all(|entry| entry.perms == Perms(0)));
    // create /a with a read-only ACL
    let mut txn = BytesMut::new();
    txn.put_long(1);
    txn.put_int(1);
    txn.put_long(2);
    txn.put_long(3);
    txn.put_int(1);
    txn.put_ustring("/a");
    txn.put_buffer(None);
    [Acl::world(Perms::READ)].encode(&mut txn);
    txn.put_boolean(false);
    txn.put_int(1);
    tree.apply(&TxnRecord::from_bytes(&txn).unwrap(), &mut |_| {});
    assert!(!tree.has_unknown_acls());
    let read_only = tree.get("/zookeeper/config").map(|_| Acl::world(Perms::READ)).unwrap();
    assert_eq!(tree.get("/a").unwrap().acl().raw(), &[read_only].to_bytes()[..]);
}

#[test]
fn usage_of_quotas_is_counted_anew() {
    let mut out = BytesMut::from(&[0; 8][..]);
    let mut put = |path, data: &str| Stored::OPEN.put(path, Some(data.as_bytes()), &mut out);
    for path in SYSTEM {
        put(path, "");
    }
    put("/a", "12345");
    put("/a/b", "67");
    put("/zookeeper/quota/a", "");
    put("/zookeeper/quota/a/zookeeper_stats", "count=1,bytes=1");
    put("/zookeeper/quota/a/zookeeper_limits", "count=10,bytes=-1");
    put("/zookeeper/quota/gone", "");
    put("/zookeeper/quota/gone/zookeeper_limits", "count=10,bytes=-1");
    put("/zookeeper/quota/gone/zookeeper_stats", "count=3,bytes=1");
    out.put_ustring(END);
    out.put_ustring(SIGNATURE);
    let tree = received(Zxid(1), &out).unwrap();
    let data =
        |path: &str| String::from_utf8_lossy(tree.get(path).unwrap().data().unwrap()).into_owned();
    assert_eq!(data("/zookeeper/quota/a/zookeeper_stats"), "count=2,bytes=7");
    assert_eq!(data("/zookeeper/quota/gone/zookeeper_stats"), "count=0,bytes=0");
}

#[test]
fn what_is_too_long_is_refused_as_soon_as_it_is_seen() {
    let error = |bytes: &[u8]| {
        let mut receiver = SnapshotReceiver::new(Zxid(1), 100, 1);
        match receiver.receive(&mut BytesMut::from(bytes)) {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        }
    };
    let none = [0; 8];
    let outside =
        |part, length| format!("snapshot: {part} of length {length}, which is outside 0..=100");
    let path = |length: i32| [&none[..], &length.to_be_bytes()].concat();
    assert_eq!(error(&path(101)), outside("path", 101));
    assert_eq!(error(&path(-1)), outside("path", -1));
    assert_eq!(error(&path(-2)), outside("path", -2));
    assert_eq!(error(&path(100)), "");
    assert_eq!(error(&[&path(0)[..], &101_i32.to_be_bytes()].concat()), outside("data", 101));
    assert_eq!(
        error(&[&path(1)[..], &[0xff, 0, 0, 0]].concat()),
        "snapshot: a node's path is not UTF-8"
    );
    let acl = |count: i32, rest: &[u8]| {
        [&[0; 4][..], &1_i32.to_be_bytes(), &[0; 8], &count.to_be_bytes(), rest].concat()
    };
    assert_eq!(error(&acl(-1, &[])), outside("ACL", -12));
    assert_eq!(error(&acl(9, &[])), outside("ACL", 108));
    assert_eq!(error(&acl(8, &[])), "");
    assert_eq!(error(&acl(1, &[0, 0, 0, 0, 0, 0, 0, 101])), outside("ACL", 101));
    let long = [&[0, 0, 0, 1, 0, 0, 0, 60][..], &[b'a'; 60], &[0, 0, 0, 60], &[b'a'; 60]].concat();
    assert_eq!(error(&acl(1, &long)), outside("ACL", 136));
    // Millions of sessions and ACLs announced cost nothing.
    assert_eq!(error(&i32::MAX.to_be_bytes()), "");
    // As in Java, negative counts are none.
    let mut negative = BytesMut::from(&[0xff; 8][..]);
    negative.extend_from_slice(&snapshot_of(SYSTEM, &Stored::OPEN)[8..]);
    assert!(received(Zxid(1), &negative).is_ok());
}

#[test]
fn the_end_is_signed() {
    let whole = snapshot_of(SYSTEM, &Stored::OPEN);
    let mut unsigned = whole.clone();
    let last = unsigned.len() - 1;
    unsigned[last] = b'E';
    assert_eq!(received(Zxid(1), &unsigned).unwrap_err(), SnapshotError::Signature);
    // What follows is not touched.
    let mut input = whole;
    input.extend_from_slice(b"behind");
    let tree = SnapshotReceiver::new(Zxid(5), LIMIT, 1).receive(&mut input).unwrap();
    assert!(matches!(tree, Received::Tree(tree) if tree.last_zxid() == Zxid(5)));
    assert_eq!(input, &b"behind"[..]);
}

#[test]
fn owners_say_what_kind_a_node_is() {
    for kind in [
        NodeKind::Persistent,
        NodeKind::Container,
        NodeKind::Ttl(0),
        NodeKind::Ttl((1 << 40) - 1),
        NodeKind::Ephemeral(SessionId(1)),
        NodeKind::Ephemeral(SessionId(-1)),
        NodeKind::Ephemeral(SessionId(i64::MIN + 1)),
    ] {
        assert_eq!(NodeKind::of_owner(kind.owner()), kind);
    }
}
