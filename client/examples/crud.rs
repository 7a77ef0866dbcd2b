//! Connects, writes and reads some nodes, and closes.
//!
//! `cargo run -p quorate-client --example crud -- 127.0.0.1:2181`

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::{env, error::Error};

use quorate_client::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let servers = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let client = Client::connect(&servers).await?;
    println!("session {} of {:?}", client.session_id(), client.session_timeout());

    client.delete_recursive("/example").await?;
    client.create("/example/config", "v1").with_parents().await?;
    let node = client.get("/example/config").linearizable().await?;
    println!("read {:?}, version {}", node.data, node.stat.version);

    // Only if nobody else wrote meanwhile.
    match client.set("/example/config", "v2").version(node.stat.version).await {
        Ok(stat) => println!("written in {}", stat.mzxid),
        Err(error) if error.is_bad_version() => println!("somebody else was faster"),
        Err(error) => return Err(error.into()),
    }

    // Many at once: all are sent before the first is awaited.
    let sent: Vec<_> = (0..1000)
        .map(|_| client.create("/example/item-", "").ephemeral().sequential().send())
        .collect();
    for answer in sent {
        answer.await?;
    }
    println!("{} children", client.children("/example").await?.names.len());

    // All or none.
    let outcomes =
        client.multi().check("/example/config", 1).create("/example/checked", "").await?;
    println!("{outcomes:?}");

    client.delete_recursive("/example").await?;
    client.close().await?;
    Ok(())
}
