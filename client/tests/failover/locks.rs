//! A mutex.

use std::sync::Arc;

use quorate_client::{
    Error, Zxid,
    recipes::lock::{Guard, Mutex},
};

use crate::{Progress, Tally, connect, increment_while_leaders_are_killed, number_in, zxid_of};

const WORKERS: u64 = 6;
const ROUNDS: u64 = 25;

async fn increment(guard: &Guard) -> Result<Zxid, Error> {
    let number = number_in(&guard.client().get("/number").await?.data);
    let outcomes = guard.multi().set("/number", (number + 1).to_string(), -1).await?;
    Ok(zxid_of(&outcomes))
}

async fn work(hosts: String, progress: Arc<Progress>) -> Tally {
    let client = connect(&hosts).await;
    let mutex = Mutex::new(&client, "/mutex").expect("it is a path");
    let mut tally = Tally::default();
    for _ in 0..ROUNDS {
        let guard = mutex.acquire().await.expect("outages are shorter than the patience");
        tally.note(increment(&guard).await, guard.token());
        guard.release().await.expect("no session ends");
        progress.send_modify(|done| *done += 1);
    }
    client.close().await.expect("the ensemble serves");
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_increment_is_lost_while_leaders_are_killed() {
    let work = |_, hosts, progress| work(hosts, progress);
    let (_ensemble, client) = increment_while_leaders_are_killed(WORKERS, ROUNDS, 3, work).await;
    assert_eq!(Mutex::new(&client, "/mutex").unwrap().participants().await.unwrap(), []);
}
