use std::cmp::Reverse;

use clap::Args;
use serde::Serialize;

use crate::{
    failure::Outcome,
    output::{Row, escape},
    session::Context,
    walk::{self, Entry, Subtree, Want},
};

/// Shows how many nodes and bytes of data are in a node and each of its children.
#[derive(Debug, Args)]
pub(crate) struct Du {
    /// How many levels below the node are shown; all are counted.
    #[arg(short = 'd', long, default_value_t = 1)]
    depth: usize,
    /// The largest first, not by path.
    #[arg(short = 'S', long)]
    by_size: bool,
    #[arg(default_value = "/")]
    path: String,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Usage {
    path: String,
    nodes: u64,
    bytes: u64,
}

impl Row for Usage {
    const HEADER: &'static [&'static str] = &["BYTES", "NODES", "PATH"];

    fn cells(&self) -> Vec<String> {
        let Self { path, nodes, bytes } = self;
        vec![bytes.to_string(), nodes.to_string(), escape::name(path).into_owned()]
    }
}

impl Du {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let tree = walk::read(&client, &self.path, Want::default()).await?;
        let mut usages = Vec::new();
        self.add(&tree, tree.root(), &mut usages);
        if self.by_size {
            usages.sort_unstable_by_key(|usage| Reverse(usage.bytes));
        } else {
            usages.sort_unstable();
        }
        context.screen.rows(&usages)?;
        tree.check()
    }

    /// Adds up a node and all below, and keeps those that are shown.
    fn add(&self, tree: &Subtree, entry: &Entry, usages: &mut Vec<Usage>) -> (u64, u64) {
        let own = u64::try_from(entry.stat.data_length).unwrap_or(0);
        let (nodes, bytes) = tree.children(entry).fold((1, own), |(nodes, bytes), child| {
            let below = self.add(tree, child, usages);
            (nodes + below.0, bytes + below.1)
        });
        if entry.depth <= self.depth {
            usages.push(Usage { path: entry.path.clone(), nodes, bytes });
        }
        (nodes, bytes)
    }
}
