//! Records as lines: `record key=value key=value`, or the same as an object of JSON.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use quorate_protocol::{AclList, ErrorCode, OpCode, Perms, SessionId};
use serde_json::{Map, Value, json};

use super::Format;
use crate::tree::{Node, NodeKind, Tree, Walk};
use crate::txn::{Txn, TxnRecord};

/// What to print of records, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) format: Format,
    /// Whether data is printed, in base64.
    pub(super) with_data: bool,
}

/// One line.
pub(super) struct Line {
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// A line about a record of this kind.
    pub(super) fn new(record: &'static str) -> Self {
        Self { fields: vec![("record", record.into())] }
    }

    /// Adds a value.
    #[must_use]
    pub(super) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((key, value.into()));
        self
    }

    /// Adds a number as operators know it.
    #[must_use]
    pub(super) fn hex(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        self.with(key, value.to_string())
    }

    /// Prints it.
    pub(super) fn print(self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        if format == Format::Json {
            let object: Map<_, _> =
                self.fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            return writeln!(out, "{}", Value::Object(object));
        }
        for (index, (key, value)) in self.fields.iter().enumerate() {
            let value = plain(value);
            match index {
                0 => write!(out, "{value}")?,
                _ => write!(out, " {key}={value}")?,
            }
        }
        writeln!(out)
    }
}

/// A value in a line of text: quoted where it would not be one word.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if is_word(text) => text.clone(),
        Value::Array(values) if values.iter().all(|value| value.as_str().is_some_and(is_word)) => {
            values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        value => value.to_string(),
    }
}

fn is_word(text: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '\\';
    !text.is_empty() && text.chars().all(is_plain)
}

/// A transaction; the operations of a multi have lines of their own behind it.
pub(super) fn transaction(
    record: &TxnRecord<'_>,
    offset: Option<u64>,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let header = &record.header;
    let mut line = Line::new("txn");
    if let Some(offset) = offset {
        line = line.with("offset", offset);
    }
    line = line
        .hex("zxid", header.zxid)
        .with("time", time(header.time_ms))
        .hex("session", header.client_id)
        .with("cxid", header.cxid)
        .with("type", header.kind.name());
    line = operation(line, &record.txn, style);
    if let Some(digest) = record.digest {
        line = line.hex("digest", format_args!("{:#x}", digest.tree_digest));
    }
    line.print(style.format, out)?;
    if let Txn::Multi(multi) = &record.txn {
        for (kind, txn) in multi.ops() {
            let line = Line::new("op").hex("zxid", header.zxid).with("type", kind.name());
            operation(line, &txn, style).print(style.format, out)?;
        }
    }
    Ok(())
}

fn operation(line: Line, txn: &Txn<'_>, style: Style) -> Line {
    match txn {
        Txn::Create(create) | Txn::CreateContainer(create) => {
            let line = data(line.with("path", &*create.path), create.data, style);
            let line = line.with("acl", acl(create.acl)).with("ephemeral", create.ephemeral);
            line.with("parent_cversion", create.parent_cversion)
        }
        Txn::CreateTtl(create) => {
            let line = data(line.with("path", &*create.path), create.data, style);
            let line = line.with("acl", acl(create.acl)).with("ttl_ms", create.ttl_ms);
            line.with("parent_cversion", create.parent_cversion)
        }
        Txn::Delete { path } | Txn::DeleteContainer { path } => line.with("path", &**path),
        Txn::SetData(set) | Txn::Reconfig(set) => {
            data(line.with("path", &*set.path), set.data, style).with("version", set.version)
        }
        Txn::SetAcl(set) => {
            line.with("path", &*set.path).with("acl", acl(set.acl)).with("aversion", set.version)
        }
        Txn::Check { path, version } => line.with("path", &**path).with("version", *version),
        Txn::Multi(multi) => {
            let line = line.with("ops", multi.ops().count());
            match multi.error() {
                Some(code) => line.with("error", error(code)),
                None => line,
            }
        }
        Txn::Error { code } => line.with("error", error(*code)),
        Txn::CreateSession { timeout_ms } => line.with("timeout_ms", *timeout_ms),
        Txn::CloseSession(close) => {
            let paths: Vec<Value> = close.paths().map(|path| (&*path).into()).collect();
            if paths.is_empty() { line } else { line.with("deletes", paths) }
        }
    }
}

fn data(line: Line, data: Option<&[u8]>, style: Style) -> Line {
    let line = line.with("size", data.map(<[u8]>::len));
    if style.with_data {
        line.with("data", data.map(|data| BASE64_STANDARD.encode(data)))
    } else {
        line
    }
}

fn error(code: i32) -> Value {
    match ErrorCode::from_wire(code) {
        Some(error) => error.name().into(),
        None => code.into(),
    }
}

/// An ACL as `scheme:id:permissions`, each entry.
fn acl(acl: AclList<'_>) -> Value {
    let entry = |scheme: &str, id: &str, perms: Perms| {
        let letters = [
            (Perms::CREATE, 'c'),
            (Perms::DELETE, 'd'),
            (Perms::READ, 'r'),
            (Perms::WRITE, 'w'),
            (Perms::ADMIN, 'a'),
        ];
        let has = |(perm, letter): &(Perms, char)| perms.intersects(*perm).then_some(*letter);
        let letters: String = letters.iter().filter_map(has).collect();
        Value::from(format!("{scheme}:{id}:{letters}"))
    };
    let text = |part: &Option<Cow<'_, str>>| part.as_deref().unwrap_or_default().to_owned();
    acl.iter().map(|found| entry(&text(&found.scheme), &text(&found.id), found.perms)).collect()
}

/// Milliseconds since 1970 as a time.
pub(super) fn time(ms: i64) -> Value {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.3}").into(),
        Err(_) => ms.into(),
    }
}

/// What a whole tree is, then its sessions and its nodes.
pub(super) fn tree(tree: &Tree, style: Style, out: &mut dyn Write) -> io::Result<()> {
    Line::new("tree")
        .hex("zxid", tree.last_zxid())
        .with("nodes", tree.node_count())
        .with("sessions", tree.sessions().len())
        .hex("digest", format_args!("{:#x}", tree.digest()))
        .print(style.format, out)?;
    for (session, timeout_ms) in tree.sessions() {
        let line = Line::new("session").hex("session", *session).with("timeout_ms", *timeout_ms);
        line.with("ephemerals", tree.ephemerals(*session)).print(style.format, out)?;
    }
    let mut walk = Walk::default();
    while let Some((path, node)) = walk.next(tree) {
        self::node(if path.is_empty() { "/" } else { path }, &node, style)
            .print(style.format, out)?;
    }
    Ok(())
}

fn node(path: &str, node: &Node<'_>, style: Style) -> Line {
    let stat = node.stat();
    let line = data(Line::new("node").with("path", path), node.data(), style)
        .hex("czxid", stat.czxid)
        .hex("mzxid", stat.mzxid)
        .hex("pzxid", stat.pzxid)
        .with("ctime", time(stat.ctime))
        .with("mtime", time(stat.mtime))
        .with("version", stat.version)
        .with("cversion", stat.cversion)
        .with("aversion", stat.aversion)
        .with("children", node.child_count())
        .with("acl", acl(node.acl().list()));
    match node.kind() {
        NodeKind::Persistent => line,
        NodeKind::Ephemeral(SessionId(owner)) => line.hex("ephemeral_owner", SessionId(owner)),
        NodeKind::Container => line.with("container", true),
        NodeKind::Ttl(ms) => line.with("ttl_ms", ms),
    }
}

/// What a transaction that cannot be decoded is.
pub(super) fn undecodable(bytes: &[u8], why: &str) -> Line {
    let kind = bytes.get(28..32).map(|kind| i32::from_be_bytes(kind.try_into().expect("4 bytes")));
    let name = kind.and_then(OpCode::from_wire).map(OpCode::name);
    let line = Line::new("undecodable").with("size", bytes.len()).with("error", why);
    line.with("type", name.map_or_else(|| json!(kind), Value::from))
}
