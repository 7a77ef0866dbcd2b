//! An export as a tar archive: a folder for each node, in it `%data` and `%acl`.
//!
//! Names have `%` as `%25`, so that no child is called like one of the two. A node without `%data`
//! has null data. The archive can be unpacked, changed and packed again.

use std::io::Read;

use anyhow::{Context as _, anyhow, bail};
use quorate_client::Acl;
use tar::{Archive, Builder, EntryType, Header};

use super::Exported;
use crate::command::access::AclView;

const DATA: &str = "%data";
const ACL: &str = "%acl";

/// The bytes of the file.
pub(in crate::command) fn written(nodes: &[Exported]) -> anyhow::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for node in nodes {
        let folder = format!("./{}", node.below.replace('%', "%25"));
        let folder = folder.trim_end_matches('/');
        let seconds = u64::try_from(node.mtime / 1000).unwrap_or(0);
        append(&mut archive, &format!("{folder}/"), EntryType::Directory, seconds, b"")?;
        if let Some(data) = &node.data {
            append(&mut archive, &format!("{folder}/{DATA}"), EntryType::Regular, seconds, data)?;
        }
        if !node.acl.is_empty() {
            let acl: Vec<_> = node.acl.iter().map(AclView::from).collect();
            let json = serde_json::to_vec(&acl).context("write the ACL")?;
            append(&mut archive, &format!("{folder}/{ACL}"), EntryType::Regular, seconds, &json)?;
        }
    }
    archive.into_inner().context("write the archive")
}

fn append(
    archive: &mut Builder<Vec<u8>>,
    name: &str,
    kind: EntryType,
    seconds: u64,
    bytes: &[u8],
) -> anyhow::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_mtime(seconds);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes).with_context(|| format!("archive {name}"))
}

/// The nodes in a file, each before those below it.
pub(in crate::command) fn read(bytes: &[u8]) -> anyhow::Result<Vec<Exported>> {
    let mut nodes = std::collections::BTreeMap::<Vec<String>, Exported>::new();
    for entry in Archive::new(bytes).entries().context("not a tar archive")? {
        let mut entry = entry.context("not a tar archive")?;
        let path = String::from_utf8(entry.path_bytes().into_owned())
            .context("a name in the archive is not UTF-8")?;
        let mut names: Vec<String> =
            path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect();
        let kind = entry.header().entry_type();
        let part = match kind {
            EntryType::Directory => None,
            EntryType::Regular => Some(names.pop().unwrap_or_default()),
            _ => continue,
        };
        let names: Vec<String> =
            names.iter().map(|name| node_name(name)).collect::<Result<_, _>>()?;
        let node = nodes.entry(names.clone()).or_insert_with(|| Exported {
            below: names.join("/"),
            data: None,
            acl: Vec::new(),
            mtime: 0,
        });
        let Some(part) = part else { continue };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).with_context(|| format!("read {path}"))?;
        match &*part {
            DATA => node.data = Some(content),
            ACL => node.acl = acl(&content).with_context(|| format!("read {path}"))?,
            _ => bail!("{path:?} is neither {DATA} nor {ACL} of a node"),
        }
    }
    Ok(nodes.into_values().collect())
}

fn acl(json: &[u8]) -> anyhow::Result<Vec<Acl>> {
    let views: Vec<AclView> = serde_json::from_slice(json)?;
    views.iter().map(|view| Acl::try_from(view).map_err(|error| anyhow!(error))).collect()
}

/// The name of a node in the name of its folder.
fn node_name(name: &str) -> anyhow::Result<String> {
    let decoded = name.replace("%25", "%");
    if decoded.replace('%', "%25") != name {
        bail!("{name:?} has a % that is not %25");
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use quorate_client::Perms;

    use super::*;

    fn node(below: &str, data: Option<&[u8]>) -> Exported {
        let acl = vec![Acl::world(Perms::READ)];
        Exported { below: below.into(), data: data.map(<[u8]>::to_vec), acl, mtime: 0 }
    }

    #[test]
    fn exports_come_back() {
        let long = "x".repeat(300);
        let nodes = [
            node("", None),
            node("%data", Some(b"")),
            node("50%", Some(b"\x00\xff")),
            node("a", None),
            node("a/b", Some(b"text\n")),
            node(&long, Some(b"1")),
        ];
        assert_eq!(read(&written(&nodes).unwrap()).unwrap(), nodes);
        assert_eq!(
            super::super::json::read(&super::super::json::written("/r", &nodes).unwrap()).unwrap(),
            nodes
        );
    }

    #[test]
    fn what_is_no_export_is_refused() {
        for (bytes, said) in [
            (&b"{}"[..], "not an export in JSON"),
            (br#"{"format":"x","version":1,"root":"/","nodes":[]}"#, "its format is"),
            (br#"{"format":"quorate-export","version":9,"root":"/","nodes":[]}"#, "its version is 9"),
            (br#"{"format":"quorate-export","version":1,"root":"/","nodes":[{"path":"a","data_base64":"!"}]}"#, "node \"a\""),
        ] {
            let error = format!("{:#}", super::super::json::read(bytes).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
        assert!(read(b"this is no archive at all, whatever its name may be").is_err());
        assert!(node_name("a%b").is_err());
    }
}
