use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{
    export::{archive, json},
    joined,
    plant::{self, Manner, Seed},
    read_file,
};
use crate::{failure::Outcome, session::Context};

/// Writes the nodes of an export below a node. Missing nodes above are created.
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    manner: Manner,
    /// The file, JSON or tar; `-` is standard input.
    file: PathBuf,
    /// Where the node that was exported is to be.
    path: String,
}

impl Import {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let bytes = read_file(&self.file)?;
        let is_json = bytes.trim_ascii_start().first() == Some(&b'{');
        let nodes = if is_json { json::read(&bytes) } else { archive::read(&bytes) };
        let nodes = nodes.with_context(|| format!("read {}", self.file.display()))?;
        let seeds: Vec<Seed> = nodes
            .into_iter()
            .map(|node| Seed {
                path: joined(&self.path, &node.below),
                data: node.data,
                acl: node.acl,
            })
            .collect();
        plant::not_empty(&seeds)?;
        let tally = if self.manner.dry_run {
            None
        } else {
            let client = context.client().await?;
            Some(plant::plant(&client, &seeds, self.manner).await?)
        };
        plant::report(&seeds, tally, &context.screen)
    }
}
