//! A program without an asynchronous runtime: counts its runs, one at a time, and shows what changes.
//!
//! ```text
//! cargo run -p quorate-client --features blocking --example blocking -- localhost:2181
//! ```

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use quorate_client::{
    blocking::Client,
    cache::TreeCache,
    recipes::{lock::Mutex, shared::Counter},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hosts = std::env::args().nth(1).ok_or("usage: blocking HOSTS")?;
    let client = Client::connect(&hosts)?;
    let cache = client.wait(TreeCache::start(&client, "/example"))?;
    let changes = client.iter(cache.changes());

    let mutex = Mutex::new(&client, "/example/lock")?;
    let guard = client.wait(mutex.acquire().timeout(Duration::from_secs(10)))?;
    let counter = Counter::new(&client, "/example/runs")?;
    println!("run {}, with token {}", client.wait(counter.add(1))?.after, guard.token());
    client.wait(guard.release())?;

    for change in changes.take(3) {
        println!("{change:?}");
    }
    client.close()?;
    Ok(())
}
