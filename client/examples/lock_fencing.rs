//! A lock that cannot do harm when its holder is paused: writes outside carry a fencing token,
//! writes inside check the lock.
//!
//! `cargo run -p quorate-client --example lock_fencing -- 127.0.0.1:2181`

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::{collections::BTreeMap, env, error::Error, time::Duration};

use quorate_client::{
    Client,
    recipes::{FencingToken, lock::Mutex},
};

/// A store outside, which was taught to compare tokens.
#[derive(Default)]
struct Store {
    rows: BTreeMap<String, String>,
    newest: Option<FencingToken>,
}

impl Store {
    fn write(&mut self, token: FencingToken, key: &str, value: &str) -> Result<(), String> {
        if let Some(newest) = self.newest.filter(|newest| *newest > token) {
            return Err(format!("token {token} is older than {newest}"));
        }
        self.newest = Some(token);
        self.rows.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hosts = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let client = Client::connect(&hosts).await?;
    let mut store = Store::default();
    let mutex = Mutex::new(&client, "/example/lock")?.data("example");

    let slow = mutex.acquire().timeout(Duration::from_secs(10)).await?;
    println!("the slow one holds the lock with token {}", slow.token());
    store.write(slow.token(), "state", "begun by the slow one")?;

    // While it sleeps, an operator takes it for dead. A session that expires does the same.
    client.delete(slow.path()).await?;
    println!("the slow one has lost the lock: {:?}", slow.lost().await);

    let quick = mutex.acquire().await?;
    println!("the quick one holds the lock with token {}", quick.token());
    store.write(quick.token(), "state", "done by the quick one")?;

    // The slow one wakes up and does not look.
    let refused = store.write(slow.token(), "state", "done by the slow one");
    println!("the store says to the slow one: {refused:?}");
    let refused = slow.multi().create("/example/done-by-slow", b"").await;
    println!("the servers say to the slow one: {}", refused.expect_err("the lock is lost"));

    // What is done only if the lock is held, in one transaction with that.
    quick.multi().create("/example/done", b"").delete("/example/done", -1).await?;
    quick.release().await?;
    println!("the store has {:?}", store.rows);
    client.close().await?;
    Ok(())
}
