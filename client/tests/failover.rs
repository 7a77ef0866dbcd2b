//! Locks in an ensemble whose leader is killed again and again.

use std::{sync::Arc, time::Duration};

use quorate_client::{
    Client, Error, MultiOutcome, Zxid,
    recipes::lock::{Guard, Mutex},
    testing::TestEnsemble,
};
use tokio::{sync::watch, time::timeout};

const WORKERS: u64 = 6;
const ROUNDS: u64 = 25;
const KILLS: u64 = 3;
const PATIENCE: Duration = Duration::from_mins(2);

/// What became of the increments.
#[derive(Debug, Default)]
struct Tally {
    /// When each was done, and with which token.
    done: Vec<(Zxid, i64)>,
    /// How many may have been done.
    unknown: usize,
    /// How many had lost the lock.
    refused: usize,
}

fn number_in(data: &[u8]) -> usize {
    std::str::from_utf8(data).ok().and_then(|text| text.parse().ok()).expect("a number")
}

/// Increments a number that only the lock protects: a second holder would lose an increment.
async fn increment(guard: &Guard) -> Result<Zxid, Error> {
    let number = number_in(&guard.client().get("/number").await?.data);
    let mut outcomes = guard.multi().set("/number", (number + 1).to_string(), -1).await?;
    match outcomes.pop() {
        Some(MultiOutcome::Set(stat)) => Ok(stat.mzxid),
        other => panic!("{other:?}"),
    }
}

async fn work(hosts: String, progress: Arc<watch::Sender<u64>>) -> Tally {
    let connecting = Client::builder(&hosts).session_timeout(Duration::from_secs(30));
    let client = connecting.connect().await.expect("the ensemble serves");
    let mutex = Mutex::new(&client, "/mutex").expect("it is a path");
    let mut tally = Tally::default();
    for _ in 0..ROUNDS {
        let guard = mutex.acquire().await.expect("outages are shorter than the patience");
        match increment(&guard).await {
            Ok(zxid) => tally.done.push((zxid, guard.token().get())),
            Err(error) if error.surely_not_done() => tally.refused += 1,
            Err(_) => tally.unknown += 1,
        }
        guard.release().await.expect("no session ends");
        progress.send_modify(|done| *done += 1);
    }
    client.close().await.expect("the ensemble serves");
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_increment_is_lost_while_leaders_are_killed() {
    let mut ensemble = TestEnsemble::start(3).await.unwrap();
    let client = Client::connect(&ensemble.hosts()).await.unwrap();
    client.create("/number", "0").await.unwrap();
    let progress = Arc::new(watch::Sender::new(0));
    let workers: Vec<_> =
        (0..WORKERS).map(|_| tokio::spawn(work(ensemble.hosts(), Arc::clone(&progress)))).collect();
    for kill in 1..=KILLS {
        let mut seen = progress.subscribe();
        let enough = WORKERS * ROUNDS * kill / (KILLS + 1);
        let came = timeout(PATIENCE, seen.wait_for(|done| *done >= enough)).await;
        drop(came.expect("the workers get on").unwrap());
        let leader = ensemble.wait_for_leader().await.unwrap();
        ensemble.kill(leader).unwrap();
        ensemble.restart(leader).await.unwrap();
    }
    let mut all = Tally::default();
    for worker in workers {
        let tally = timeout(PATIENCE, worker).await.expect("the workers end").unwrap();
        all.done.extend(tally.done);
        all.unknown += tally.unknown;
        all.refused += tally.refused;
    }
    let number = number_in(&client.get("/number").linearizable().await.unwrap().data);
    let possible = all.done.len()..=all.done.len() + all.unknown;
    assert!(possible.contains(&number), "{number} of {possible:?}");
    assert_eq!(all.refused, 0, "no session has ended");
    all.done.sort();
    assert!(all.done.is_sorted_by_key(|(_, token)| *token), "{:?}", all.done);
    assert_eq!(Mutex::new(&client, "/mutex").unwrap().participants().await.unwrap(), []);
}
