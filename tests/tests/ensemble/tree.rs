//! All that a server's tree shows to clients.

use std::collections::BTreeMap;

use quorate_protocol::{OpCode, SessionId, Stat};
use quorate_tests::{Body, Connection, Op};

use crate::done;

const CONFIG: (&str, &str) = ("/zookeeper", "config");

/// A node as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) stat: Stat,
    acl: Vec<(i32, String, String)>,
}

/// Every node of a server, by its path.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Reads everything there is once the server has caught up.
    pub(crate) fn read(client: &mut Connection) -> Self {
        done(client, &Op::Path(OpCode::Sync, "/".into()));
        let mut tree = Self::default();
        let mut paths = vec!["/".to_owned()];
        while let Some(path) = paths.pop() {
            let children = Op::children(&path);
            let Body::Names(names, _) = done(client, &children).body else {
                panic!("{path}: no names");
            };
            // Each server of ZooKeeper's writes this one for itself when it starts.
            let names = names.iter().filter(|name| (path.as_str(), name.as_str()) != CONFIG);
            let parent = if path == "/" { "" } else { &path };
            paths.extend(names.map(|name| format!("{parent}/{name}")));
            let node = read_node(client, &path);
            tree.0.insert(path, node);
        }
        tree
    }

    /// A node.
    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    /// The paths of all nodes that belong to a session.
    pub(crate) fn owned(&self) -> Vec<&str> {
        let owned = self.0.iter().filter(|(_, node)| node.stat.ephemeral_owner != SessionId::NONE);
        owned.map(|(path, _)| path.as_str()).collect()
    }

    /// Fails with the first differences when `other` is not the same.
    pub(crate) fn assert_same(&self, other: &Self, whose: &str) {
        let paths = self.0.keys().chain(other.0.keys());
        let mut different: Vec<_> =
            paths.filter(|path| self.get(path) != other.get(path)).collect();
        different.sort();
        different.dedup();
        let shown = different.iter().take(5);
        let shown: Vec<_> = shown.map(|path| (path, self.get(path), other.get(path))).collect();
        assert!(different.is_empty(), "{whose} differ in {} nodes: {shown:?}", different.len());
    }
}

fn read_node(client: &mut Connection, path: &str) -> Node {
    let Body::Data(data, stat) = done(client, &Op::get(path)).body else {
        panic!("{path}: no data");
    };
    let Body::Acl(acl, _) = done(client, &Op::Path(OpCode::GetAcl, path.into())).body else {
        panic!("{path}: no ACL");
    };
    Node { data, stat, acl }
}
