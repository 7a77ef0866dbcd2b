mod loss;

use std::io::ErrorKind;
use std::path::Path;

use quorate_protocol::{AclList, Encode, OpCode, SessionId};

use super::*;
use crate::storage::fs::{Fault, FaultyFs, MemoryFs, RealFs};
use crate::storage::log::Batch;
use crate::txn::{CreateTxn, Txn, TxnDigest, TxnHeader};

fn settings(data: &str, data_log: &str) -> Settings {
    Settings {
        layout: Layout::new(Path::new(data), Path::new(data_log)),
        log: log::Options { segment_bytes: 8192 },
        database: 7,
        tree_seed: 3,
        replay: Extent::All,
        on_loss: OnLoss::Refuse,
    }
}

fn recover(fs: &Arc<dyn Fs>) -> Result<Recovered, RecoveryError> {
    open(fs, &settings("/data", "/log"))
}

fn memory() -> (MemoryFs, Arc<dyn Fs>) {
    let fs = MemoryFs::new();
    (fs.clone(), Arc::new(fs))
}

/// A server that creates nodes, one transaction each.
struct Server {
    recovered: Recovered,
    /// Nodes that were created, and how many of them durably.
    durable: usize,
}

impl Server {
    fn start(fs: &Arc<dyn Fs>) -> Result<Self, RecoveryError> {
        let recovered = recover(fs)?;
        let durable = created(&recovered.tree);
        Ok(Self { recovered, durable })
    }

    fn create(&mut self, count: usize) -> Result<(), LogError> {
        let Recovered { tree, log, .. } = &mut self.recovered;
        let mut batch = Batch::new();
        let mut next = tree.clone();
        for n in 0..count {
            let path = format!("/{}", created(tree) + n);
            let record = create(&mut next, &path);
            batch.push(record.0, |out| out.extend_from_slice(&record.1));
        }
        log.append(&mut batch)?;
        log.sync()?;
        for (_, bytes) in batch.transactions() {
            tree.apply(&TxnRecord::from_bytes(bytes).unwrap(), &mut |_| {});
        }
        self.durable += count;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), CheckpointError> {
        let Recovered { tree, log, checkpoint, .. } = &mut self.recovered;
        let head = tree.checkpoint_begin();
        let written = checkpoint.write(&head, || Some(tree.checkpoint_chunk(5)));
        tree.checkpoint_end(written.is_ok());
        if let Some(job) = log.retire(written?.expect("not given up").zxid, 0) {
            job.run()?;
        }
        Ok(())
    }
}

/// Applies the creation of a node and gives its transaction.
fn create(tree: &mut Tree, path: &str) -> (Zxid, Vec<u8>) {
    let zxid = tree.last_zxid().next().unwrap();
    let kind = OpCode::Create;
    let header = TxnHeader { client_id: SessionId(1), cxid: 1, zxid, time_ms: 1, kind };
    let txn = Txn::Create(CreateTxn {
        path: path.into(),
        data: Some(&[1; 300]),
        acl: AclList::from_bytes(AclList::OPEN).unwrap(),
        ephemeral: false,
        parent_cversion: Some(i32::try_from(zxid.0).unwrap()),
    });
    let mut record = TxnRecord { header, txn, digest: None };
    tree.apply(&record, &mut |_| {});
    record.digest = Some(TxnDigest { version: TxnDigest::VERSION, tree_digest: tree.digest() });
    (zxid, record.to_bytes().to_vec())
}

/// How many nodes were created.
fn created(tree: &Tree) -> usize {
    tree.node_count() - Tree::new(0).node_count()
}

/// Some batches and checkpoints.
fn work(fs: &Arc<dyn Fs>, durable: &mut usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut server = Server::start(fs)?;
    for step in 0..12 {
        let done = server.create(step % 4 + 1);
        *durable = server.durable;
        done?;
        if step % 5 == 3 {
            server.checkpoint()?;
        }
    }
    Ok(())
}

fn check(fs: &Arc<dyn Fs>, durable: usize, at: &str) -> Recovered {
    let recovered = recover(fs).unwrap_or_else(|error| panic!("{at}: {error}"));
    let found = created(&recovered.tree);
    assert!(found >= durable, "{at}: {found} of {durable}");
    assert_eq!(recovered.log.last_zxid(), recovered.tree.last_zxid(), "{at}");
    assert_eq!(recovered.log.durable_zxid().0, i64::try_from(found).unwrap(), "{at}");
    assert_eq!(recovered.report.digest_mismatch, None, "{at}");
    recovered.tree.verify_digests().unwrap();
    recovered
}

#[test]
fn a_restart_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let (_, memory) = memory();
    let real = settings(&format!("{dir}/data"), &format!("{dir}/data"));
    for (fs, settings) in
        [(memory, settings("/data", "/log")), (Arc::new(RealFs) as Arc<dyn Fs>, real)]
    {
        let recovered = open(&fs, &settings).unwrap();
        assert!(recovered.report.is_new);
        let mut server = Server { recovered, durable: 0 };
        server.create(30).unwrap();
        drop(server);

        let recovered = open(&fs, &settings).unwrap();
        assert_eq!(recovered.report, Report { replayed: 30, ..Report::default() });
        let mut server = Server { recovered, durable: 0 };
        server.checkpoint().unwrap();
        server.create(5).unwrap();
        let digest = server.recovered.tree.digest();
        drop(server);

        let recovered = open(&fs, &settings).unwrap();
        let checkpoint_zxid = Zxid(30);
        assert_eq!(recovered.report, Report { checkpoint_zxid, replayed: 5, ..Report::default() });
        assert_eq!((created(&recovered.tree), recovered.tree.digest()), (35, digest));
        assert_eq!(recovered.tree.dirty_slots(), 6, "five nodes and their parent");
    }
}

#[test]
fn no_cut_of_the_power_loses_an_acknowledged_write() {
    let (_, dyn_fs) = memory();
    let counting = FaultyFs::new(dyn_fs, Fault::None);
    work(&(Arc::new(counting.clone()) as _), &mut 0).unwrap();
    for cut in 0..=counting.changes() {
        let (fs, dyn_fs) = memory();
        let faulty = FaultyFs::new(dyn_fs, Fault::PowerCut(cut));
        let mut durable = 0;
        let _ = work(&(Arc::new(faulty) as _), &mut durable);
        for seed in 0..4 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let survivor: Arc<dyn Fs> = Arc::new(fs.crash(|n| match seed {
                0 => 0,
                1 => n - 1,
                _ => rng.usize(..n),
            }));
            let at = format!("{cut}/{seed}");
            drop(check(&survivor, durable, &at));
            let mut again = 0;
            work(&survivor, &mut again).unwrap();
            check(&survivor, again, &at);
        }
    }
}

#[test]
fn no_failed_operation_loses_an_acknowledged_write() {
    let (_, dyn_fs) = memory();
    let counting = FaultyFs::new(dyn_fs, Fault::None);
    work(&(Arc::new(counting.clone()) as _), &mut 0).unwrap();
    let changes = (0..=counting.changes())
        .flat_map(|n| [ErrorKind::Other, ErrorKind::StorageFull].map(|e| Fault::Change(n, e)));
    let reads = (0..=counting.reads()).map(|n| Fault::Read(n, ErrorKind::Other));
    for fault in changes.chain(reads) {
        let (fs, dyn_fs) = memory();
        let faulty = FaultyFs::new(dyn_fs, fault);
        let mut durable = 0;
        let _ = work(&(Arc::new(faulty) as _), &mut durable);
        let survivor: Arc<dyn Fs> = Arc::new(fs.crash(|_| 0));
        check(&survivor, durable, &format!("{fault:?}"));
    }
}

#[test]
fn a_second_server_is_kept_out() {
    let (_, fs) = memory();
    let first = recover(&fs).unwrap();
    let text = recover(&fs).unwrap_err().to_string();
    assert!(text.starts_with("another server holds /data/quorate/LOCK: "), "{text}");
    let same_log = open(&fs, &settings("/other", "/log")).unwrap_err();
    assert!(matches!(same_log, RecoveryError::Locked { .. }));
    drop(first);
    recover(&fs).unwrap();
}

#[test]
fn zookeepers_data_is_not_left_out() {
    let (_, fs) = memory();
    fs.create_dir(Path::new("/log/version-2")).unwrap();
    fs.create(Path::new("/log/version-2/log.1")).unwrap();
    let text = recover(&fs).unwrap_err().to_string();
    assert!(text.starts_with("/log/version-2 holds data of ZooKeeper"), "{text}");
    assert!(fs.list(Path::new("/data/quorate")).unwrap().is_empty());
}

/// A server's files after a checkpoint at 20 and five more transactions.
fn sample() -> (MemoryFs, Arc<dyn Fs>) {
    let (fs, dyn_fs) = memory();
    let mut server = Server::start(&dyn_fs).unwrap();
    server.create(20).unwrap();
    server.checkpoint().unwrap();
    server.create(5).unwrap();
    (fs, dyn_fs)
}

const CHECKPOINT: &str = "/data/quorate/checkpoint-1.redb";

#[test]
fn log_and_checkpoint_must_belong_together() {
    let (_, fs) = sample();
    let other = Settings { database: 8, ..settings("/data2", "/log2") };
    let mut server = Server { recovered: open(&fs, &other).unwrap(), durable: 0 };
    server.create(25).unwrap();
    drop(server);
    let mixed = open(&fs, &settings("/data", "/log2")).unwrap_err();
    assert!(matches!(mixed, RecoveryError::Strangers { .. }), "{mixed}");
}

#[test]
fn a_damaged_checkpoint_is_made_anew_while_the_log_has_all() {
    for damage in ["magic", "pages", "all"] {
        let (fs, dyn_fs) = sample();
        fs.damage(Path::new(CHECKPOINT), |bytes| match damage {
            "magic" => bytes[0] ^= 1,
            "pages" => bytes[4096..].fill(0xa5),
            _ => bytes.clear(),
        });
        let recovered = recover(&dyn_fs).unwrap();
        assert_eq!((created(&recovered.tree), recovered.report.replayed), (25, 25));
        assert!(recovered.report.damaged_checkpoint.is_some());
        assert_eq!(
            dyn_fs.list(Path::new("/data/quorate")).unwrap(),
            ["checkpoint-1.damaged", "checkpoint-1.redb"]
        );
        let mut server = Server { recovered, durable: 0 };
        server.checkpoint().unwrap();
        drop(server);
        assert_eq!(recover(&dyn_fs).unwrap().report.checkpoint_zxid, Zxid(25));
    }
}

#[test]
fn a_damaged_checkpoint_stops_the_start_when_the_log_has_not() {
    let (fs, dyn_fs) = sample();
    let mut server = Server::start(&dyn_fs).unwrap();
    server.create(40).unwrap();
    server.checkpoint().unwrap();
    server.create(40).unwrap();
    server.checkpoint().unwrap();
    drop(server);
    fs.damage(Path::new(CHECKPOINT), Vec::clear);
    let text = recover(&dyn_fs).unwrap_err().to_string();
    assert!(
        text.starts_with("the checkpoint /data/quorate/checkpoint-1.redb is damaged: it is empty")
            && text.contains("the segments before it are missing"),
        "{text}"
    );
}
