//! Files that are not what they were: what was never acknowledged is trimmed, everything else ends
//! the start with a report, and nothing is changed. In an ensemble the server sets such files aside
//! and gets everything from the others.
//!
//! The log is taken apart here by `docs/format.md`, not by the server's code.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use quorate_protocol::OpCode;
use quorate_tests::{Connection, Ensemble, Op, Server, Subject};

use crate::{LONG_MS, LONG_SESSIONS, Promised, attach_again, connect, done, said, wait_until_said};

const SMALL_SEGMENTS: &str = "quorate.txnLog.segmentSize=1MiB";
const TRANSACTION: u8 = 1;

/// A stopped server's files, to be damaged in many ways.
struct Sample {
    server: Server,
    client: Connection,
    promised: Promised,
}

/// A record of the log.
#[derive(Debug, Clone, Copy)]
struct Record {
    offset: usize,
    length: usize,
    kind: u8,
    zxid: u64,
}

impl Sample {
    /// A server that was stopped after writing several segments.
    fn new(settings: &[&str], between: impl FnOnce(&Server)) -> Self {
        let settings = [&[SMALL_SEGMENTS, LONG_SESSIONS], settings].concat();
        let server = Server::start(Subject::Quorate, &settings);
        let mut client = connect(&server);
        let mut promised = Promised::default();
        for i in 0..70 {
            assert_eq!(promised.put(&mut client, &format!("/n{}", i % 30), 50_000), 0);
        }
        between(&server);
        assert_eq!(promised.put(&mut client, "/last", 10), 0);
        let mut sample = Self { server, client, promised };
        assert!(sample.server.terminate().success());
        sample.copy("data", "pristine");
        sample
    }

    fn data(&self) -> PathBuf {
        self.server.dir().join("data/quorate")
    }

    fn log(&self) -> PathBuf {
        self.data().join("log")
    }

    /// The segments, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        segments(&self.log())
    }

    /// Undoes all damage.
    fn restore(&self) {
        fs::remove_dir_all(self.server.dir().join("data")).unwrap();
        self.copy("pristine", "data");
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.server.dir().join(from), self.server.dir().join(to));
        for (name, bytes) in files(&from) {
            fs::create_dir_all(to.join(&name).parent().unwrap()).unwrap();
            fs::write(to.join(&name), bytes).unwrap();
        }
    }

    /// The server must not start on what is there now, nor change any of it. Answers why.
    fn refused(&mut self) -> String {
        let before = files(&self.data());
        let said_before = self.server.said().len();
        self.server.spawn();
        assert_eq!(self.server.wait_for_end().code(), Some(1));
        let mut after = files(&self.data());
        for (name, bytes) in before.iter().filter(|(name, _)| !is_spare(name)) {
            let found = after.remove(name);
            // redb notes in a checkpoint that it was opened; a log is as it was.
            let is_kept = found.as_ref() == Some(bytes)
                || (name.ends_with("checkpoint-1.redb") && found.is_some());
            assert!(is_kept, "{} was changed", name.display());
        }
        assert!(after.is_empty(), "{:?} are new", after.keys());
        let said = self.server.said()[said_before..].to_owned();
        let errors: Vec<_> = said.lines().filter(|l| l.starts_with("quorate-server: ")).collect();
        assert_eq!(errors.len(), 1, "{said}");
        errors[0].to_owned()
    }

    /// The server must start on what is there now, and have everything. Answers what it said.
    fn accepted(&mut self) -> String {
        let said_before = self.server.said().len();
        self.server.restart();
        self.client = attach_again(&self.server, &self.client);
        self.promised.check_exactly(&mut self.client);
        assert!(self.server.terminate().success());
        self.server.said()[said_before..].to_owned()
    }
}

/// The segments of a log, oldest first.
fn segments(log: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    segments.sort();
    segments
}

/// All files below a folder, by their names in it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Whether a file is a segment being prepared, which holds nothing.
fn is_spare(name: &Path) -> bool {
    name.extension().is_some_and(|extension| extension == "tmp")
}

/// The records of a segment.
fn records(bytes: &[u8]) -> Vec<Record> {
    let int = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut records = Vec::new();
    let mut offset = int(16);
    while offset + 24 <= bytes.len() && bytes[offset + 12] != 0 {
        let length = 24 + int(offset + 8).next_multiple_of(8);
        let zxid = u64::from_le_bytes(bytes[offset + 16..offset + 24].try_into().unwrap());
        records.push(Record { offset, length, kind: bytes[offset + 12], zxid });
        offset += length;
    }
    records
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_to_the_log_ends_the_start() {
    let mut sample = Sample::new(&[], |_| {});
    let segments = sample.segments();
    assert!(segments.len() >= 4, "{segments:?}");
    let whole: Vec<_> = segments.iter().map(|path| records(&fs::read(path).unwrap())).collect();
    let newest = segments.len() - 1;

    // A byte in the middle of a transaction of the oldest, a sealed, and the newest segment.
    for index in [0, 2, newest] {
        let transactions: Vec<_> =
            whole[index].iter().filter(|record| record.kind == TRANSACTION).collect();
        let damaged = transactions[transactions.len() / 2];
        change(&segments[index], |bytes| bytes[damaged.offset + damaged.length / 2] ^= 0x10);
        let report = sample.refused();
        for part in [
            format!("{} is damaged at offset {}", segments[index].display(), damaged.offset),
            format!("Transactions after {:#x} cannot be read", damaged.zxid - 1),
            "nothing was changed".into(),
        ] {
            assert!(report.contains(&part), "{part} is not in: {report}");
        }
        sample.restore();
    }

    // A byte of a header.
    change(&segments[1], |bytes| bytes[40] ^= 1);
    let report = sample.refused();
    let part = format!("{} is damaged at offset 0: wrong checksum", segments[1].display());
    assert!(report.contains(&part), "{report}");
    sample.restore();

    // A segment is missing. The one that a report names is where reading ended.
    for (missing, named, what) in [
        (0, 1, "the segments before it are missing"),
        (1, 1, "it is missing"),
        (newest, newest - 1, "the segment behind it is missing"),
    ] {
        fs::remove_file(&segments[missing]).unwrap();
        let report = sample.refused();
        assert!(report.contains(&segments[named].display().to_string()), "{report}");
        assert!(report.contains(what), "{report}");
        sample.restore();
    }
    sample.accepted();
}

#[test]
fn a_torn_end_is_trimmed() {
    let mut sample = Sample::new(&[], |_| {});
    let newest = sample.segments().pop().unwrap();
    let whole = records(&fs::read(&newest).unwrap());
    let end = whole.last().map(|last| last.offset + last.length).unwrap();
    let copied = *whole.iter().find(|record| record.kind == TRANSACTION).unwrap();
    for torn in ["noise", "half a record", "a record of another place"] {
        change(&newest, |bytes| match torn {
            "noise" => bytes[end..end + 5000].fill(0xa5),
            "half a record" => bytes.copy_within(copied.offset..copied.offset + 100, end),
            _ => bytes.copy_within(copied.offset..copied.offset + copied.length, end),
        });
        sample.accepted();
        let bytes = fs::read(&newest).unwrap();
        let behind = records(&bytes).last().map(|last| last.offset + last.length).unwrap();
        assert!(bytes[behind..].iter().all(|&byte| byte == 0), "{torn} was left behind {behind}");
        sample.restore();
    }
}

#[test]
fn a_damaged_checkpoint_is_made_anew_from_a_whole_log() {
    let mut sample = Sample::new(&["snapCount=60"], |server| {
        wait_until_said(server, "checkpoint written", 1);
    });
    assert_eq!(said(&sample.server, "log segments removed"), 0);
    let checkpoint = sample.data().join("checkpoint-1.redb");
    let damages: [fn(&mut Vec<u8>); 3] = [
        Vec::clear,
        |bytes| bytes[0] ^= 1,
        |bytes| bytes[4096..].iter_mut().step_by(1000).for_each(|byte| *byte ^= 1),
    ];
    for damage in damages {
        change(&checkpoint, damage);
        let damaged = fs::read(&checkpoint).unwrap();
        let said = sample.accepted();
        assert!(said.contains("the checkpoint could not be used"), "{said}");
        let kept = fs::read(checkpoint.with_extension("damaged")).unwrap();
        assert!(kept == damaged, "the damaged file is kept as it was");
        sample.restore();
    }
    fs::remove_file(&checkpoint).unwrap();
    sample.accepted();
}

#[test]
fn a_damaged_checkpoint_ends_the_start_when_the_log_was_cut() {
    let mut sample = Sample::new(&["snapCount=60"], |server| {
        wait_until_said(server, "checkpoint written", 1);
        let mut client = connect(server);
        let mut more = Promised::default();
        for i in 0..70 {
            assert_eq!(more.put(&mut client, "/more", 50_000 - i), 0);
        }
        wait_until_said(server, "log segments removed", 1);
    });
    let checkpoint = sample.data().join("checkpoint-1.redb");
    change(&checkpoint, |bytes| bytes[4096..].iter_mut().step_by(999).for_each(|b| *b ^= 1));
    let report = sample.refused();
    for part in [checkpoint.to_str().unwrap(), "is damaged", "the log cannot replace it"] {
        assert!(report.contains(part), "{part} is not in: {report}");
    }
    // The log without its checkpoint, and the checkpoint without its log, are no whole either.
    fs::remove_file(&checkpoint).unwrap();
    assert!(sample.refused().contains("the segments before it are missing"));
    sample.restore();
    for segment in sample.segments() {
        fs::remove_file(segment).unwrap();
    }
    assert!(sample.refused().contains("the newest transactions are missing"));
    sample.restore();
    let mut client = connect_after_restart(&mut sample);
    sample.promised.check(&mut client);
}

fn connect_after_restart(sample: &mut Sample) -> Connection {
    sample.server.restart();
    attach_again(&sample.server, &sample.client)
}

#[test]
fn a_server_of_an_ensemble_sets_damage_aside_and_gets_everything_from_the_others() {
    let mut ensemble = Ensemble::start(Subject::Quorate, 3, &[SMALL_SEGMENTS, LONG_SESSIONS]);
    let leader = ensemble.wait_for_leader();
    let hit = ensemble.follower();
    let data = ensemble.server(hit).dir().join("data/quorate");
    let (log, damaged) = (data.join("log"), data.join("damaged"));
    let mut client = ensemble.connect(leader, LONG_MS);
    let mut promised = Promised::default();
    let put = |client: &mut Connection, promised: &mut Promised| {
        for i in 0..40 {
            assert_eq!(promised.put(client, &format!("/n{}", i % 30), 50_000), 0);
        }
    };
    put(&mut client, &mut promised);
    done(&mut ensemble.connect(hit, LONG_MS), &Op::Path(OpCode::Sync, "/".into()));

    assert!(ensemble.terminate(hit).success());
    put(&mut client, &mut promised);
    let segment = segments(&log).remove(0);
    let whole = records(&fs::read(&segment).unwrap());
    let transactions: Vec<_> = whole.iter().filter(|r| r.kind == TRANSACTION).collect();
    let flipped = transactions[transactions.len() / 2];
    change(&segment, |bytes| bytes[flipped.offset + flipped.length / 2] ^= 0x10);
    let mut before = files(&log);
    before.retain(|name, _| !is_spare(name));
    ensemble.restart(&[hit]);
    let report = ensemble.server(hit).said();
    for part in [
        format!("{} is damaged at offset {}", segment.display(), flipped.offset),
        "what is left is set aside".into(),
        format!("log={}", damaged.display()),
    ] {
        assert!(report.contains(&part), "{part} is not in: {report}");
    }
    assert!(files(&damaged) == before, "what is left is kept as it was");
    check_member(&ensemble, hit, &promised);

    // It votes again, and a restart finds all of it.
    ensemble.kill(leader);
    let mut client = ensemble.connect(ensemble.wait_for_leader(), LONG_MS);
    put(&mut client, &mut promised);
    assert!(ensemble.terminate(hit).success());
    ensemble.restart(&[hit, leader]);
    check_member(&ensemble, hit, &promised);
    assert_eq!(said(ensemble.server(hit), "data of this server was lost"), 1);

    // A log that vanished, with nothing but a checkpoint to show that there was one.
    assert!(ensemble.terminate(hit).success());
    fs::remove_dir_all(&damaged).unwrap();
    fs::remove_dir_all(&log).unwrap();
    ensemble.restart(&[hit]);
    check_member(&ensemble, hit, &promised);
    assert_eq!(said(ensemble.server(hit), "data of this server was lost"), 2);
}

/// A server of an ensemble shows everything that was promised by any of them.
fn check_member(ensemble: &Ensemble, id: u8, promised: &Promised) {
    let mut client = ensemble.connect(id, LONG_MS);
    done(&mut client, &Op::Path(OpCode::Sync, "/".into()));
    promised.check_exactly(&mut client);
}
