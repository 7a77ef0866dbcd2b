//! Calls and recipes of programs without a runtime.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use quorate_client::{
    State, WatchItem,
    blocking::Client,
    cache::{Change, TreeCache},
    recipes::{
        Loss,
        barrier::{Barrier, DoubleBarrier},
        leader::{LeaderElection, LeaderLatch, Term},
        lock::{MultiLock, Mutex, ReadWriteLock, Semaphore},
        membership::{GroupMember, PersistentNode},
        queue::{LockingQueue, Queue, QueueFormat},
        shared::{Counter, SharedValue},
    },
};
use quorate_tests::{Server, Subject};

use crate::builder;

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a test with a client of a server of each kind, on a thread that knows no runtime.
fn with_each(test: impl Fn(&Server, &Client)) {
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        let client = connect(&server);
        test(&server, &client);
        client.close().unwrap();
    }
}

fn connect(server: &Server) -> Client {
    Client::connect_with(builder(server)).expect("the server opens a session")
}

#[test]
fn calls_are_waited_for() {
    with_each(|_, client| {
        let created = client.wait(client.create("/a", b"1")).unwrap();
        let mut stream = client.wait(client.watch("/a")).unwrap();
        let clone = client.clone();
        let writer = thread::spawn(move || {
            let sets: Vec<_> = (0..100).map(|_| clone.set("/a", b"2").send()).collect();
            sets.into_iter().map(|set| clone.wait(set).unwrap().version).max()
        });
        assert_eq!(writer.join().unwrap(), Some(100));
        assert!(client.wait(stream.next()).is_some());
        let node = client.wait(client.get("/a").linearizable()).unwrap();
        assert_eq!((&node.data[..], node.stat.czxid), (&b"2"[..], created.stat.czxid));
    });
}

#[test]
fn locks_are_held_and_given_back_by_threads() {
    with_each(|server, client| {
        let other = connect(server);
        let mutex = Mutex::new(client, "/mutex").unwrap();
        let guard = client.wait(mutex.acquire()).unwrap();
        let theirs = Mutex::new(&other, "/mutex").unwrap();
        assert!(other.wait(theirs.try_acquire()).unwrap().is_none());
        assert_eq!(client.wait_at_most(Duration::ZERO, guard.lost()), None);
        let soon = other.wait_at_most(Duration::from_millis(20), theirs.acquire());
        assert!(soon.is_none(), "it is held");
        // Dropped where there is no runtime, it is given back all the same.
        let token = guard.token();
        drop(guard);
        let guard = other.wait(theirs.acquire().timeout(PATIENCE)).unwrap();
        assert!(guard.token() > token);
        other.wait(guard.multi().create("/fenced", b"")).unwrap();
        client.wait(client.delete(guard.path())).unwrap();
        assert_eq!(other.wait_at_most(PATIENCE, guard.lost()), Some(Loss::Deleted));

        let locks = ReadWriteLock::new(client, "/locks").unwrap();
        let readers = [client.wait(locks.read()).unwrap(), client.wait(locks.read()).unwrap()];
        assert!(client.wait(locks.try_write()).unwrap().is_none());
        for reader in readers {
            client.wait(reader.release()).unwrap();
        }
        client.wait(client.wait(locks.write()).unwrap().release()).unwrap();

        let places = Semaphore::new(client, "/places", 2).unwrap();
        let leases =
            [client.wait(places.acquire()).unwrap(), client.wait(places.acquire()).unwrap()];
        assert!(client.wait(places.try_acquire()).unwrap().is_none());
        drop(leases);
        let lease = client.wait(places.acquire().timeout(PATIENCE)).unwrap();
        client.wait(lease.release()).unwrap();

        let several = MultiLock::new(client, ["/several/a", "/several/b"]).unwrap();
        client.wait(client.wait(several.acquire()).unwrap().release()).unwrap();
        // What ends with its client is lost.
        let guard = other.wait(theirs.acquire()).unwrap();
        let watcher = other.clone();
        other.close().unwrap();
        assert_eq!(watcher.wait_at_most(PATIENCE, guard.lost()), Some(Loss::Closed));
    });
}

#[test]
fn a_leader_does_work_that_blocks() {
    with_each(|server, client| {
        let election = LeaderElection::new(client, "/leader").unwrap().id("one");
        let led = client.lead(&election, |leadership| {
            let leader = client.wait(election.leader()).unwrap().unwrap();
            assert_eq!((&leader.data[..], leader.token), (&b"one"[..], leadership.token()));
            client.wait(leadership.multi().create("/led", b"")).unwrap();
            assert_eq!(client.wait_at_most(Duration::ZERO, leadership.lost()), None);
            client.wait(client.delete(leadership.path())).unwrap();
            client.wait_at_most(PATIENCE, leadership.lost())
        });
        assert!(matches!(led, Ok(Term::Finished(Some(Loss::Deleted)))), "{led:?}");

        let other = connect(server);
        let first = LeaderLatch::start(client, "/latch", "one").unwrap();
        client.wait_at_most(PATIENCE, first.wait()).unwrap().unwrap();
        let second = LeaderLatch::start(&other, "/latch", "two").unwrap();
        assert!(other.wait_at_most(Duration::from_millis(20), second.wait()).is_none());
        client.wait(first.close()).unwrap();
        other.wait_at_most(PATIENCE, second.wait()).unwrap().unwrap();
        assert!(second.is_leader());
        other.close().unwrap();
    });
}

#[test]
fn threads_meet_at_barriers() {
    with_each(|_, client| {
        let barrier = Barrier::new(client, "/barrier").unwrap();
        client.wait(barrier.set()).unwrap();
        let inside = AtomicUsize::new(0);
        thread::scope(|threads| {
            let waiter = threads.spawn(|| client.wait(barrier.wait()));
            assert!(client.wait(barrier.remove()).unwrap());
            waiter.join().unwrap().unwrap();
            for _ in 0..2 {
                threads.spawn(|| {
                    let double = DoubleBarrier::new(client, "/double", 2).unwrap();
                    inside.fetch_add(1, SeqCst);
                    let entered = client.wait(double.enter()).unwrap();
                    assert_eq!(inside.load(SeqCst), 2);
                    client.wait(entered.leave()).unwrap();
                });
            }
        });
        // One that is dropped leaves, too.
        let alone = DoubleBarrier::new(client, "/double", 1).unwrap();
        drop(client.wait(alone.enter()).unwrap());
        let events = client.wait(client.watch("/double").children()).unwrap();
        let mut events = client.iter(events);
        let members = || client.wait(client.children("/double").linearizable()).unwrap().names;
        while members().iter().any(|name| name != "ready") {
            events.next().unwrap();
        }
    });
}

#[test]
fn values_and_elements_come_one_by_one() {
    with_each(|server, client| {
        let counter = Counter::new(client, "/counter").unwrap();
        assert_eq!(client.wait(counter.add(2)).unwrap().after, 2);
        let other = connect(server);
        let value = client.wait(SharedValue::start(client, "/value", b"0")).unwrap();
        let theirs = other.wait(SharedValue::start(&other, "/value", b"")).unwrap();
        let mut seen = Vec::new();
        for value in client.iter(value.values()).flatten() {
            seen.push(value.data);
            if seen.len() == 3 {
                break;
            }
            other.wait(theirs.set(seen.len().to_string().as_bytes())).unwrap();
        }
        assert_eq!(seen, ["0", "1", "2"]);

        let queue = Queue::new(client, "/queue", QueueFormat::Curator).unwrap();
        client.wait(queue.put_all(&[b"a", b"b"])).unwrap();
        let elements = std::iter::from_fn(|| client.wait(queue.try_take()).unwrap());
        let items: Vec<_> = elements.map(|element| element.item().unwrap()).collect();
        assert_eq!(items, ["a", "b"]);

        // What is taken and dropped where there is no runtime comes again.
        let jobs = LockingQueue::kazoo(client, "/jobs").unwrap();
        client.wait(jobs.put(b"job")).unwrap();
        drop(client.wait(jobs.take()).unwrap());
        let theirs = LockingQueue::kazoo(&other, "/jobs").unwrap();
        let taken = other.wait_at_most(PATIENCE, theirs.take()).unwrap().unwrap();
        other.wait(taken.done()).unwrap();
        assert_eq!(client.wait(jobs.count()).unwrap(), 0);
        other.close().unwrap();
    });
}

#[test]
fn watches_caches_and_states_are_iterators() {
    with_each(|server, client| {
        let other = connect(server);
        let events = other.wait(other.watch("/a").recursive()).unwrap();
        let cache = client.wait(TreeCache::start(client, "/a")).unwrap();
        let states = other.iter(other.states());
        let node = other.wait(PersistentNode::builder(&other, "/a/b", "1").start()).unwrap();
        let member = client.wait(GroupMember::join(client, "/a/group", "one", "2")).unwrap();
        let paths = other.iter(events).map(|item| match item {
            WatchItem::Event(event) => event.path,
            gap @ WatchItem::Resync { .. } => panic!("the connection is not lost: {gap:?}"),
        });
        assert_eq!(paths.take(2).collect::<Vec<_>>(), ["/a", "/a/b"]);
        let mut changes = client.iter(cache.changes());
        let is_there =
            |change: Change| matches!(change, Change::Added { path, .. } if path == "/a/b");
        assert!(changes.by_ref().any(is_there));
        drop(node);
        let is_gone =
            |change: Change| matches!(change, Change::Removed { path, .. } if path == "/a/b");
        assert!(changes.any(is_gone));
        client.wait(member.leave()).unwrap();
        other.close().unwrap();
        assert_eq!(states.last(), Some(State::Closed));
    });
}
