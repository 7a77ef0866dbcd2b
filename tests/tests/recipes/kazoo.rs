//! Together with kazoo: each recipe's nodes are shared with a program in Python.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use quorate_client::recipes::{
    barrier::DoubleBarrier,
    membership::{GroupMember, SetPartitioner},
    queue::{LockingQueue, Queue, QueueFormat},
    shared::{Counter, CounterFormat},
};
use quorate_tests::{Server, foreign};

use crate::{children, connect, eventually, program::Program, with_each, within};

/// Starts an action of `recipes.py`.
fn start(python: &Path, server: &Server, action: &[&str]) -> Program {
    let script = foreign::root().join("tests/clients/kazoo/recipes.py");
    Program::start(Command::new(python).arg(script).arg(server.addr().to_string()).args(action))
}

/// Runs a test with kazoo against a server of each kind.
fn with_kazoo<F: Future<Output = ()>>(test: impl Fn(Server, PathBuf) -> F) {
    let python = foreign::home().join("kazoo/bin/python");
    let found = python.exists().then_some(python);
    let Some(python) = foreign::require("kazoo", found) else { return };
    with_each(|server| test(server, python.clone()));
}

#[test]
fn counters() {
    with_kazoo(async |server, python| {
        let client = connect(&server).await;
        for (path, kind, format) in
            [("/decimal", "kazoo", CounterFormat::Decimal), ("/int", "curator", CounterFormat::Int)]
        {
            let counter = Counter::new(&client, path).unwrap().format(format);
            counter.add(40).await.unwrap();
            let mut kazoo = start(&python, &server, &["counter", path, kind, "2"]);
            assert_eq!(kazoo.line(), "42");
            kazoo.end();
            assert_eq!(counter.add(-50).await.unwrap().after, -8);
        }
    });
}

#[test]
fn queues() {
    with_kazoo(async |server, python| {
        let client = connect(&server).await;
        let queue = Queue::new(&client, "/queue", QueueFormat::Kazoo).unwrap();
        queue.put_with_priority(b"last", 200).await.unwrap();
        start(&python, &server, &["put", "/queue", "7", "first"]).end();
        queue.put(b"second").await.unwrap();
        assert_eq!(queue.take().await.unwrap().item().unwrap(), "first");
        let mut kazoo = start(&python, &server, &["get", "/queue"]);
        assert_eq!(kazoo.line(), "second");
        kazoo.end();
        assert_eq!(queue.take().await.unwrap().item().unwrap(), "last");
    });
}

#[test]
fn locking_queues() {
    with_kazoo(async |server, python| {
        let client = connect(&server).await;
        let queue = LockingQueue::kazoo(&client, "/queue").unwrap();
        queue.put_all(&[b"1", b"2", b"3"]).await.unwrap();
        let mine = queue.take().await.unwrap();
        let mut kazoo = start(&python, &server, &["locking_get", "/queue"]);
        assert_eq!([kazoo.line(), kazoo.line(), kazoo.line()], ["2", "True", "3"]);
        mine.done().await.unwrap();
        kazoo.end();
        // What kazoo was not done with comes back with its session.
        let rest = within("the last element", queue.take()).await.unwrap();
        assert_eq!(rest.element().item().unwrap(), "3");
        rest.done().await.unwrap();
        assert_eq!(queue.count().await.unwrap(), 0);
    });
}

#[test]
fn double_barriers() {
    with_kazoo(async |server, python| {
        let client = connect(&server).await;
        let barrier = DoubleBarrier::new(&client, "/double", 2).unwrap();
        for _ in 0..2 {
            let mut kazoo = start(&python, &server, &["double_barrier", "/double", "2"]);
            let entered = within("kazoo", barrier.enter()).await.unwrap();
            assert_eq!(kazoo.line(), "entered True");
            within("kazoo", entered.leave()).await.unwrap();
            assert_eq!(kazoo.line(), "left");
            kazoo.end();
        }
        assert!(children(&client, "/double").await.is_empty());
    });
}

#[test]
fn parties() {
    with_kazoo(async |server, python| {
        let client = connect(&server).await;
        let id = "0123456789abcdef0123456789abcdef__party__";
        let member = GroupMember::join(&client, "/party", id, "rust").await.unwrap();
        let mut kazoo = start(&python, &server, &["party", "/party", "python"]);
        assert_eq!(kazoo.line(), "python rust");
        let names = || {
            let members = member.members().into_values();
            let mut names: Vec<_> = members.map(|data| data.escape_ascii().to_string()).collect();
            names.sort_unstable();
            names
        };
        eventually("kazoo", async || names() == ["python", "rust"]).await;
        kazoo.tell("");
        kazoo.end();
        eventually("kazoo's end", async || names() == ["rust"]).await;
    });
}

#[test]
fn set_partitioners() {
    with_kazoo(async |server, python| {
        let client = connect(&server).await;
        let settle = Duration::from_millis(200);
        let items = ["a", "b", "c"];
        let member = SetPartitioner::join(&client, "/set", items, "1-rust", settle).await.unwrap();
        let all = within("all", member.acquire()).await.unwrap();
        assert_eq!(all.items(), items);
        let action = ["partitioner", "/set", "2-python", "a", "b", "c"];
        let mut kazoo = start(&python, &server, &action);
        within("the revocation", all.revoked()).await;
        all.release().await.unwrap();
        let share = within("a share", member.acquire()).await.unwrap();
        assert_eq!(share.items(), ["a", "c"]);
        assert_eq!(kazoo.line(), "b");
        kazoo.tell("");
        within("the revocation", share.revoked()).await;
        share.release().await.unwrap();
        let all = within("all", member.acquire()).await.unwrap();
        assert_eq!(all.items(), items);
        assert_eq!(kazoo.line(), "finished");
        kazoo.end();
    });
}
