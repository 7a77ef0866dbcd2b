//! Watches, caches and sessions while servers come and go.

use std::time::Duration;

use quorate_client::{
    Client, EventType, State, WatchItem, WatchStream, Zxid,
    cache::{Change, ChildrenCache, NodeCache, TreeCache},
};
use quorate_tests::{Ensemble, Server, Subject};

use crate::{builder, connect, runtime, with_each};

/// Long enough for a server to come back.
const PATIENCE: Duration = Duration::from_mins(1);

async fn patiently<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    let value = tokio::time::timeout(PATIENCE, future).await;
    value.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

async fn next(stream: &mut WatchStream) -> (EventType, String, Option<Zxid>) {
    match patiently("an event", stream.next()).await {
        Some(WatchItem::Event(event)) => (event.kind, event.path, event.zxid),
        other => panic!("{other:?}"),
    }
}

async fn wait_for(client: &Client, state: State) {
    let mut status = client.status();
    let found = patiently("a state", status.wait_for(|status| status.state == state)).await;
    drop(found.unwrap());
}

/// A client whose session survives the restart of a server.
async fn patient(server: &Server) -> Client {
    let client = builder(server).session_timeout(PATIENCE).connect().await.unwrap();
    assert!(client.session_timeout() > Duration::from_secs(20), "{:?}", client.session_timeout());
    client
}

const LONG_SESSIONS: &[&str] = &["maxSessionTimeout=60000"];

#[test]
fn streams_tell_what_happens_in_order_and_with_its_zxid() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let writer = connect(&server).await;
        client.create("/a", b"").await.unwrap();
        let app = client.chroot("/a").unwrap();
        let mut node = app.watch("/").await.unwrap();
        let mut children = client.watch("/a").children().await.unwrap();
        let mut tree = app.watch("/").recursive().await.unwrap();
        let b = writer.create("/a/b", b"").await.unwrap();
        let set = writer.set("/a", b"1").await.unwrap();
        writer.create("/a/b/c", b"").await.unwrap();
        writer.delete("/a/b/c").await.unwrap();

        let (kind, path, zxid) = next(&mut tree).await;
        assert_eq!((kind, &*path, zxid), (EventType::NodeCreated, "/b", Some(b.stat.czxid)));
        let (kind, path, zxid) = next(&mut tree).await;
        assert_eq!((kind, &*path, zxid), (EventType::NodeDataChanged, "/", Some(set.mzxid)));
        assert_eq!(next(&mut tree).await.1, "/b/c");
        assert_eq!(next(&mut tree).await.0, EventType::NodeDeleted);
        assert_eq!(next(&mut node).await.0, EventType::NodeDataChanged);
        assert_eq!(next(&mut children).await.0, EventType::NodeChildrenChanged);
        assert_eq!(next(&mut children).await.0, EventType::NodeDataChanged);
        // An event is there when an answer shows what it tells of.
        client.set("/a", b"2").await.unwrap();
        assert!(node.try_next().is_some() && tree.try_next().is_some());
        assert_eq!(node.try_next(), None);
    });
}

/// As servers before 3.6 need it.
#[test]
fn streams_can_be_made_of_one_shot_watches() {
    with_each(&[], async |server| {
        let client = builder(&server).emulate_streams(true).connect().await.unwrap();
        let writer = connect(&server).await;
        writer.create("/a", b"").await.unwrap();
        writer.create("/a/old", b"").await.unwrap();
        let app = client.chroot("/a").unwrap();
        let mut node = app.watch("/").await.unwrap();
        let mut missing = client.watch("/missing").children().await.unwrap();
        let mut children = client.watch("/a").children().await.unwrap();
        let mut tree = app.watch("/").recursive().await.unwrap();

        let set = writer.set("/a", b"1").await.unwrap();
        let expected = (EventType::NodeDataChanged, "/".to_owned(), Some(set.mzxid));
        assert_eq!(next(&mut node).await, expected);
        assert_eq!(next(&mut tree).await, expected);
        assert_eq!(next(&mut children).await.0, EventType::NodeDataChanged);
        let new = writer.create("/a/new", b"").await.unwrap();
        let (kind, path, zxid) = next(&mut tree).await;
        assert_eq!((kind, &*path, zxid), (EventType::NodeCreated, "/new", Some(new.stat.czxid)));
        assert_eq!(next(&mut children).await.0, EventType::NodeChildrenChanged);
        writer.create("/a/new/below", b"").await.unwrap();
        assert_eq!(next(&mut tree).await.1, "/new/below");
        writer.delete("/a/new/below").await.unwrap();
        let (kind, path, _) = next(&mut tree).await;
        assert_eq!((kind, &*path), (EventType::NodeDeleted, "/new/below"));
        writer.create("/missing", b"").await.unwrap();
        assert_eq!(next(&mut missing).await.0, EventType::NodeCreated);
        writer.create("/missing/x", b"").await.unwrap();
        assert_eq!(next(&mut missing).await.0, EventType::NodeChildrenChanged);

        // Faster than watches can be set again: all is told, or there is a gap.
        for number in 0..200 {
            drop(writer.set("/a", number.to_string()).send());
        }
        let last = writer.set("/a", b"last").await.unwrap();
        let mut gap = None;
        loop {
            match patiently("the last change", node.next()).await.unwrap() {
                WatchItem::Event(event) if event.zxid == Some(last.mzxid) => break,
                WatchItem::Event(_) => {}
                WatchItem::Resync { to, .. } => gap = gap.max(to),
            }
        }
        let rest = node.try_next();
        assert!(gap.is_some() || rest.is_some(), "200 changes were not told one by one");

        let cache = TreeCache::start(&client, "/a").await.unwrap();
        writer.create("/a/new/again", b"").await.unwrap();
        let mut changes = cache.changes();
        loop {
            match patiently("the cache", changes.next()).await.unwrap() {
                Change::Added { path, .. } if path == "/a/new/again" => break,
                _ => {}
            }
        }
    });
}

#[test]
fn one_shots_fire_once() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let (stat, created) = client.exists("/x").watch().await.unwrap();
        assert_eq!(stat, None);
        let (_, grown) = client.children("/").watch().await.unwrap();
        client.create("/x", b"").await.unwrap();
        assert_eq!(patiently("x", created).await.unwrap().kind, EventType::NodeCreated);
        assert_eq!(patiently("/", grown).await.unwrap().kind, EventType::NodeChildrenChanged);
        let (_, changed) = client.get("/x").watch().await.unwrap();
        let (_, unwanted) = client.get("/x").watch().await.unwrap();
        drop(unwanted);
        client.delete("/x").await.unwrap();
        assert_eq!(patiently("x", changed).await.unwrap().kind, EventType::NodeDeleted);
    });
}

#[test]
fn sessions_and_ten_thousand_watches_survive_a_restart() {
    with_each(LONG_SESSIONS, async |mut server| {
        let client = patient(&server).await;
        client.create("/e", b"").ephemeral().await.unwrap();
        let parent = "/a-parent-with-a-rather-long-name";
        client.create(parent, b"").await.unwrap();
        let paths: Vec<_> = (0..10_000).map(|number| format!("{parent}/{number:05}")).collect();
        let mut watches = Vec::new();
        for path in &paths {
            client.ready().await;
            watches.push(client.exists(path).watch().send());
        }
        let mut created = Vec::new();
        for watch in watches {
            created.push(watch.await.unwrap().1);
        }
        let mut stream = client.watch(parent).recursive().await.unwrap();
        let id = client.session_id();
        server.kill();
        wait_for(&client, State::Suspended).await;
        // Made without a connection.
        let write = client.set("/e", b"later").send();
        server.restart();
        wait_for(&client, State::Reconnected).await;
        assert_eq!(client.session_id(), id);
        patiently("the write", write).await.unwrap();
        assert_eq!(client.get("/e").await.unwrap().stat.ephemeral_owner, id);

        let writer = connect(&server).await;
        for path in paths.iter().step_by(97) {
            writer.create(path, b"").await.unwrap();
        }
        for watch in created.into_iter().step_by(97) {
            assert_eq!(patiently("a watch", watch).await.unwrap().kind, EventType::NodeCreated);
        }
        loop {
            match patiently("the stream", stream.next()).await.unwrap() {
                WatchItem::Event(event) => break assert_eq!(event.path, paths[0]),
                WatchItem::Resync { from, to } => assert!(to.is_none_or(|to| from < to)),
            }
        }
    });
}

#[test]
fn what_happens_while_the_client_is_away_is_told() {
    for subject in Subject::available() {
        let mut ensemble = Ensemble::start(subject, 3, LONG_SESSIONS);
        runtime().block_on(async {
            let at = ensemble.server(1).addr();
            let client = Client::builder(&at.to_string()).session_timeout(PATIENCE);
            let client = client.connect().await.unwrap();
            client.create("/a", b"0").await.unwrap();
            let mut stream = client.watch("/a").await.unwrap();
            let (_, changed) = client.get("/a").watch().await.unwrap();
            let cache = TreeCache::start(&client, "/a").await.unwrap();
            ensemble.kill(1);
            wait_for(&client, State::Suspended).await;
            let other = ensemble.server(2).addr();
            let writer = Client::connect(&other.to_string()).await.unwrap();
            let stat = writer.set("/a", b"1").await.unwrap();
            let child = writer.create("/a/b", b"2").await.unwrap();
            ensemble.restart(&[1]);
            wait_for(&client, State::Reconnected).await;
            let event = patiently("the event", changed).await.unwrap();
            assert_eq!(event.kind, EventType::NodeDataChanged);
            match patiently("the change or a gap", stream.next()).await {
                Some(WatchItem::Resync { from, to }) => {
                    assert!(from < stat.mzxid && to.is_none_or(|to| to >= stat.mzxid));
                }
                // The server may learn of it after the watch is set again.
                Some(WatchItem::Event(event)) => {
                    assert_eq!(event.kind, EventType::NodeDataChanged);
                }
                None => panic!("the stream has ended"),
            }
            patiently("the cache", cache.wait_until(child.stat.czxid)).await.unwrap();
            assert_eq!(cache.get("/a").unwrap().data, "1");
            assert_eq!(cache.get("/a/b").unwrap().data, "2");
        });
    }
}

#[test]
fn a_session_moves_with_its_leader_gone() {
    for subject in Subject::available() {
        let mut ensemble = Ensemble::start(subject, 3, LONG_SESSIONS);
        runtime().block_on(async {
            let addrs: Vec<_> =
                ensemble.ids().map(|id| ensemble.server(id).addr().to_string()).collect();
            let client = Client::builder(&addrs.join(",")).session_timeout(PATIENCE);
            let client = client.connect().await.unwrap();
            client.create("/n", b"").await.unwrap();
            let id = client.session_id();
            client.create("/e", b"").ephemeral().await.unwrap();
            let leader = ensemble.wait_for_leader();
            ensemble.kill(leader);
            let mut version = 0;
            for _ in 0..200 {
                match patiently("a write", client.set("/n", b"").version(version)).await {
                    Ok(stat) => version = stat.version,
                    Err(error) => {
                        assert!(error.is_retryable() && !error.surely_not_done(), "{error:?}");
                        version = client.get("/n").linearizable().await.unwrap().stat.version;
                    }
                }
            }
            assert_eq!(client.session_id(), id);
            let stat = client.exists("/e").linearizable().await.unwrap().unwrap();
            assert_eq!(stat.ephemeral_owner, id);
        });
    }
}

#[test]
fn an_expired_session_is_lost_and_followed_by_another() {
    with_each(&[], async |mut server| {
        let client = builder(&server).session_timeout(Duration::from_millis(1500));
        let client = client.connect().await.unwrap();
        client.create("/e", b"").ephemeral().await.unwrap();
        let mut stream = client.watch("/e").await.unwrap();
        let bound = client.in_this_session();
        server.kill();
        wait_for(&client, State::Lost).await;
        server.restart();
        wait_for(&client, State::Reconnected).await;
        assert_eq!(client.status().borrow().session_number, 2);
        assert!(bound.get("/e").await.unwrap_err().is_session_lost());
        // The old session's node goes with it, sooner or later.
        let gone = async {
            while client.exists("/e").await.unwrap().is_some() {
                stream.next().await.unwrap();
            }
        };
        patiently("the old node to go", gone).await;
    });
}

#[test]
fn caches_follow_what_is_written() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let writer = connect(&server).await;
        let node = NodeCache::start(&client, "/a").await.unwrap();
        assert_eq!(node.get(), None);
        writer.create("/a", b"1").await.unwrap();
        writer.create("/a/x", b"x").await.unwrap();
        writer.create("/a/x/deep", b"").await.unwrap();
        let children = ChildrenCache::start(&client, "/a").await.unwrap();
        let tree = TreeCache::start(&client, "/").await.unwrap();
        let mut changes = children.changes();
        let last = writer.create("/a/y", b"y").await.unwrap().stat.czxid;
        node.wait_until(last).await.unwrap();
        children.wait_until(last).await.unwrap();
        tree.wait_until(last).await.unwrap();
        assert_eq!(node.get().unwrap().data, "1");
        let names: Vec<_> = children.children().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x", "y"]);
        let snapshot = tree.snapshot();
        let below: Vec<_> = snapshot.children("/a").map(|(name, _)| name.to_owned()).collect();
        assert_eq!(below, ["x", "y"]);
        assert!(snapshot.get("/a/x/deep").is_some() && snapshot.get("/zookeeper").is_some());

        let mut added = Vec::new();
        while added.len() < 3 {
            match patiently("a change", changes.next()).await.unwrap() {
                Change::Added { path, .. } => added.push(path),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(added, ["/a", "/a/x", "/a/y"]);
        writer.delete("/a/y").await.unwrap();
        let removed = patiently("a change", changes.next()).await.unwrap();
        assert!(matches!(removed, Change::Removed { path, .. } if path == "/a/y"));

        // Many writes at once, and then the same content.
        let mut answers = Vec::new();
        for number in 0..2000 {
            answers.push(writer.create(&format!("/a/n{number}"), b"0").send());
            answers.push(writer.create(&format!("/a/n{number}/c"), b"").send());
        }
        for answer in answers {
            answer.await.unwrap();
        }
        for number in (0..2000).step_by(2) {
            writer.delete(&format!("/a/n{number}/c")).send().await.unwrap();
        }
        let last = writer.set("/a/n1", b"1").await.unwrap().mzxid;
        patiently("the cache", tree.wait_until(last)).await.unwrap();
        let snapshot = tree.snapshot();
        assert_eq!(snapshot.get("/a/n1").unwrap().data, "1");
        assert!(snapshot.get("/a/n2/c").is_none() && snapshot.get("/a/n3/c").is_some());
        assert_eq!(snapshot.children("/a").count(), 2001);
        assert!(tree.zxid() >= last);
        assert_eq!(children.snapshot().get("/a/n3/c"), None, "too deep");
    });
}
