//! Single rules: counters, quotas, reaping, what does not fit, and sizes nobody should try.

use std::borrow::Cow;

use quorate_protocol::{AclList, Decode, ErrorCode, OpCode, SessionId, Zxid};

use crate::{
    tree::{
        BuildError, Node, NodeKind, Quota, ReapLimits, Reapable, SYSTEM_PATHS, Tree, TreeBuilder,
    },
    txn::{
        CloseSessionTxn, CreateTtlTxn, CreateTxn, MultiTxn, MultiWriter, SetDataTxn, Txn,
        TxnDigest, TxnHeader, TxnRecord,
    },
};

fn apply(tree: &mut Tree, kind: OpCode, txn: Txn<'_>) -> crate::tree::Outcome {
    let zxid = Zxid(tree.last_zxid().0 + 1);
    let header = TxnHeader { client_id: SessionId(1), cxid: 1, zxid, time_ms: 1000 + zxid.0, kind };
    tree.apply(&TxnRecord { header, txn, digest: None }, &mut |_| ())
}

fn record<'a>(path: &'a str, data: &'a [u8], parent_cversion: Option<i32>) -> CreateTxn<'a> {
    let acl = AclList::from_bytes(AclList::OPEN).unwrap();
    let path = Cow::Borrowed(path);
    CreateTxn { path, data: Some(data), acl, ephemeral: false, parent_cversion }
}

fn create(tree: &mut Tree, path: &str, data: &[u8]) {
    let outcome = apply(tree, OpCode::Create, Txn::Create(record(path, data, None)));
    assert_eq!(outcome.error, ErrorCode::Ok);
}

fn set(tree: &mut Tree, path: &str, data: &[u8]) {
    let set = SetDataTxn { path: Cow::Borrowed(path), data: Some(data), version: 1 };
    assert_eq!(apply(tree, OpCode::SetData, Txn::SetData(set)).error, ErrorCode::Ok);
}

fn delete(tree: &mut Tree, path: &str) -> ErrorCode {
    apply(tree, OpCode::Delete, Txn::Delete { path: Cow::Borrowed(path) }).error
}

fn get<'t>(tree: &'t Tree, path: &str) -> Node<'t> {
    tree.get(path).unwrap()
}

/// Damage that neither the sum of nodes nor that of digests shows.
#[test]
fn a_node_that_its_path_would_not_find_is_refused() {
    let mut tree = Tree::new(1);
    create(&mut tree, "/a", b"");
    create(&mut tree, "/b", b"");
    let head = tree.checkpoint_begin();
    let mut images = tree.checkpoint_chunk(100);
    images.sort_unstable_by_key(|(slot, _)| *slot);
    let build = |slot: usize, damage: &dyn Fn(&mut Vec<u8>)| {
        let mut builder = TreeBuilder::new(head.clone(), 1).unwrap();
        for (number, image) in &images {
            let mut image = image.clone().unwrap().into_vec();
            if *number as usize == slot {
                damage(&mut image);
            }
            builder.push(*number, &image)?;
        }
        builder.finish().map(|_| ())
    };
    let (b, parent) = (5, 0);
    // Behind the parent's slot, the mark of an extra, and the digest: the name with its length.
    let name = 4 + 1 + 4;
    assert_eq!(build(b, &|_| ()), Ok(()));
    assert_eq!(build(b, &|image| assert_eq!(image[name..][..2], [1, b'b'])), Ok(()));
    let wrong_name = Err(BuildError::Name { slot: 5, parent });
    assert_eq!(build(b, &|image| image[name + 1] = b'a'), wrong_name);
    assert_eq!(build(b, &|image| image[name + 1] = b'/'), wrong_name);
    let cut = |image: &mut Vec<u8>| drop(image.splice(name..name + 2, [0]));
    assert_eq!(build(b, &cut), wrong_name);
    let moved = Err(BuildError::Place { slot: 0, parent: 1 });
    assert_eq!(build(0, &|image| image[..4].copy_from_slice(&[0, 0, 0, 1])), moved);
}

#[test]
fn the_create_counter_obeys_the_transaction_but_never_falls() {
    let mut tree = Tree::new(1);
    create(&mut tree, "/p", b"");
    let mut child = |name: &str, cversion| {
        apply(&mut tree, OpCode::Create, Txn::Create(record(name, b"", cversion)));
        let parent = get(&tree, "/p");
        (parent.create_count(), parent.pzxid())
    };
    assert_eq!(child("/p/a", Some(5)), (5, Zxid(2)));
    // A lower one changes nothing, pzxid included.
    assert_eq!(child("/p/b", Some(3)), (5, Zxid(2)));
    assert_eq!(child("/p/c", Some(-1)), (6, Zxid(4)));
    assert_eq!(child("/p/d", Some(i32::MAX)), (i32::MAX, Zxid(5)));
    // The counter sticks at its end.
    assert_eq!(child("/p/e", Some(i32::MIN)), (i32::MAX, Zxid(5)));
    assert_eq!(child("/p/f", None), (i32::MAX, Zxid(5)));
    assert_eq!(get(&tree, "/p").stat().cversion, -2 - 6);
    assert_eq!(tree.verify_digests(), Ok(()));
}

#[test]
fn usage_counts_for_the_deepest_quota_and_leaves_no_trace() {
    let mut tree = Tree::new(1);
    let usage = |tree: &Tree, path: &str| {
        let stats = format!("/zookeeper/quota{path}/zookeeper_stats");
        String::from_utf8(get(tree, &stats).data().unwrap().to_vec()).unwrap()
    };
    create(&mut tree, "/a", b"123");
    create(&mut tree, "/a/b", b"45");
    create(&mut tree, "/zookeeper/quota/a", b"");
    create(
        &mut tree,
        "/zookeeper/quota/a/zookeeper_limits",
        b"count=10,bytes=-1=;byteHardLimit=20",
    );
    assert_eq!(tree.quota("/a"), None);
    create(&mut tree, "/zookeeper/quota/a/zookeeper_stats", b"count=0,bytes=0");
    assert_eq!(usage(&tree, "/a"), "count=2,bytes=5");
    let before = get(&tree, "/zookeeper/quota/a/zookeeper_stats").stat();
    let digest = tree.digest();
    set(&mut tree, "/a/b", b"4567890");
    assert_eq!(usage(&tree, "/a"), "count=2,bytes=10");
    create(&mut tree, "/a/b/c", b"x");
    delete(&mut tree, "/a/b/c");
    create(&mut tree, "/aa", b"not below");
    assert_eq!(usage(&tree, "/a"), "count=2,bytes=10");
    let after = get(&tree, "/zookeeper/quota/a/zookeeper_stats").stat();
    assert_eq!((after.mzxid, after.version), (before.mzxid, before.version));
    assert_ne!(tree.digest(), digest);
    assert_eq!(tree.verify_digests(), Ok(()));

    let quota = tree.quota("/a/b/new").unwrap();
    assert_eq!(
        (quota.limits.count, quota.limits.bytes_hard, quota.limits.count_hard),
        (10, 20, -1)
    );
    assert!(!quota.refuses(10, 1) && quota.refuses(11, 1) && !quota.refuses(0, 100));

    // A deeper one takes over what is below it, from now on.
    create(&mut tree, "/zookeeper/quota/a/b", b"");
    create(&mut tree, "/zookeeper/quota/a/b/zookeeper_limits", b"count=1,bytes=1");
    create(&mut tree, "/zookeeper/quota/a/b/zookeeper_stats", b"");
    assert_eq!(usage(&tree, "/a/b"), "count=1,bytes=7");
    create(&mut tree, "/a/b/c", b"xy");
    assert_eq!(usage(&tree, "/a/b"), "count=2,bytes=9");
    assert_eq!(usage(&tree, "/a"), "count=2,bytes=10");
    delete(&mut tree, "/zookeeper/quota/a/b/zookeeper_limits");
    set(&mut tree, "/a/b/c", b"");
    assert_eq!(usage(&tree, "/a"), "count=2,bytes=8");
    assert_eq!(usage(&tree, "/a/b"), "count=2,bytes=9");
}

#[test]
fn a_quota_on_the_root_is_ignored_and_one_on_nothing_counts_nothing() {
    let mut tree = Tree::new(1);
    create(&mut tree, "/zookeeper/quota/zookeeper_limits", b"count=1,bytes=1");
    assert_eq!(tree.quota("/a"), None);
    create(&mut tree, "/zookeeper/quota/none", b"");
    create(&mut tree, "/zookeeper/quota/none/zookeeper_limits", b"garbage");
    create(&mut tree, "/zookeeper/quota/none/zookeeper_stats", b"garbage");
    let Quota { limits, usage } = tree.quota("/none/such").unwrap();
    assert_eq!((limits.count, limits.bytes, usage.count, usage.bytes), (-1, -1, 0, 0));
}

#[test]
fn containers_and_ttl_nodes_fall_due() {
    let mut tree = Tree::new(1);
    let limits = ReapLimits { look_at: 100, find: 100, never_used_ms: 5000 };
    let acl = AclList::from_bytes(AclList::OPEN).unwrap();
    for path in ["/used", "/unused", "/busy"] {
        let txn = Txn::CreateContainer(record(path, b"", Some(0)));
        apply(&mut tree, OpCode::CreateContainer, txn);
    }
    let txn = CreateTtlTxn {
        path: Cow::Borrowed("/ttl"),
        data: None,
        acl,
        parent_cversion: 9,
        ttl_ms: 700,
    };
    apply(&mut tree, OpCode::CreateTtl, Txn::CreateTtl(txn));
    assert_eq!(get(&tree, "/ttl").kind(), NodeKind::Ttl(700));
    create(&mut tree, "/used/child", b"");
    create(&mut tree, "/busy/child", b"");
    let due = |tree: &Tree, now_ms| tree.expired_containers(0, now_ms, &limits).paths;
    assert_eq!(due(&tree, 1100), [""; 0]);
    delete(&mut tree, "/used/child");
    assert_eq!(due(&tree, 1100), ["/used"]);
    // Times are 1000 and the zxid: /unused is from 1002, /ttl from 1004.
    assert_eq!(due(&tree, 1704), ["/used"]);
    assert_eq!(due(&tree, 1705), ["/used", "/ttl"]);
    set(&mut tree, "/ttl", b"fresh");
    assert_eq!(due(&tree, 1705), ["/used"]);
    assert_eq!(due(&tree, 6003), ["/used", "/unused", "/ttl"]);
    let never = ReapLimits { never_used_ms: 0, ..limits };
    assert_eq!(tree.expired_containers(0, i64::MAX, &never).paths, ["/used", "/ttl"]);

    // In small steps the same is found.
    let few = ReapLimits { look_at: 2, find: 1, ..limits };
    let (mut found, mut from) = (Vec::new(), Some(0));
    while let Some(start) = from {
        let Reapable { paths, next } = tree.expired_containers(start, 6003, &few);
        assert!(paths.len() <= 1);
        found.extend(paths);
        from = next;
    }
    assert_eq!(found, ["/used", "/unused", "/ttl"]);
}

#[test]
fn a_multi_answers_each_operation() {
    let mut tree = Tree::new(1);
    let write = |ops: &[(OpCode, Txn<'_>)]| {
        let mut out = bytes::BytesMut::new();
        let mut writer = MultiWriter::begin(&mut out);
        for (kind, txn) in ops {
            writer.push(&mut out, *kind, txn);
        }
        writer.finish(&mut out);
        out
    };
    let a = || Txn::Create(record("/a", b"1", Some(1)));
    let check = || Txn::Check { path: Cow::Borrowed("/a"), version: 0 };
    let error = |code| (OpCode::Error, Txn::Error { code });
    let bytes = write(&[(OpCode::Create, a()), error(-103), error(-2)]);
    let outcome =
        apply(&mut tree, OpCode::Multi, Txn::Multi(MultiTxn::from_bytes(&bytes).unwrap()));
    let errors: Vec<_> = outcome.multi.iter().map(|op| (op.kind, op.error)).collect();
    let codes = [ErrorCode::Ok, ErrorCode::BadVersion, ErrorCode::RuntimeInconsistency];
    assert_eq!(errors, codes.map(|code| (OpCode::Error, code)));
    assert!(tree.get("/a").is_none());

    let bytes = write(&[
        (OpCode::Create, a()),
        (OpCode::Check, check()),
        (OpCode::Create2, { Txn::Create(record("/a/b", b"", Some(1))) }),
    ]);
    let outcome =
        apply(&mut tree, OpCode::Multi, Txn::Multi(MultiTxn::from_bytes(&bytes).unwrap()));
    let stats: Vec<_> = outcome.multi.iter().map(|op| (op.kind, op.stat.is_some())).collect();
    assert_eq!(stats, [(OpCode::Create, false), (OpCode::Check, false), (OpCode::Create2, true)]);
    assert_eq!(outcome.multi[2].stat, Some(get(&tree, "/a/b").stat()));
    assert_eq!(outcome.error, ErrorCode::Ok);
}

#[test]
fn a_wrong_digest_is_reported() {
    let mut tree = Tree::new(1);
    let kind = OpCode::Delete;
    create(&mut tree, "/a", b"");
    let header = TxnHeader { client_id: SessionId(1), cxid: 1, zxid: Zxid(2), time_ms: 1, kind };
    let txn = Txn::Delete { path: Cow::Borrowed("/a") };
    let digest = Some(TxnDigest { version: 2, tree_digest: 1 });
    let outcome = tree.apply(&TxnRecord { header, txn, digest }, &mut |_| ());
    let mismatch = outcome.digest_mismatch.unwrap();
    assert_eq!((mismatch.expected, mismatch.found), (1, tree.digest()));
}

#[test]
#[should_panic(expected = "transaction 0x1 (delete) does not fit the tree at 0x0: NONODE at /a")]
fn what_does_not_fit_ends_the_process() {
    delete(&mut Tree::new(1), "/a");
}

#[test]
fn what_does_not_fit_an_inexact_beginning_is_passed_over() {
    let mut tree = Tree::new(1);
    create(&mut tree, "/p", b"");
    create(&mut tree, "/p/a", b"");
    tree.set_lenient(true);
    let again = apply(&mut tree, OpCode::Create, Txn::Create(record("/p/a", b"", Some(4))));
    assert_eq!(again.error, ErrorCode::NodeExists);
    let parent = get(&tree, "/p");
    assert_eq!((parent.create_count(), parent.pzxid(), parent.child_count()), (4, Zxid(3), 1));
    assert_eq!(delete(&mut tree, "/p/gone"), ErrorCode::NoNode);
    assert_eq!(get(&tree, "/p").pzxid(), Zxid(4));
    assert_eq!(delete(&mut tree, "/p"), ErrorCode::NotEmpty);
    assert_eq!(delete(&mut tree, "/none/such"), ErrorCode::NoNode);
    for system in SYSTEM_PATHS {
        assert_eq!(delete(&mut tree, system), ErrorCode::BadArguments);
    }
    let close = b"\0\0\0\x01\0\0\0\x02/x";
    let close = Txn::CloseSession(CloseSessionTxn::from_bytes(close).unwrap());
    assert_eq!(apply(&mut tree, OpCode::CloseSession, close).error, ErrorCode::Ok);
    assert_eq!(tree.verify_digests(), Ok(()));
}

#[test]
fn a_path_of_many_names_needs_no_stack() {
    let mut tree = Tree::new(1);
    let depth = 2_000;
    let mut path = String::new();
    for _ in 0..depth {
        path.push_str("/d");
        create(&mut tree, &path, b"");
    }
    assert_eq!(get(&tree, &path).path(), path);
    assert_eq!(get(&tree, "/d").descendant_count(), depth - 1);
    assert_eq!(tree.verify_digests(), Ok(()));
    assert!(tree.get(&"/x".repeat(500_000)).is_none());
    while !path.is_empty() {
        delete(&mut tree, &path);
        path.truncate(path.len() - 2);
    }
    assert_eq!((tree.node_count(), tree.verify_digests()), (5, Ok(())));
}

#[test]
fn many_children_come_and_go() {
    let mut tree = Tree::new(1);
    create(&mut tree, "/p", b"");
    let paths: Vec<_> = (0..100_000).map(|n| format!("/p/{n:010}")).collect();
    for path in &paths {
        create(&mut tree, path, b"some data");
    }
    let mut names: Vec<_> = get(&tree, "/p").children().collect();
    names.sort_unstable();
    assert!(names.iter().zip(&paths).all(|(name, path)| path.strip_prefix("/p/") == Some(name)));
    assert_eq!((names.len(), tree.verify_digests()), (paths.len(), Ok(())));
    // Every other one, then the rest backwards: from the middle and the ends of the list.
    for path in paths.iter().step_by(2).chain(paths.iter().skip(1).step_by(2).rev()) {
        delete(&mut tree, path);
    }
    assert_eq!(get(&tree, "/p").children().count(), 0);
    assert_eq!(get(&tree, "/p").stat().cversion, 200_000);
    assert_eq!((tree.node_count(), tree.verify_digests()), (6, Ok(())));
}

#[test]
fn damaged_checkpoints_are_refused() {
    use crate::tree::{BuildError, TreeBuilder};

    let mut tree = Tree::new(1);
    create(&mut tree, "/a", b"");
    create(&mut tree, "/a/b", b"");
    let head = tree.checkpoint_begin();
    let images: Vec<_> = tree.checkpoint_chunk(100);
    let build = |skip: Option<u32>, damage: Option<u32>| {
        let mut builder = TreeBuilder::new(head.clone(), 1)?;
        for (slot, image) in &images {
            let mut image = image.clone().unwrap();
            if damage == Some(*slot) {
                let end = image.len() - 3;
                image[end] ^= 1;
            }
            if skip != Some(*slot) {
                builder.push(*slot, &image)?;
            }
        }
        builder.finish()?.verify_digests()
    };
    assert_eq!(build(None, None), Ok(()));
    for slot in 0..6 {
        assert!(matches!(build(Some(slot), None), Err(BuildError::Sum { .. })), "{slot}");
    }
    // Of the nodes that the digest leaves out, only the links can be checked.
    for slot in [0, 1, 4, 5] {
        assert!(build(None, Some(slot)).is_err(), "{slot}");
    }
    let mut builder = TreeBuilder::new(head.clone(), 1).unwrap();
    let order = builder.push(6, images[0].1.as_ref().unwrap()).unwrap_err();
    assert_eq!(order, BuildError::Order { slot: 6, expected: 0, end: 6 });
}
