//! Shows what happens to a node and everything below it, and to the connection.
//!
//! `cargo run -p quorate-client --example watch -- 127.0.0.1:2181 /path`

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::{env, error::Error};

use quorate_client::{Client, WatchItem};
use tokio_stream::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let servers = args.next().unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let path = args.next().unwrap_or_else(|| "/".to_owned());
    let client = Client::connect(&servers).await?;
    let mut states = client.states();
    let mut events = client.watch(&path).recursive().await?;
    loop {
        tokio::select! {
            Some(state) = states.next() => println!("connection: {state:?}"),
            item = events.next() => match item {
                Some(WatchItem::Event(event)) => println!("{:?} {}", event.kind, event.path),
                Some(WatchItem::Resync { from, to }) => {
                    println!("events after {from} may be missing, up to {to:?}: read again");
                }
                None => return Ok(()),
            },
        }
    }
}
