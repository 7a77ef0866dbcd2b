use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use quorate_client::{Node, WatcherType};
use serde::Serialize;

use super::note_old_watch;
use crate::{
    failure::Outcome,
    output::{DataView, Screen, StatView, escape, hexdump},
    session::Context,
};

/// Shows a node's data.
///
/// On a terminal control characters are shown, not obeyed. Elsewhere the data is written as it is,
/// with a line feed behind it.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Show the Stat too.
    #[arg(short = 's')]
    stat: bool,
    /// Watch the node (in the shell).
    #[arg(short = 'w')]
    watch: bool,
    /// Show the data in base64.
    #[arg(short = 'b', conflicts_with_all = ["hexdump", "raw"])]
    base64: bool,
    /// Show the data as a hex dump.
    #[arg(short = 'x', conflicts_with = "raw")]
    hexdump: bool,
    /// Write the bytes and nothing else, not even a line feed.
    #[arg(long, conflicts_with = "stat")]
    raw: bool,
    path: String,
    /// Any word: the old way to ask for a watch.
    #[arg(hide = true)]
    old_watch: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a str,
    #[serde(flatten)]
    data: DataView,
    stat: StatView,
}

impl Get {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        note_old_watch("get", self.old_watch.is_some());
        let client = context.client().await?;
        let node = if self.watch || self.old_watch.is_some() {
            let (node, watch) = client.get(&self.path).watch().await?;
            context.show_event(&self.path, WatcherType::Data, watch);
            node
        } else {
            client.get(&self.path).await?
        };
        Ok(self.show(&node, &context.screen)?)
    }

    fn show(&self, node: &Node, screen: &Screen) -> std::io::Result<()> {
        if self.raw {
            return screen.bytes(&node.data);
        }
        let document =
            Document { path: &self.path, data: DataView::from(node), stat: node.stat.into() };
        screen.answer(&document, |screen| {
            // `Compat:` zkCli shows null so in all forms.
            let data: &[u8] = if node.is_null { b"null" } else { &node.data };
            if self.hexdump {
                screen.line(&hexdump(data))?;
            } else if self.base64 {
                screen.line(&STANDARD.encode(data))?;
            } else if screen.is_terminal() {
                screen.line(&escape::data(data))?;
            } else {
                screen.bytes(data)?;
                screen.line("")?;
            }
            if self.stat { screen.stat(&node.stat) } else { Ok(()) }
        })
    }
}
