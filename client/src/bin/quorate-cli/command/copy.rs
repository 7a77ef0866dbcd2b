use clap::Args;

use super::{
    Place, joined,
    plant::{self, Manner, Seed},
};
use crate::{
    failure::{Failure, Outcome},
    output::note,
    session::Context,
    walk::{self, Want},
};

/// Copies a node, and with -r all below, here or to another ensemble.
///
/// Ephemeral nodes are left out: they belong to their sessions. A place is a path, or
/// `zk://host:port,host:port/path` in another ensemble.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// All nodes below as well.
    #[arg(short = 'r', long)]
    recursive: bool,
    #[command(flatten)]
    manner: Manner,
    from: Place,
    to: Place,
}

impl Cp {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        self.refuse_own_inside()?;
        let source = self.from.client(context).await?;
        let seeds = self.seeds(&source).await;
        self.from.done(source).await;
        let seeds = seeds?;
        plant::not_empty(&seeds)?;
        let mut tally = None;
        if !self.manner.dry_run {
            let target = self.to.client(context).await?;
            let planted = plant::plant(&target, &seeds, self.manner).await;
            self.to.done(target).await;
            tally = Some(planted?);
        }
        plant::report(&seeds, tally, &context.screen)
    }

    /// A copy inside of what is copied would be part of it.
    fn refuse_own_inside(&self) -> Outcome {
        let (from, to) = (&self.from, &self.to);
        let below = to.path.strip_prefix(&*from.path);
        let inside =
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || from.path == "/");
        if from.servers == to.servers && inside {
            return Err(Failure::usage("a node cannot be copied onto itself or below itself"));
        }
        Ok(())
    }

    async fn seeds(&self, client: &quorate_client::Client) -> Outcome<Vec<Seed>> {
        let depth = (!self.recursive).then_some(0);
        let want = Want { data: true, acl: self.manner.with_acl(), depth };
        let tree = walk::read(client, &self.from.path, want).await?;
        tree.check()?;
        let mut left_out = 0_u64;
        let mut seeds = Vec::new();
        for entry in tree.preorder() {
            if super::tree::is_ephemeral(entry) {
                left_out += 1;
            } else if !is_of_the_system(&entry.path) {
                seeds.push(Seed {
                    path: joined(&self.to.path, entry.below(&self.from.path)),
                    data: entry.data.as_ref().map(|data| data.to_vec()),
                    acl: entry.acl.clone(),
                });
            }
        }
        if left_out > 0 {
            note(&format!("{left_out} ephemeral nodes are left out."));
        }
        Ok(seeds)
    }
}

/// Whether a node is the ensemble's own: its quotas and configuration.
pub(super) fn is_of_the_system(path: &str) -> bool {
    path.strip_prefix("/zookeeper").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
