//! The power goes, or an operation fails, at every single operation.

use std::io::ErrorKind;

use super::*;
use crate::storage::fs::{Fault, FaultyFs};

/// What the log was told, and what it said.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Batches whose `append` was called, in order.
    appended: Vec<Entry>,
    /// The log said that these many are durable.
    durable: usize,
    /// A checkpoint covers these many.
    checkpoint: usize,
    /// How often a batch was refused for want of room.
    refused: usize,
    stops_when_full: bool,
    accepted_epoch: u32,
}

impl Model {
    fn next_zxid(&self, new_epoch: bool) -> Zxid {
        let last = self.appended.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        if new_epoch { Zxid::new(last.epoch() + 1, 1) } else { last.next().unwrap() }
    }

    fn checkpoint_zxid(&self) -> Zxid {
        self.checkpoint.checked_sub(1).map_or(Zxid::ZERO, |last| self.appended[last].0)
    }
}

/// Appends, syncs, rolls, prepares, marks and retires, as told by `seed`, until `steps` are done
/// or the disk fails for good.
fn work(fs: &Arc<dyn Fs>, dir: &Path, seed: u64, model: &mut Model) -> Result<(), LogError> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut log = Log::create(fs.clone(), dir, SMALL, DATABASE, 1, Zxid::ZERO)?;
    for step in 0..24 {
        let mut batch = Batch::new();
        let before = model.appended.len();
        for _ in 0..rng.usize(1..4) {
            let zxid = model.next_zxid(rng.u8(..) < 20);
            let mut body = vec![rng.u8(..); rng.usize(..700)];
            body.push(u8::try_from(model.refused).unwrap());
            batch.push(zxid, |out| out.put_slice(&body));
            model.appended.push((zxid, body));
        }
        if step % 5 == 2 {
            batch.push_accepted_epoch(step);
        }
        match log.append(&mut batch) {
            Ok(()) => {}
            Err(LogError::Full(_)) => {
                // Refused: the batch is not in the log, and another takes its zxids.
                model.appended.truncate(before);
                model.refused += 1;
                if model.stops_when_full {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(error),
        }
        if rng.u8(..) < 200 {
            log.sync()?;
            model.durable = model.appended.len();
            model.accepted_epoch = log.promises().accepted_epoch;
        }
        match rng.u8(..6) {
            0 => {
                if let Some(job) = log.preparation() {
                    log.supply(job.run());
                }
            }
            1 => log.mark()?,
            2 => {
                model.checkpoint = model.durable;
                if let Some(job) = log.retire(model.checkpoint_zxid(), rng.usize(..2)) {
                    let _ = job.run();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The log after a crash holds every durable transaction, and behind those nothing but the
/// first of the others. Gives how many in all, and the log.
fn check(fs: &MemoryFs, dir: &Path, model: &Model, at: &str) -> Option<(usize, Log)> {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let after = model.checkpoint_zxid();
    if LogFiles::find(fs.clone(), dir, SMALL).unwrap().is_none() {
        assert_eq!(model.durable, 0, "{at}: the log is gone");
        return None;
    }
    let (read, log) = open(&fs, dir, after).unwrap_or_else(|error| panic!("{at}: {error}"));
    let count = model.checkpoint + read.len();
    assert!(count >= model.durable, "{at}: {count} of {} durable ones", model.durable);
    assert_eq!(read[..], model.appended[model.checkpoint..count], "{at}");
    assert!(log.promises().accepted_epoch >= model.accepted_epoch, "{at}");
    Some((count, log))
}

fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed);
    move |n| match seed {
        0 => 0,
        1 => n - 1,
        _ => rng.usize(..n),
    }
}

#[test]
fn no_cut_of_the_power_loses_a_durable_transaction() {
    for seed in 0..6 {
        let (fs, dir) = memory();
        let counting = FaultyFs::new(Arc::new(fs), Fault::None);
        work(&(Arc::new(counting.clone()) as _), &dir, seed, &mut Model::default()).unwrap();
        for cut in 0..=counting.changes() {
            let (fs, dir) = memory();
            let mut model = Model::default();
            let faulty = FaultyFs::new(Arc::new(fs.clone()), Fault::PowerCut(cut));
            let _ = work(&(Arc::new(faulty) as _), &dir, seed, &mut model);
            for choice in 0..6 {
                let at = format!("{seed}/{cut}/{choice}");
                let survivor = fs.crash(random(choice));
                crash_while_recovering(&survivor, &dir, &model, &at);
                go_on(&survivor, &dir, &model, &at);
            }
            // The process was killed and the power stayed: nothing is lost yet.
            go_on(&fs, &dir, &model, &format!("{seed}/{cut}/killed"));
        }
    }
}

/// Recovery, too, is cut at each of its operations.
fn crash_while_recovering(fs: &MemoryFs, dir: &Path, model: &Model, at: &str) {
    for cut in 0.. {
        let fs = fs.crash(|n| n - 1);
        let faulty = FaultyFs::new(Arc::new(fs.clone()), Fault::PowerCut(cut));
        let dyn_fs: Arc<dyn Fs> = Arc::new(faulty.clone());
        let _ = LogFiles::find(dyn_fs, dir, SMALL).map(|files| {
            files.map(|files| files.replay(model.checkpoint_zxid()).and_then(Replay::finish))
        });
        if faulty.changes() <= cut {
            break;
        }
        for choice in [0, 1, 7] {
            check(&fs.crash(random(choice)), dir, model, &format!("{at}, again {cut}/{choice}"));
        }
    }
}

/// What was recovered is durable, and the log goes on being used. A checkpoint may have covered
/// all that was durable, so that little is read.
fn go_on(fs: &MemoryFs, dir: &Path, model: &Model, at: &str) {
    let checkpointed = Model { checkpoint: model.durable, ..model.clone() };
    let Some((count, mut log)) = check(fs, dir, &checkpointed, at) else { return };
    let mut model = Model { durable: count, ..model.clone() };
    model.appended.truncate(count);
    for choice in [0, 7] {
        check(&fs.crash(random(choice)), dir, &model, &format!("{at}, recovered"));
    }
    for size in [10, 3000, 10] {
        let entry = (model.next_zxid(false), vec![9; size]);
        append(&mut log, std::slice::from_ref(&entry));
        model.appended.push(entry);
        model.durable += 1;
        check(&fs.crash(|_| 0), dir, &model, &format!("{at}, then used"));
    }
}

#[test]
fn the_rest_of_a_torn_end_never_continues_a_later_batch() {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs.clone()) as _), &dir);
    log.append(&mut batch_of(&entries(1..=1, 944))).unwrap();
    log.append(&mut batch_of(&entries(2..=2, 944))).unwrap();
    // Two sectors for each batch; those of the first are lost.
    let mut sectors = 0;
    let torn = fs.crash(|n| {
        sectors += 1;
        if sectors <= 2 { 0 } else { n - 1 }
    });
    assert_eq!(sectors, 4);
    let dyn_fs: Arc<dyn Fs> = Arc::new(torn.clone());
    let (read, mut log) = open(&dyn_fs, &dir, Zxid::ZERO).unwrap();
    assert_eq!(read, []);
    append(&mut log, &entries(1..=1, 944));
    assert_eq!(open(&dyn_fs, &dir, Zxid::ZERO).unwrap().0, entries(1..=1, 944));
}

#[test]
fn the_rest_of_a_refused_batch_never_continues_a_later_one() {
    let (fs, dir) = memory();
    let faulty = FaultyFs::new(Arc::new(fs.clone()), Fault::None);
    let mut log = create(&(Arc::new(faulty.clone()) as _), &dir);
    faulty.set(Fault::Change(faulty.changes(), ErrorKind::StorageFull));
    let refused = log.append(&mut batch_of(&entries(1..=4, 200)));
    assert!(matches!(refused, Err(LogError::Full(_))));
    assert_eq!(open(&(Arc::new(fs.crash(|_| 0)) as _), &dir, Zxid::ZERO).unwrap().0, []);
    append(&mut log, &entries(1..=1, 200));
    let read = open(&(Arc::new(fs) as _), &dir, Zxid::ZERO).unwrap().0;
    assert_eq!(read, entries(1..=1, 200));
}

#[test]
fn a_full_disk_refuses_whole_batches_and_is_forgotten() {
    for seed in 0..3 {
        let (fs, dir) = memory();
        let counting = FaultyFs::new(Arc::new(fs), Fault::None);
        work(&(Arc::new(counting.clone()) as _), &dir, seed, &mut Model::default()).unwrap();
        for at in 0..=counting.changes() {
            let (fs, dir) = memory();
            let mut model = Model::default();
            let fault = Fault::Change(at, ErrorKind::StorageFull);
            let faulty = FaultyFs::new(Arc::new(fs.clone()), fault);
            model.stops_when_full = at % 2 == 0;
            let done = work(&(Arc::new(faulty) as _), &dir, seed, &mut model);
            for choice in 0..4 {
                let at = format!("{seed}/{at}/{choice}, {done:?}");
                let found = check(&fs.crash(random(choice)), &dir, &model, &at);
                // A log that refused for want of room alone has everything else.
                assert!(done.is_err() || found.is_some_and(|(n, _)| n >= model.durable), "{at}");
            }
        }
    }
}

#[test]
fn after_a_failure_of_the_disk_the_log_does_nothing_more() {
    let (fs, dir) = memory();
    let counting = FaultyFs::new(Arc::new(fs), Fault::None);
    work(&(Arc::new(counting.clone()) as _), &dir, 1, &mut Model::default()).unwrap();
    for at in 0..=counting.changes() {
        let (fs, dir) = memory();
        let mut model = Model::default();
        let faulty = FaultyFs::new(Arc::new(fs.clone()), Fault::Change(at, ErrorKind::Other));
        let _ = work(&(Arc::new(faulty) as _), &dir, 1, &mut model);
        for choice in 0..4 {
            check(&fs.crash(random(choice)), &dir, &model, &format!("{at}/{choice}"));
        }
    }

    let (fs, dir) = memory();
    let faulty = FaultyFs::new(Arc::new(fs), Fault::None);
    let mut log = create(&(Arc::new(faulty.clone()) as _), &dir);
    log.append(&mut batch_of(&entries(1..=1, 10))).unwrap();
    faulty.set(Fault::Change(faulty.changes(), ErrorKind::Other));
    assert!(matches!(log.sync(), Err(LogError::Io(_))));
    assert!(matches!(log.sync(), Err(LogError::Failed)), "a failed sync is not repeated");
    assert!(matches!(log.append(&mut batch_of(&entries(2..=2, 10))), Err(LogError::Failed)));
    assert_eq!(log.durable_zxid(), Zxid::ZERO);
}

#[test]
fn a_disk_that_stays_full_takes_what_room_is_left_and_then_goes_on() {
    let (fs, dir) = memory();
    let faulty = FaultyFs::new(Arc::new(fs), Fault::None);
    let dyn_fs: Arc<dyn Fs> = Arc::new(faulty.clone());
    let mut log = create(&dyn_fs, &dir);
    faulty.set(Fault::Full(0));
    append(&mut log, &entries(1..=2, 1000));
    for _ in 0..3 {
        let refused = log.append(&mut batch_of(&entries(3..=4, 1000)));
        assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
    }
    assert_eq!(names(&*dyn_fs, &dir).len(), 1, "no attempt leaves a file");
    append(&mut log, &entries(3..=3, 500));
    faulty.set(Fault::None);
    append(&mut log, &entries(4..=5, 1000));
    drop(log);
    let expected = [entries(1..=2, 1000), entries(3..=3, 500), entries(4..=5, 1000)].concat();
    assert_eq!(open(&dyn_fs, &dir, Zxid::ZERO).unwrap().0, expected);
}
