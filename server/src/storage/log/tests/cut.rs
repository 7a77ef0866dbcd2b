//! Transactions are taken back, the log begins anew, and the power goes meanwhile.

use super::*;
use crate::storage::fs::{Fault, FaultyFs};

/// A log of four segments with three transactions in each, the last one with two.
fn sample(fs: &Arc<dyn Fs>, dir: &Path) -> Log {
    let mut log = create(fs, dir);
    for n in 1..=11 {
        append(&mut log, &entries(n..=n, 900));
    }
    assert_eq!(log.segment_count(), 4);
    log
}

#[test]
fn what_is_behind_a_cut_is_gone_and_the_rest_stays() {
    check_both(|fs, dir| {
        for to in 0..=11 {
            let dir = &dir.join(to.to_string());
            let mut log = sample(&fs, dir);
            let job = log.truncate(Zxid(to)).unwrap();
            assert_eq!(job.is_none(), to == 11);
            assert_eq!((log.last_zxid(), log.durable_zxid()), (Zxid(to), Zxid(to)));
            assert_eq!(log.epochs().last(), Zxid(to));
            assert_eq!(read(&log, Zxid::ZERO), entries(1..=to, 900));
            let next = Zxid::new(1, 1).0;
            append(&mut log, &entries([next, next + 1], 10));
            let expected = [entries(1..=to, 900), entries([next, next + 1], 10)].concat();
            assert_eq!(read(&log, Zxid::ZERO), expected);
            assert_eq!(open(&fs, dir, Zxid::ZERO).unwrap().0, expected);
            if let Some(job) = job {
                let live = 1 + (usize::try_from(to).unwrap() / 3 + 1).min(4);
                assert_eq!(job.run().unwrap(), 5 - live);
                assert_eq!(names(&*fs, dir).len(), live);
            }
            drop(log);
            let (read, log) = open(&fs, dir, Zxid::ZERO).unwrap();
            assert_eq!(read, expected);
            assert!(log.epochs().contains(Zxid(to)) && !log.epochs().contains(Zxid(to + 1)));
        }
    });
}

#[test]
fn a_log_that_was_cut_can_be_cut_again() {
    check_both(|fs, dir| {
        let mut log = sample(&fs, dir);
        let mut expected = entries(1..=11, 900);
        for (to, epoch) in [(8, 1), (9, 2), (7, 3), (2, 4), (4, 5), (0, 6)] {
            expected.truncate(to);
            log.truncate(expected.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid)).unwrap();
            let more = entries((1..=5).map(|n| Zxid::new(epoch, n).0), 700);
            append(&mut log, &more[..3]);
            append(&mut log, &more[3..]);
            expected.extend(more);
            assert_eq!(open(&fs, dir, Zxid::ZERO).unwrap().0, expected);
        }
        log.retire(Zxid::ZERO, 0).expect("the first one holds nothing now").run().unwrap();
        assert_eq!(names(&*fs, dir).len(), log.segment_count());
        assert_eq!(open(&fs, dir, Zxid::ZERO).unwrap().0, expected);
    });
}

#[test]
fn impossible_cuts_are_refused_and_change_nothing() {
    check_both(|fs, dir| {
        let mut log = sample(&fs, dir);
        log.retire(Zxid(3), 0).unwrap().run().unwrap();
        log.set_committed(Zxid(8));
        for to in [Zxid(2), Zxid(12), Zxid::new(1, 0)] {
            assert!(matches!(log.truncate(to), Err(LogError::NotThere { .. })), "{to}");
        }
        let refused = log.truncate(Zxid(7)).unwrap_err().to_string();
        assert!(refused.contains("up to 0x8 is committed"), "{refused}");
        assert_eq!(log.last_zxid(), Zxid(11));
        append(&mut log, &entries(12..=12, 10));
        let expected = [entries(4..=11, 900), entries(12..=12, 10)].concat();
        assert_eq!(open(&fs, dir, Zxid(3)).unwrap().0, expected);
        log.truncate(Zxid(8)).unwrap();
        log.set_committed(Zxid(100));
        log.truncate(Zxid(8)).unwrap();
    });
}

#[test]
fn promises_and_commits_are_not_taken_back() {
    check_both(|fs, dir| {
        let mut log = sample(&fs, dir);
        let mut batch = batch_of(&entries(12..=12, 10));
        batch.push_accepted_epoch(7);
        batch.push_configuration(b"server.1=a");
        batch.set_committed(Zxid(5));
        log.append(&mut batch).unwrap();
        log.truncate(Zxid(5)).unwrap().unwrap().run().unwrap();
        for log in [&log, &open(&fs, dir, Zxid(2)).unwrap().1] {
            assert_eq!(log.promises().accepted_epoch, 7);
            assert_eq!(log.promises().configuration, b"server.1=a");
            assert_eq!(log.committed(), Zxid(5));
        }
    });
}

#[test]
fn a_log_begins_anew_behind_a_snapshot() {
    check_both(|fs, dir| {
        for after in [Zxid(2), Zxid(11), Zxid::new(3, 0), Zxid::new(3, 9)] {
            let dir = &dir.join(after.to_string());
            let mut log = sample(&fs, dir);
            let mut batch = Batch::new();
            batch.push_current_epoch(3);
            log.append(&mut batch).unwrap();
            let lacks_some = after < log.last_zxid();
            let job = log.begin_anew(after, 2).unwrap();
            assert_eq!((log.floor(), log.last_zxid(), log.committed()), (after, after, after));
            assert_eq!(log.promises().current_epoch, 3);
            let next = after.next().unwrap();
            append(&mut log, &entries([next.0], 10));
            if after != Zxid(11) {
                assert_eq!(job.run().unwrap(), 4);
            }
            drop(log);
            let files = LogFiles::find(fs.clone(), dir, SMALL).unwrap().unwrap();
            assert_eq!(files.generation(), 2);
            let (read, mut log) = open(&fs, dir, after).unwrap();
            assert_eq!((read, log.floor()), (entries([next.0], 10), after));
            assert_eq!(log.promises().current_epoch, 3);
            assert_eq!(log.promises().incomplete, lacks_some);
            let left = log.retire(after, 0).map(|job| job.run().unwrap());
            assert_eq!(
                left,
                (after == Zxid(11)).then_some(4),
                "a job that was lost is made up for"
            );
            let too_early = Zxid(after.0 - 1);
            let files = LogFiles::find(fs.clone(), dir, SMALL).unwrap().unwrap();
            assert!(matches!(files.replay(too_early), Err(LogError::Corruption(_))));
        }
    });
}

#[test]
fn the_loss_of_a_segment_that_cut_the_log_is_noticed() {
    for to in 0..=11 {
        for is_cleaned in [false, true] {
            let (fs, dir) = memory();
            let dyn_fs: Arc<dyn Fs> = Arc::new(fs.clone());
            let mut log = sample(&dyn_fs, &dir);
            let job = match to {
                11 => log.begin_anew(Zxid(30), 2).unwrap(),
                _ => log.truncate(Zxid(to)).unwrap().unwrap(),
            };
            if is_cleaned {
                job.run().unwrap();
            }
            fs.remove(&dir.join("0000000000000005.log")).unwrap();
            let found = LogFiles::find(dyn_fs, &dir, SMALL).unwrap();
            let Some(files) = found else {
                assert!(to == 11 && is_cleaned);
                continue;
            };
            let replay = files.replay(Zxid(to.min(5)));
            assert!(matches!(replay, Err(LogError::Corruption(_))), "{to}, {is_cleaned}");
        }
    }
}

#[test]
fn without_room_the_log_is_as_before() {
    let (fs, dir) = memory();
    let faulty = FaultyFs::new(Arc::new(fs), Fault::None);
    let dyn_fs: Arc<dyn Fs> = Arc::new(faulty.clone());
    let mut log = sample(&dyn_fs, &dir);
    faulty.set(Fault::Full(0));
    assert!(matches!(log.truncate(Zxid(4)), Err(LogError::Full(_))));
    assert!(matches!(log.begin_anew(Zxid(40), 2), Err(LogError::Full(_))));
    faulty.set(Fault::None);
    append(&mut log, &entries(12..=12, 10));
    let expected = [entries(1..=11, 900), entries(12..=12, 10)].concat();
    assert_eq!(open(&dyn_fs, &dir, Zxid::ZERO).unwrap().0, expected);
    log.truncate(Zxid(4)).unwrap();
    assert_eq!(open(&dyn_fs, &dir, Zxid::ZERO).unwrap().0, entries(1..=4, 900));
}

/// What a log holds behind a checkpoint: as it is, or as it would have been.
#[derive(Debug, Clone)]
struct Held {
    generation: u64,
    checkpoint: Zxid,
    entries: Vec<Entry>,
    durable: usize,
}

impl Held {
    fn last(&self) -> Zxid {
        self.entries.last().map_or(self.checkpoint, |(zxid, _)| *zxid)
    }

    /// Takes transactions up to `zxid` for held by the checkpoint.
    fn pass(&mut self, zxid: Zxid) {
        let count = self.entries.partition_point(|(entry, _)| *entry <= zxid);
        self.entries.drain(..count);
        self.durable -= count;
        self.checkpoint = zxid;
    }

    /// Whether a log has all that is durable, and nothing that was never appended.
    fn explains(&self, generation: u64, read: &[Entry]) -> bool {
        generation == self.generation
            && read.len() >= self.durable
            && self.entries.starts_with(read)
    }
}

/// What the log was told, and what it said.
#[derive(Debug, Clone)]
struct Model {
    now: Held,
    /// What it may be instead while a cut is under way.
    next: Option<Held>,
}

impl Default for Model {
    fn default() -> Self {
        let now = Held { generation: 1, checkpoint: Zxid::ZERO, entries: Vec::new(), durable: 0 };
        Self { now, next: None }
    }
}

/// Appends, rolls, cuts, begins anew and retires, as told by `seed`.
fn work(fs: &Arc<dyn Fs>, dir: &Path, seed: u64, model: &mut Model) -> Result<(), LogError> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut log = Log::create(fs.clone(), dir, SMALL, DATABASE, 1, Zxid::ZERO)?;
    for step in 0..30 {
        match rng.u8(..10) {
            0..6 => {
                let mut batch = Batch::new();
                for _ in 0..rng.usize(1..4) {
                    let last = model.now.last();
                    let is_new = rng.u8(..) < 60;
                    let zxid = Zxid::new(last.epoch() + 1, 1);
                    let zxid = if is_new { zxid } else { last.next().unwrap() };
                    let body = vec![rng.u8(..); rng.usize(..900)];
                    batch.push(zxid, |out| out.put_slice(&body));
                    model.now.entries.push((zxid, body));
                }
                log.append(&mut batch)?;
                if rng.bool() {
                    log.sync()?;
                    model.now.durable = model.now.entries.len();
                }
            }
            6 | 7 => {
                let stays = rng.usize(..=model.now.entries.len());
                let mut next = model.now.clone();
                next.entries.truncate(stays);
                next.durable = stays;
                let to = next.last();
                model.next = Some(next);
                let job = log.truncate(to)?;
                model.now = model.next.take().expect("it was put there");
                if let Some(job) = job.filter(|_| rng.bool()) {
                    job.run()?;
                }
            }
            8 => {
                let checkpoint = Zxid::new(step / 3, rng.u32(..100));
                let generation = model.now.generation + 1;
                let next = Held { generation, checkpoint, entries: Vec::new(), durable: 0 };
                model.next = Some(next);
                let job = log.begin_anew(checkpoint, generation)?;
                model.now = model.next.take().expect("it was put there");
                if rng.bool() {
                    job.run()?;
                }
            }
            _ => {
                model.now.pass(log.durable_zxid().min(model.now.last()));
                if let Some(job) = log.retire(model.now.checkpoint, rng.usize(..2)) {
                    job.run()?;
                }
            }
        }
    }
    Ok(())
}

/// The log after a crash is the one before or the one after.
fn check(fs: &MemoryFs, dir: &Path, model: &Model, at: &str) -> Option<(Held, Log)> {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let Some(files) = LogFiles::find(fs.clone(), dir, SMALL).unwrap() else {
        assert_eq!((model.now.generation, model.now.durable), (1, 0), "{at}: the log is gone");
        return None;
    };
    let generation = files.generation();
    let held = [Some(&model.now), model.next.as_ref()].into_iter().flatten();
    let mut held = held.filter(|held| held.generation == generation);
    let after = held.clone().next().unwrap_or_else(|| panic!("{at}: {generation}")).checkpoint;
    let log = files.replay(after).and_then(Replay::finish);
    let log = log.unwrap_or_else(|error| panic!("{at}: {error}"));
    let read = read(&log, after);
    let held = held.find(|held| held.explains(generation, &read));
    let mut held =
        held.unwrap_or_else(|| panic!("{at}: {} entries, {model:?}", read.len())).clone();
    held.entries = read;
    held.durable = held.entries.len();
    Some((held, log))
}

/// What was recovered is durable, and the log goes on being used, cut and retired.
fn go_on(fs: &MemoryFs, dir: &Path, model: &Model, at: &str) {
    let Some((held, mut log)) = check(fs, dir, model, at) else { return };
    let mut now = Model { now: held, next: None };
    check(&fs.crash(|_| 0), dir, &now, &format!("{at}, recovered"));
    let entry = (Zxid::new(now.now.last().epoch() + 1, 1), vec![7; 2000]);
    append(&mut log, std::slice::from_ref(&entry));
    now.now.entries.push(entry);
    now.now.durable += 1;
    check(&fs.crash(|_| 0), dir, &now, &format!("{at}, then used"));
    let stays = now.now.entries.len() / 2;
    now.now.entries.truncate(stays);
    now.now.durable = stays;
    let job = log.truncate(now.now.last()).unwrap();
    check(&fs.crash(|_| 0), dir, &now, &format!("{at}, then cut"));
    job.map(|job| job.run().unwrap());
    log.retire(now.now.checkpoint, 0).map(|job| job.run().unwrap());
    check(&fs.crash(|_| 0), dir, &now, &format!("{at}, then cleaned"));
    assert_eq!(names(fs, dir).len(), log.segment_count(), "{at}");
}

#[test]
fn no_cut_of_the_power_leaves_anything_between() {
    for seed in 0..8 {
        let (fs, dir) = memory();
        let counting = FaultyFs::new(Arc::new(fs), Fault::None);
        work(&(Arc::new(counting.clone()) as _), &dir, seed, &mut Model::default()).unwrap();
        for cut in 0..=counting.changes() {
            let (fs, dir) = memory();
            let mut model = Model::default();
            let faulty = FaultyFs::new(Arc::new(fs.clone()), Fault::PowerCut(cut));
            let _ = work(&(Arc::new(faulty) as _), &dir, seed, &mut model);
            for choice in 0..5 {
                let mut rng = fastrand::Rng::with_seed(choice);
                let survivor = fs.crash(|n| match choice {
                    0 => 0,
                    1 => n - 1,
                    _ => rng.usize(..n),
                });
                go_on(&survivor, &dir, &model, &format!("{seed}/{cut}/{choice}"));
            }
            go_on(&fs, &dir, &model, &format!("{seed}/{cut}/killed"));
        }
    }
}
