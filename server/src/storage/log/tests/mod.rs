//! The log on both file systems; then crashes, faults and damage in the modules below.

mod crash;
mod cut;
mod damage;
mod reading;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BufMut;

use super::*;
use crate::storage::fs::{Fault, FaultyFs, Fs, MemoryFs, RealFs};

const SMALL: Options = Options { segment_bytes: 4096 };
const DATABASE: u64 = 0x1122_3344_5566_7788;

type Entry = (Zxid, Vec<u8>);

fn memory() -> (MemoryFs, PathBuf) {
    (MemoryFs::new(), PathBuf::from("/log"))
}

fn check_both(case: impl Fn(Arc<dyn Fs>, &Path)) {
    let (fs, dir) = memory();
    case(Arc::new(fs), &dir);
    let dir = tempfile::tempdir().unwrap();
    case(Arc::new(RealFs), &dir.path().join("log"));
}

fn create(fs: &Arc<dyn Fs>, dir: &Path) -> Log {
    Log::create(fs.clone(), dir, SMALL, DATABASE, 1, Zxid::ZERO).unwrap()
}

/// What a log holds behind `after`, and the log.
fn open(fs: &Arc<dyn Fs>, dir: &Path, after: Zxid) -> Result<(Vec<Entry>, Log), LogError> {
    let files = LogFiles::find(fs.clone(), dir, SMALL)?.expect("there is a log");
    let log = files.replay(after)?.finish()?;
    let entries = read(&log, after);
    assert_eq!(entries.last().map_or(after, |(zxid, _)| *zxid), log.last_zxid());
    Ok((entries, log))
}

/// What a log holds behind `after`.
fn read(log: &Log, after: Zxid) -> Vec<Entry> {
    let mut reader = log.source().open(after).unwrap();
    let mut entries = Vec::new();
    while let Some((zxid, body)) = reader.next(log.last_zxid()).unwrap() {
        entries.push((zxid, body.to_vec()));
    }
    entries
}

fn batch_of(entries: &[Entry]) -> Batch {
    let mut batch = Batch::new();
    for (zxid, body) in entries {
        batch.push(*zxid, |out| out.put_slice(body));
    }
    batch
}

fn entries(zxids: impl IntoIterator<Item = i64>, size: usize) -> Vec<Entry> {
    zxids.into_iter().map(|n| (Zxid(n), vec![n.to_le_bytes()[0]; size])).collect()
}

fn append(log: &mut Log, entries: &[Entry]) {
    log.append(&mut batch_of(entries)).unwrap();
    log.sync().unwrap();
}

fn names(fs: &dyn Fs, dir: &Path) -> Vec<String> {
    fs.list(dir).unwrap()
}

#[test]
fn what_was_appended_is_read_again() {
    check_both(|fs, dir| {
        let mut log = create(&fs, dir);
        let first = entries(1..=5, 100);
        append(&mut log, &first);
        assert_eq!((log.last_zxid(), log.durable_zxid()), (Zxid(5), Zxid(5)));
        log.append(&mut batch_of(&entries(6..=7, 0))).unwrap();
        assert_eq!((log.last_zxid(), log.durable_zxid()), (Zxid(7), Zxid(5)));
        log.close().unwrap();

        let (read, mut log) = open(&fs, dir, Zxid::ZERO).unwrap();
        assert_eq!(read, [first, entries(6..=7, 0)].concat());
        assert_eq!((log.database(), log.durable_zxid()), (DATABASE, Zxid(7)));
        append(&mut log, &entries(8..=8, 1));
        drop(log);
        assert_eq!(open(&fs, dir, Zxid(7)).unwrap().0, entries(8..=8, 1));
        assert_eq!(open(&fs, dir, Zxid(8)).unwrap().0, []);
    });
}

#[test]
fn an_empty_folder_has_no_log() {
    check_both(|fs, dir| {
        fs.create_dir(dir).unwrap();
        assert!(LogFiles::find(fs, dir, SMALL).unwrap().is_none());
    });
}

#[test]
fn a_batch_lends_its_transactions_before_and_after() {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs) as _), &dir);
    let expected = entries(1..=3, 9);
    let mut batch = batch_of(&expected);
    batch.push_accepted_epoch(1);
    let lent = |batch: &Batch| -> Vec<Entry> {
        batch.transactions().map(|(zxid, body)| (zxid, body.to_vec())).collect()
    };
    assert_eq!(lent(&batch), expected);
    log.append(&mut batch).unwrap();
    assert_eq!(lent(&batch), expected);
    assert_eq!((batch.transaction_count(), batch.last_zxid()), (3, Some(Zxid(3))));
    batch.clear();
    assert!(batch.is_empty());
    assert_eq!((batch.transaction_count(), batch.last_zxid()), (0, None));
    log.append(&mut batch).unwrap();
}

#[test]
fn a_gap_is_refused_and_changes_nothing() {
    check_both(|fs, dir| {
        let mut log = create(&fs, dir);
        append(&mut log, &entries(1..=2, 10));
        let epoch_2 = Zxid::new(2, 1).0;
        for wrong in [&[4][..], &[2], &[3, 5], &[3, epoch_2 + 1], &[epoch_2, 3]] {
            let refused = log.append(&mut batch_of(&entries(wrong.iter().copied(), 10)));
            assert!(matches!(refused, Err(LogError::OutOfOrder { .. })), "{wrong:?}");
        }
        append(&mut log, &entries([3, epoch_2, epoch_2 + 1], 10));
        drop(log);
        let expected = entries([1, 2, 3, epoch_2, epoch_2 + 1], 10);
        assert_eq!(open(&fs, dir, Zxid::ZERO).unwrap().0, expected);
    });
}

#[test]
fn promises_survive_the_segments_that_held_them() {
    check_both(|fs, dir| {
        let mut log = create(&fs, dir);
        let mut batch = batch_of(&entries(1..=1, 10));
        batch.push_accepted_epoch(3);
        batch.push_current_epoch(2);
        batch.push_configuration(&[b'c'; 700]);
        log.append(&mut batch).unwrap();
        for n in 2..=12 {
            append(&mut log, &entries(n..=n, 900));
        }
        let expected = log.promises().clone();
        assert_eq!((expected.accepted_epoch, expected.current_epoch), (3, 2));
        assert!(log.retire(Zxid(12), 0).unwrap().run().unwrap() > 0);
        drop(log);
        let (_, log) = open(&fs, dir, Zxid(12)).unwrap();
        assert_eq!(*log.promises(), expected);
    });
}

#[test]
fn full_segments_are_followed_by_others_and_retired() {
    check_both(|fs, dir| {
        let mut log = create(&fs, dir);
        for n in 1..=20 {
            append(&mut log, &entries(n..=n, 1000));
        }
        let segments = names(&*fs, dir);
        let expected: Vec<_> = (1..=7).map(|n| format!("{n:016x}.log")).collect();
        assert_eq!(segments, expected, "three records of 1024 bytes in each");
        assert_eq!(log.segment_count(), 7);

        assert!(log.retire(Zxid(2), 0).is_none(), "3 is in the first segment");
        assert!(log.retire(Zxid(3), 1).is_none(), "one is to be kept");
        assert_eq!(log.retire(Zxid(3), 0).unwrap().run().unwrap(), 1);
        assert_eq!(log.retire(Zxid(100), 1).unwrap().run().unwrap(), 4);
        assert_eq!(names(&*fs, dir), ["0000000000000006.log", "0000000000000007.log"]);
        assert_eq!((log.floor(), log.last_zxid()), (Zxid(15), Zxid(20)));
        drop(log);

        let (read, log) = open(&fs, dir, Zxid(15)).unwrap();
        assert_eq!(read, entries(16..=20, 1000));
        assert_eq!((log.floor(), log.epochs().ends()), (Zxid(15), &[Zxid(20)][..]));
        let error = open(&fs, dir, Zxid(14)).unwrap_err();
        assert!(error.to_string().contains("the segments before it are missing"), "{error}");
    });
}

#[test]
fn a_batch_larger_than_a_segment_has_a_larger_one() {
    check_both(|fs, dir| {
        let mut log = create(&fs, dir);
        append(&mut log, &entries(1..=1, 10_000));
        append(&mut log, &entries(2..=2, 20_000));
        append(&mut log, &entries(3..=3, 5000));
        assert_eq!(log.segment_count(), 4, "the first one was too small for any");
        drop(log);
        let expected =
            [entries(1..=1, 10_000), entries(2..=2, 20_000), entries(3..=3, 5000)].concat();
        assert_eq!(open(&fs, dir, Zxid::ZERO).unwrap().0, expected);
    });
}

#[test]
fn a_prepared_segment_is_used_and_a_forgotten_one_removed() {
    check_both(|fs, dir| {
        let mut log = create(&fs, dir);
        let job = log.preparation().unwrap();
        assert!(log.preparation().is_none(), "one at a time");
        log.supply(job.run());
        let mut forgotten = None;
        for n in 1..=4 {
            append(&mut log, &entries(n..=n, 1000));
            forgotten = forgotten.or(log.preparation());
        }
        assert_eq!(names(&*fs, dir).len(), 2, "the prepared one became a segment");
        forgotten.unwrap().run().unwrap();
        assert_eq!(names(&*fs, dir).len(), 3);
        drop(log);
        open(&fs, dir, Zxid::ZERO).unwrap();
        assert_eq!(names(&*fs, dir).len(), 2);
    });
}

#[test]
fn a_full_log_looks_for_room_when_asked_to() {
    let (fs, dir) = memory();
    let fs = FaultyFs::new(Arc::new(fs), Fault::None);
    let dyn_fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let mut log = create(&dyn_fs, &dir);
    append(&mut log, &entries(1..=3, 1000));
    fs.set(Fault::Full(0));
    let job = log.preparation().unwrap();
    log.supply(job.run());
    let mut batch = batch_of(&entries(4..=4, 1000));
    assert!(matches!(log.append(&mut batch), Err(LogError::Full(_))));
    assert!(log.preparation().is_none() && !log.has_spare(), "it came to nothing");
    fs.set(Fault::None);
    log.prepare_again();
    let job = log.preparation().unwrap();
    log.supply(job.run());
    assert!(log.has_spare());
    log.append(&mut batch).unwrap();
    log.sync().unwrap();
    drop(log);
    assert_eq!(open(&dyn_fs, &dir, Zxid::ZERO).unwrap().0.len(), 4);
}

#[test]
fn a_log_can_begin_anywhere() {
    check_both(|fs, dir| {
        let start = Zxid::new(5, 77);
        let mut log = Log::create(fs.clone(), dir, SMALL, DATABASE, 1, start).unwrap();
        append(&mut log, &entries([start.0 + 1, Zxid::new(6, 1).0], 10));
        drop(log);
        assert_eq!(open(&fs, dir, start).unwrap().0.len(), 2);
        open(&fs, dir, Zxid::new(5, 76)).unwrap_err();
    });
}

#[test]
fn an_idle_log_says_once_how_far_it_is_durable() {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs.clone()) as _), &dir);
    append(&mut log, &entries(1..=1, 10));
    let content = || super::super::fs::read_file(&fs, &dir.join("0000000000000001.log")).unwrap();
    let before = content();
    log.mark().unwrap();
    let marked = content();
    assert_ne!(marked, before);
    log.sync().unwrap();
    log.mark().unwrap();
    assert_eq!(content(), marked);
    log.set_committed(Zxid(1));
    log.mark().unwrap();
    let committed = content();
    assert_ne!(committed, marked);
    log.mark().unwrap();
    assert_eq!(content(), committed);
}

#[test]
fn the_log_says_what_is_committed() {
    check_both(|fs, dir| {
        let committed = || open(&fs, dir, Zxid::ZERO).unwrap().1.committed();
        let mut log = create(&fs, dir);
        append(&mut log, &entries(1..=4, 10));
        let mut batch = batch_of(&entries(5..=6, 10));
        batch.set_committed(Zxid(3));
        log.append(&mut batch).unwrap();
        log.sync().unwrap();
        assert_eq!((log.committed(), committed()), (Zxid(3), Zxid(3)));
        log.set_committed(Zxid(2));
        assert_eq!(log.committed(), Zxid(3), "what is committed stays so");
        log.set_committed(Zxid(5));
        assert_eq!(committed(), Zxid(3), "nothing was written since");
        log.mark().unwrap();
        assert_eq!(committed(), Zxid(5));
        log.set_committed(Zxid(99));
        log.close().unwrap();
        assert_eq!(committed(), Zxid(6), "what is not in the log is not there to be applied");
        for n in 7..=12 {
            append(&mut log, &entries(n..=n, 900));
        }
        drop(log);
        let (_, log) = open(&fs, dir, Zxid(12)).unwrap();
        assert!(log.committed() >= Zxid(9), "the header of the newest segment says it, too");
    });
}

#[test]
fn the_epoch_table_follows_the_log() {
    check_both(|fs, dir| {
        let z = Zxid::new;
        let mut log = create(&fs, dir);
        let zxids = [z(0, 1), z(0, 2), z(1, 1), z(3, 1), z(3, 2), z(3, 3), z(3, 4), z(4, 1)];
        append(&mut log, &entries(zxids[..3].iter().map(|zxid| zxid.0), 800));
        append(&mut log, &entries(zxids[3..6].iter().map(|zxid| zxid.0), 800));
        append(&mut log, &entries(zxids[6..].iter().map(|zxid| zxid.0), 800));
        let expected = Epochs::from_ends(Zxid::ZERO, vec![z(0, 2), z(1, 1), z(3, 4), z(4, 1)]);
        assert_eq!(log.epochs(), &expected.unwrap());
        for after in [Zxid::ZERO, z(1, 1), z(4, 1)] {
            assert_eq!(open(&fs, dir, after).unwrap().1.epochs(), log.epochs());
        }
        log.retire(z(3, 3), 0).unwrap().run().unwrap();
        let expected = Epochs::from_ends(z(3, 3), vec![z(3, 4), z(4, 1)]).unwrap();
        assert_eq!(log.epochs(), &expected);
        assert_eq!(open(&fs, dir, z(3, 3)).unwrap().1.epochs(), &expected);
        assert_eq!(open(&fs, dir, z(4, 1)).unwrap().1.epochs(), &expected);
    });
}
