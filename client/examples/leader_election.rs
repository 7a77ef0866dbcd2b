//! Three candidates, each with a session of its own: the leader works and steps down, the next
//! takes over.
//!
//! `cargo run -p quorate-client --example leader_election -- 127.0.0.1:2181`

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::{env, time::Duration};

use quorate_client::{
    Client, Error,
    recipes::leader::{LeaderElection, LeaderLatch, Term},
};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let hosts = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let mut candidates = JoinSet::new();
    for name in ["red", "green", "blue"] {
        let hosts = hosts.clone();
        candidates.spawn(async move { one_term(name, &hosts).await });
    }
    while let Some(done) = candidates.join_next().await {
        done.expect("no candidate panics")?;
    }

    // A service that leads whenever it can, rather than for a piece of work.
    let client = Client::connect(&hosts).await?;
    let latch = LeaderLatch::start(&client, "/example/service", "host-1")?;
    let leadership = latch.wait().await?;
    println!("host-1 leads with token {}", leadership.token());
    latch.close().await?;
    client.close().await
}

/// Leads once. What it writes is fenced: it fails when somebody else leads by then.
async fn one_term(name: &'static str, hosts: &str) -> Result<(), Error> {
    let client = Client::connect(hosts).await?;
    let election = LeaderElection::new(&client, "/example/election")?.id(name);
    match client.create("/example/work", b"").with_parents().await {
        Err(error) if !error.is_node_exists() => return Err(error),
        _ => {}
    }
    let term = election.lead(async |leadership| {
        println!("{name} leads with token {}", leadership.token());
        tokio::time::sleep(Duration::from_millis(200)).await;
        leadership.multi().set("/example/work", name, -1).await
    });
    match term.await? {
        Term::Finished(written) => {
            written?;
            println!("{name} steps down");
        }
        Term::Lost(loss) => println!("{name} was deposed: {loss:?}"),
    }
    client.close().await
}
