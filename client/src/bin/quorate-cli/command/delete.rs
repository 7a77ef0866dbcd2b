use clap::Args;

use crate::{
    failure::{Failure, Outcome},
    session::Context,
    walk::{self, Want},
};

/// How often what others create meanwhile is deleted too.
const ROUNDS: usize = 10;

/// Deletes a node that has no children.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Only if its data has this version.
    #[arg(short = 'v', default_value_t = -1, allow_negative_numbers = true)]
    version: i32,
    path: String,
    /// The old way to ask for a version.
    #[arg(hide = true, allow_negative_numbers = true, conflicts_with = "version")]
    old_version: Option<i32>,
}

impl Delete {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        if self.old_version.is_some() {
            crate::output::note(
                "'delete path [version]' has been deprecated. Please use 'delete [-v version] path' instead.",
            );
        }
        let client = context.client().await?;
        client.delete(&self.path).version(self.old_version.unwrap_or(self.version)).await?;
        Ok(())
    }
}

/// Deletes a node and all below.
///
/// In transactions of many nodes, the deepest first: others see parts of it gone.
#[derive(Debug, Args)]
pub(crate) struct DeleteAll {
    /// How many nodes a transaction deletes.
    #[arg(short = 'b', value_name = "BATCH", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    path: String,
}

impl DeleteAll {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        if self.path == "/" {
            return Err(Failure::usage("the root cannot be deleted"));
        }
        let client = context.client().await?;
        for round in 1.. {
            let tree = match walk::read(&client, &self.path, Want::default()).await {
                // In a later round others have deleted the rest.
                Err(failure) if round > 1 && failure.is_no_node() => return Ok(()),
                tree => tree?,
            };
            tree.check()?;
            let paths: Vec<&str> = tree.preorder().map(|entry| &*entry.path).collect();
            match delete(&client, &paths, self.batch as usize).await {
                Err(error) if round < ROUNDS && is_race(&error) => {}
                done => return Ok(done?),
            }
        }
        Ok(())
    }
}

async fn delete(
    client: &quorate_client::Client,
    paths: &[&str],
    batch: usize,
) -> Result<(), quorate_client::Error> {
    for paths in paths.rchunks(batch) {
        let multi = client.multi();
        let done = paths.iter().rev().fold(multi, |multi, path| multi.delete(path, -1)).await;
        if let Err(error) = done {
            return Err(with_path(client, paths, error).await);
        }
    }
    Ok(())
}

/// The refusal of a transaction as that of the node it is about.
async fn with_path(
    client: &quorate_client::Client,
    paths: &[&str],
    error: quorate_client::Error,
) -> quorate_client::Error {
    let &quorate_client::ErrorKind::MultiFailed { index, .. } = error.kind() else { return error };
    let Some(path) = paths.iter().rev().nth(index) else { return error };
    // Asked for alone, it is refused by its name. When it can be deleted now, the transaction's own
    // error tells that something has changed meanwhile.
    client.delete(path).await.err().unwrap_or(error)
}

/// Whether others created or deleted below meanwhile.
fn is_race(error: &quorate_client::Error) -> bool {
    error.is_no_node() || error.code() == Some(quorate_client::ErrorCode::NotEmpty)
}
