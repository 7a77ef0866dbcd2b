//! Locks of other libraries exclude ours, and ours theirs: Apache Curator's and kazoo's, each held
//! by a program that is told what to do.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use quorate_client::{
    Client,
    recipes::{leader::LeaderLatch, lock::ReadWriteLock},
};
use quorate_tests::{Server, foreign};

use super::{Recipe, patiently, wait_for_nodes};
use crate::{connect, with_each};

/// The program, and its side of the conversation.
struct Foreign {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Foreign {
    fn start(program: &PathBuf, arguments: &[String], server: &Server) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .arg(server.addr().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the program");
        let commands = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, commands, answers }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the program listens");
    }

    fn answer(&mut self) -> String {
        self.answers.next().expect("an answer").expect("it is text")
    }

    fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a test of a program at every subject.
fn with_foreign(
    what: &str,
    program: Option<PathBuf>,
    arguments: &[String],
    test: impl AsyncFn(Client, Foreign),
) {
    let Some(program) = foreign::require(what, program) else { return };
    with_each(&[], async |server| {
        let foreign = Foreign::start(&program, arguments, &server);
        test(connect(&server).await, foreign).await;
    });
}

fn with_curator(test: impl AsyncFn(Client, Foreign)) {
    let classes = foreign::home().join("java");
    let java = classes.join("Locks.class").exists().then(|| PathBuf::from("java"));
    let class_path = foreign::zookeeper_class_path().unwrap_or_default();
    let class_path = format!("{}:{class_path}", classes.display());
    let arguments = ["-Xmx256m", "-cp", &class_path, "Locks"].map(str::to_owned);
    with_foreign("Apache Curator", java, &arguments, test);
}

fn with_kazoo(test: impl AsyncFn(Client, Foreign)) {
    let python = foreign::home().join("kazoo/bin/python");
    let script = foreign::root().join("tests/clients/kazoo/locks.py").display().to_string();
    with_foreign("kazoo", python.exists().then_some(python), &[script], test);
}

/// The foreign lock of `kind` and ours take turns, whoever is first.
async fn take_turns(client: &Client, other: &mut Foreign, kind: &str, recipe: Recipe) {
    let folder = format!("/{kind}-against-{recipe:?}");
    let lines = recipe.lines(&folder);
    let (one, both) = (recipe.nodes_of_a_holder(), recipe.nodes_with_a_waiter());
    assert_eq!(other.ask(&format!("acquire {kind} {folder} 30")), "yes", "{folder}");
    wait_for_nodes(client, &lines, one).await;
    let waiting = {
        let (client, folder) = (client.clone(), folder.clone());
        tokio::spawn(async move { recipe.hold(&client, &folder).await })
    };
    wait_for_nodes(client, &lines, both).await;
    assert!(!waiting.is_finished());
    assert_eq!(other.ask(&format!("release {folder}")), "done");
    let held = patiently("ours", waiting).await.unwrap().unwrap();

    wait_for_nodes(client, &lines, one).await;
    assert_eq!(other.ask(&format!("acquire {kind} {folder} 0.2")), "no", "{folder}");
    wait_for_nodes(client, &lines, one).await;
    other.tell(&format!("acquire {kind} {folder} 30"));
    wait_for_nodes(client, &lines, both).await;
    held.release().await.unwrap();
    assert_eq!(other.answer(), "yes");
    assert_eq!(other.ask(&format!("release {folder}")), "done");
    wait_for_nodes(client, &lines, 0).await;
}

/// Foreign readers and ours go in together.
async fn read_together(client: &Client, other: &mut Foreign) {
    let lock = ReadWriteLock::new(client, "/readers").unwrap();
    assert_eq!(other.ask("acquire read /readers 30"), "yes");
    let ours = lock.try_read().await.unwrap().expect("nobody writes");
    assert!(lock.try_write().await.unwrap().is_none());
    assert_eq!(other.ask("release /readers"), "done");
    assert_eq!(other.ask("acquire read /readers 30"), "yes");
    ours.release().await.unwrap();
    assert_eq!(other.ask("release /readers"), "done");
}

#[test]
fn curator_and_we_exclude_each_other() {
    with_curator(async |client, mut curator| {
        for (kind, recipe) in [
            ("mutex", Recipe::Mutex),
            ("write", Recipe::Write),
            ("write", Recipe::Read),
            ("read", Recipe::Write),
            ("semaphore", Recipe::Semaphore),
            ("multi", Recipe::Multi),
            ("latch", Recipe::Latch),
        ] {
            take_turns(&client, &mut curator, kind, recipe).await;
        }
        read_together(&client, &mut curator).await;

        assert_eq!(curator.ask("acquire latch /ids 30"), "yes");
        let ours = LeaderLatch::start(&client, "/ids", "ours").unwrap();
        wait_for_nodes(&client, &["/ids".to_owned()], 2).await;
        assert_eq!(curator.ask("participants /ids"), "curator ours");
        let participants = ours.participants().await.unwrap();
        let ids: Vec<_> = participants.iter().map(|one| &one.data[..]).collect();
        assert_eq!(ids, [&b"curator"[..], b"ours"]);
        assert_eq!(curator.ask("release /ids"), "done");
        patiently("ours", ours.wait()).await.unwrap();
        ours.close().await.unwrap();
    });
}

#[test]
fn kazoo_and_we_exclude_each_other() {
    with_kazoo(async |client, mut kazoo| {
        for (kind, recipe) in [
            ("mutex", Recipe::Mutex),
            ("write", Recipe::Write),
            ("write", Recipe::Read),
            ("read", Recipe::Write),
        ] {
            take_turns(&client, &mut kazoo, kind, recipe).await;
        }
        read_together(&client, &mut kazoo).await;
    });
}
