use std::collections::BTreeMap;

use quorate_protocol::{AclList, Decode, OpCode, SessionId};

use std::io;

use super::*;
use crate::storage::fs::{Fault, FaultyFs, MemoryFs, RealFs};
use crate::txn::{CreateTxn, SetDataTxn, Txn, TxnHeader, TxnRecord};

const DIR: &str = "/d";
const PATH: &str = "/d/checkpoint-1.redb";

/// Applies the next transaction.
fn apply(tree: &mut Tree, kind: OpCode, txn: Txn<'_>) {
    let zxid = tree.last_zxid().next().unwrap();
    let header = TxnHeader { client_id: SessionId(1), cxid: 1, zxid, time_ms: zxid.0, kind };
    tree.apply(&TxnRecord { header, txn, digest: None }, &mut |_| {});
}

fn create(tree: &mut Tree, path: &str, size: usize) {
    let create = CreateTxn {
        path: path.into(),
        data: Some(&vec![7; size]),
        acl: AclList::from_bytes(AclList::OPEN).unwrap(),
        ephemeral: false,
        parent_cversion: None,
    };
    apply(tree, OpCode::Create, Txn::Create(create));
}

/// Creates, changes and deletes some nodes.
fn churn(tree: &mut Tree, round: usize) {
    apply(tree, OpCode::CreateSession, Txn::CreateSession { timeout_ms: 4000 });
    for n in 0..40 {
        create(tree, &format!("/{round}-{n}"), n * 40);
    }
    if let Some(last) = round.checked_sub(1) {
        for n in 0..20 {
            apply(tree, OpCode::Delete, Txn::Delete { path: format!("/{last}-{n}").into() });
        }
        let path = format!("/{last}-30").into();
        let set = SetDataTxn { path, data: Some(&[round.to_le_bytes()[0]; 3000]), version: 1 };
        apply(tree, OpCode::SetData, Txn::SetData(set));
    }
}

/// All that can be seen of a tree.
fn picture(tree: &Tree) -> impl PartialEq + use<> {
    let nodes: BTreeMap<String, _> = tree
        .nodes()
        .map(|node| (node.path(), (node.stat(), node.data().map(<[u8]>::to_vec))))
        .collect();
    (tree.last_zxid(), tree.digest(), tree.sessions().clone(), nodes)
}

fn write(checkpoint: &mut Checkpoint, tree: &mut Tree) -> Result<Written, CheckpointError> {
    let head = tree.checkpoint_begin();
    let written = checkpoint.write(&head, || Some(tree.checkpoint_chunk(7)));
    tree.checkpoint_end(written.is_ok());
    written.map(|written| written.expect("not given up"))
}

fn load(fs: &Arc<dyn Fs>) -> Result<Option<Tree>, CheckpointError> {
    Checkpoint::open(fs.clone(), Path::new(DIR), 1)?.expect("there is a checkpoint").load(1)
}

fn memory() -> (MemoryFs, Arc<dyn Fs>) {
    let fs = MemoryFs::new();
    fs.create_dir(Path::new("/d")).unwrap();
    (fs.clone(), Arc::new(fs))
}

/// A checkpoint after one round, on the disk, and its tree.
fn sample(fs: &Arc<dyn Fs>) -> (Checkpoint, Tree) {
    let mut tree = Tree::new(0);
    let mut checkpoint = Checkpoint::create(fs.clone(), Path::new(DIR), 1, 42).unwrap();
    churn(&mut tree, 0);
    write(&mut checkpoint, &mut tree).unwrap();
    (checkpoint, tree)
}

#[test]
fn the_tree_comes_back_and_only_changes_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let (_, memory) = memory();
    for (fs, dir) in
        [(memory, PathBuf::from(DIR)), (Arc::new(RealFs) as Arc<dyn Fs>, dir.path().to_owned())]
    {
        assert!(Checkpoint::open(fs.clone(), &dir, 1).unwrap().is_none());
        let mut checkpoint = Checkpoint::create(fs.clone(), &dir, 1, 42).unwrap();
        assert!(checkpoint.load(1).unwrap().is_none());
        let mut tree = Tree::new(0);
        for round in 0..4 {
            churn(&mut tree, round);
            let written = write(&mut checkpoint, &mut tree).unwrap();
            assert_eq!(written.zxid, tree.last_zxid());
            assert!(written.slots < 70, "{written:?}");
            assert!(picture(&checkpoint.load(1).unwrap().unwrap()) == picture(&tree));
        }
        drop(checkpoint);
        let checkpoint = Checkpoint::open(fs.clone(), &dir, 1).unwrap().unwrap();
        assert_eq!(checkpoint.database(), 42);
        assert!(picture(&checkpoint.load(1).unwrap().unwrap()) == picture(&tree));
    }
}

#[test]
fn whenever_the_power_goes_it_is_the_old_tree_or_the_new_one() {
    for cut in 0.. {
        let (fs, dyn_fs) = memory();
        let faulty = FaultyFs::new(dyn_fs, Fault::None);
        let faulty_fs: Arc<dyn Fs> = Arc::new(faulty.clone());
        let (mut checkpoint, mut tree) = sample(&faulty_fs);
        let old = picture(&tree);
        churn(&mut tree, 1);
        let new = picture(&tree);
        faulty.set(Fault::PowerCut(faulty.changes() + cut));
        let written = write(&mut checkpoint, &mut tree);
        for seed in 0..6 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let survivor = fs.crash(|n| match seed {
                0 => 0,
                1 => n - 1,
                _ => rng.usize(..n),
            });
            let survivor: Arc<dyn Fs> = Arc::new(survivor);
            let mut checkpoint = Checkpoint::open(survivor.clone(), Path::new(DIR), 1)
                .unwrap_or_else(|error| panic!("cut {cut}, seed {seed}: {error}"))
                .unwrap();
            let mut loaded = checkpoint.load(1).unwrap().unwrap();
            let found = picture(&loaded);
            assert!(found == new || found == old && written.is_err(), "cut {cut}, seed {seed}");
            churn(&mut loaded, if found == new { 2 } else { 1 });
            write(&mut checkpoint, &mut loaded).unwrap();
            let reloaded = load(&survivor).unwrap().unwrap();
            assert!(picture(&reloaded) == picture(&loaded), "cut {cut}, seed {seed}");
        }
        if written.is_ok() {
            break;
        }
    }
}

#[test]
fn a_power_cut_while_it_is_created_leaves_none_or_an_empty_one() {
    for cut in 0.. {
        let (fs, dyn_fs) = memory();
        let faulty = FaultyFs::new(dyn_fs, Fault::PowerCut(cut));
        let created = Checkpoint::create(Arc::new(faulty), Path::new(DIR), 1, 42);
        for seed in 0..6 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let survivor: Arc<dyn Fs> = Arc::new(fs.crash(|n| rng.usize(..n)));
            match Checkpoint::open(survivor.clone(), Path::new(DIR), 1).unwrap() {
                None => _ = Checkpoint::create(survivor, Path::new(DIR), 1, 42).unwrap(),
                Some(checkpoint) => assert!(checkpoint.load(1).unwrap().is_none()),
            }
        }
        if created.is_ok() {
            break;
        }
    }
}

#[test]
fn on_a_full_disk_the_old_tree_stays_and_the_next_attempt_has_all() {
    let mut refusals = 0;
    for at in 0.. {
        let (_, dyn_fs) = memory();
        let faulty = FaultyFs::new(dyn_fs, Fault::None);
        let faulty_fs: Arc<dyn Fs> = Arc::new(faulty.clone());
        let (mut checkpoint, mut tree) = sample(&faulty_fs);
        for n in 0..500 {
            create(&mut tree, &format!("/big-{n}"), 4000);
        }
        faulty.set(Fault::Change(faulty.changes() + at, io::ErrorKind::StorageFull));
        match write(&mut checkpoint, &mut tree) {
            Ok(_) => break,
            Err(CheckpointError::Io(_)) => {}
            Err(CheckpointError::Full(_)) => {
                refusals += 1;
                faulty.set(Fault::None);
                churn(&mut tree, 1);
                write(&mut checkpoint, &mut tree).unwrap();
                assert!(picture(&checkpoint.load(1).unwrap().unwrap()) == picture(&tree));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refusals > 10, "{refusals}");
}

#[test]
fn flipped_bits_are_noticed() {
    let (fs, dyn_fs) = memory();
    let (mut checkpoint, mut tree) = sample(&dyn_fs);
    let before = picture(&tree);
    churn(&mut tree, 1);
    write(&mut checkpoint, &mut tree).unwrap();
    drop(checkpoint);
    let newest = picture(&tree);
    let size = usize::try_from(dyn_fs.open(Path::new(PATH)).unwrap().size().unwrap()).unwrap();
    let mut noticed = 0;
    for byte in (0..400).chain((400..size).step_by(331)) {
        let damaged = fs.crash(|n| n - 1);
        damaged.damage(Path::new(PATH), |bytes| bytes[byte] ^= 1 << (byte % 8));
        match load(&(Arc::new(damaged) as _)) {
            // Of the newest tree's root, it leaves the tree before, if that is still whole.
            Ok(found) => {
                let found = picture(&found.expect("there was a checkpoint"));
                assert!(found == newest || found == before, "byte {byte}");
            }
            Err(CheckpointError::Damaged { .. }) => noticed += 1,
            Err(error) => panic!("byte {byte}: {error}"),
        }
    }
    assert!(noticed > 40, "{noticed}");
}
