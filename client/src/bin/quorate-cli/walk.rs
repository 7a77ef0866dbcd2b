//! Reads a node and all below.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_client::{Acl, Answer, Children, Client, Error, ErrorCode, Node, NodeAcl, Stat};

use crate::failure::Outcome;

/// How many requests are under way at once.
const WINDOW: usize = 256;

/// What is read of each node besides its `Stat` and children.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Want {
    pub(crate) data: bool,
    pub(crate) acl: bool,
    /// How far below the first node; none for all the way.
    pub(crate) depth: Option<usize>,
}

/// A node as it was read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) depth: usize,
    pub(crate) stat: Stat,
    /// Its data; null, and not asked for, is `None`.
    pub(crate) data: Option<Bytes>,
    pub(crate) acl: Vec<Acl>,
    /// Its children's places, ordered by name.
    children: Vec<usize>,
    /// Whether it was there when it was read.
    found: bool,
}

/// A node and all below. Not of one moment: nodes are read one after the other.
#[derive(Debug)]
pub(crate) struct Subtree {
    entries: Vec<Entry>,
    /// Why nodes below could not be read: the first reason.
    unreadable: Option<Error>,
}

enum Pending {
    Data(usize, Answer<Node>),
    Children(usize, Answer<Children>),
    Acl(usize, Answer<NodeAcl>),
}

/// Reads a node and all below it.
///
/// Nodes below that vanish meanwhile are left out; those that may not be read are too, and
/// [`Subtree::check`] tells.
///
/// # Errors
/// When the first node is not there or may not be read, or the ensemble is lost.
pub(crate) async fn read(client: &Client, root: &str, want: Want) -> Outcome<Subtree> {
    let mut walk = Walk { client, want, pending: VecDeque::new(), next: 0 };
    let mut tree = Subtree { entries: vec![Entry::new(root.to_owned(), 0)], unreadable: None };
    loop {
        while walk.next < tree.entries.len() && walk.pending.len() < WINDOW {
            walk.ask(walk.next, &tree.entries[walk.next]);
            walk.next += 1;
        }
        let Some(pending) = walk.pending.pop_front() else { break };
        walk.take(pending, &mut tree).await?;
    }
    Ok(tree)
}

struct Walk<'a> {
    client: &'a Client,
    want: Want,
    pending: VecDeque<Pending>,
    next: usize,
}

impl Walk<'_> {
    fn ask(&mut self, place: usize, entry: &Entry) {
        let path = &*entry.path;
        // With its data comes whether it has children, which spares the question for most nodes.
        self.pending.push_back(if self.want.data {
            Pending::Data(place, self.client.get(path).send())
        } else {
            Pending::Children(place, self.client.children(path).send())
        });
        if self.want.acl {
            self.pending.push_back(Pending::Acl(place, self.client.acl(path).send()));
        }
    }

    async fn take(&mut self, pending: Pending, tree: &mut Subtree) -> Result<(), Error> {
        match pending {
            Pending::Data(place, answer) => {
                let Some(node) = tree.found(place, answer.await)? else { return Ok(()) };
                let entry = &mut tree.entries[place];
                entry.data = (!node.is_null).then_some(node.data);
                entry.stat = node.stat;
                entry.found = true;
                if node.stat.num_children > 0 && self.goes_below(entry.depth) {
                    let answer = self.client.children(&entry.path).send();
                    self.pending.push_back(Pending::Children(place, answer));
                }
            }
            Pending::Children(place, answer) => {
                let Some(children) = tree.found(place, answer.await)? else { return Ok(()) };
                let entry = &mut tree.entries[place];
                entry.stat = children.stat;
                entry.found = true;
                if self.goes_below(entry.depth) {
                    tree.add_children(place, children.names);
                }
            }
            Pending::Acl(place, answer) => {
                if let Some(acl) = tree.found(place, answer.await)? {
                    tree.entries[place].acl = acl.acl;
                }
            }
        }
        Ok(())
    }

    fn goes_below(&self, depth: usize) -> bool {
        self.want.depth.is_none_or(|limit| depth < limit)
    }
}

impl Entry {
    fn new(path: String, depth: usize) -> Self {
        let stat = Stat::default();
        Self { path, depth, stat, data: None, acl: Vec::new(), children: Vec::new(), found: false }
    }

    /// The last part of its path; `/` for the root.
    pub(crate) fn name(&self) -> &str {
        match self.path.rsplit_once('/') {
            Some((_, name)) if !name.is_empty() => name,
            _ => &self.path,
        }
    }

    /// Its path below another, without a `/` in front; empty for that other itself.
    pub(crate) fn below(&self, root: &str) -> &str {
        let rest = self.path.strip_prefix(root).unwrap_or(&self.path);
        rest.strip_prefix('/').unwrap_or(rest)
    }
}

impl Subtree {
    /// What was found, if the node was there and may be read.
    fn found<T>(&mut self, place: usize, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(error) if place == 0 => Err(error),
            Err(error) if error.is_no_node() => Ok(None),
            Err(error) if error.code() == Some(ErrorCode::NoAuth) => {
                self.unreadable.get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn add_children(&mut self, place: usize, mut names: Vec<String>) {
        names.sort_unstable();
        let Entry { path, depth, .. } = &self.entries[place];
        let (parent, depth) = (if path == "/" { "" } else { path }.to_owned(), depth + 1);
        for name in names {
            let child = self.entries.len();
            self.entries.push(Entry::new(format!("{parent}/{name}"), depth));
            self.entries[place].children.push(child);
        }
    }

    /// The first node.
    pub(crate) fn root(&self) -> &Entry {
        &self.entries[0]
    }

    /// A node's children, ordered by name.
    pub(crate) fn children(&self, entry: &Entry) -> impl DoubleEndedIterator<Item = &Entry> {
        entry.children.iter().map(|&child| &self.entries[child]).filter(|child| child.found)
    }

    /// All nodes, each before its children.
    pub(crate) fn preorder(&self) -> impl Iterator<Item = &Entry> {
        let mut stack = vec![self.root()];
        std::iter::from_fn(move || {
            let entry = stack.pop()?;
            stack.extend(self.children(entry).rev());
            Some(entry)
        })
    }

    /// Fails if nodes below could not be read.
    pub(crate) fn check(&self) -> Outcome {
        self.unreadable.clone().map_or(Ok(()), |error| Err(error.into()))
    }
}
