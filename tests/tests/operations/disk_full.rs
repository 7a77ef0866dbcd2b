//! A disk without room: writes are refused, everything else goes on, and room is enough to heal it.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::PathBuf,
    process::Command,
};

use quorate_tests::{
    Connection, Op, Server, Session, Subject, foreign,
    wait::{self, PATIENCE},
    wire,
};
use tempfile::TempDir;

use crate::{
    LONG_MS, LONG_SESSIONS, Promised, SYSTEM_ERROR, attach_again, call, connect, done, exists,
    said, wait_until_said,
};

const SMALL_SEGMENTS: &str = "quorate.txnLog.segmentSize=1MiB";
const FULL: &str = "no room for the log: writes are refused";
const ROOM: &str = "there is room for the log again";

/// A file system of a few megabytes in memory.
struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    fn mount(mib: u32) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("quorate-disk-").tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let size = format!("size={mib}m");
        let is_mounted =
            foreign::runs("mount", &["-t", "tmpfs", "-o", &size, "quorate-test", path]);
        let disk = is_mounted.then_some(Self { dir });
        foreign::demand("mounting a small disk takes root's rights", disk)
    }

    /// The setting that puts a server's data here.
    fn data_dir(&self) -> String {
        format!("dataDir={}", self.dir.path().join("data").display())
    }

    fn filler(&self) -> PathBuf {
        self.dir.path().join("filler")
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 20, 4096, 1] {
            loop {
                match file.write(&vec![1; size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a failing test's server may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

/// Writes until the server has refused one and `is_enough`. A refusal alone may pass: the segment
/// that was being prepared can have got the last room.
fn write_until_refused(
    promised: &mut Promised,
    connection: &mut Connection,
    is_enough: impl Fn() -> bool,
) {
    let mut nodes = (0..20).cycle();
    wait::until("writes to be refused", PATIENCE, || {
        let node = nodes.next().expect("a cycle");
        let error = promised.put(connection, &format!("/n{node:02}"), 50_000);
        assert!([0, SYSTEM_ERROR].contains(&error), "{error}");
        (error == SYSTEM_ERROR && is_enough()).then_some(())
    });
}

#[test]
fn writes_are_refused_until_there_is_room() {
    let Some(disk) = SmallDisk::mount(40) else { return };
    let data_dir = disk.data_dir();
    let settings = [data_dir.as_str(), SMALL_SEGMENTS, LONG_SESSIONS];
    let mut server = Server::start(Subject::Quorate, &settings);
    let mut writer = connect(&server);
    let mut other = connect(&server);
    let mut promised = Promised::default();
    for i in 0..80 {
        assert_eq!(promised.put(&mut writer, &format!("/n{i:02}"), 50_000), 0);
    }
    done(&mut other, &Op::create("/alive", b"", 1));
    disk.fill();
    // The checkpoint that the reserve is kept for is written; that alone is no room for clients.
    let is_written = || said(&server, "checkpoint written") == 1;
    write_until_refused(&mut promised, &mut writer, is_written);
    let lines = said(&server, FULL);
    assert!(lines <= 2, "one line when it begins, not one a write");
    for i in 0..50 {
        assert_eq!(promised.put(&mut writer, &format!("/n{i:02}"), 100), SYSTEM_ERROR);
        assert_eq!(call(&mut other, &Op::create("/x", b"", 0)).error, SYSTEM_ERROR);
    }
    assert_eq!((said(&server, FULL), said(&server, ROOM)), (lines, lines - 1));
    promised.check(&mut writer);
    assert!(exists(&mut writer, "/alive") && !exists(&mut writer, "/x"));
    done(&mut other, &Op::ping());
    // A new session is a write, too; one that is there can be continued.
    let refused =
        Connection::open(server.addr()).unwrap().attach(&Session::new(LONG_MS), 0).unwrap_err();
    assert!(wire::is_closed(&refused), "{refused}");
    let mut other = attach_again(&server, &other);

    disk.make_room();
    wait::until("writes to be accepted again", PATIENCE, || {
        (promised.put(&mut writer, "/n00", 1000) == 0).then_some(())
    });
    assert_eq!((said(&server, FULL), said(&server, ROOM)), (lines, lines));
    for i in 0..20 {
        assert_eq!(promised.put(&mut other, &format!("/n{i:02}"), 10_000), 0);
    }
    server.kill();
    server.restart();
    let (mut writer, mut other) = (attach_again(&server, &writer), attach_again(&server, &other));
    assert!(exists(&mut writer, "/alive"));
    done(&mut other, &Op::delete("/alive"));
    promised.check_exactly(&mut writer);
}

#[test]
fn a_kill_while_the_disk_is_full_loses_nothing() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let data_dir = disk.data_dir();
    let settings = [data_dir.as_str(), SMALL_SEGMENTS, LONG_SESSIONS];
    let mut server = Server::start(Subject::Quorate, &settings);
    let mut client = connect(&server);
    let mut promised = Promised::default();
    disk.fill();
    for round in 0..4 {
        let is_enough = || round != 1 || said(&server, "checkpoint written") == 1;
        write_until_refused(&mut promised, &mut client, is_enough);
        server.kill();
        server.restart();
        client = attach_again(&server, &client);
        promised.check_exactly(&mut client);
    }
    disk.make_room();
    wait::until("writes to be accepted again", PATIENCE, || {
        (promised.put(&mut client, "/n00", 1000) == 0).then_some(())
    });
    promised.check_exactly(&mut client);
}

#[test]
fn a_checkpoint_without_room_waits_and_writes_go_on() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let log = TempDir::new().unwrap();
    let log_dir = format!("dataLogDir={}", log.path().display());
    let data_dir = disk.data_dir();
    let settings = [data_dir.as_str(), log_dir.as_str(), "snapCount=50", LONG_SESSIONS];
    let mut server = Server::start(Subject::Quorate, &settings);
    let mut client = connect(&server);
    let mut promised = Promised::default();
    disk.fill();
    for i in 0..60 {
        assert_eq!(promised.put(&mut client, &format!("/n{i}"), 20_000), 0);
    }
    wait::until("attempts to write the checkpoint", PATIENCE, || {
        let metrics = server.word("mntr");
        let count = metrics.lines().find(|line| line.starts_with("zk_snapshot_error_count"))?;
        let count = count.split_whitespace().nth(1)?.parse::<u64>().ok()?;
        (count >= 3).then_some(())
    });
    assert_eq!(said(&server, "no room for the checkpoint"), 1, "one line, not one an attempt");
    for i in 0..20 {
        assert_eq!(promised.put(&mut client, &format!("/n{i}"), 1000), 0);
    }
    disk.make_room();
    wait_until_said(&server, "checkpoint written", 1);
    server.kill();
    server.restart();
    let mut client = attach_again(&server, &client);
    promised.check_exactly(&mut client);
}

#[test]
fn a_start_without_room_says_so_and_succeeds_later() {
    let Some(disk) = SmallDisk::mount(4) else { return };
    disk.fill();
    let data_dir = disk.data_dir();
    let settings = [data_dir.as_str(), SMALL_SEGMENTS];
    let mut server = Server::prepare(Subject::Quorate, &settings);
    server.spawn();
    assert_eq!(server.wait_for_end().code(), Some(1));
    assert!(server.said().contains("No space left on device"), "{}", server.said());
    disk.make_room();
    server.restart();
    assert_eq!(said(&server, "no room is kept for the case that the disk is full"), 1);
    done(&mut connect(&server), &Op::create("/a", b"", 0));
}
