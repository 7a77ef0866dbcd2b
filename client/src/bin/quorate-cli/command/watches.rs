use clap::{Args, ValueEnum};
use quorate_client::WatcherType;

use super::note_lone_watch;
use crate::{
    failure::{Failure, Outcome},
    session::Context,
};

/// Watches a node for good, and shows its events in the shell.
#[derive(Debug, Args)]
pub(crate) struct AddWatch {
    #[arg(short = 'm', value_enum, ignore_case = true, default_value = "PERSISTENT_RECURSIVE")]
    mode: Mode,
    path: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// The node and its list of children.
    #[value(name = "PERSISTENT")]
    Persistent,
    /// The node and all below.
    #[value(name = "PERSISTENT_RECURSIVE")]
    Recursive,
}

/// Ends watches of the shell at a path: all, or those of a kind.
#[derive(Debug, Args)]
pub(crate) struct RemoveWatches {
    path: String,
    /// Those on the list of children.
    #[arg(short = 'c', group = "kind")]
    children: bool,
    /// Those on the node.
    #[arg(short = 'd', group = "kind")]
    data: bool,
    /// Those for good on the node.
    #[arg(short = 'p', group = "kind")]
    persistent: bool,
    /// Those for good on all below.
    #[arg(short = 'r', group = "kind")]
    recursive: bool,
    /// All of them.
    #[arg(short = 'a', group = "kind")]
    any: bool,
    /// Also without a connection. They end here in any case, and at the server when there is one.
    #[arg(short = 'l')]
    local: bool,
}

impl AddWatch {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let watch = client.watch(&self.path);
        let (kind, watch) = match self.mode {
            Mode::Persistent => (WatcherType::Persistent, watch.children()),
            Mode::Recursive => (WatcherType::PersistentRecursive, watch.recursive()),
        };
        let stream = watch.await?;
        match &mut context.watches {
            Some(watches) => watches.add_stream(&self.path, kind, stream),
            None => note_lone_watch(),
        }
        Ok(())
    }
}

impl RemoveWatches {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        if let Some(watches) = &mut context.watches
            && watches.remove(&self.path, self.kind()).await
        {
            return Ok(());
        }
        let path = crate::output::escape::name(&self.path).into_owned();
        Err(Failure::no(format!("No watch of that kind is set: {path}")))
    }

    fn kind(&self) -> WatcherType {
        let Self { children, data, persistent, recursive, .. } = self;
        match (children, data, persistent, recursive) {
            (true, ..) => WatcherType::Children,
            (_, true, ..) => WatcherType::Data,
            (_, _, true, _) => WatcherType::Persistent,
            (.., true) => WatcherType::PersistentRecursive,
            _ => WatcherType::Any,
        }
    }
}
