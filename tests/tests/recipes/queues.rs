//! Queues.

use std::collections::BTreeSet;

use quorate_client::recipes::queue::{LockingQueue, Queue, QueueFormat};

use crate::{children, connect, eventually, expire, with_each, within};

const FORMATS: [QueueFormat; 3] =
    [QueueFormat::Curator, QueueFormat::CuratorSimple, QueueFormat::Kazoo];

#[test]
fn elements_are_taken_in_order() {
    with_each(async |server| {
        let client = connect(&server).await;
        for (index, format) in FORMATS.into_iter().enumerate() {
            let queue = Queue::new(&client, &format!("/queues/{index}"), format).unwrap();
            assert_eq!(queue.try_take().await.unwrap(), None);
            for item in ["a", "b"] {
                queue.put(item.as_bytes()).await.unwrap();
            }
            queue.put_all(&[b"c", b"d"]).await.unwrap();
            assert_eq!(queue.count().await.unwrap(), 4);
            // What is no element does not disturb.
            client.create(&format!("/queues/{index}/other"), b"").await.unwrap();
            for item in ["a", "b", "c", "d"] {
                assert_eq!(queue.take().await.unwrap().item().unwrap(), item, "{format:?}");
            }
            assert_eq!(queue.try_take().await.unwrap(), None);
        }
        let queue = Queue::new(&client, "/together", QueueFormat::Curator).unwrap();
        queue.put_together(&[b"a", b"", b"c"]).await.unwrap();
        let element = queue.take().await.unwrap();
        assert_eq!(element.items().unwrap(), ["a", "", "c"]);
        assert!(element.item().is_err());
    });
}

#[test]
fn smaller_priorities_come_first() {
    with_each(async |server| {
        let client = connect(&server).await;
        for (path, format, priorities) in [
            ("/curator", QueueFormat::Curator, [5, -7, i32::MAX, 0]),
            ("/kazoo", QueueFormat::Kazoo, [100, 1, 999, 50]),
        ] {
            let queue = Queue::new(&client, path, format).unwrap();
            for priority in priorities {
                let item = priority.to_string();
                queue.put_with_priority(item.as_bytes(), priority).await.unwrap();
            }
            let mut sorted = priorities;
            sorted.sort_unstable();
            for priority in sorted {
                let element = queue.take().await.unwrap();
                assert_eq!(element.item().unwrap(), priority.to_string());
            }
        }
    });
}

#[test]
fn each_element_goes_to_one_of_many_who_wait() {
    with_each(async |server| {
        let producer = connect(&server).await;
        let takers = async |count: usize| {
            let mut takers = Vec::new();
            for _ in 0..4 {
                let client = connect(&server).await;
                takers.push(tokio::spawn(async move {
                    let queue = Queue::new(&client, "/q", QueueFormat::Kazoo).unwrap();
                    let mut taken = Vec::new();
                    for _ in 0..count {
                        taken.push(queue.take().await.unwrap().item().unwrap());
                    }
                    taken
                }));
            }
            takers
        };
        let takers = takers(10).await;
        let queue = Queue::new(&producer, "/q", QueueFormat::Kazoo).unwrap();
        for number in 0..40 {
            queue.put(number.to_string().as_bytes()).await.unwrap();
        }
        let mut all = BTreeSet::new();
        for taker in takers {
            for item in within("elements", taker).await.unwrap() {
                assert!(all.insert(item.clone()), "{item:?} came twice");
            }
        }
        assert_eq!(all.len(), 40);
    });
}

#[test]
fn a_locked_element_stays_until_it_is_done() {
    with_each(async |server| {
        let client = connect(&server).await;
        let other = connect(&server).await;
        for kazoo in [true, false] {
            let open = |client| {
                if kazoo {
                    LockingQueue::kazoo(client, "/locking")
                } else {
                    LockingQueue::curator(client, "/curator", "/curator-locks")
                }
                .unwrap()
            };
            let (mine, theirs) = (open(&client), open(&other));
            assert!(mine.try_take().await.unwrap().is_none());
            mine.put_all(&[b"a", b"b"]).await.unwrap();
            let a = mine.take().await.unwrap();
            let b = theirs.take().await.unwrap();
            assert_eq!(
                (a.element().item().unwrap(), b.element().item().unwrap()),
                ("a".into(), "b".into())
            );
            assert!(theirs.try_take().await.unwrap().is_none());
            assert_eq!(mine.count().await.unwrap(), 2);
            b.done().await.unwrap();

            // Given back it comes again, to whoever waits.
            let token = a.token();
            let (again, given) = tokio::join!(within("the element", theirs.take()), a.give_back());
            given.unwrap();
            let again = again.unwrap();
            assert_eq!(again.element().item().unwrap(), "a");
            assert!(again.token() > token);
            theirs.put(b"c").await.unwrap();
            again.put_back_last().await.unwrap();
            let c = theirs.take().await.unwrap();
            assert_eq!(c.element().item().unwrap(), "c");
            c.give_back().await.unwrap();
            let mut rest = Vec::new();
            while mine.count().await.unwrap() > 0 {
                let taken = within("the rest", mine.take()).await.unwrap();
                rest.push(taken.element().item().unwrap());
                taken.done().await.unwrap();
            }
            assert_eq!(rest, ["c", "a"]);
        }
        for locks in ["/locking/taken", "/curator-locks"] {
            eventually("no lock", async || children(&other, locks).await.is_empty()).await;
        }

        // With the session the element goes to another.
        let (mine, theirs) = (
            LockingQueue::kazoo(&client, "/locking").unwrap(),
            LockingQueue::kazoo(&other, "/locking").unwrap(),
        );
        mine.put(b"x").await.unwrap();
        let lost = mine.take().await.unwrap();
        expire(&server, &client).await;
        within("the loss", lost.lost()).await;
        let taken = within("the element", theirs.take()).await.unwrap();
        assert!(taken.token() > lost.token());
        let late = lost.done().await.unwrap_err();
        assert!(late.is_session_lost() && late.surely_not_done());
        taken.done().await.unwrap();
        assert_eq!(theirs.count().await.unwrap(), 0);
    });
}
