use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;

use crate::{
    failure::Outcome,
    output::{Screen, escape},
    session::Context,
    walk::{self, Entry, Subtree, Want},
};

const EPHEMERAL: Style = AnsiColor::Yellow.on_default();
const COUNT: Style = Style::new().dimmed();

/// Shows a node and all below as a tree. Ephemeral nodes are marked `(e)`.
#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// How many levels below the node.
    #[arg(short = 'd', long)]
    depth: Option<usize>,
    /// Show the beginning of each node's data.
    #[arg(long)]
    data: bool,
    #[arg(default_value = "/")]
    path: String,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a str,
    ephemeral: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// How many there are, if they are not shown.
    num_children: i32,
    children: Vec<Self>,
}

impl Tree {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let want = Want { data: self.data, acl: false, depth: self.depth };
        let tree = walk::read(&client, &self.path, want).await?;
        let document = document(&tree, tree.root());
        context.screen.answer(&document, |screen| {
            screen.line(&self.label(tree.root(), &tree, screen, &tree.root().path))?;
            self.show_children(&tree, tree.root(), "", screen)
        })?;
        tree.check()
    }

    fn show_children(
        &self,
        tree: &Subtree,
        entry: &Entry,
        indent: &str,
        screen: &Screen,
    ) -> std::io::Result<()> {
        let mut children = tree.children(entry).peekable();
        while let Some(child) = children.next() {
            let (branch, below) = if children.peek().is_some() {
                ("├── ", "│   ")
            } else {
                ("└── ", "    ")
            };
            let label = self.label(child, tree, screen, child.name());
            screen.line(&format!("{indent}{branch}{label}"))?;
            self.show_children(tree, child, &format!("{indent}{below}"), screen)?;
        }
        Ok(())
    }

    fn label(&self, entry: &Entry, tree: &Subtree, screen: &Screen, name: &str) -> String {
        let mut label = escape::name(name).into_owned();
        if is_ephemeral(entry) {
            label = screen.paint(EPHEMERAL, &format!("{label} (e)"));
        }
        let hidden = entry.stat.num_children;
        if hidden > 0 && tree.children(entry).next().is_none() {
            label = format!("{label} {}", screen.paint(COUNT, &format!("[{hidden} below]")));
        }
        match &entry.data {
            Some(data) if self.data && !data.is_empty() => {
                format!("{label}: {}", escape::line(data, 60))
            }
            _ => label,
        }
    }
}

/// Whether a node goes with a session. Containers and nodes with a TTL have an owner as well, that
/// is no session.
pub(super) fn is_ephemeral(entry: &Entry) -> bool {
    session_of(entry.stat.ephemeral_owner.0).is_some()
}

/// The session in an owner, if it is one. `Compat:` the lowest number is that of containers, and
/// those whose highest byte is 0xff tell a TTL (`EphemeralType`).
pub(super) fn session_of(owner: i64) -> Option<quorate_client::SessionId> {
    let special = owner == 0 || owner == i64::MIN || (owner.cast_unsigned() >> 56) == 0xff;
    (!special).then_some(quorate_client::SessionId(owner))
}

fn document<'a>(tree: &'a Subtree, entry: &'a Entry) -> Document<'a> {
    Document {
        path: &entry.path,
        ephemeral: is_ephemeral(entry),
        data: entry.data.as_ref().map(|data| escape::line(data, 60)),
        num_children: entry.stat.num_children,
        children: tree.children(entry).map(|child| document(tree, child)).collect(),
    }
}
