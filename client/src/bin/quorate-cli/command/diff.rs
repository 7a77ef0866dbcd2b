use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};
use clap::Args;
use quorate_client::Acl;
use serde::Serialize;

use super::{Place, access::AclView, copy::is_of_the_system};
use crate::{
    failure::{Failure, Outcome},
    output::{Screen, escape},
    session::Context,
    walk::{self, Subtree, Want},
};

const GONE: Style = AnsiColor::Red.on_default();
const NEW: Style = AnsiColor::Green.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();

/// Compares two nodes and all below, of one ensemble or two. Ends with 1 if they differ.
///
/// `-` is what only the first has, `+` what only the second has, `~` what differs. Ephemeral nodes
/// are compared only if asked for. A place is a path, or `zk://host:port,host:port/path`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Compare the ACLs too.
    #[arg(long)]
    acl: bool,
    /// Compare ephemeral nodes too.
    #[arg(short = 'e', long)]
    ephemeral: bool,
    first: Place,
    second: Place,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Difference {
    /// Below the two; empty for themselves.
    path: String,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<String>,
}

#[derive(Debug, Serialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    OnlyFirst,
    OnlySecond,
    Data,
    Acl,
}

/// What is compared of a node.
struct Side<'a> {
    data: Option<&'a [u8]>,
    acl: &'a [Acl],
}

impl Diff {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let first = self.read(&self.first, context).await?;
        let second = self.read(&self.second, context).await?;
        let differences =
            differences(&self.sides(&first, &self.first), &self.sides(&second, &self.second));
        context.screen.answer(&differences, |screen| {
            differences.iter().try_for_each(|difference| screen.line(&shown(difference, screen)))
        })?;
        if differences.is_empty() { Ok(()) } else { Err(Failure::No(None)) }
    }

    async fn read(&self, place: &Place, context: &mut Context) -> Outcome<Subtree> {
        let client = place.client(context).await?;
        let want = Want { data: true, acl: self.acl, depth: None };
        let tree = walk::read(&client, &place.path, want).await;
        place.done(client).await;
        let tree = tree?;
        tree.check()?;
        Ok(tree)
    }

    /// The nodes by their paths below the place, whose names are kept apart so that they are
    /// ordered as in a tree.
    fn sides<'a>(&self, tree: &'a Subtree, place: &Place) -> BTreeMap<Vec<&'a str>, Side<'a>> {
        let whole = !is_of_the_system(&place.path);
        let root = tree.root();
        tree.preorder()
            .filter(|entry| self.ephemeral || !super::tree::is_ephemeral(entry))
            .filter(|entry| !(whole && is_of_the_system(&entry.path)))
            .map(|entry| {
                let below = entry.below(&root.path);
                let names = if below.is_empty() { Vec::new() } else { below.split('/').collect() };
                (names, Side { data: entry.data.as_deref(), acl: &entry.acl })
            })
            .collect()
    }
}

fn differences(
    first: &BTreeMap<Vec<&str>, Side<'_>>,
    second: &BTreeMap<Vec<&str>, Side<'_>>,
) -> Vec<Difference> {
    let mut all: Vec<_> = first.keys().chain(second.keys()).collect();
    all.sort_unstable();
    all.dedup();
    let mut differences = Vec::new();
    for names in all {
        let mut add = |kind, first, second| {
            differences.push(Difference { path: names.join("/"), kind, first, second });
        };
        match (first.get(names), second.get(names)) {
            (Some(one), None) => add(Kind::OnlyFirst, Some(data_text(one)), None),
            (None, Some(other)) => add(Kind::OnlySecond, None, Some(data_text(other))),
            (Some(one), Some(other)) => {
                if one.data != other.data {
                    add(Kind::Data, Some(data_text(one)), Some(data_text(other)));
                }
                if one.acl != other.acl {
                    add(Kind::Acl, Some(acl_text(one)), Some(acl_text(other)));
                }
            }
            (None, None) => {}
        }
    }
    differences
}

fn data_text(side: &Side<'_>) -> String {
    side.data.map_or_else(|| "null".to_owned(), |data| escape::line(data, 60))
}

fn acl_text(side: &Side<'_>) -> String {
    let views = side.acl.iter().map(AclView::from).map(|view| view.to_string());
    views.collect::<Vec<_>>().join(",")
}

fn shown(difference: &Difference, screen: &Screen) -> String {
    let path = format!("/{}", escape::name(&difference.path));
    let text = |side: &Option<String>| side.clone().unwrap_or_default();
    let (first, second) = (text(&difference.first), text(&difference.second));
    match difference.kind {
        Kind::OnlyFirst => screen.paint(GONE, &format!("- {path}")),
        Kind::OnlySecond => screen.paint(NEW, &format!("+ {path}")),
        Kind::Data => screen.paint(CHANGED, &format!("~ {path}: {first} -> {second}")),
        Kind::Acl => screen.paint(CHANGED, &format!("~ {path} acl: {first} -> {second}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_told_in_the_order_of_the_tree() {
        let side = |data: &'static str| Side { data: Some(data.as_bytes()), acl: &[] };
        let first = BTreeMap::from([
            (vec![], side("")),
            (vec!["a"], side("1")),
            (vec!["a", "b"], side("")),
            (vec!["a-b"], side("x")),
        ]);
        let second = BTreeMap::from([
            (vec![], Side { data: None, acl: &[] }),
            (vec!["a"], side("1")),
            (vec!["a-b"], side("y")),
            (vec!["c"], side("")),
        ]);
        let found: Vec<_> = differences(&first, &second)
            .into_iter()
            .map(|difference| (difference.path, difference.kind))
            .collect();
        let expected = [
            ("", Kind::Data),
            ("a/b", Kind::OnlyFirst),
            ("a-b", Kind::Data),
            ("c", Kind::OnlySecond),
        ];
        assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
    }
}
