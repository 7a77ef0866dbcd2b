//! What locks promise, without faults in between.

use std::time::Duration;

use quorate_client::{
    ErrorCode, ErrorKind, RetryPolicy, State,
    recipes::{
        Loss,
        leader::{LeaderElection, LeaderLatch, Term},
        lock::{MultiLock, Mutex, ReadWriteLock, Semaphore},
    },
};
use tokio::time::Instant;

use super::{first_session, patiently, proxy::Proxy, wait_for_nodes};
use crate::{builder, connect, with_each};

fn line(folder: &str) -> [String; 1] {
    [folder.to_owned()]
}

#[test]
fn a_mutex_is_handed_on_in_order_and_wakes_one() {
    with_each(&[], async |server| {
        let watcher = connect(&server).await;
        let folder = "/deep/down/mutex";
        let first = Mutex::new(&watcher, folder).unwrap().data("first");
        let held = first.acquire().await.unwrap();
        let mut waiting = Vec::new();
        for number in 0..4 {
            let proxy = Proxy::start(server.addr(), None).await;
            let hosts = proxy.addr().to_string();
            let client = quorate_client::Client::connect(&hosts).await.unwrap();
            let mutex = Mutex::new(&client, folder).unwrap().data(format!("waiter {number}"));
            let waiter = tokio::spawn(async move { mutex.acquire().await });
            wait_for_nodes(&watcher, &line(folder), 2 + number).await;
            // It has entered, listed, and set its watch.
            proxy.wait_for_requests(3).await;
            waiting.push((proxy, waiter, client));
        }
        let participants = first.participants().await.unwrap();
        let data: Vec<_> = participants.iter().map(|participant| &participant.data[..]).collect();
        let expected = ["first", "waiter 0", "waiter 1", "waiter 2", "waiter 3"];
        assert_eq!(data, expected.map(str::as_bytes));
        assert_eq!(participants[0].path, held.path());
        assert_eq!(participants[0].token, held.token());
        assert_eq!(first_session(&first).await, watcher.session_id());

        let mut token = held.token();
        held.release().await.unwrap();
        while !waiting.is_empty() {
            let (proxy, waiter, client) = waiting.remove(0);
            let guard = patiently("the lock", waiter).await.unwrap().unwrap();
            assert!(guard.token() > token);
            token = guard.token();
            // One call more for whom it was handed on to, none for the others.
            assert_eq!(proxy.requests(), 4);
            assert!(waiting.iter().all(|(other, ..)| other.requests() == 3));
            guard.release().await.unwrap();
            drop(client);
        }
        assert_eq!(first.participants().await.unwrap(), []);
        let none = Mutex::new(&watcher, "/none").unwrap();
        assert_eq!(none.participants().await.unwrap(), []);
    });
}

#[test]
fn those_who_try_or_have_no_time_leave_nothing() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let mutex = Mutex::new(&client, "/mutex").unwrap();
        let held = mutex.try_acquire().await.unwrap().unwrap();
        assert!(mutex.try_acquire().await.unwrap().is_none());
        let late = mutex.acquire().timeout(Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(late.kind(), ErrorKind::Timeout), "{late:?}");
        wait_for_nodes(&client, &line("/mutex"), 1).await;
        drop(held);
        wait_for_nodes(&client, &line("/mutex"), 0).await;
        let again = mutex.acquire().timeout(Duration::from_secs(30)).await.unwrap();
        again.release().await.unwrap();
        assert!(Mutex::new(&client, "/").is_err());
        assert!(Mutex::new(&client, "mutex").is_err());
        client.close().await.unwrap();
        let closed = mutex.acquire().await.unwrap_err();
        assert!(matches!(closed.kind(), ErrorKind::Closed), "{closed:?}");
    });
}

#[test]
fn a_lock_whose_node_is_deleted_is_lost() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        client.create("/data", b"").await.unwrap();
        let mutex = Mutex::new(&client, "/mutex").unwrap();
        let guard = mutex.acquire().await.unwrap();
        let outcomes = guard.multi().set("/data", b"mine", 0).await.unwrap();
        assert_eq!(outcomes.len(), 2);
        // A note on the node is no harm.
        let operator = connect(&server).await;
        operator.set(guard.path(), b"note").await.unwrap();
        guard.multi().set("/data", b"still mine", 1).await.unwrap();
        let mut lost = Box::pin(guard.lost());
        tokio::select! {
            loss = &mut lost => panic!("{loss:?}"),
            set = operator.set(guard.path(), b"another") => drop(set.unwrap()),
        }
        operator.delete(guard.path()).await.unwrap();
        assert_eq!(patiently("the loss", lost).await, Loss::Deleted);
        assert_eq!(guard.lost().await, Loss::Deleted);
        let late = guard.multi().set("/data", b"not mine", -1).await.unwrap_err();
        let expected = ErrorKind::MultiFailed { index: 0, code: ErrorCode::NoNode };
        assert_eq!(format!("{:?}", late.kind()), format!("{expected:?}"));
        assert_eq!(client.get("/data").await.unwrap().data, "still mine");
        let released = guard.release().await.unwrap_err();
        assert!(released.is_no_node(), "{released:?}");
    });
}

#[test]
fn who_waits_and_is_deleted_stands_in_line_again() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let mutex = Mutex::new(&client, "/mutex").unwrap();
        let held = mutex.acquire().await.unwrap();
        let waiter = mutex.clone();
        let waiter = tokio::spawn(async move { waiter.acquire().await });
        wait_for_nodes(&client, &line("/mutex"), 2).await;
        let second = mutex.participants().await.unwrap().remove(1);
        client.delete(&second.path).await.unwrap();
        held.release().await.unwrap();
        let guard = patiently("the lock", waiter).await.unwrap().unwrap();
        assert!(guard.token() > second.token);
        guard.release().await.unwrap();
    });
}

#[test]
fn a_lock_is_lost_with_its_session_and_before_that_in_silence() {
    with_each(&[], async |server| {
        let proxy = Proxy::start(server.addr(), None).await;
        let hosts = proxy.addr().to_string();
        let connecting = quorate_client::Client::builder(&hosts);
        let client = connecting.session_timeout(Duration::from_secs(3)).connect().await.unwrap();
        let mutex = Mutex::new(&client, "/mutex").unwrap();
        let guard = mutex.acquire().await.unwrap();
        proxy.expire().await;
        assert_eq!(patiently("the loss", guard.lost()).await, Loss::Session);
        assert!(guard.multi().await.unwrap_err().is_session_lost());
        assert!(guard.release().await.unwrap_err().is_session_lost());

        let guard = mutex.acquire().await.unwrap();
        assert_eq!(guard.client().status().borrow().session_number, 2);
        let mut lost = Box::pin(guard.lost());
        // Set the watch, too.
        tokio::select! {
            loss = &mut lost => panic!("{loss:?}"),
            _ = client.get("/") => {}
        }
        server.pause();
        assert_eq!(patiently("the loss", lost).await, Loss::Silence);
        let deadline = client.session_deadline().earliest;
        let left = deadline.saturating_duration_since(Instant::now());
        server.resume();
        assert!(left > Duration::ZERO, "it came too late");
        assert!(left <= Duration::from_secs(1), "it came {left:?} early");

        let client = connect(&server).await;
        let guard = Mutex::new(&client, "/other").unwrap().acquire().await.unwrap();
        client.close().await.unwrap();
        assert_eq!(patiently("the loss", guard.lost()).await, Loss::Closed);
    });
}

#[test]
fn a_node_is_removed_however_long_the_outage() {
    with_each(&["maxSessionTimeout=60000"], async |mut server| {
        let connecting = builder(&server).session_timeout(Duration::from_secs(50));
        // Calls fail as soon as there is no connection.
        let client = connecting.retry(RetryPolicy::none()).connect().await.unwrap();
        let mutex = Mutex::new(&client, "/mutex").unwrap();
        let guard = mutex.acquire().await.unwrap();
        let waiter = mutex.clone();
        let waiter = tokio::spawn(async move { waiter.acquire().await });
        wait_for_nodes(&client, &line("/mutex"), 2).await;
        server.kill();
        let mut status = client.status();
        let suspended = status.wait_for(|status| status.state == State::Suspended);
        drop(patiently("the outage", suspended).await.unwrap());
        let refused = client.get("/").await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::NotConnected(_)), "{refused:?}");
        drop(guard);
        waiter.abort();
        server.restart();
        let other = connect(&server).await;
        wait_for_nodes(&other, &line("/mutex"), 0).await;
        assert_eq!(client.wait_connected().await.unwrap().session_number, 1);
    });
}

#[test]
fn readers_share_and_writers_do_not() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let lock = ReadWriteLock::new(&client, "/lock").unwrap().data("somebody");
        let first = lock.read().await.unwrap();
        let second = lock.try_read().await.unwrap().unwrap();
        assert!(second.token() > first.token());
        assert!(lock.try_write().await.unwrap().is_none());
        wait_for_nodes(&client, &line("/lock"), 2).await;
        let writer = lock.clone();
        let writer = tokio::spawn(async move { writer.write().await });
        wait_for_nodes(&client, &line("/lock"), 3).await;
        // Behind the writer.
        assert!(lock.try_read().await.unwrap().is_none());
        wait_for_nodes(&client, &line("/lock"), 3).await;
        let readers = [lock.clone(), lock.clone()];
        let readers = readers.map(|lock| tokio::spawn(async move { lock.read().await }));
        wait_for_nodes(&client, &line("/lock"), 5).await;
        assert_eq!(lock.participants().await.unwrap().len(), 5);
        second.release().await.unwrap();
        first.release().await.unwrap();
        let writer = patiently("the writer", writer).await.unwrap().unwrap();
        assert!(lock.try_write().await.unwrap().is_none());
        writer.release().await.unwrap();
        for reader in readers {
            patiently("a reader", reader).await.unwrap().unwrap().release().await.unwrap();
        }
        lock.try_write().await.unwrap().unwrap().release().await.unwrap();
    });
}

#[test]
fn a_semaphore_admits_so_many() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let semaphore = Semaphore::new(&client, "/semaphore", 2).unwrap().data("somebody");
        let first = semaphore.acquire().await.unwrap();
        let second = semaphore.try_acquire().await.unwrap().unwrap();
        assert!(semaphore.try_acquire().await.unwrap().is_none());
        let waiters = [semaphore.clone(), semaphore.clone()];
        let waiters = waiters.map(|one| tokio::spawn(async move { one.acquire().await }));
        let leases = line("/semaphore/leases");
        wait_for_nodes(&client, &leases, 3).await;
        assert_eq!(semaphore.holders().await.unwrap().len(), 2);
        first.release().await.unwrap();
        let mut tokens = vec![second.token()];
        let [one, other] = waiters;
        let (next, rest) = tokio::select! {
            next = one => (next, "other"),
            next = other => (next, "one"),
        };
        let next = next.unwrap().unwrap();
        tokens.push(next.token());
        assert!(tokens.is_sorted(), "{rest} still waits");
        second.release().await.unwrap();
        next.release().await.unwrap();
        assert!(Semaphore::new(&client, "/semaphore", 0).is_err());
    });
}

#[test]
fn several_locks_are_acquired_together_or_not_at_all() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let there = MultiLock::new(&client, ["/a", "/b", "/c"]).unwrap();
        let back = MultiLock::new(&client, ["/c", "/b", "/a"]).unwrap();
        let held = there.try_acquire().await.unwrap().unwrap();
        assert!(back.try_acquire().await.unwrap().is_none());
        assert_eq!(held.guards().len(), 3);
        let outcomes = held.multi().create("/done", b"").await.unwrap();
        assert_eq!(outcomes.len(), 4);
        held.release().await.unwrap();
        let working = [there.clone(), back].map(|lock| {
            tokio::spawn(async move {
                for _ in 0..20 {
                    lock.acquire().await.unwrap().release().await.unwrap();
                }
            })
        });
        for one in working {
            patiently("the locks", one).await.unwrap();
        }
        let held = there.acquire().await.unwrap();
        client.delete(held.guards()[1].path()).await.unwrap();
        assert_eq!(patiently("the loss", held.lost()).await, Loss::Deleted);
        assert!(held.multi().create("/late", b"").await.unwrap_err().is_no_node());
        assert!(held.release().await.unwrap_err().is_no_node());
        wait_for_nodes(&client, &["/a", "/b", "/c"].map(str::to_owned), 0).await;
        assert!(MultiLock::new(&client, ["/a", "/a"]).is_err());
        assert!(MultiLock::new(&client, []).is_err());
    });
}

#[test]
fn a_latch_leads_until_it_is_closed_or_its_node_is_gone() {
    with_each(&["maxSessionTimeout=60000"], async |mut server| {
        let connecting = builder(&server).session_timeout(Duration::from_secs(50));
        let client = connecting.connect().await.unwrap();
        let first = LeaderLatch::start(&client, "/leader", "first").unwrap();
        let leadership = patiently("the first", first.wait()).await.unwrap();
        assert!(first.is_leader());
        let second = LeaderLatch::start(&client, "/leader", "second").unwrap();
        wait_for_nodes(&client, &line("/leader"), 2).await;
        let participants = second.participants().await.unwrap();
        assert_eq!(participants[1].data, "second");
        assert_eq!(second.leader().await.unwrap().unwrap().data, "first");
        // A session that lives on keeps its leader.
        server.kill();
        server.restart();
        leadership.multi().create("/by-first", b"").await.unwrap();
        assert!(first.is_leader() && !second.is_leader());

        let mut changes = first.leadership();
        client.delete(leadership.path()).await.unwrap();
        let next = patiently("the second", second.wait()).await.unwrap();
        assert!(next.token() > leadership.token());
        patiently("the first to know", changes.wait_for(Option::is_none)).await.unwrap();
        assert!(leadership.multi().create("/late", b"").await.unwrap_err().is_no_node());
        second.close().await.unwrap();
        patiently("the first again", first.wait()).await.unwrap();
        drop(first);
        wait_for_nodes(&client, &line("/leader"), 0).await;
        let last = LeaderLatch::start(&client, "/leader", "last").unwrap();
        last.wait().await.unwrap();
        client.close().await.unwrap();
        patiently("the end", last.leadership().wait_for(Option::is_none)).await.unwrap();
    });
}

#[test]
fn an_election_gives_work_to_one_and_takes_it_back() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let election = LeaderElection::new(&client, "/election").unwrap().id("one");
        client.create("/terms", b"").await.unwrap();
        let mut running = Vec::new();
        for number in 0..5 {
            let election = election.clone();
            running.push(tokio::spawn(async move {
                let work = election.lead(async |leadership| {
                    leadership.multi().create(&format!("/terms/{number}"), b"").await.unwrap();
                    leadership.token()
                });
                work.await.unwrap()
            }));
        }
        let mut tokens = Vec::new();
        for one in running {
            match patiently("a term", one).await.unwrap() {
                Term::Finished(token) => tokens.push(token),
                Term::Lost(loss) => panic!("{loss:?}"),
            }
        }
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 5);
        let term = election.lead(async |leadership| {
            let leader = election.leader().await.unwrap().unwrap();
            assert_eq!((&*leader.path, &leader.data[..]), (leadership.path(), &b"one"[..]));
            client.delete(leadership.path()).await.unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(patiently("the loss", term).await.unwrap(), Term::Lost(Loss::Deleted));
        assert_eq!(election.participants().await.unwrap(), []);
    });
}
