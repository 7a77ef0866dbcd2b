//! Queues: at most once, and at least once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use quorate_client::{
    Client,
    recipes::queue::{LockingQueue, Queue, QueueFormat},
    testing::TestEnsemble,
};

use tokio::time::timeout;

use crate::{PATIENCE, Progress, connect, ended, kill_leaders};

const PRODUCERS: u64 = 2;
const CONSUMERS: usize = 3;
/// How many items each producer puts.
const ITEMS: u64 = 60;
const TOTAL: u64 = PRODUCERS * ITEMS;

/// The item that ends a consumer.
const STOP: &str = "stop";

/// What became of puts or takes.
#[derive(Debug, Default)]
struct Outcomes {
    /// How often each item was surely put, or taken and done.
    done: BTreeMap<String, usize>,
    /// Items that may have been put.
    maybe: BTreeSet<String>,
    /// How many takes may have removed an element and answered none.
    unknown: usize,
}

impl Outcomes {
    fn add(&mut self, other: Self) {
        for (item, times) in other.done {
            *self.done.entry(item).or_default() += times;
        }
        self.maybe.extend(other.maybe);
        self.unknown += other.unknown;
    }
}

async fn produce(hosts: String, producer: u64, locking: bool) -> Outcomes {
    let client = connect(&hosts).await;
    let plain = Queue::new(&client, "/queue", QueueFormat::Curator).unwrap();
    let jobs = LockingQueue::kazoo(&client, "/jobs").unwrap();
    let mut outcomes = Outcomes::default();
    for number in 0..ITEMS {
        let item = format!("{producer}-{number}");
        let put = if locking {
            jobs.put(item.as_bytes()).await
        } else {
            plain.put(item.as_bytes()).await
        };
        match put {
            Ok(_) => drop(outcomes.done.insert(item, 1)),
            Err(error) => {
                assert!(!error.surely_not_done(), "outages are shorter than the patience: {error}");
                outcomes.maybe.insert(item);
            }
        }
    }
    client.close().await.expect("the ensemble serves");
    outcomes
}

/// Takes one element; what it was.
async fn take(plain: &Queue, jobs: &LockingQueue, locking: bool) -> Result<String, bool> {
    let text = |item: bytes::Bytes| String::from_utf8(item.to_vec()).expect("it was put as text");
    if !locking {
        let element = plain.take().await.map_err(|error| error.surely_not_done())?;
        return Ok(text(element.item().unwrap()));
    }
    // One that could not be taken comes again.
    let taken = jobs.take().await.map_err(|_| true)?;
    let item = text(taken.element().item().unwrap());
    taken.done().await.expect("no session ends, so it is known to be done");
    Ok(item)
}

async fn consume(hosts: String, locking: bool, progress: Arc<Progress>) -> Outcomes {
    let client = connect(&hosts).await;
    let plain = Queue::new(&client, "/queue", QueueFormat::Curator).unwrap();
    let jobs = LockingQueue::kazoo(&client, "/jobs").unwrap();
    let mut outcomes = Outcomes::default();
    loop {
        match take(&plain, &jobs, locking).await {
            Ok(item) if item == STOP => break,
            Ok(item) => *outcomes.done.entry(item).or_default() += 1,
            Err(surely_not_taken) => outcomes.unknown += usize::from(!surely_not_taken),
        }
        progress.send_modify(|done| *done += 1);
    }
    client.close().await.expect("the ensemble serves");
    outcomes
}

/// Puts and takes while leaders are killed: what was put, and what was taken.
async fn play(locking: bool) -> (Outcomes, Outcomes) {
    let mut ensemble = TestEnsemble::start(3).await.unwrap();
    let client = Client::connect(&ensemble.hosts()).await.unwrap();
    let progress = Arc::new(Progress::new(0));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| tokio::spawn(produce(ensemble.hosts(), producer, locking)))
        .collect();
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| tokio::spawn(consume(ensemble.hosts(), locking, Arc::clone(&progress))))
        .collect();
    kill_leaders(&mut ensemble, &progress, TOTAL, 2).await;
    let (mut put, mut taken) = (Outcomes::default(), Outcomes::default());
    for producer in producers {
        put.add(ended(producer).await);
    }
    let mut moves = progress.subscribe();
    let plain = Queue::new(&client, "/queue", QueueFormat::Curator).unwrap();
    let jobs = LockingQueue::kazoo(&client, "/jobs").unwrap();
    let left = async || {
        client.sync("/").await.unwrap();
        if locking { jobs.count().await.unwrap() } else { plain.count().await.unwrap() }
    };
    // Whoever removes an element moves on behind it.
    while left().await > 0 {
        timeout(PATIENCE, moves.changed()).await.expect("the consumers get on").unwrap();
    }
    let stops = [STOP.as_bytes(); CONSUMERS];
    let told = if locking { jobs.put_all(&stops).await } else { plain.put_all(&stops).await };
    told.unwrap();
    for consumer in consumers {
        taken.add(ended(consumer).await);
    }
    (put, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elements_are_taken_at_most_once_while_leaders_are_killed() {
    let (put, taken) = play(false).await;
    assert!(taken.done.values().all(|times| *times == 1), "{taken:?}");
    let known = |item: &String| put.done.contains_key(item) || put.maybe.contains(item);
    assert!(taken.done.keys().all(known), "{put:?} {taken:?}");
    let lost = put.done.keys().filter(|item| !taken.done.contains_key(*item)).count();
    assert!(lost <= taken.unknown, "{put:?} {taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elements_are_done_once_while_leaders_are_killed() {
    let (put, taken) = play(true).await;
    assert!(taken.done.values().all(|times| *times == 1), "{taken:?}");
    let known = |item: &String| put.done.contains_key(item) || put.maybe.contains(item);
    assert!(taken.done.keys().all(known), "{put:?} {taken:?}");
    let lost: Vec<_> = put.done.keys().filter(|item| !taken.done.contains_key(*item)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
