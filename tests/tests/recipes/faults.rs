//! Recipes with a fault at each of their requests.
//!
//! Whatever happens, nothing is left in the tree that should not be there, nothing is lost or delivered twice beyond what
//! the recipe promises, and nobody else is held up.

use std::{cell::RefCell, time::Duration};

use quorate_client::{
    Client, Error,
    recipes::{
        barrier::{Barrier, DoubleBarrier},
        membership::{PersistentNode, SetPartitioner},
        queue::{LockingQueue, Queue, QueueFormat},
        shared::{Counter, SharedValue, TrySet},
    },
};

use crate::{
    children, eventually,
    fault::{Fault, at_each_request},
    with_each,
};

async fn nothing(_: &Client) {}

#[test]
fn a_counter_counts_each_change_at_most_once() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let counter = Counter::new(client, "/a/counter").unwrap();
            [counter.add(1).await, counter.add(1).await, counter.add(1).await]
        };
        let check = async |client: &Client,
                           fault: Fault,
                           results: Option<[Result<_, Error>; 3]>| {
            let number = Counter::new(client, "/a/counter").unwrap().get().await.unwrap();
            let Some(results) = results else {
                assert!((0..=3).contains(&number), "{fault}: {number}");
                return;
            };
            let done = i64::try_from(results.iter().flatten().count()).unwrap();
            let mut unknown = 0;
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                unknown += i64::from(!error.surely_not_done());
            }
            assert!((done..=done + unknown).contains(&number), "{fault}: {number} of {results:?}");
            assert!(unknown <= 1, "{fault}: {results:?}");
        };
        at_each_request(&server, nothing, act, check).await;
    });
}

#[test]
fn a_value_is_set_if_the_caller_is_told_so() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let value = SharedValue::start(client, "/value", b"old").await?;
            let old = value.read().await?;
            value.try_set(&old, b"new").await
        };
        let check = async |client: &Client, fault: Fault, result: Option<Result<TrySet, Error>>| {
            let found = match client.get("/value").linearizable().await {
                Ok(node) => node.data,
                Err(error) => panic!("{fault}: {error}"),
            };
            match result {
                Some(Ok(TrySet::Set(value))) => assert_eq!(found, value.data, "{fault}"),
                Some(Ok(TrySet::Changed(value))) => panic!("{fault}: nobody else sets: {value:?}"),
                Some(Err(error)) => assert!(!error.surely_not_done(), "{fault}: {error}"),
                None => {}
            }
        };
        let prepare = async |client: &Client| drop(client.create("/value", b"old").await.unwrap());
        at_each_request(&server, prepare, act, check).await;
    });
}

#[test]
fn a_barrier_is_lifted_for_those_who_wait() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let barrier = Barrier::new(client, "/barrier").unwrap();
            barrier.set().await.unwrap();
            assert!(barrier.remove().await.unwrap());
            barrier.wait().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            if result.is_some() {
                assert!(children(client, "/").await.is_empty(), "{fault}");
            }
            let barrier = Barrier::new(client, "/barrier").unwrap();
            barrier.remove().await.unwrap();
            barrier.wait().await.unwrap();
        };
        at_each_request(&server, nothing, act, check).await;
    });
}

#[test]
fn a_kept_node_goes_when_it_is_given_up() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let node = PersistentNode::builder(client, "/kept/node", "1").start().await.unwrap();
            node.set("2");
            let data = async || client.get("/kept/node").await.map(|node| node.data);
            eventually("the data", async || data().await.is_ok_and(|data| data == "2")).await;
            client.delete("/kept/node").repeatable().await.ok();
            eventually("the node again", async || data().await.is_ok()).await;
            node.close().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            if result.is_some() {
                assert!(children(client, "/kept").await.is_empty(), "{fault}");
            }
            eventually("the node to go", async || children(client, "/kept").await.is_empty()).await;
        };
        at_each_request(&server, nothing, act, check).await;
    });
}

#[test]
fn a_queue_delivers_at_most_once() {
    with_each(async |server| {
        let prepare = async |client: &Client| {
            let queue = Queue::new(client, "/queue", QueueFormat::Curator).unwrap();
            for item in [b"1", b"2", b"3"] {
                queue.put(item).await.unwrap();
            }
        };
        let delivered = RefCell::new(Vec::new());
        let act = async |client: &Client| {
            delivered.borrow_mut().clear();
            let queue = Queue::new(client, "/queue", QueueFormat::Curator).unwrap();
            let put = queue.put(b"4").await.map(drop);
            let mut results = vec![put];
            for _ in 0..3 {
                results.push(queue.take().await.map(|element| {
                    delivered.borrow_mut().push(element.item().unwrap());
                }));
            }
            results
        };
        let check = async |client: &Client,
                           fault: Fault,
                           results: Option<Vec<Result<(), Error>>>| {
            let queue = Queue::new(client, "/queue", QueueFormat::Curator).unwrap();
            let mut all = delivered.take();
            while let Some(element) = queue.try_take().await.unwrap() {
                all.push(element.item().unwrap());
            }
            assert!(all.is_sorted(), "{fault}: {all:?}");
            let count = |item: &str| all.iter().filter(|found| *found == item).count();
            assert!(["1", "2", "3", "4"].iter().all(|item| count(item) <= 1), "{fault}: {all:?}");
            let failed = |from: usize| results.iter().flatten().skip(from).any(Result::is_err);
            let missing = ["1", "2", "3"].iter().filter(|item| count(item) == 0).count();
            let may_miss = usize::from(results.is_none() || failed(1));
            assert!(missing <= may_miss, "{fault}: {all:?} {results:?}");
            if let Some(results) = &results {
                assert!(count("4") == 1 || results[0].is_err(), "{fault}: {all:?} {results:?}");
                for error in results.iter().filter_map(|result| result.as_ref().err()) {
                    assert!(!error.surely_not_done(), "{fault}: {error}");
                }
            }
            assert!(children(client, "/queue").await.is_empty(), "{fault}");
        };
        at_each_request(&server, prepare, act, check).await;
    });
}

#[test]
fn a_locking_queue_delivers_at_least_once() {
    with_each(async |server| {
        let prepare = async |client: &Client| {
            let queue = LockingQueue::kazoo(client, "/queue").unwrap();
            queue.put_all(&[b"1", b"2", b"3"]).await.unwrap();
        };
        let done = RefCell::new(Vec::new());
        let act = async |client: &Client| {
            done.borrow_mut().clear();
            let queue = LockingQueue::kazoo(client, "/queue").unwrap();
            let first = queue.take().await.unwrap();
            let second = queue.take().await.unwrap();
            let item = second.element().item().unwrap();
            second.done().await.unwrap();
            done.borrow_mut().push(item);
            first.put_back_last().await.unwrap();
            let third = queue.take().await.unwrap();
            third.give_back().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            let queue = LockingQueue::kazoo(client, "/queue").unwrap();
            let mut rest = Vec::new();
            while queue.count().await.unwrap() > 0 {
                let taken = queue.take().await.unwrap();
                rest.push(taken.element().item().unwrap());
                taken.done().await.unwrap();
            }
            let done = done.take();
            assert!(done.iter().all(|item| !rest.contains(item)), "{fault}: {done:?} {rest:?}");
            if result.is_some() {
                assert_eq!(
                    (done, rest),
                    (vec!["2".into()], vec!["3".into(), "1".into()]),
                    "{fault}"
                );
            } else {
                // What was done just before is the one that may be missing.
                let mut all = rest.clone();
                all.extend(done);
                all.sort_unstable();
                all.dedup();
                assert!(all == ["1", "2", "3"] || all == ["1", "3"], "{fault}: {all:?}");
                assert_eq!(rest.len(), rest.iter().collect::<std::collections::HashSet<_>>().len());
            }
            eventually("no lock", async || children(client, "/queue/taken").await.is_empty()).await;
        };
        at_each_request(&server, prepare, act, check).await;
    });
}

#[test]
fn a_double_barrier_lets_the_others_go_on() {
    with_each(async |server| {
        let mate = crate::connect(&server).await;
        let act = async |client: &Client| {
            let barrier = DoubleBarrier::new(client, "/barrier", 2).unwrap();
            let entered = barrier.enter().await.unwrap();
            entered.leave().await.unwrap();
        };
        // The other one enters and leaves by itself.
        let other = RefCell::new(None);
        let prepare = async |client: &Client| {
            let barrier = mate.chroot(client.chroot_path()).unwrap();
            let barrier = DoubleBarrier::new(&barrier, "/barrier", 2).unwrap();
            *other.borrow_mut() = Some(tokio::spawn(async move {
                let entered = barrier.enter().await.unwrap();
                entered.leave().await.unwrap();
            }));
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            let mut other = other.borrow_mut().take().expect("it was started");
            if result.is_some() {
                other.await.unwrap();
                assert!(children(client, "/barrier").await.is_empty(), "{fault}");
                return;
            }
            // The other one may be waiting for a mate, or have gone.
            eventually("one or none", async || {
                children(client, "/barrier").await.iter().filter(|name| *name != "ready").count()
                    <= 1
            })
            .await;
            let barrier = DoubleBarrier::new(client, "/barrier", 2).unwrap();
            let replacement = async { barrier.enter().await.unwrap().leave().await.unwrap() };
            let is_alone = tokio::select! {
                () = replacement => true,
                ended = &mut other => {
                    ended.unwrap();
                    false
                }
            };
            if is_alone {
                other.await.unwrap();
            }
            eventually("nobody", async || {
                children(client, "/barrier").await.iter().all(|name| name == "ready")
            })
            .await;
        };
        at_each_request(&server, prepare, act, check).await;
    });
}

#[test]
fn a_share_is_given_back() {
    with_each(async |server| {
        const ITEMS: [&str; 2] = ["a", "b"];
        const SETTLE: Duration = Duration::from_millis(5);
        let act = async |client: &Client| {
            let member = SetPartitioner::join(client, "/set", ITEMS, "one", SETTLE).await.unwrap();
            let share = member.acquire().await.unwrap();
            assert_eq!(share.items(), ITEMS);
            share.release().await.unwrap();
            member.leave().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            let contenders = async || {
                let mut all = children(client, "/set/party").await;
                for item in ITEMS {
                    all.extend(children(client, &format!("/set/locks/{item}")).await);
                }
                all
            };
            if result.is_some() {
                assert!(contenders().await.is_empty(), "{fault}");
            }
            eventually("nobody", async || contenders().await.is_empty()).await;
            let next = SetPartitioner::join(client, "/set", ITEMS, "two", SETTLE).await.unwrap();
            assert_eq!(next.acquire().await.unwrap().items(), ITEMS, "{fault}");
        };
        at_each_request(&server, nothing, act, check).await;
    });
}
