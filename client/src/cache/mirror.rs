//! Keeps a copy of some nodes current: what all caches share.
//!
//! A task watches the nodes and reads them again as events come. The copy is a persistent map that
//! is swapped as a whole, so readers take no lock and see one moment.
//!
//! The copy shows everything up to a zxid when all events of it and before have been dealt with.
//! Events come ahead of the answers that show what they tell of: so when the last answer of a
//! round carries zxid Z, and no event is left in the queue after it, the copy shows Z.

use std::{
    collections::{BTreeSet, VecDeque},
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_core::Stream;
use imbl::OrdMap;
use quorate_protocol::Zxid;
use tokio::sync::{Notify, watch};
use tokio_stream::wrappers::WatchStream as Progresses;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Client,
    error::{Error, ErrorKind},
    request::Node,
    watch::{WatchItem, WatchStream},
};

/// How many nodes are read at once.
const WINDOW: usize = 512;

/// Between attempts to reach a zxid that the servers have not reached themselves.
const PATIENCE: Duration = Duration::from_millis(100);

/// The pause after a round that failed.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) type Map = OrdMap<Arc<str>, Arc<Node>>;

/// How far the copy is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub(super) version: u64,
    pub(super) zxid: Zxid,
}

#[derive(Debug)]
struct State {
    map: ArcSwap<Map>,
    progress: watch::Sender<Progress>,
    /// Somebody waits for the copy to get further.
    refresh: Notify,
}

/// The copy. Its task ends with it.
#[derive(Debug)]
pub(super) struct Mirror {
    state: Arc<State>,
    task: AbortOnDropHandle<()>,
}

impl Mirror {
    /// Starts a copy of `path` and what is at most `depth` levels below, and waits until it is
    /// complete.
    pub(super) async fn start(client: &Client, path: &str, depth: usize) -> Result<Self, Error> {
        let watch = client.watch(path);
        let stream = if depth == 0 { watch.await? } else { watch.recursive().await? };
        let state = Arc::new(State {
            map: ArcSwap::default(),
            progress: watch::Sender::default(),
            refresh: Notify::new(),
        });
        let copier = Copier {
            client: client.clone(),
            root: path.into(),
            depth,
            stream,
            state: Arc::clone(&state),
        };
        let mut copier = copier;
        let todo = copier.load().await?;
        let task = AbortOnDropHandle::new(client.spawn(copier.run(todo)));
        Ok(Self { state, task })
    }

    /// The copy as it is.
    pub(super) fn map(&self) -> Arc<Map> {
        self.state.map.load_full()
    }

    /// One node of the copy as it is.
    pub(super) fn node(&self, path: &str) -> Option<Arc<Node>> {
        self.state.map.load().get(path).cloned()
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.state.progress.subscribe()
    }

    pub(super) fn zxid(&self) -> Zxid {
        self.state.progress.borrow().zxid
    }

    pub(super) async fn wait_until(&self, zxid: Zxid) -> Result<(), Error> {
        let mut progress = self.progress();
        while progress.borrow_and_update().zxid < zxid {
            if self.task.is_finished() {
                return Err(ErrorKind::Closed.into());
            }
            self.state.refresh.notify_one();
            // What has not happened yet may be of a node that is not here.
            let _ = tokio::time::timeout(PATIENCE, progress.changed()).await;
        }
        Ok(())
    }

    pub(super) fn changes(&self) -> Changes {
        // It begins with what is there.
        let progress = Progresses::new(self.progress());
        let state = Arc::clone(&self.state);
        Changes { state, seen: Map::new(), progress, ready: VecDeque::new() }
    }
}

/// A change of a cache's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node came.
    Added {
        /// Its path.
        path: String,
        /// The node.
        node: Arc<Node>,
    },
    /// A node's data changed, or it was created anew.
    Changed {
        /// Its path.
        path: String,
        /// What it was.
        old: Arc<Node>,
        /// What it is.
        new: Arc<Node>,
    },
    /// A node went.
    Removed {
        /// Its path.
        path: String,
        /// What it was.
        old: Arc<Node>,
    },
}

/// The content of a cache as changes: first all nodes there are, then each difference. Changes of
/// a node that follow each other faster than they are taken show as one; nothing else is left out,
/// and nothing waits in a queue. Also a `Stream`.
#[derive(Debug)]
pub struct Changes {
    state: Arc<State>,
    seen: Map,
    progress: Progresses<Progress>,
    ready: VecDeque<Change>,
}

impl Changes {
    /// The next change; `None` when the cache has been dropped or its client closed.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Change> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Poll::Ready(Some(change));
            }
            if ready!(Pin::new(&mut self.progress).poll_next(cx)).is_none() {
                return Poll::Ready(None);
            }
            let map = self.state.map.load_full();
            self.ready = difference(&self.seen, &map);
            self.seen = (*map).clone();
        }
    }
}

fn difference(old: &Map, new: &Map) -> VecDeque<Change> {
    use imbl::ordmap::DiffItem;
    let change = |item| match item {
        DiffItem::Add(path, node) => {
            let (path, node): (&Arc<str>, &Arc<Node>) = (path, node);
            Change::Added { path: path.to_string(), node: Arc::clone(node) }
        }
        DiffItem::Update { old: (path, old), new: (_, new) } => {
            Change::Changed { path: path.to_string(), old: Arc::clone(old), new: Arc::clone(new) }
        }
        DiffItem::Remove(path, old) => {
            Change::Removed { path: path.to_string(), old: Arc::clone(old) }
        }
    };
    old.diff(new).map(change).collect()
}

/// What events ask for.
#[derive(Default)]
struct Todo {
    paths: BTreeSet<String>,
    /// Events may be missing.
    all: bool,
    /// Somebody waits for what was committed by now.
    refresh: bool,
    /// There is an event, or a gap.
    any: bool,
    /// The zxid of the first event, if the server tells.
    first: Option<Zxid>,
}

/// The task.
struct Copier {
    client: Client,
    root: String,
    depth: usize,
    stream: WatchStream,
    state: Arc<State>,
}

impl Copier {
    async fn run(mut self, mut todo: Todo) {
        loop {
            if !todo.any {
                let refresh = tokio::select! {
                    item = self.stream.next() => match item {
                        Some(item) => { self.take(item, &mut todo); false }
                        None => return,
                    },
                    () = self.state.refresh.notified() => true,
                };
                self.drain(&mut todo);
                todo.refresh = refresh;
            }
            let done = if todo.all { self.load().await } else { self.reread(&todo).await };
            todo = match done {
                Ok(next) => next,
                Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::AuthFailed) => {
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, path = self.root, "cache is behind");
                    tokio::time::sleep(PAUSE).await;
                    Todo { all: true, any: true, ..Todo::default() }
                }
            };
        }
    }

    /// What the events ask for that are there.
    fn drain(&mut self, todo: &mut Todo) {
        while let Some(item) = self.stream.try_next() {
            self.take(item, todo);
        }
    }

    fn take(&self, item: WatchItem, todo: &mut Todo) {
        let is_first = !std::mem::replace(&mut todo.any, true);
        match item {
            WatchItem::Event(event) => {
                if is_first {
                    todo.first = event.zxid;
                }
                if self.level(&event.path).is_some_and(|level| level <= self.depth) {
                    todo.paths.insert(event.path);
                }
            }
            WatchItem::Resync { from, .. } => {
                if is_first {
                    todo.first = Some(from);
                }
                todo.all = true;
            }
        }
    }

    /// How far below the root a path is.
    fn level(&self, path: &str) -> Option<usize> {
        let root = if self.root == "/" { "" } else { &self.root };
        let below = path.strip_prefix(root)?;
        match below {
            "" | "/" => Some(0),
            _ if below.starts_with('/') => Some(below.matches('/').count()),
            _ => None,
        }
    }

    /// Reads everything anew.
    async fn load(&mut self) -> Result<Todo, Error> {
        let client = self.client.clone();
        let old = self.state.map.load_full();
        let mut map = Map::new();
        let mut waiting = VecDeque::from([(self.root.clone(), 0)]);
        let mut answers = VecDeque::new();
        loop {
            while answers.len() < WINDOW
                && let Some((path, level)) = waiting.pop_front()
            {
                let node = client.get(&path).send();
                let children = (level < self.depth).then(|| client.children(&path).send());
                answers.push_back((path, level, node, children));
            }
            let Some((path, level, node, children)) = answers.pop_front() else { break };
            let Some(node) = found(node.await)? else { continue };
            map.insert((&*path).into(), kept(&node, old.get(&*path)));
            let Some(children) = children else { continue };
            let Some(children) = found(children.await)? else { continue };
            let parent = if path == "/" { "" } else { &path };
            let below = children.names.iter().map(|name| (format!("{parent}/{name}"), level + 1));
            waiting.extend(below);
        }
        let (_, zxid) = client.exists(&self.root).send().with_zxid().await?;
        Ok(self.publish(map, zxid))
    }

    /// Reads what changed.
    async fn reread(&mut self, todo: &Todo) -> Result<Todo, Error> {
        let client = self.client.clone();
        let mut map = (*self.state.map.load_full()).clone();
        let mut answers = VecDeque::new();
        let mut paths = todo.paths.iter();
        loop {
            while answers.len() < WINDOW
                && let Some(path) = paths.next()
            {
                answers.push_back((path, client.get(path).send()));
            }
            let Some((path, node)) = answers.pop_front() else { break };
            match found(node.await)? {
                Some(node) => {
                    let node = kept(&node, map.get(&**path));
                    map.insert((&**path).into(), node);
                }
                None => drop(map.remove(&**path)),
            }
        }
        let last = client.exists(&self.root);
        let last = if todo.refresh { last.linearizable() } else { last };
        let (_, zxid) = last.send().with_zxid().await?;
        Ok(self.publish(map, zxid))
    }

    /// Shows the new copy, and answers what has come meanwhile.
    fn publish(&mut self, map: Map, zxid: Zxid) -> Todo {
        let mut todo = Todo::default();
        self.drain(&mut todo);
        let shown = match todo.first {
            _ if !todo.any => zxid,
            Some(first) => zxid.min(Zxid(first.0 - 1)),
            None => Zxid::ZERO,
        };
        self.state.map.store(Arc::new(map));
        self.state.progress.send_modify(|progress| {
            progress.version += 1;
            progress.zxid = progress.zxid.max(shown);
        });
        todo
    }
}

/// The answer, unless the node is not there.
fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(error) if error.is_no_node() => Ok(None),
        answer => answer.map(Some),
    }
}

/// A node to keep: the one that is there if it is the same, else one with memory of its own.
fn kept(node: &Node, old: Option<&Arc<Node>>) -> Arc<Node> {
    match old {
        Some(old) if **old == *node => Arc::clone(old),
        _ => Arc::new(Node { data: Bytes::copy_from_slice(&node.data), ..node.clone() }),
    }
}
