use std::time::Duration;

use clap::Args;
use quorate_client::{Client, WatchItem};
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome},
    output::{DataView, Format, Screen, escape},
    session::Context,
    watches::event_name,
};

/// Shows what happens to a node, its children or all below: a line for each event, until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// All nodes below as well.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Also when a child is created or deleted.
    #[arg(short = 'c', long, conflicts_with = "recursive")]
    children: bool,
    /// Show the data after each event, as it is by then.
    #[arg(long)]
    data: bool,
    /// End after so many events.
    #[arg(short = 'n', long)]
    count: Option<u64>,
    /// End after so long (`10s`), with exit code 1 unless --count events came.
    #[arg(long = "for", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    path: String,
}

#[derive(Serialize)]
struct Document<'a> {
    time: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    zxid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    data: Option<DataView>,
}

impl Watch {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let screen = context.screen.clone();
        let shown = self.show(&client, &screen);
        match self.duration {
            None => shown.await,
            Some(duration) => match tokio::time::timeout(duration, shown).await {
                Ok(done) => done,
                Err(_) if self.count.is_none() => Ok(()),
                Err(_) => Err(Failure::No(None)),
            },
        }
    }

    async fn show(&self, client: &Client, screen: &Screen) -> Outcome {
        let watch = client.watch(&self.path);
        let watch = match (self.recursive, self.children) {
            (true, _) => watch.recursive(),
            (_, true) => watch.children(),
            _ => watch,
        };
        let mut events = watch.await?;
        if screen.format() == Format::Table {
            // Who starts something when the watch is set waits for this line.
            crate::output::note(&format!("Watching {}", escape::name(&self.path)));
        }
        let mut left = self.count;
        while left != Some(0) {
            let Some(item) = events.next().await else {
                return Err(quorate_client::Error::from(quorate_client::ErrorKind::Closed).into());
            };
            self.show_item(&item, client, screen).await?;
            if let (WatchItem::Event(_), Some(left)) = (&item, &mut left) {
                *left -= 1;
            }
        }
        Ok(())
    }

    async fn show_item(&self, item: &WatchItem, client: &Client, screen: &Screen) -> Outcome {
        let time = crate::clock::now().to_string();
        let document = match item {
            WatchItem::Event(event) => Document {
                time,
                event: event_name(event.kind),
                path: Some(&event.path),
                zxid: event.zxid.map(|zxid| zxid.to_string()),
                data: if self.data { data(client, &event.path).await? } else { None },
            },
            WatchItem::Resync { from, .. } => Document {
                time,
                event: "Resync",
                path: None,
                zxid: Some(from.to_string()),
                data: None,
            },
        };
        screen.item(&document, &line(&document))?;
        Ok(())
    }
}

/// The data as it is now; none when the node is not there.
async fn data(client: &Client, path: &str) -> Outcome<Option<DataView>> {
    match client.get(path).await {
        Ok(node) => Ok(Some(DataView::from(&node))),
        Err(error) if error.is_no_node() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn line(document: &Document<'_>) -> String {
    let zxid = document.zxid.as_deref().unwrap_or("-");
    let mut line = format!("{} {zxid} {}", document.time, document.event);
    match document.path {
        Some(path) => {
            line.push(' ');
            line.push_str(&escape::name(path));
        }
        None => line.push_str(" events after this zxid may be missing, read the nodes again"),
    }
    if let Some(Ok(Some(bytes))) = document.data.as_ref().map(DataView::bytes) {
        line.push_str(": ");
        line.push_str(&escape::line(&bytes, 200));
    }
    line
}
