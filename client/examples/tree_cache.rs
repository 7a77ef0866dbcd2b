//! Keeps a copy of a subtree current and prints how it changes.
//!
//! `cargo run -p quorate-client --example tree_cache -- 127.0.0.1:2181 /path`

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::{env, error::Error};

use quorate_client::{
    Client,
    cache::{Change, TreeCache},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let servers = args.next().unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let path = args.next().unwrap_or_else(|| "/".to_owned());
    let client = Client::connect(&servers).await?;
    let cache = TreeCache::start(&client, &path).await?;
    println!("{} nodes as of {}", cache.snapshot().len(), cache.zxid());
    let mut changes = cache.changes();
    while let Some(change) = changes.next().await {
        match change {
            Change::Added { path, node } => println!("+ {path} ({} bytes)", node.data.len()),
            Change::Changed { path, new, .. } => {
                println!("~ {path} ({} bytes, version {})", new.data.len(), new.stat.version);
            }
            Change::Removed { path, .. } => println!("- {path}"),
        }
    }
    Ok(())
}
