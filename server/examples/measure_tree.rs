//! Measures the tree: memory of a node, time of reads, writes, checkpoints and loading.
//!
//! `cargo run --release -p quorate-server --example measure_tree [NODES]`, 1 million if not said,
//! all in one parent, with names of 20 and data of 128 bytes.

#![expect(clippy::print_stdout, reason = "the result is for a person")]
#![expect(clippy::disallowed_methods, reason = "measuring is what it does")]
#![expect(clippy::cast_precision_loss, reason = "figures have three digits")]

use std::{borrow::Cow, hint::black_box, time::Instant};

use bytes::BytesMut;
use quorate_protocol::{AclList, Decode, Encode, OpCode, SessionId, Zxid, codec::PutJute};
use quorate_server::{
    tree::{CheckpointHead, Tree, TreeBuilder},
    txn::{CreateTxn, SetDataTxn, Txn, TxnHeader, TxnRecord},
};

fn main() {
    let nodes: u32 = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().expect("a number"));
    let empty = resident();
    let mut tree = Tree::new(fastrand::u64(..));
    apply(&mut tree, OpCode::Create, |zxid| create("/parent", zxid));
    report("create", nodes, |n| {
        let path = path(n);
        apply(&mut tree, OpCode::Create, |_| create(&path, Zxid(i64::from(n) + 1)));
    });
    let bytes = (resident() - empty) as f64;
    println!("memory {:.1} MB, {:.1} bytes a node", bytes / 1e6, bytes / f64::from(nodes));

    let mut random = fastrand::Rng::with_seed(1);
    let paths: Vec<_> = (0..nodes.min(1_000_000)).map(|_| path(random.u32(..nodes))).collect();
    let count = u32::try_from(paths.len()).expect("at most a million");
    let mut out = BytesMut::with_capacity(1 << 20);
    report("get and encode", count, |n| {
        let node = tree.get(&paths[n as usize]).expect("created above");
        out.put_buffer(node.data());
        node.stat().encode(&mut out);
        if out.len() > 1 << 16 {
            out.clear();
        }
    });
    report("list all children", 1, |_| {
        out.clear();
        for name in tree.get("/parent").expect("created above").children() {
            out.put_ustring(name);
        }
        black_box(&out);
    });
    drop(out);
    let set = |tree: &mut Tree, n: u32| {
        let path = Cow::Borrowed(paths[n as usize].as_str());
        let set = SetDataTxn { path, data: Some(&[b's'; 128]), version: 1 };
        apply(tree, OpCode::SetData, |_| Txn::SetData(set));
    };
    let before = resident();
    report("set", count, |n| set(&mut tree, n));
    println!("memory {:.1} MB more", resident().saturating_sub(before) as f64 / 1e6);

    let head = tree.checkpoint_begin().to_bytes();
    let mut slots = Vec::new();
    report("checkpoint_chunk of 256", nodes / 256 + 1, |_| {
        slots.extend(tree.checkpoint_chunk(256));
    });
    tree.checkpoint_end(true);
    (0..count).for_each(|n| set(&mut tree, n));
    report("checkpoint_begin", 1, |_| _ = tree.checkpoint_begin());
    report("set in a checkpoint", count, |n| set(&mut tree, n));
    tree.checkpoint_end(false);
    drop(tree);

    let mut loaded = None;
    report("load", 1, |_| {
        let head = CheckpointHead::from_bytes(&head).expect("written above");
        let mut builder = TreeBuilder::new(head, 1).expect("written above");
        for (slot, image) in &slots {
            builder.push(*slot, image.as_deref().expect("a node")).expect("written above");
        }
        loaded = Some(builder.finish().expect("written above"));
    });
    let tree = loaded.expect("loaded above");
    report("verify digests", 1, |_| tree.verify_digests().expect("digests hold"));
}

fn path(n: u32) -> String {
    format!("/parent/node-{n:015}")
}

fn create(path: &str, parent_cversion: Zxid) -> Txn<'_> {
    Txn::Create(CreateTxn {
        path: Cow::Borrowed(path),
        data: Some(&[b'd'; 128]),
        acl: AclList::from_bytes(AclList::OPEN).expect("a list"),
        ephemeral: false,
        parent_cversion: i32::try_from(parent_cversion.0).ok(),
    })
}

fn apply<'a>(tree: &mut Tree, kind: OpCode, txn: impl FnOnce(Zxid) -> Txn<'a>) {
    let zxid = Zxid(tree.last_zxid().0.max(1 << 32) + 1);
    let time_ms = 1_795_250_568_721 + zxid.0 % (1 << 32) / 100;
    let header = TxnHeader { client_id: SessionId(1), cxid: 1, zxid, time_ms, kind };
    let outcome = tree.apply(&TxnRecord { header, txn: txn(zxid), digest: None }, &mut |change| {
        black_box(change);
    });
    black_box(outcome);
}

/// Runs it so often and prints what it took: the median of small batches, which other work on the
/// machine disturbs least, and the worst batch.
fn report(what: &str, times: u32, mut run: impl FnMut(u32)) {
    let batch = times.min(256);
    let mut batches = Vec::new();
    for first in (0..times).step_by(batch as usize) {
        let start = Instant::now();
        let end = times.min(first + batch);
        (first..end).for_each(&mut run);
        batches.push(start.elapsed() / (end - first));
    }
    batches.sort_unstable();
    let (median, worst) = (batches[batches.len() / 2], batches[batches.len() - 1]);
    println!("{what:25} {median:10.1?} each, worst {batch:3} {worst:10.1?} each");
}

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).expect("a second number");
    pages.parse::<usize>().expect("a number") * 4096
}
