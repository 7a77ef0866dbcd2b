//! Checks of the tree: nodes that are too big.

use quorate_client::Client;

use super::{Doctor, Finding, Level};
use crate::{
    failure::Outcome,
    output::escape,
    walk::{self, Entry, Subtree, Want},
};

/// How many nodes of a kind are named.
const NAMED: usize = 10;
/// Clients in Java refuse answers longer than this unless told otherwise (`jute.maxbuffer`), and so
/// do servers with requests.
const MAX_BUFFER: u64 = 1024 * 1024 - 1;

pub(super) async fn examine(client: &Client, limits: &Doctor) -> Outcome<Vec<Finding>> {
    let tree = walk::read(client, "/", Want::default()).await?;
    let mut findings = Vec::new();
    let nodes = tree.preorder().count();
    if let Err(failure) = tree.check() {
        let why = failure.message().unwrap_or_default();
        findings.push(Finding::new(Level::Warning, "nodes", format!("not all can be read: {why}")));
    }
    let name = |entry: &Entry| escape::name(&entry.path).into_owned();
    named(
        &mut findings,
        Level::Problem,
        tree.preorder().filter_map(|entry| {
            let bytes = list_size(&tree, entry);
            (bytes > MAX_BUFFER).then(|| {
            format!(
                "{}: its list of {} children is {bytes} bytes, which clients in Java cannot read \
                 (jute.maxbuffer)",
                name(entry),
                entry.stat.num_children
            )
        })
        }),
    );
    named(
        &mut findings,
        Level::Warning,
        tree.preorder().filter_map(|entry| {
            let big = entry.stat.data_length > limits.max_data;
            big.then(|| format!("{}: {} bytes of data", name(entry), entry.stat.data_length))
        }),
    );
    named(
        &mut findings,
        Level::Warning,
        tree.preorder().filter_map(|entry| {
            let many = entry.stat.num_children > limits.max_children;
            many.then(|| format!("{}: {} children", name(entry), entry.stat.num_children))
        }),
    );
    if findings.is_empty() {
        let text = format!("none of {nodes} is too big");
        findings.push(Finding::new(Level::Ok, "nodes", text));
    }
    Ok(findings)
}

/// How long the answer with a node's children is.
fn list_size(tree: &Subtree, entry: &Entry) -> u64 {
    let names: u64 = tree.children(entry).map(|child| 4 + child.name().len() as u64).sum();
    names + 88
}

fn named(findings: &mut Vec<Finding>, level: Level, texts: impl Iterator<Item = String>) {
    let mut texts = texts;
    findings.extend(texts.by_ref().take(NAMED).map(|text| Finding::new(level, "nodes", text)));
    let more = texts.count();
    if more > 0 {
        findings.push(Finding::new(level, "nodes", format!("and {more} more like this")));
    }
}
