//! Streams from one-shot watches, for servers before 3.6, which know no persistent ones.
//!
//! A task keeps a one-shot watch on each node, and on each list of children, and sets it again
//! when it has fired. What it reads then is compared with what it knew: a version that moved by
//! one is the event it was told of; whatever else moved in between is a gap, and told as one.
//!
//! Two things are weaker than with persistent watches: an event can come after an answer that
//! shows what it tells of, and events of different nodes can come in another order.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use quorate_protocol::{Stat, Zxid, record::EventType};

use super::{Event, OneShot, Sink};
use crate::{
    Client,
    error::{Error, ErrorKind},
};

/// How many nodes are read at once.
const WINDOW: usize = 256;

/// The pause after a call that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// A watch that fired: what it was on, and what it told.
type Fired = (String, Of, Result<Event, Error>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Node,
    Children,
}

/// What is known of a node that is there.
struct Known {
    stat: Stat,
    children: BTreeSet<String>,
}

/// The task.
pub(super) struct Emulation {
    client: Client,
    root: String,
    recursive: bool,
    sink: Arc<Sink>,
    nodes: BTreeMap<String, Known>,
    watches: FuturesUnordered<Pin<Box<dyn Future<Output = Fired> + Send>>>,
    /// All events up to this transaction were told, or came before the stream.
    told: Zxid,
    /// Of the last answer.
    now: Zxid,
}

impl Emulation {
    /// Sets all watches. `client` has no chroot: paths are the server's.
    pub(super) async fn start(
        client: Client,
        root: &str,
        recursive: bool,
        sink: Arc<Sink>,
    ) -> Result<Self, Error> {
        let mut emulation = Self {
            client,
            root: root.to_owned(),
            recursive,
            sink,
            nodes: BTreeMap::new(),
            watches: FuturesUnordered::new(),
            told: Zxid::ZERO,
            now: Zxid::ZERO,
        };
        emulation.walk_all().await?;
        emulation.sink.started(emulation.told);
        Ok(emulation)
    }

    /// Tells events until the client is closed.
    pub(super) async fn run(mut self) {
        // There is always a watch on the root.
        while let Some((path, of, event)) = self.watches.next().await {
            let done = match event {
                Ok(event) => self.take(&path, of, event.kind).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done
                && !self.recover(error).await
            {
                break;
            }
        }
        self.sink.end();
    }

    /// Begins anew after a call that failed; false when there is no use.
    async fn recover(&mut self, mut error: Error) -> bool {
        loop {
            if matches!(error.kind(), ErrorKind::Closed | ErrorKind::AuthFailed) {
                return false;
            }
            tracing::debug!(%error, path = self.root, "watches are set anew");
            tokio::time::sleep(PAUSE).await;
            let told = self.told;
            match self.walk_all().await {
                Ok(()) => {
                    self.gap_after(told);
                    return true;
                }
                Err(again) => error = again,
            }
        }
    }

    async fn walk_all(&mut self) -> Result<(), Error> {
        self.nodes.clear();
        self.watches.clear();
        self.walk(vec![self.root.clone()], false).await?;
        self.told = self.now;
        Ok(())
    }

    /// Sets watches on nodes, and if all below is wanted on that too; tells of their creation.
    async fn walk(&mut self, paths: Vec<String>, tell: bool) -> Result<(), Error> {
        let client = self.client.clone();
        let mut paths = VecDeque::from(paths);
        let mut answers = VecDeque::new();
        loop {
            while answers.len() < WINDOW
                && let Some(path) = paths.pop_front()
            {
                let node = client.exists(&path).watch().send();
                let children = client.children(&path).watch().send();
                answers.push_back((path, node, children));
            }
            let Some((path, node, children)) = answers.pop_front() else { return Ok(()) };
            let ((stat, watch), zxid) = node.with_zxid().await?;
            self.now = self.now.max(zxid);
            self.set(&path, Of::Node, watch);
            let children = match children.await {
                Err(error) if error.is_no_node() => None,
                children => Some(children?),
            };
            // It can come or go between the two; its own watch tells.
            let (Some(stat), Some((children, watch))) = (stat, children) else { continue };
            self.set(&path, Of::Children, watch);
            if tell {
                self.tell(EventType::NodeCreated, &path, stat.czxid);
                if stat.version != 0 {
                    self.gap();
                }
            }
            if self.recursive {
                paths.extend(children.names.iter().map(|name| join(&path, name)));
            }
            let names = children.names.into_iter().collect();
            self.nodes.insert(path, Known { stat: children.stat, children: names });
        }
    }

    fn set(&self, path: &str, of: Of, watch: OneShot) {
        let path = path.to_owned();
        self.watches.push(Box::pin(async move { (path, of, watch.await) }));
    }

    async fn take(&mut self, path: &str, of: Of, kind: EventType) -> Result<(), Error> {
        match of {
            Of::Node => self.node_changed(path).await,
            // The watch on the node tells as well.
            Of::Children if kind == EventType::NodeDeleted => Ok(()),
            Of::Children => self.children_changed(path).await,
        }
    }

    async fn node_changed(&mut self, path: &str) -> Result<(), Error> {
        let client = self.client.clone();
        let read = client.exists(path).watch().send().with_zxid().await?;
        let ((stat, watch), zxid) = read;
        self.now = self.now.max(zxid);
        let known = self.nodes.get_mut(path);
        match (known, stat) {
            (None, Some(_)) => {
                drop(watch);
                self.walk(vec![path.to_owned()], true).await?;
                return Ok(());
            }
            (None, None) => self.gap(),
            (Some(_), None) => {
                self.nodes.remove(path);
                self.tell(EventType::NodeDeleted, path, self.now);
                if path != self.root {
                    return Ok(());
                }
            }
            (Some(known), Some(stat)) => {
                let old = known.stat;
                known.stat = Stat { cversion: old.cversion, ..stat };
                if old.czxid != stat.czxid {
                    // Deleted and created anew: its list of children is another.
                    self.nodes.remove(path);
                    self.gap();
                    drop(watch);
                    self.walk(vec![path.to_owned()], true).await?;
                    return Ok(());
                }
                if old.version != stat.version {
                    self.tell(EventType::NodeDataChanged, path, stat.mzxid);
                }
                if old.version.wrapping_add(1) != stat.version {
                    self.gap();
                }
            }
        }
        self.set(path, Of::Node, watch);
        Ok(())
    }

    async fn children_changed(&mut self, path: &str) -> Result<(), Error> {
        let client = self.client.clone();
        let read = match client.children(path).watch().send().with_zxid().await {
            Err(error) if error.is_no_node() => return Ok(()),
            read => read?,
        };
        let ((children, watch), zxid) = read;
        self.now = self.now.max(zxid);
        self.set(path, Of::Children, watch);
        let Some(known) = self.nodes.get_mut(path) else { return Ok(()) };
        let names: BTreeSet<_> = children.names.into_iter().collect();
        let changes = names.symmetric_difference(&known.children).count();
        let moved = children.stat.cversion.wrapping_sub(known.stat.cversion);
        known.children.clone_from(&names);
        known.stat.cversion = children.stat.cversion;
        if self.recursive {
            if usize::try_from(moved) != Ok(changes) {
                self.gap();
            }
            // One that was deleted and created anew is new, although its name is not.
            let paths = names.iter().map(|name| join(path, name));
            let new = paths.filter(|path| !self.nodes.contains_key(path)).collect();
            return self.walk(new, true).await;
        }
        self.tell(EventType::NodeChildrenChanged, path, children.stat.pzxid);
        if moved != 1 {
            self.gap();
        }
        Ok(())
    }

    fn tell(&self, kind: EventType, path: &str, zxid: Zxid) {
        // Its own zxid is only known of what is there.
        let zxid = (kind != EventType::NodeDeleted).then_some(zxid);
        self.sink.event(&Event { kind, path: path.to_owned(), zxid }, self.now);
    }

    fn gap(&self) {
        self.gap_after(self.told);
    }

    fn gap_after(&self, told: Zxid) {
        self.sink.interrupt(told);
        self.sink.resume(self.now);
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}
