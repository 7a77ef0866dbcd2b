//! The log is read while it is written to.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

fn rest(reader: &mut LogReader, upto: i64) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    while let Some((zxid, body)) = reader.next(Zxid(upto))? {
        entries.push((zxid, body.to_vec()));
    }
    Ok(entries)
}

#[test]
fn a_reader_follows_the_writer() {
    check_both(|fs, dir| {
        let mut log = create(&fs, dir);
        let mut reader = log.source().open(Zxid::ZERO).unwrap();
        assert_eq!(rest(&mut reader, 100).unwrap(), []);
        let mut before = 0;
        for n in [1, 2, 5, 6, 12, 13, 20] {
            append(&mut log, &entries(before + 1..=n, 400));
            log.mark().unwrap();
            assert_eq!(rest(&mut reader, before).unwrap(), []);
            let half = i64::midpoint(before, n);
            assert_eq!(rest(&mut reader, half).unwrap(), entries(before + 1..=half, 400));
            assert_eq!(rest(&mut reader, 100).unwrap(), entries(half + 1..=n, 400));
            before = n;
        }
        assert!(log.segment_count() > 2);
        for after in 0..=20 {
            let mut reader = log.source().open(Zxid(after)).unwrap();
            assert_eq!(rest(&mut reader, 100).unwrap(), entries(after + 1..=20, 400));
        }
    });
}

#[test]
fn a_refused_batch_is_not_read() {
    let (fs, dir) = memory();
    let faulty = FaultyFs::new(Arc::new(fs), Fault::None);
    let mut log = create(&(Arc::new(faulty.clone()) as _), &dir);
    append(&mut log, &entries(1..=2, 10));
    let mut reader = log.source().open(Zxid::ZERO).unwrap();
    faulty.set(Fault::Change(faulty.changes(), std::io::ErrorKind::StorageFull));
    log.append(&mut batch_of(&entries(3..=3, 500))).unwrap_err();
    assert_eq!(rest(&mut reader, 100).unwrap(), entries(1..=2, 10));
    append(&mut log, &entries(3..=3, 20));
    assert_eq!(rest(&mut reader, 100).unwrap(), entries(3..=3, 20));
}

#[test]
fn an_open_segment_outlives_its_removal_and_what_is_not_open_is_gone() {
    check_both(|fs, dir| {
        let mut log = create(&fs, dir);
        for n in 1..=12 {
            append(&mut log, &entries(n..=n, 900));
        }
        let source = log.source();
        let mut first = source.open(Zxid(1)).unwrap();
        let mut second = source.open(Zxid(3)).unwrap();
        log.retire(Zxid(3), 0).unwrap().run().unwrap();
        assert_eq!(first.next(Zxid(9)).unwrap().unwrap().0, Zxid(2));
        assert_eq!(first.next(Zxid(9)).unwrap().unwrap().0, Zxid(3));
        assert_eq!(first.next(Zxid(9)).unwrap().unwrap().0, Zxid(4), "the next one is there");
        log.retire(Zxid(9), 0).unwrap().run().unwrap();
        assert_eq!(first.next(Zxid(9)).unwrap().unwrap().0, Zxid(5));
        assert_eq!(first.next(Zxid(9)).unwrap().unwrap().0, Zxid(6));
        let gone = first.next(Zxid(9)).unwrap_err();
        assert!(matches!(gone, ReadError::Gone { after: Zxid(6) }), "{gone}");
        assert!(matches!(rest(&mut second, 9), Err(ReadError::Gone { .. })));
        assert!(matches!(source.open(Zxid(8)), Err(ReadError::Gone { after: Zxid(8) })));
        assert_eq!(rest(&mut source.open(Zxid(9)).unwrap(), 99).unwrap(), entries(10..=12, 900));
    });
}

#[test]
fn a_file_that_was_just_removed_is_gone_and_no_failure() {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs.clone()) as _), &dir);
    for n in 1..=6 {
        append(&mut log, &entries(n..=n, 900));
    }
    let mut reader = log.source().open(Zxid(1)).unwrap();
    fs.remove(&dir.join("0000000000000002.log")).unwrap();
    assert!(matches!(rest(&mut reader, 9), Err(ReadError::Gone { after: Zxid(3) })));
    assert!(matches!(log.source().open(Zxid(4)), Err(ReadError::Gone { after: Zxid(4) })));
}

#[test]
fn what_is_not_in_the_log_cannot_be_followed() {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs) as _), &dir);
    append(&mut log, &entries([1, 2, Zxid::new(1, 1).0, Zxid::new(3, 1).0], 10));
    for after in [Zxid(3), Zxid::new(1, 0), Zxid::new(1, 2), Zxid::new(2, 1)] {
        let mut reader = log.source().open(after).unwrap();
        assert!(matches!(reader.next(Zxid::new(9, 9)), Err(ReadError::Gone { .. })), "{after}");
    }
    let mut beyond = log.source().open(Zxid::new(3, 2)).unwrap();
    assert_eq!(beyond.next(Zxid::new(9, 9)).unwrap(), None);
}

#[test]
fn who_reads_while_the_log_is_cut_is_told() {
    for to in [9, 7, 6, 2] {
        let (fs, dir) = memory();
        let mut log = create(&(Arc::new(fs) as _), &dir);
        for n in 1..=10 {
            append(&mut log, &entries(n..=n, 900));
        }
        let readers = [0, 2, 5, 6, 9].map(|after| {
            let mut reader = log.source().open(Zxid(after)).unwrap();
            reader.next(Zxid(10)).unwrap();
            reader
        });
        log.truncate(Zxid(to)).unwrap();
        for mut reader in readers {
            assert!(matches!(reader.next(Zxid(10)), Err(ReadError::Cut)), "{to}");
        }
        assert_eq!(read(&log, Zxid(1)), entries(2..=to, 900));
        let mut reader = log.source().open(Zxid(to)).unwrap();
        log.begin_anew(Zxid(99), 2).unwrap();
        assert!(matches!(reader.next(Zxid(100)), Err(ReadError::Cut)));
        assert!(matches!(log.source().open(Zxid(to)), Err(ReadError::Gone { .. })));
    }
}

#[test]
fn damage_is_noticed_and_not_handed_on() {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs.clone()) as _), &dir);
    for n in 1..=5 {
        append(&mut log, &entries(n..=n, 900));
    }
    fs.damage(&dir.join("0000000000000002.log"), |bytes| bytes[700] ^= 1);
    let mut reader = log.source().open(Zxid(1)).unwrap();
    assert_eq!(reader.next(Zxid(9)).unwrap().unwrap().0, Zxid(2));
    assert_eq!(reader.next(Zxid(9)).unwrap().unwrap().0, Zxid(3));
    let Err(ReadError::Corruption(corruption)) = reader.next(Zxid(9)) else {
        panic!("not noticed")
    };
    assert_eq!((corruption.offset, corruption.last), (568, Zxid(3)));
}

const LARGE: Options = Options { segment_bytes: 8 << 20 };
const MANY: i64 = 100_000;

/// A log of many small transactions in three segments.
fn many(fs: &Arc<dyn Fs>, dir: &Path) -> Log {
    let mut log = Log::create(fs.clone(), dir, LARGE, DATABASE, 1, Zxid::ZERO).unwrap();
    for first in (1..=MANY).step_by(1000) {
        append(&mut log, &entries(first..first + 1000, 160));
    }
    assert_eq!(log.segment_count(), 3);
    log
}

#[test]
fn reading_takes_few_reads_from_wherever_it_begins() {
    let (fs, dir) = memory();
    let faulty = FaultyFs::new(Arc::new(fs), Fault::None);
    let dyn_fs: Arc<dyn Fs> = Arc::new(faulty.clone());
    let log = many(&dyn_fs, &dir);
    let recovered = open_large(&dyn_fs, &dir);
    for log in [&log, &recovered] {
        let reads = |after: i64| {
            let before = faulty.reads();
            let mut reader = log.source().open(Zxid(after)).unwrap();
            let mut count = 0;
            while reader.next(Zxid(MANY)).unwrap().is_some() {
                count += 1;
            }
            assert_eq!(count, MANY - after);
            faulty.reads() - before
        };
        let all = reads(0);
        assert!(all < 40, "{all} for 18 MiB");
        let end = reads(MANY - 10);
        assert!(end < 6, "{end} for ten transactions at the end of a segment");
    }
}

fn open_large(fs: &Arc<dyn Fs>, dir: &Path) -> Log {
    let files = LogFiles::find(fs.clone(), dir, LARGE).unwrap().unwrap();
    files.replay(Zxid::ZERO).unwrap().finish().unwrap()
}

#[test]
fn readers_on_other_threads_see_whole_transactions_in_order() {
    let (fs, dir) = memory();
    let options = Options { segment_bytes: 64 << 10 };
    let fs: Arc<dyn Fs> = Arc::new(fs);
    let mut log = Log::create(fs, &dir, options, DATABASE, 1, Zxid::ZERO).unwrap();
    let (source, written) = (log.source(), AtomicI64::new(0));
    let follow = || {
        let mut reader = source.open(Zxid::ZERO).unwrap();
        let mut last = 0;
        while last < 3000 {
            let upto = written.load(Ordering::Acquire);
            while let Some((zxid, body)) = reader.next(Zxid(upto)).unwrap() {
                last += 1;
                assert_eq!((zxid.0, body.len()), (last, 300));
                assert!(body.iter().all(|byte| *byte == last.to_le_bytes()[0]));
            }
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(follow), scope.spawn(follow)];
        for n in (1..=3000).step_by(3) {
            append(&mut log, &entries(n..n + 3, 300));
            written.store(n + 2, Ordering::Release);
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert!(log.segment_count() > 10);
}
