//! An export as a JSON document:
//! `{"format": "quorate-export", "version": 1, "root": "/app", "nodes": [{"path": "a/b", ...}]}`.

use anyhow::{Context as _, anyhow, ensure};
use quorate_client::Acl;
use serde::{Deserialize, Serialize};

use super::Exported;
use crate::{command::access::AclView, output::DataView};

const FORMAT: &str = "quorate-export";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    version: u32,
    root: String,
    nodes: Vec<Node>,
}

#[derive(Serialize, Deserialize)]
struct Node {
    /// Below the root; empty for the root itself.
    path: String,
    #[serde(flatten)]
    data: DataView,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    acl: Vec<AclView>,
    #[serde(default)]
    mtime: i64,
}

/// The bytes of the file.
pub(in crate::command) fn written(root: &str, nodes: &[Exported]) -> anyhow::Result<Vec<u8>> {
    let nodes = nodes.iter().map(|node| Node {
        path: node.below.clone(),
        data: DataView::new(node.data.as_deref()),
        acl: node.acl.iter().map(AclView::from).collect(),
        mtime: node.mtime,
    });
    let document = Document {
        format: FORMAT.to_owned(),
        version: VERSION,
        root: root.to_owned(),
        nodes: nodes.collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&document).context("write the export")?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The nodes in a file.
pub(in crate::command) fn read(bytes: &[u8]) -> anyhow::Result<Vec<Exported>> {
    let document: Document = serde_json::from_slice(bytes).context("not an export in JSON")?;
    ensure!(document.format == FORMAT, "its format is {:?}, not {FORMAT:?}", document.format);
    ensure!(document.version == VERSION, "its version is {}, not {VERSION}", document.version);
    document.nodes.iter().map(node).collect()
}

fn node(node: &Node) -> anyhow::Result<Exported> {
    let place = || format!("node {:?}", node.path);
    let data = node.data.bytes().with_context(place)?;
    let acl = node.acl.iter().map(Acl::try_from).collect::<Result<_, _>>();
    let acl = acl.map_err(|error| anyhow!(error)).with_context(place)?;
    Ok(Exported { below: node.path.clone(), data, acl, mtime: node.mtime })
}
