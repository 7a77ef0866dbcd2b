//! A disk whose syncs fail: nobody knows what it holds then, so the process ends, and only a start
//! from the disk says what is there.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use quorate_tests::{
    Connection, Server, Subject, foreign,
    wait::{self, PATIENCE},
    wire,
};

use crate::{LONG_SESSIONS, Promised, attach_again, connect, said};

/// What the process ends with, so that a service manager can tell.
const DISK_FAILED: i32 = 13;

/// Tampers with the system calls of a running process until dropped.
struct Tracer(Child);

impl Tracer {
    /// `target` names the process or thread in strace's way.
    fn attach(target: &[&str], inject: &str) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-e", "trace=fdatasync", "-e", &format!("inject=fdatasync:{inject}")]);
        let mut child = strace.args(target).stderr(Stdio::piped()).spawn().ok()?;
        let mut lines = BufReader::new(child.stderr.take()?).lines().map_while(Result::ok);
        let is_attached = lines.any(|line| line.contains(" attached"));
        // It must be able to go on saying what it sees.
        std::thread::spawn(move || lines.for_each(drop));
        is_attached.then_some(Self(child))
    }

    fn is_possible() -> bool {
        let found = foreign::runs("strace", &["true"]).then_some(());
        foreign::demand("strace is not installed, or not permitted", found).is_some()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes until the server is gone; of the last write nothing is known.
fn write_until_gone(promised: &mut Promised, connection: &mut Connection, prefix: &str) {
    for i in 0..10_000 {
        match promised.try_put(connection, &format!("{prefix}-{i}"), 100) {
            Ok(error) => assert_eq!(error, 0),
            Err(error) if wire::is_closed(&error) => return,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the server lives on a disk that fails");
}

#[test]
fn a_failed_sync_of_the_log_ends_the_process() {
    if !Tracer::is_possible() {
        return;
    }
    let mut server = Server::start(Subject::Quorate, &[LONG_SESSIONS]);
    let mut client = connect(&server);
    let mut promised = Promised::default();
    for (round, nth) in (1..).zip([1, 2, 20]) {
        for i in 0..20 {
            assert_eq!(promised.put(&mut client, &format!("/r{round}-{i}"), 100), 0);
        }
        let pid = server.pid().to_string();
        let target = ["-f", "-p", &pid];
        let tracer = Tracer::attach(&target, &format!("error=EIO:when={nth}")).unwrap();
        write_until_gone(&mut promised, &mut client, &format!("/w{round}"));
        assert_eq!(server.wait_for_end().code(), Some(DISK_FAILED));
        drop(tracer);
        assert_eq!(said(&server, "the log cannot be written any more: the server ends"), round);
        assert!(server.said().contains("Input/output error"));
        server.restart();
        client = attach_again(&server, &client);
        promised.check(&mut client);
    }
}

#[test]
fn a_failed_sync_of_the_checkpoint_ends_the_process() {
    if !Tracer::is_possible() {
        return;
    }
    let mut server = Server::start(Subject::Quorate, &["snapCount=20", LONG_SESSIONS]);
    let mut client = connect(&server);
    let mut promised = Promised::default();
    let thread = thread_id(server.pid(), "checkpoint");
    let tracer = Tracer::attach(&["-p", &thread], "error=EIO:when=1").unwrap();
    for i in 0..30 {
        match promised.try_put(&mut client, &format!("/n{i}"), 100) {
            Ok(error) => assert_eq!(error, 0),
            Err(error) => assert!(wire::is_closed(&error), "{error}"),
        }
    }
    assert_eq!(server.wait_for_end().code(), Some(DISK_FAILED));
    drop(tracer);
    assert_eq!(said(&server, "the checkpoint cannot be written any more: the server ends"), 1);
    server.restart();
    let mut client = attach_again(&server, &client);
    promised.check(&mut client);
}

/// The id of a process's thread, by the name the server gave it.
fn thread_id(pid: u32, name: &str) -> String {
    let tasks = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap());
    wait::until("the thread", PATIENCE, || {
        let task = tasks().find(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        })?;
        Some(task.file_name().into_string().expect("a number"))
    })
}
