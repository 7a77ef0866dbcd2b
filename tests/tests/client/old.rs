//! The client at ZooKeeper 3.5, which has neither persistent watches nor the operations that came with
//! them.

use std::time::Duration;

use quorate_client::{
    ErrorCode, EventType, WatchItem, WatchStream,
    cache::TreeCache,
    recipes::{leader::LeaderLatch, lock::Mutex},
};
use quorate_tests::{Server, Subject};

use crate::{builder, connect, runtime};

const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a test against the old server, if it is installed.
fn with_old<F: Future<Output = ()>>(test: impl Fn(Server) -> F) {
    if Subject::OldZooKeeper.is_installed() {
        let server = Server::start(Subject::OldZooKeeper, &["maxSessionTimeout=60000"]);
        runtime().block_on(test(server));
    }
}

async fn in_time<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

async fn next(stream: &mut WatchStream) -> WatchItem {
    in_time(stream.next()).await.expect("the stream goes on")
}

#[test]
fn nodes_are_kept_and_unknown_operations_refused() {
    with_old(async |server| {
        let client = connect(&server).await;
        let created = client.create("/a", b"1").await.unwrap();
        assert_eq!(client.get("/a").await.unwrap().stat, created.stat);
        assert_eq!(client.set("/a", b"22").version(0).await.unwrap().version, 1);
        let wrong = client.set("/a", b"3").version(0).await.unwrap_err();
        assert!(wrong.is_bad_version() && wrong.surely_not_done());
        let first = client.create("/a/n-", b"").ephemeral().sequential().await.unwrap();
        assert_eq!(client.children("/a").linearizable().await.unwrap().names, ["n-0000000000"]);
        let both = client.multi().delete(&first.path, 0).set("/a", b"4", 1).await.unwrap();
        assert_eq!(both.len(), 2);
        for unknown in [
            client.whoami().await.unwrap_err(),
            client.ephemerals("/").await.unwrap_err(),
            client.count_below("/").await.unwrap_err(),
        ] {
            assert_eq!(unknown.code(), Some(ErrorCode::Unimplemented), "{unknown}");
        }
        assert_eq!(&client.get("/a").await.unwrap().data[..], b"4", "the session goes on");
    });
}

#[test]
fn streams_and_caches_are_made_of_one_shot_watches_and_survive_a_restart() {
    with_old(async |mut server| {
        let client = builder(&server).session_timeout(PATIENCE).connect().await.unwrap();
        client.create("/a", b"").await.unwrap();
        let mut node = client.watch("/a").await.unwrap();
        let cache = TreeCache::start(&client, "/a").await.unwrap();
        client.create("/a/b", b"1").await.unwrap();
        let set = client.set("/a", b"1").await.unwrap();
        let WatchItem::Event(event) = next(&mut node).await else { panic!("a change was missed") };
        assert_eq!((event.kind, event.zxid), (EventType::NodeDataChanged, Some(set.mzxid)));

        server.kill();
        server.restart();
        let set = in_time(client.set("/a", b"2")).await.unwrap();
        let newest = loop {
            match next(&mut node).await {
                WatchItem::Event(event) if event.kind == EventType::NodeDataChanged => {
                    break event.zxid;
                }
                WatchItem::Event(_) | WatchItem::Resync { .. } => {}
            }
        };
        assert_eq!(newest, Some(set.mzxid));
        in_time(cache.wait_until(set.mzxid)).await.unwrap();
        assert_eq!(&cache.get("/a").unwrap().data[..], b"2");
        assert_eq!(&cache.get("/a/b").unwrap().data[..], b"1");
    });
}

#[test]
fn locks_and_leaders_take_turns() {
    with_old(async |server| {
        let (first, second) = (connect(&server).await, connect(&server).await);
        let mutex = Mutex::new(&first, "/lock").unwrap();
        let other = Mutex::new(&second, "/lock").unwrap();
        let held = in_time(mutex.acquire()).await.unwrap();
        assert!(other.try_acquire().await.unwrap().is_none());
        let token = held.token();
        let (released, next) =
            in_time(async { tokio::join!(held.release(), other.acquire()) }).await;
        released.unwrap();
        assert!(next.unwrap().token() > token);

        let latch = LeaderLatch::start(&first, "/leader", "one").unwrap();
        in_time(latch.wait()).await.unwrap();
        let waiting = LeaderLatch::start(&second, "/leader", "two").unwrap();
        in_time(latch.close()).await.unwrap();
        in_time(waiting.wait()).await.unwrap();
    });
}
