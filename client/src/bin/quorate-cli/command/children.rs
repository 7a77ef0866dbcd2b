use clap::Args;
use quorate_client::WatcherType;
use serde::Serialize;

use super::{note_lone_watch, note_old_watch};
use crate::{
    failure::Outcome,
    output::{Screen, StatView, escape},
    session::Context,
    walk::{self, Entry, Subtree, Want},
};

/// Lists a node's children.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Show the node's Stat too.
    #[arg(short = 's')]
    stat: bool,
    /// Watch the list (in the shell).
    #[arg(short = 'w')]
    watch: bool,
    /// List all nodes below, with their paths.
    #[arg(short = 'R')]
    recursive: bool,
    path: String,
    /// Any word: the old way to ask for a watch.
    #[arg(hide = true)]
    old_watch: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a str,
    children: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    stat: Option<StatView>,
}

impl Ls {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        note_old_watch("ls", self.old_watch.is_some());
        if self.recursive { self.list_all(context).await } else { self.list(context).await }
    }

    fn watches(&self) -> bool {
        self.watch || self.old_watch.is_some()
    }

    async fn list(&self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let mut children = if self.watches() {
            let (children, watch) = client.children(&self.path).watch().await?;
            context.show_event(&self.path, WatcherType::Children, watch);
            children
        } else {
            client.children(&self.path).await?
        };
        children.names.sort_unstable();
        let document = Document {
            path: &self.path,
            children: &children.names,
            stat: self.stat.then(|| children.stat.into()),
        };
        context.screen.answer(&document, |screen| {
            screen.line(&bracketed(&children.names))?;
            if self.stat { screen.stat(&children.stat) } else { Ok(()) }
        })?;
        Ok(())
    }

    async fn list_all(&self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        if self.watches() {
            self.watch_all(context).await?;
        }
        let tree = walk::read(&client, &self.path, Want::default()).await?;
        let mut paths = vec![&*tree.root().path];
        paths_below(&tree, tree.root(), &mut paths);
        context.screen.answer(&paths, |screen| show(&paths, screen))?;
        tree.check()
    }

    /// In place of a watch on each node: one on all of them.
    async fn watch_all(&self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        match &mut context.watches {
            Some(watches) => {
                let stream = client.watch(&self.path).recursive().await?;
                watches.add_stream(&self.path, WatcherType::PersistentRecursive, stream);
            }
            None => note_lone_watch(),
        }
        Ok(())
    }
}

/// Names as zkCli shows a list.
pub(super) fn bracketed(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| escape::name(name)).collect();
    format!("[{}]", names.join(", "))
}

/// `Compat:` the order of zkCli: all children of a node before their children.
fn paths_below<'a>(tree: &'a Subtree, entry: &'a Entry, paths: &mut Vec<&'a str>) {
    paths.extend(tree.children(entry).map(|child| &*child.path));
    for child in tree.children(entry) {
        paths_below(tree, child, paths);
    }
}

fn show(paths: &[&str], screen: &Screen) -> std::io::Result<()> {
    paths.iter().try_for_each(|path| screen.line(&escape::name(path)))
}
