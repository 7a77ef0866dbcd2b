//! Together with Apache Curator: each recipe's nodes are shared with a program in Java.

use std::process::Command;

use quorate_client::{
    Client,
    recipes::{
        barrier::DoubleBarrier,
        discovery::{ServiceDiscovery, ServiceInstance},
        membership::GroupMember,
        queue::{LockingQueue, Queue, QueueFormat},
        shared::{Counter, CounterFormat, SharedValue, TrySet},
    },
};
use quorate_tests::foreign;

use crate::{children, connect, eventually, program::Program, with_each, within};

/// Runs a test with Curator against a server of each kind.
fn with_curator(test: impl AsyncFn(Client, Program)) {
    let classes = foreign::home().join("java");
    let found = classes.join("Recipes.class").exists().then(foreign::zookeeper_class_path);
    let Some(jars) = foreign::require("Apache Curator", found.flatten()) else { return };
    with_each(async |server| {
        let class_path = format!("{}:{jars}", classes.display());
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-cp", &class_path, "Recipes"]).arg(server.addr().to_string());
        let curator = Program::start(&mut java);
        test(connect(&server).await, curator).await;
    });
}

#[test]
fn numbers_and_values() {
    with_curator(async |client, mut curator| {
        let long = Counter::new(&client, "/long").unwrap();
        assert_eq!(curator.ask("add /long 40"), "40");
        assert_eq!(long.add(-50).await.unwrap().after, -10);
        assert_eq!(curator.ask("add /long 1"), "-9");
        let count = Counter::new(&client, "/int").unwrap().format(CounterFormat::Int);
        count.add(2).await.unwrap();
        assert_eq!(curator.ask("count /int 40"), "42");
        assert_eq!(count.get().await.unwrap(), 42);

        let value = SharedValue::start(&client, "/value", b"a").await.unwrap();
        let old = value.read().await.unwrap();
        assert_eq!(curator.ask("value /value a b"), "yes");
        let TrySet::Changed(new) = value.try_set(&old, b"late").await.unwrap() else {
            panic!("Curator came between")
        };
        assert_eq!(new.data, "b");
        assert_eq!(curator.ask("value /value a c"), "no");
    });
}

#[test]
fn queues() {
    with_curator(async |client, mut curator| {
        let queue = Queue::new(&client, "/queue", QueueFormat::Curator).unwrap();
        assert_eq!(curator.ask("put /queue 1"), "done");
        queue.put(b"2").await.unwrap();
        queue.put_together(&[b"3", b"4"]).await.unwrap();
        assert_eq!(queue.take().await.unwrap().item().unwrap(), "1");
        assert_eq!(curator.ask("take /queue 3"), "2 3 4");

        let queue = Queue::new(&client, "/priority", QueueFormat::Curator).unwrap();
        queue.put_with_priority(b"last", 5).await.unwrap();
        assert_eq!(curator.ask("put-priority /priority first -5"), "done");
        queue.put_with_priority(b"second", -1).await.unwrap();
        for item in ["first", "second", "last"] {
            assert_eq!(queue.take().await.unwrap().item().unwrap(), item);
        }

        let queue = Queue::new(&client, "/simple", QueueFormat::CuratorSimple).unwrap();
        assert_eq!(curator.ask("offer /simple 1"), "done");
        queue.put(b"2").await.unwrap();
        assert_eq!(queue.take().await.unwrap().item().unwrap(), "1");
        assert_eq!(curator.ask("poll /simple"), "2");
    });
}

#[test]
fn locked_queues() {
    with_curator(async |client, mut curator| {
        let queue = LockingQueue::curator(&client, "/queue", "/locks").unwrap();
        queue.create().await.unwrap();
        queue.put_all(&[b"1", b"2", b"3"]).await.unwrap();
        let mine = queue.take().await.unwrap();
        assert_eq!(curator.ask("take-locked /queue /locks 2"), "2 3");
        mine.done().await.unwrap();
        // Curator deletes what it has handed on.
        eventually("no element", async || queue.count().await.unwrap() == 0).await;
        eventually("no lock", async || children(&client, "/locks").await.is_empty()).await;
    });
}

#[test]
fn barriers_and_groups() {
    with_curator(async |client, mut curator| {
        let barrier = DoubleBarrier::new(&client, "/double", 2).unwrap();
        for _ in 0..2 {
            curator.tell("enter /double 2");
            let entered = within("Curator", barrier.enter()).await.unwrap();
            assert_eq!(curator.line(), "done");
            curator.tell("leave");
            within("Curator", entered.leave()).await.unwrap();
            assert_eq!(curator.line(), "done");
        }
        assert!(children(&client, "/double").await.is_empty());

        let member = GroupMember::join(&client, "/group", "rust", "1").await.unwrap();
        assert_eq!(curator.ask("join /group java 2"), "done");
        eventually("Curator", async || member.members().len() == 2).await;
        assert_eq!(member.members()["java"], "2");
        let curator = std::cell::RefCell::new(curator);
        let seen = async || curator.borrow_mut().ask("members") == "java=2 rust=1";
        eventually("us", seen).await;
    });
}

#[test]
fn services() {
    with_curator(async |client, mut curator| {
        let services: ServiceDiscovery<String> =
            ServiceDiscovery::new(&client, "/services").unwrap();
        let mut mine = ServiceInstance::new("mail").id("rust").at("10.0.0.1", 25);
        mine.payload = Some("ours".to_owned());
        mine.uri_spec = Some("{scheme}://{address}:{port}".parse().unwrap());
        let registration = services.register(&mine).await.unwrap();
        assert_eq!(curator.ask("register mail java 26 theirs"), "done");
        assert_eq!(
            curator.ask("find mail"),
            "java:26:theirs:http://10.0.0.2:26 rust:25:ours:http://10.0.0.1:25"
        );
        let theirs = services.instance("mail", "java").await.unwrap().unwrap();
        assert_eq!((theirs.port, theirs.payload.as_deref()), (Some(26), Some("theirs")));
        assert_eq!(theirs.uri().as_deref(), Some("http://10.0.0.2:26"));
        registration.unregister().await.unwrap();
        assert_eq!(curator.ask("find mail"), "java:26:theirs:http://10.0.0.2:26");
    });
}
