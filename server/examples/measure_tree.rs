//! Measures the tree: memory of a node, time of reads, writes, checkpoints and loading.
//!
//! `cargo run --release -p quorate-server --example measure_tree [NODES]`, 1 million if not said,
//! all in one parent, with names of 20 and data of 128 bytes.

#![expect(clippy::print_stdout, reason = "the result is for a person")]
#![expect(clippy::cast_precision_loss, reason = "figures have three digits")]

use std::{borrow::Cow, hint::black_box};

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
    report("create", nodes, || {
        for n in 0..nodes {
            let path = path(n);
            apply(&mut tree, OpCode::Create, |_| create(&path, Zxid(i64::from(n) + 1)));
        }
    });
    let bytes = (resident() - empty) as f64;
    println!(
        "memory               {:9.1} MB, {:.1} bytes a node",
        bytes / 1e6,
        bytes / f64::from(nodes)
    );

    let mut random = fastrand::Rng::with_seed(1);
    let paths: Vec<_> = (0..nodes.min(1_000_000)).map(|_| path(random.u32(..nodes))).collect();
    let count = u32::try_from(paths.len()).expect("at most a million");
    let mut out = BytesMut::with_capacity(1 << 20);
    report("get and encode", count, || {
        for path in &paths {
            let node = tree.get(path).expect("created above");
            out.put_buffer(node.data());
            node.stat().encode(&mut out);
            if out.len() > 1 << 19 {
                out.clear();
            }
        }
    });
    report("list children", nodes, || {
        out.clear();
        for name in tree.get("/parent").expect("created above").children() {
            out.put_ustring(name);
        }
        black_box(&out);
    });
    drop(out);
    let set_all = |tree: &mut Tree| {
        for path in &paths {
            apply(tree, OpCode::SetData, |_| {
                let version = 1;
                Txn::SetData(SetDataTxn {
                    path: Cow::Borrowed(path),
                    data: Some(&[b's'; 128]),
                    version,
                })
            });
        }
    };
    let before = resident();
    report("set", count, || set_all(&mut tree));
    let bytes = resident().saturating_sub(before) as f64;
    println!("memory more           {:9.1} MB", bytes / 1e6);

    let (mut head, mut slots) = (Vec::new(), Vec::new());
    report("checkpoint", nodes, || {
        head = tree.checkpoint_begin().to_bytes().to_vec();
        loop {
            let images = tree.checkpoint_chunk(256);
            if images.is_empty() {
                break;
            }
            slots.extend(images);
        }
        tree.checkpoint_end(true);
    });
    set_all(&mut tree);
    report("checkpoint_begin", 1, || _ = tree.checkpoint_begin());
    report("set in a checkpoint", count, || set_all(&mut tree));
    tree.checkpoint_end(false);
    drop(tree);

    let mut loaded = None;
    report("load", nodes, || {
        let head = CheckpointHead::from_bytes(&head).expect("written above");
        let mut builder = TreeBuilder::new(head, 1).expect("written above");
        for (slot, image) in &slots {
            builder.push(*slot, image.as_deref().expect("a node")).expect("written above");
        }
        loaded = Some(builder.finish().expect("written above"));
    });
    let tree = loaded.expect("loaded above");
    report("verify digests", nodes, || tree.verify_digests().expect("digests hold"));
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

/// Runs and prints the processor's time, which other work on the machine disturbs least.
fn report(what: &str, operations: u32, run: impl FnOnce()) {
    let start = processor_ns();
    run();
    let ns = (processor_ns() - start) as f64;
    let each = ns / f64::from(operations);
    println!("{what:20} {:9.1} ms, {each:.0} ns each", ns / 1e6);
}

/// Nanoseconds this process has run.
fn processor_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    let ns = schedstat.split(' ').next().expect("a first number");
    ns.parse().expect("a number")
}

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).expect("a second number");
    pages.parse::<usize>().expect("a number") * 4096
}
