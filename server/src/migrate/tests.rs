use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use quorate_protocol::{Decode, Zxid};

use super::history::Report;
use super::*;
use crate::storage::fs::{Fault, FaultyFs, MemoryFs};
use crate::storage::layout::Layout;
use crate::storage::log::Options;
use crate::storage::recovery::{self, Beside, Extent, OnLoss, Recovered};
use crate::tool::verify;
use crate::tree::Tree;
use crate::txn::TxnRecord;
use crate::txn::tests::real_log;
use crate::zookeeper_files::log::LogWriter;
use crate::zookeeper_files::{epochs, snapshot};

const DIR: &str = "/data/version-2";
/// How many transactions there are.
const COUNT: i64 = 56;

fn layout() -> Layout {
    Layout::new(Path::new("/data"), Path::new("/data"))
}

/// What a server of a real ZooKeeper has left: snapshots of 0x0 and 0x20, logs from 0x1, 0x15 and
/// 0x2a on.
fn zookeeper() -> MemoryFs {
    let fs = MemoryFs::new();
    fs.create_dir(Path::new(DIR)).unwrap();
    put_snapshot(&fs, 0);
    put_snapshot(&fs, 0x20);
    put_log(&fs, 1, 0x14);
    put_log(&fs, 0x15, 0x29);
    put_log(&fs, 0x2a, COUNT);
    fs
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// The tree behind a transaction.
fn tree_at(zxid: i64) -> Tree {
    let mut tree = Tree::new(0);
    for bytes in real_log().take(usize::try_from(zxid).unwrap()) {
        tree.apply(&TxnRecord::from_bytes(bytes).unwrap(), &mut |_| {});
    }
    tree
}

fn put_snapshot(fs: &MemoryFs, zxid: i64) {
    let file = fs.create(&path(&snapshot::name(Zxid(zxid)))).unwrap();
    snapshot::write(&*file, &tree_at(zxid)).unwrap();
    fs.sync_dir(Path::new(DIR)).unwrap();
}

fn put_log(fs: &MemoryFs, first: i64, last: i64) {
    let mut writer = LogWriter::new(fs.create(&path(&format!("log.{first:x}"))).unwrap());
    let count = usize::try_from(last - first + 1).unwrap();
    for bytes in real_log().skip(usize::try_from(first - 1).unwrap()).take(count) {
        writer.push(bytes).unwrap();
    }
    writer.finish().unwrap();
    fs.sync_dir(Path::new(DIR)).unwrap();
}

fn remove(fs: &MemoryFs, names: &[&str]) {
    for name in names {
        fs.remove(&path(name)).unwrap();
    }
    fs.sync_dir(Path::new(DIR)).unwrap();
}

fn settings(accept_loss: bool) -> import::Settings {
    import::Settings {
        layout: layout(),
        log: Options { segment_bytes: 16 << 10 },
        database: 7,
        history: history::Settings { accept_loss, seed: 0 },
    }
}

fn import_with(fs: &Arc<dyn Fs>, accept_loss: bool) -> Result<Report, MigrateError> {
    let source = Source { snapshots: DIR.into(), logs: DIR.into() };
    import::import(fs, &source, &settings(accept_loss))
}

fn import(fs: &MemoryFs) -> Result<Report, MigrateError> {
    import_with(&(Arc::new(fs.clone()) as _), false)
}

fn start(fs: &Arc<dyn Fs>, replay: Extent) -> Result<Recovered, RecoveryError> {
    recovery::open(
        fs,
        &recovery::Settings {
            layout: layout(),
            log: Options { segment_bytes: 16 << 10 },
            database: 8,
            tree_seed: 0,
            replay,
            on_loss: OnLoss::Refuse,
        },
    )
}

/// All of ZooKeeper's files.
fn content(fs: &MemoryFs) -> BTreeMap<String, Vec<u8>> {
    let names = fs.list(Path::new(DIR)).unwrap();
    let read = |name: String| {
        let bytes = fs::read_file(fs, &path(&name)).unwrap().unwrap();
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

fn check_is_imported(fs: &Arc<dyn Fs>, last: i64) {
    let recovered = start(fs, Extent::All).unwrap();
    assert_eq!(recovered.report.digest_mismatch, None);
    let (tree, expected) = (recovered.tree, tree_at(last));
    assert_eq!((tree.last_zxid(), tree.digest()), (Zxid(last), expected.digest()));
    assert_eq!(tree.sessions(), expected.sessions());
    assert_eq!(tree.ephemeral_count(), expected.ephemeral_count());
    tree.verify_digests().unwrap();
}

fn lost(fs: &MemoryFs) -> String {
    let error = import(fs).unwrap_err();
    assert!(matches!(error, MigrateError::Lost(_)), "{error}");
    // It was refused before anything was written.
    assert!(fs.list(&layout().data()).unwrap().is_empty());
    error.to_string()
}

#[test]
fn the_newest_snapshot_and_the_logs_behind_it_are_taken() {
    let fs = zookeeper();
    let before = content(&fs);
    let report = import(&fs).unwrap();
    let expected = tree_at(COUNT);
    let mut known = Report {
        snapshot: Some(path("snapshot.20")),
        logs: 2,
        replayed: 0x18,
        last_zxid: Zxid(COUNT),
        nodes: expected.node_count(),
        sessions: expected.sessions().len(),
        ephemerals: expected.ephemeral_count(),
        digest: expected.digest(),
        ..Report::default()
    };
    known.digests_compared = report.digests_compared;
    assert_eq!(report, known);
    assert!(report.digests_compared > 10, "{}", report.digests_compared);
    assert_eq!(content(&fs), before, "its files are as they were");
    let dyn_fs: Arc<dyn Fs> = Arc::new(fs);
    check_is_imported(&dyn_fs, COUNT);
    // In an ensemble the newest transactions wait for a leader.
    let recovered = start(&dyn_fs, Extent::Committed).unwrap();
    assert_eq!((recovered.committed, recovered.log.last_zxid()), (Zxid(0x20), Zxid(COUNT)));
    drop(recovered);
    let verified = verify::check(&dyn_fs, &layout(), 0).unwrap();
    assert_eq!(verified.problems, [""; 0]);
    assert_eq!((verified.last_zxid, verified.digest), (Zxid(COUNT), expected.digest()));
}

#[test]
fn a_log_from_the_beginning_needs_no_snapshot() {
    let fs = zookeeper();
    remove(&fs, &["snapshot.0", "snapshot.20"]);
    assert_eq!(import(&fs).unwrap().snapshot, None);
    check_is_imported(&(Arc::new(fs) as _), COUNT);
}

#[test]
fn snapshots_that_are_not_whole_are_passed_over_where_the_logs_have_everything() {
    for damage in [
        (|bytes: &mut Vec<u8>| bytes[100] ^= 1) as fn(&mut Vec<u8>),
        |bytes| bytes.truncate(300),
        Vec::clear,
        |bytes| bytes[..4].copy_from_slice(b"ABCD"),
    ] {
        let fs = zookeeper();
        fs.damage(&path("snapshot.20"), damage);
        let report = import(&fs).unwrap();
        assert_eq!(report.snapshot, Some(path("snapshot.0")));
        assert_eq!(report.skipped.len(), 1);
        assert_eq!(report.skipped[0].file, path("snapshot.20"));
        check_is_imported(&(Arc::new(fs) as _), COUNT);
    }
}

#[test]
fn what_is_missing_is_said_and_nothing_is_imported() {
    let fs = zookeeper();
    remove(&fs, &["log.2a"]);
    put_log(&fs, 0x2c, COUNT);
    let hole = "/data/version-2/log.2c at offset 16: transaction 0x2c comes after 0x29: what was \
                between them is missing";
    assert_eq!(lost(&fs), hole);

    let fs = zookeeper();
    remove(&fs, &["log.1"]);
    fs.damage(&path("snapshot.20"), |bytes| bytes.truncate(300));
    let said = lost(&fs);
    let hole = "/data/version-2/log.15 at offset 16: transaction 0x15 comes after 0x0: what was \
                between them is missing; /data/version-2/snapshot.20 is damaged at offset ";
    assert!(said.starts_with(hole) && said.ends_with(": it ends within the tree"), "{said}");

    let fs = zookeeper();
    remove(&fs, &["log.1", "snapshot.0"]);
    fs.damage(&path("snapshot.20"), Vec::clear);
    assert_eq!(
        lost(&fs),
        "no snapshot can be read, and the logs do not begin with the first transaction; \
         /data/version-2/snapshot.20 is damaged at offset 0: it is too short for a snapshot"
    );

    let fs = zookeeper();
    fs.damage(&path("log.15"), |bytes| bytes[16 + 40] ^= 1);
    let said = lost(&fs);
    assert_eq!(
        said,
        "/data/version-2/log.15 is damaged at offset 16: a record with a wrong checksum"
    );

    let fs = zookeeper();
    fs.damage(&path("log.2a"), |bytes| bytes[..4].copy_from_slice(b"ABCD"));
    let magic = "/data/version-2/log.2a is damaged at offset 0: it begins with \"ABCD\" instead of \
                 \"ZKLG\"";
    assert_eq!(lost(&fs), magic);

    let fs = zookeeper();
    remove(&fs, &["log.15"]);
    put_log(&fs, 0x15, 0x2b);
    let said = lost(&fs);
    assert!(
        said.ends_with(
            ": transaction 0x2a is in /data/version-2/log.2a too: which of the two happened cannot \
             be told"
        ),
        "{said}"
    );

    let fs = zookeeper();
    epochs::write(&fs, Path::new(DIR), 3, 4).unwrap();
    assert_eq!(
        lost(&fs),
        "/data/version-2: the accepted epoch 3 is below the current epoch 4: a promise to the \
         ensemble is missing"
    );

    let fs = MemoryFs::new();
    fs.create_dir(Path::new(DIR)).unwrap();
    let said = import(&fs).unwrap_err().to_string();
    assert_eq!(said, "there is neither a snapshot nor a log of ZooKeeper in /data/version-2");
}

#[test]
fn a_tree_that_is_not_what_zookeeper_had_is_refused() {
    // A snapshot of another moment.
    let fs = zookeeper();
    let file = fs.create(&path("snapshot.21")).unwrap();
    snapshot::write(&*file, &tree_at(0x20)).unwrap();
    assert_eq!(
        lost(&fs),
        "/data/version-2/log.15 at offset 1562: transaction 0x22 does not fit the tree before it: \
         NONODE"
    );

    // A transaction that was exchanged, with a right checksum.
    let fs = zookeeper();
    remove(&fs, &["snapshot.20", "log.1"]);
    let mut writer = LogWriter::new(fs.create(&path("log.1")).unwrap());
    for (zxid, bytes) in (1..).zip(real_log().take(0x14)) {
        let mut bytes = bytes.to_vec();
        if zxid == 3 {
            // Its time.
            bytes[27] ^= 1;
        }
        writer.push(&bytes).unwrap();
    }
    writer.finish().unwrap();
    let said = lost(&fs);
    assert!(said.contains("transaction 0x3 should leave a tree with digest 0x"), "{said}");
}

#[test]
fn a_snapshot_ahead_of_the_logs_is_refused() {
    let fs = zookeeper();
    // Written while transactions went on: its name says less than it shows.
    let file = fs.create(&path("snapshot.30")).unwrap();
    snapshot::write(&*file, &tree_at(0x35)).unwrap();
    remove(&fs, &["log.2a"]);
    put_log(&fs, 0x2a, 0x32);
    assert_eq!(
        lost(&fs),
        "/data/version-2/snapshot.30 shows effects of transactions up to 0x35, but the logs end at \
         0x32: the newest are missing"
    );
    let report = import_with(&(Arc::new(fs.clone()) as _), true).unwrap();
    assert_eq!((report.snapshot, report.losses.len()), (Some(path("snapshot.20")), 1));
    check_is_imported(&(Arc::new(fs) as _), 0x32);
}

#[test]
fn a_snapshot_that_is_not_of_one_moment_is_put_right_by_the_logs() {
    for shows in 0x20..=COUNT {
        let fs = zookeeper();
        remove(&fs, &["snapshot.20"]);
        let file = fs.create(&path("snapshot.20")).unwrap();
        snapshot::write(&*file, &tree_at(shows)).unwrap();
        import(&fs).unwrap_or_else(|error| panic!("{shows:#x}: {error}"));
        check_is_imported(&(Arc::new(fs) as _), COUNT);
    }
}

#[test]
fn an_accepted_loss_leaves_what_is_before_it() {
    let fs = zookeeper();
    remove(&fs, &["log.2a"]);
    put_log(&fs, 0x2c, COUNT);
    let report = import_with(&(Arc::new(fs.clone()) as _), true).unwrap();
    assert_eq!((report.last_zxid, report.losses.len()), (Zxid(0x29), 1));
    check_is_imported(&(Arc::new(fs) as _), 0x29);
}

#[test]
fn the_end_of_an_interrupted_write_is_no_loss() {
    let fs = zookeeper();
    fs.damage(&path("log.2a"), |bytes| bytes.truncate(bytes.len() - 5));
    let report = import(&fs).unwrap();
    assert_eq!(report.torn.len(), 1);
    check_is_imported(&(Arc::new(fs) as _), COUNT - 1);
}

#[test]
fn epochs_become_promises() {
    let promises = |fs: MemoryFs| {
        import(&fs).unwrap();
        let recovered = start(&(Arc::new(fs) as _), Extent::Committed).unwrap();
        let promises = recovered.log.promises();
        (promises.accepted_epoch, promises.current_epoch)
    };
    assert_eq!(promises(zookeeper()), (0, 0));
    let fs = zookeeper();
    epochs::write(&fs, Path::new(DIR), 5, 4).unwrap();
    assert_eq!(promises(fs), (5, 4));
}

#[test]
fn no_cut_of_the_power_leaves_half_an_import() {
    let counting = FaultyFs::new(Arc::new(zookeeper()), Fault::None);
    import_with(&(Arc::new(counting.clone()) as _), false).unwrap();
    let before = content(&zookeeper());
    for cut in 0..=counting.changes() {
        let fs = zookeeper();
        let faulty = FaultyFs::new(Arc::new(fs.clone()), Fault::PowerCut(cut));
        let _ = import_with(&(Arc::new(faulty) as _), false);
        for seed in 0..4 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let survivor = fs.crash(|n| match seed {
                0 => 0,
                1 => n - 1,
                _ => rng.usize(..n),
            });
            let dyn_fs: Arc<dyn Fs> = Arc::new(survivor.clone());
            assert_eq!(content(&survivor), before, "{cut}/{seed}");
            match recovery::look_beside(&survivor, &layout()).unwrap() {
                Beside::Ours => {}
                Beside::ZooKeepers { .. } => {
                    // Until then nothing else starts with it.
                    let refused = start(&dyn_fs, Extent::All).unwrap_err();
                    assert!(
                        matches!(
                            refused,
                            RecoveryError::ZooKeeperData { .. }
                                | RecoveryError::ImportInterrupted { .. }
                        ),
                        "{refused}"
                    );
                    import_with(&dyn_fs, false).unwrap();
                }
            }
            check_is_imported(&dyn_fs, COUNT);
        }
    }
}

#[test]
fn no_failed_operation_leaves_half_an_import() {
    let counting = FaultyFs::new(Arc::new(zookeeper()), Fault::None);
    import_with(&(Arc::new(counting.clone()) as _), false).unwrap();
    let kind = std::io::ErrorKind::StorageFull;
    let changes = (0..counting.changes()).map(|n| Fault::Change(n, kind));
    let reads = (0..counting.reads()).map(|n| Fault::Read(n, std::io::ErrorKind::Other));
    for fault in changes.chain(reads) {
        let fs = zookeeper();
        let faulty = FaultyFs::new(Arc::new(fs.clone()), fault);
        let done = import_with(&(Arc::new(faulty) as _), false);
        let dyn_fs: Arc<dyn Fs> = Arc::new(fs.clone());
        if done.is_err() && recovery::look_beside(&fs, &layout()).unwrap() != Beside::Ours {
            import_with(&dyn_fs, false).unwrap();
        }
        check_is_imported(&dyn_fs, COUNT);
    }
}

#[test]
fn data_of_ours_is_not_overwritten() {
    let fs = zookeeper();
    import(&fs).unwrap();
    let said = import(&fs).unwrap_err().to_string();
    assert_eq!(said, "/data/quorate holds data already: move it away, or choose another folder");
}

#[test]
fn what_zookeeper_writes_afterwards_is_noticed() {
    let imported = || {
        let fs = zookeeper();
        epochs::write(&fs, Path::new(DIR), 5, 4).unwrap();
        import(&fs).unwrap();
        fs
    };
    let refused = |fs: MemoryFs| start(&(Arc::new(fs) as _), Extent::All).unwrap_err().to_string();

    let fs = imported();
    put_snapshot(&fs, COUNT);
    remove(&fs, &["log.1"]);
    // Nothing new: that is the state that was imported, and a purge.
    check_is_imported(&(Arc::new(fs) as _), COUNT);

    let fs = imported();
    put_log(&fs, COUNT, COUNT);
    assert_eq!(
        refused(fs),
        "ZooKeeper has written /data/version-2/log.38 since Quorate has had its data: there are two \
         histories now, and to go on with either gives the other up. To go on with ZooKeeper's, \
         move /data/quorate away, and the next start imports it. To go on with Quorate's, move \
         /data/version-2 away"
    );
    let fs = imported();
    fs.create(&path("snapshot.39")).unwrap();
    assert!(refused(fs).starts_with("ZooKeeper has written /data/version-2/snapshot.39 "));
    let fs = imported();
    fs.damage(&path("log.2a"), |bytes| bytes.truncate(bytes.len() - 50));
    assert!(refused(fs).starts_with("ZooKeeper has written /data/version-2/log.2a "));
    let fs = imported();
    epochs::write(&fs, Path::new(DIR), 6, 4).unwrap();
    assert!(refused(fs).starts_with("ZooKeeper has written /data/version-2/acceptedEpoch "));

    let fs = imported();
    fs.remove(&layout().data().join("checkpoint-1.redb")).unwrap();
    for name in fs.list(&layout().log()).unwrap() {
        fs.remove(&layout().log().join(name)).unwrap();
    }
    assert!(refused(fs).starts_with("the data that was in /data/quorate is gone, "));
}

#[test]
fn what_is_exported_is_imported() {
    let fs = zookeeper();
    epochs::write(&fs, Path::new(DIR), 5, 4).unwrap();
    import(&fs).unwrap();
    let dyn_fs: Arc<dyn Fs> = Arc::new(fs.clone());
    for replay in [Extent::All, Extent::Committed] {
        let recovered = start(&dyn_fs, replay).unwrap();
        let to = PathBuf::from(format!("/{replay:?}"));
        let report = export::export(&dyn_fs, &recovered, &to, &layout()).unwrap();
        let committed = recovered.committed;
        let behind = u64::try_from(COUNT - committed.0).unwrap();
        assert_eq!((report.snapshot_zxid, report.logged), (committed, behind));
        assert_eq!((report.accepted_epoch, report.current_epoch), (5, 4));
        let source = Source::below(&fs, &to, &to).unwrap();
        let read = history::read(&fs, &source, settings(false).history).unwrap();
        let expected = tree_at(COUNT);
        assert_eq!(read.tree.digest(), expected.digest());
        assert_eq!(read.tree.sessions(), expected.sessions());
        assert_eq!((read.accepted_epoch, read.current_epoch), (5, 4));
        let again = export::export(&dyn_fs, &recovered, &to, &layout()).unwrap_err().to_string();
        let taken = format!("{}/version-2 holds data already", to.display());
        assert!(again.starts_with(&taken), "{again}");
    }
}

#[test]
fn an_export_beside_the_data_is_remembered() {
    let fs = MemoryFs::new();
    let dyn_fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let recovered = start(&dyn_fs, Extent::All).unwrap();
    export::export(&dyn_fs, &recovered, Path::new("/data"), &layout()).unwrap();
    drop(recovered);
    start(&dyn_fs, Extent::All).unwrap();
    put_log(&fs, 1, 5);
    let said = start(&dyn_fs, Extent::All).unwrap_err().to_string();
    assert!(said.starts_with("ZooKeeper has written /data/version-2/log.1 "), "{said}");
}
