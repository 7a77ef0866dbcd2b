//! What is missing is noticed; alone it ends the start, in an ensemble it is set aside.

use super::*;
use crate::storage::fs::read_file;

const LOG: &str = "/log/quorate/log";
const DAMAGED: &str = "/log/quorate/damaged";

/// How something can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// A byte in the middle of the log has changed.
    DamagedLog,
    /// The checkpoint cannot be read, and the log does not reach back to the beginning.
    DamagedCheckpoint,
    /// The checkpoint's folder was emptied, and the log does not reach back to the beginning.
    NoCheckpoint,
    /// The log's folder was emptied.
    NoLog,
    /// The log's folder was emptied, and the checkpoint cannot be read.
    NoLogAndDamagedCheckpoint,
    /// The log ends before the checkpoint.
    ShortLog,
    /// The log is that of before a snapshot, which the checkpoint is.
    OldLog,
}

const CASES: [Case; 7] = [
    Case::DamagedLog,
    Case::DamagedCheckpoint,
    Case::NoCheckpoint,
    Case::NoLog,
    Case::NoLogAndDamagedCheckpoint,
    Case::ShortLog,
    Case::OldLog,
];

fn in_ensemble() -> Settings {
    Settings {
        database: 8,
        replay: Extent::Committed,
        on_loss: OnLoss::SetAside,
        ..settings("/data", "/log")
    }
}

impl Case {
    /// The files of a server that has lost something.
    fn make(self) -> (MemoryFs, Arc<dyn Fs>) {
        let (fs, dyn_fs) = memory();
        let mut server = Server::start(&dyn_fs).unwrap();
        server.create(20).unwrap();
        if self == Self::OldLog {
            install_snapshot(server);
            return (fs, dyn_fs);
        }
        server.checkpoint().unwrap();
        server.create(40).unwrap();
        if self != Self::DamagedLog {
            server.checkpoint().unwrap();
        }
        server.recovered.log.close().unwrap();
        drop(server);
        self.lose(&fs);
        (fs, dyn_fs)
    }

    fn lose(self, fs: &MemoryFs) {
        let log = Path::new(LOG);
        let names = fs.list(log).unwrap();
        let newest = log.join(names.last().unwrap());
        match self {
            Self::DamagedLog => fs.damage(&newest, |bytes| bytes[2000] ^= 4),
            Self::DamagedCheckpoint | Self::NoLogAndDamagedCheckpoint => {
                fs.damage(Path::new(CHECKPOINT), |bytes| bytes[4096..].fill(0xa5));
            }
            Self::NoCheckpoint => fs.remove(Path::new(CHECKPOINT)).unwrap(),
            // All of the newest segment, the marks in it included.
            Self::ShortLog => fs.damage(&newest, |bytes| bytes[512..].fill(0)),
            Self::NoLog | Self::OldLog => {}
        }
        if matches!(self, Self::NoLog | Self::NoLogAndDamagedCheckpoint) {
            for name in &names {
                fs.remove(&log.join(name)).unwrap();
            }
        }
        fs.sync_dir(log).unwrap();
        fs.sync_dir(Path::new("/data/quorate")).unwrap();
    }

    fn is_this(self, loss: &Loss) -> bool {
        match self {
            Self::DamagedLog | Self::NoCheckpoint => matches!(loss, Loss::Log(_)),
            Self::DamagedCheckpoint => matches!(loss, Loss::Checkpoint { .. }),
            Self::NoLog => {
                matches!(loss, Loss::LogEnd { log: Zxid::ZERO, checkpoint: Zxid(60), .. })
            }
            Self::NoLogAndDamagedCheckpoint => matches!(loss, Loss::Both { .. }),
            Self::ShortLog => {
                matches!(loss, Loss::LogEnd { log, checkpoint: Zxid(60), .. } if *log < Zxid(60))
            }
            Self::OldLog => matches!(loss, Loss::OldLog { .. }),
        }
    }
}

/// Has a snapshot take the place of everything, but leaves the log as it was.
fn install_snapshot(server: Server) {
    let Recovered { tree: mut snapshot, mut checkpoint, .. } = server.recovered;
    checkpoint.install_snapshot(&mut snapshot).unwrap();
    checkpoint.switch().unwrap();
}

/// The names and bytes of log and checkpoints, wherever they are.
fn remains(fs: &dyn Fs) -> Vec<(String, Vec<u8>)> {
    let dirs = [LOG, DAMAGED, "/data/quorate"].map(Path::new);
    let mut found = Vec::new();
    for dir in dirs {
        for name in fs.list(dir).unwrap() {
            let bytes = read_file(fs, &dir.join(&name)).unwrap().unwrap();
            found.push((name.replace(".damaged", ".redb"), bytes));
        }
    }
    found
}

#[test]
fn a_loss_ends_the_start_of_a_server_alone() {
    for case in CASES {
        let (_, fs) = case.make();
        let before = remains(&*fs);
        let error = recover(&fs).unwrap_err();
        assert!(matches!(&error, RecoveryError::Lost(loss) if case.is_this(loss)), "{error}");
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        let names = |files: &[(String, _)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&remains(&*fs)), names(&before), "{case:?}");
    }
}

/// That a server in an ensemble goes on with nothing, and knows it, as often as it is asked.
fn check_set_aside(fs: &Arc<dyn Fs>, before: &[(String, Vec<u8>)], at: &str) {
    for _ in 0..2 {
        let recovered = open(fs, &in_ensemble()).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(recovered.log.promises().incomplete, "{at}: it takes itself for new");
        assert_eq!((recovered.committed, created(&recovered.tree)), (Zxid::ZERO, 0), "{at}");
        assert!(!recovered.report.is_new, "{at}");
    }
    let after = remains(&**fs);
    for file in before {
        let kept = after.iter().any(|kept| kept == file);
        // redb notes in a checkpoint that it was opened.
        let is_there = || after.iter().any(|kept| kept.0 == file.0);
        assert!(
            kept || (file.0.starts_with("checkpoint") && is_there()),
            "{at}: {} is gone",
            file.0
        );
    }
}

#[test]
fn what_is_left_of_a_loss_is_set_aside_in_an_ensemble() {
    for case in CASES {
        let (_, fs) = case.make();
        let before = remains(&*fs);
        let recovered = open(&fs, &in_ensemble()).unwrap();
        assert!(recovered.report.lost.is_some(), "{case:?}");
        drop(recovered);
        check_set_aside(&fs, &before, &format!("{case:?}"));
        let alone = recover(&fs).unwrap_err();
        assert!(matches!(alone, RecoveryError::Incomplete { .. }), "{alone}");
    }
}

#[test]
fn no_cut_of_the_power_lets_a_server_forget_what_it_has_lost() {
    for case in CASES {
        let (_, dyn_fs) = case.make();
        let counting = FaultyFs::new(dyn_fs, Fault::None);
        open(&(Arc::new(counting.clone()) as _), &in_ensemble()).unwrap();
        for cut in 0..=counting.changes() {
            let (fs, dyn_fs) = case.make();
            let before = remains(&*dyn_fs);
            let faulty = FaultyFs::new(dyn_fs, Fault::PowerCut(cut));
            let _ = open(&(Arc::new(faulty) as _), &in_ensemble());
            for seed in 0..6 {
                let mut rng = fastrand::Rng::with_seed(seed);
                let survivor: Arc<dyn Fs> = Arc::new(fs.crash(|n| match seed {
                    0 => 0,
                    1 => n - 1,
                    _ => rng.usize(..n),
                }));
                let at = format!("{case:?}, {cut}/{seed}");
                let alone = recover(&survivor).map(|_| ()).unwrap_err();
                assert!(
                    matches!(alone, RecoveryError::Lost(_) | RecoveryError::Incomplete { .. }),
                    "{at}: {alone}"
                );
                check_set_aside(&survivor, &before, &at);
            }
        }
    }
}

#[test]
fn no_failed_operation_is_taken_for_a_loss() {
    let (_, dyn_fs) = sample();
    let counting = FaultyFs::new(dyn_fs, Fault::None);
    open(&(Arc::new(counting.clone()) as _), &in_ensemble()).unwrap();
    let changes = (0..=counting.changes()).map(|n| Fault::Change(n, ErrorKind::Other));
    let reads = [ErrorKind::Other, ErrorKind::PermissionDenied]
        .map(|kind| (0..=counting.reads()).map(move |n| Fault::Read(n, kind)));
    for fault in changes.chain(reads.into_iter().flatten()) {
        let (_, dyn_fs) = sample();
        let faulty = FaultyFs::new(dyn_fs.clone(), fault);
        let _ = open(&(Arc::new(faulty) as _), &in_ensemble());
        assert!(dyn_fs.list(Path::new(DAMAGED)).unwrap().is_empty(), "{fault:?}");
        let recovered = open(&dyn_fs, &in_ensemble()).unwrap();
        assert!(!recovered.log.promises().incomplete, "{fault:?}");
    }
}

#[test]
fn the_initial_history_of_an_epoch_ends_the_loss() {
    let (fs, dyn_fs) = Case::DamagedLog.make();
    let mut recovered = open(&dyn_fs, &in_ensemble()).unwrap();
    let mut batch = Batch::new();
    batch.push_current_epoch(3);
    recovered.log.append(&mut batch).unwrap();
    let recover = |fs: MemoryFs| open(&(Arc::new(fs) as _), &in_ensemble()).unwrap();
    assert!(recover(fs.crash(|_| 0)).log.promises().incomplete, "it is not durable yet");
    recovered.log.sync().unwrap();
    assert!(!recover(fs.crash(|_| 0)).log.promises().incomplete);
}

#[test]
fn only_one_log_is_set_aside() {
    let (fs, dyn_fs) = Case::DamagedLog.make();
    drop(open(&dyn_fs, &in_ensemble()).unwrap());
    let newest = dyn_fs.list(Path::new(LOG)).unwrap().pop().unwrap();
    fs.damage(&Path::new(LOG).join(newest), |bytes| bytes[40] ^= 1);
    let before = remains(&*dyn_fs);
    let error = open(&dyn_fs, &in_ensemble()).unwrap_err();
    assert!(matches!(error, RecoveryError::LostAgain { .. }), "{error}");
    assert!(error.to_string().contains(DAMAGED), "{error}");
    assert_eq!(remains(&*dyn_fs), before);
    // Somebody has looked at it.
    dyn_fs.rename(Path::new(DAMAGED), Path::new("/log/quorate/seen")).unwrap();
    assert!(open(&dyn_fs, &in_ensemble()).unwrap().report.lost.is_some());
}

#[test]
fn a_log_of_another_version_is_no_loss() {
    let (fs, dyn_fs) = sample();
    let newest = dyn_fs.list(Path::new(LOG)).unwrap().pop().unwrap();
    fs.damage(&Path::new(LOG).join(newest), |bytes| {
        bytes[8] = 4;
        let length = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..length]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    });
    let error = open(&dyn_fs, &in_ensemble()).unwrap_err();
    assert!(
        matches!(error, RecoveryError::Log(LogError::OtherVersion { version: 4, .. })),
        "{error}"
    );
}
