//! Recipes in an ensemble whose leader is killed again and again.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod leaders;
mod locks;
mod queues;

use std::{sync::Arc, time::Duration};

use quorate_client::{
    Client, Error, MultiOutcome, Zxid, recipes::FencingToken, testing::TestEnsemble,
};
use tokio::{sync::watch, time::timeout};

const PATIENCE: Duration = Duration::from_mins(2);

/// How much was done so far.
type Progress = watch::Sender<u64>;

/// A client whose session outlives each outage.
async fn connect(hosts: &str) -> Client {
    let connecting = Client::builder(hosts).session_timeout(Duration::from_secs(30));
    connecting.connect().await.expect("the ensemble serves")
}

/// Kills the leader and brings it back, so many times, while `total` is being done.
async fn kill_leaders(ensemble: &mut TestEnsemble, progress: &Progress, total: u64, kills: u64) {
    let mut seen = progress.subscribe();
    for kill in 1..=kills {
        let enough = total * kill / (kills + 1);
        let came = timeout(PATIENCE, seen.wait_for(|done| *done >= enough)).await;
        drop(came.expect("the workers get on").unwrap());
        let leader = ensemble.wait_for_leader().await.unwrap();
        ensemble.kill(leader).unwrap();
        ensemble.restart(leader).await.unwrap();
    }
}

/// Waits for a worker to end.
async fn ended<T>(worker: tokio::task::JoinHandle<T>) -> T {
    timeout(PATIENCE, worker).await.expect("the workers end").unwrap()
}

/// Has workers increment `/number` while the leader is killed so many times, and checks what came of
/// it; the ensemble, and a client of it.
async fn increment_while_leaders_are_killed<W>(
    workers: u64,
    rounds: u64,
    kills: u64,
    work: impl Fn(u64, String, Arc<Progress>) -> W,
) -> (TestEnsemble, Client)
where
    W: Future<Output = Tally> + Send + 'static,
{
    let mut ensemble = TestEnsemble::start(3).await.unwrap();
    let client = Client::connect(&ensemble.hosts()).await.unwrap();
    client.create("/number", "0").await.unwrap();
    let progress = Arc::new(Progress::new(0));
    let start = |worker| tokio::spawn(work(worker, ensemble.hosts(), Arc::clone(&progress)));
    let all: Vec<_> = (0..workers).map(start).collect();
    kill_leaders(&mut ensemble, &progress, workers * rounds, kills).await;
    let mut tally = Tally::default();
    for worker in all {
        tally.add(ended(worker).await);
    }
    tally.check(&client).await;
    (ensemble, client)
}

fn number_in(data: &[u8]) -> usize {
    std::str::from_utf8(data).ok().and_then(|text| text.parse().ok()).expect("a number")
}

/// What became of increments of `/number`, which only a lock protects: a second holder would lose
/// one.
#[derive(Debug, Default)]
struct Tally {
    /// When each was done, and with which token.
    done: Vec<(Zxid, FencingToken)>,
    /// How many may have been done.
    unknown: usize,
    /// How many had lost the lock.
    refused: usize,
}

impl Tally {
    fn note(&mut self, increment: Result<Zxid, Error>, token: FencingToken) {
        match increment {
            Ok(zxid) => self.done.push((zxid, token)),
            Err(error) if error.surely_not_done() => self.refused += 1,
            Err(_) => self.unknown += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.unknown += other.unknown;
        self.refused += other.refused;
    }

    /// Checks that no two held the lock at a time.
    async fn check(mut self, client: &Client) {
        let number = number_in(&client.get("/number").linearizable().await.unwrap().data);
        let possible = self.done.len()..=self.done.len() + self.unknown;
        assert!(possible.contains(&number), "{number} of {possible:?}");
        assert_eq!(self.refused, 0, "no session has ended");
        self.done.sort_unstable();
        assert!(self.done.is_sorted_by_key(|(_, token)| *token), "{:?}", self.done);
    }
}

/// When an increment was done, from the outcomes of its transaction.
fn zxid_of(outcomes: &[MultiOutcome]) -> Zxid {
    match outcomes.last() {
        Some(MultiOutcome::Set(stat)) => stat.mzxid,
        other => panic!("{other:?}"),
    }
}
