//! A program whose configuration is one node: it goes by every new version at once, and changes a
//! setting without undoing what others change at the same time.
//!
//! ```text
//! cargo run -p quorate-client --example config_reload -- localhost:2181 /config/mail
//! cargo run -p quorate-client --example config_reload -- localhost:2181 /config/mail workers=8
//! ```

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_client::{Client, recipes::shared::SharedValue};

const DEFAULTS: &[u8] = b"workers=4\nverbose=no\n";

/// The settings in a node's data: lines `name=value`.
fn parsed(data: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(data);
    let settings = text.lines().filter_map(|line| line.split_once('='));
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn written(settings: &BTreeMap<String, String>) -> Bytes {
    let lines = settings.iter().map(|(name, value)| format!("{name}={value}\n"));
    lines.collect::<String>().into()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: config_reload HOSTS PATH [NAME=VALUE]";
    let (hosts, path) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let client = Client::connect(&hosts).await?;
    let config = SharedValue::start(&client, &path, DEFAULTS).await?;

    if let Some(change) = arguments.next() {
        let (name, value) = change.split_once('=').ok_or(usage)?;
        let changed = config
            .update(|current| {
                let mut settings = parsed(&current.data);
                settings.insert(name.to_owned(), value.to_owned());
                written(&settings)
            })
            .await?;
        println!("version {} is set", changed.version);
        client.close().await?;
        return Ok(());
    }

    let mut values = config.values();
    loop {
        let value = values.next_value().await?;
        println!("version {}: {:?}", value.version, parsed(&value.data));
    }
}
