//! Leaders: elections and latches that stand in one line.

use std::sync::Arc;

use quorate_client::{
    Client, Error, Zxid,
    recipes::leader::{LeaderElection, LeaderLatch, Leadership, Term},
};

use crate::{Progress, Tally, connect, increment_while_leaders_are_killed, number_in, zxid_of};

const WORKERS: u64 = 4;
const ROUNDS: u64 = 20;
const FOLDER: &str = "/leader";

async fn increment(client: &Client, leadership: &Leadership) -> Result<Zxid, Error> {
    let number = number_in(&client.get("/number").await?.data);
    let outcomes = leadership.multi().set("/number", (number + 1).to_string(), -1).await?;
    Ok(zxid_of(&outcomes))
}

/// Leads a number of terms.
async fn work(hosts: String, is_latch: bool, progress: Arc<Progress>) -> Tally {
    let client = connect(&hosts).await;
    let mut tally = Tally::default();
    for _ in 0..ROUNDS {
        let (written, token) = if is_latch {
            let latch = LeaderLatch::start(&client, FOLDER, "latch").unwrap();
            let leadership = latch.wait().await.expect("the client lives");
            let written = increment(&client, &leadership).await;
            latch.close().await.expect("no session ends");
            (written, leadership.token())
        } else {
            let election = LeaderElection::new(&client, FOLDER).unwrap().id("election");
            let term = election.lead(async |leadership| {
                (increment(&client, &leadership).await, leadership.token())
            });
            match term.await.expect("outages are shorter than the patience") {
                Term::Finished(done) => done,
                Term::Lost(loss) => panic!("no session ends: {loss:?}"),
            }
        };
        tally.note(written, token);
        progress.send_modify(|done| *done += 1);
    }
    client.close().await.expect("the ensemble serves");
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_at_a_time_while_servers_that_lead_are_killed() {
    let work = |worker, hosts, progress| work(hosts, worker % 2 == 0, progress);
    let (_ensemble, client) = increment_while_leaders_are_killed(WORKERS, ROUNDS, 2, work).await;
    let election = LeaderElection::new(&client, FOLDER).unwrap();
    assert_eq!(election.leader().await.unwrap(), None);
}
