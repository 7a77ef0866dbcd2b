//! Workers that share a queue: each job is done at least once, also when a worker crashes on it.
//!
//! ```text
//! cargo run -p quorate-client --example work_queue -- localhost:2181 /jobs put "resize 17.png" "resize 18.png"
//! cargo run -p quorate-client --example work_queue -- localhost:2181 /jobs work
//! ```

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use quorate_client::{
    Client,
    recipes::queue::{LockingQueue, Taken},
};

/// Does a job; fails with one it cannot do now.
async fn work(job: &str) -> Result<(), &'static str> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    if job.is_empty() { Err("an empty job") } else { Ok(()) }
}

async fn handle(taken: Taken) -> Result<(), Box<dyn std::error::Error>> {
    let job = taken.element().item()?;
    let job = String::from_utf8_lossy(&job);
    // Whoever writes the result elsewhere hands on the token: larger for each who has the same job.
    println!("{job}: begun, with token {}", taken.token());
    let result = tokio::select! {
        result = work(&job) => result,
        // Somebody else may be at it by now.
        loss = taken.lost() => return Err(format!("the element may be another's: {loss:?}").into()),
    };
    match result {
        Ok(()) => taken.done().await?,
        Err(reason) => {
            println!("{job}: {reason}, later perhaps");
            taken.put_back_last().await?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: work_queue HOSTS PATH put JOB... | work_queue HOSTS PATH work";
    let (hosts, path) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let client = Client::connect(&hosts).await?;
    let queue = LockingQueue::kazoo(&client, &path)?;
    match arguments.next().as_deref() {
        Some("put") => {
            let jobs: Vec<_> = arguments.collect();
            let jobs: Vec<_> = jobs.iter().map(String::as_bytes).collect();
            queue.put_all(&jobs).await?;
        }
        Some("work") => loop {
            let taken = tokio::select! {
                taken = queue.take() => taken?,
                _ = tokio::signal::ctrl_c() => break,
            };
            if let Err(error) = handle(taken).await {
                println!("not done: {error}");
            }
        },
        _ => return Err(usage.into()),
    }
    // What it has not done is free for others at once.
    client.close().await?;
    Ok(())
}
