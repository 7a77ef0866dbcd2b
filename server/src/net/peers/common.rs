//! What all connections to other servers share.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Link, Settings, Sink, dial::Dialer};
use crate::zab::{HostPort, LinkId, Server, ServerId};

/// Links at a time. An ensemble has a few voters and perhaps hundreds of observers.
pub(super) const LINKS_MAX: usize = 1024;
/// Bytes that may wait on a link before it is cut off: what a learner may be behind of what is
/// proposed while it is alive.
const LINK_BYTES_MAX: usize = 64 << 20;

/// Settings, threads, and what the tasks of both ports need.
pub(super) struct Common {
    pub(super) settings: Settings,
    /// All servers there are by now.
    servers: Mutex<BTreeMap<ServerId, Server>>,
    pub(super) dialer: Dialer,
    pub(super) links: Links,
    pub(super) sink: Sink,
    pub(super) stop: CancellationToken,
    threads: Vec<Handle>,
    turn: AtomicUsize,
    tasks: TaskTracker,
}

impl Common {
    pub(super) fn new(
        settings: Settings,
        sink: Sink,
        threads: Vec<Handle>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let servers = Mutex::new(settings.servers.clone());
        Arc::new(Self {
            settings,
            servers,
            dialer: Dialer::default(),
            links: Links::default(),
            sink,
            stop,
            threads,
            turn: AtomicUsize::new(0),
            tasks,
        })
    }

    /// These are the servers from now on. Gives those there were before.
    pub(super) fn configure(
        &self,
        servers: BTreeMap<ServerId, Server>,
    ) -> BTreeMap<ServerId, Server> {
        std::mem::replace(&mut self.servers.lock(), servers)
    }

    /// Where a server is reached by the election port; nowhere if it is unknown.
    pub(super) fn election_addresses(&self, server: ServerId) -> Vec<HostPort> {
        self.servers.lock().get(&server).map_or_else(Vec::new, |server| server.election.clone())
    }

    /// Where a server is reached by the quorum port; nowhere if it is unknown.
    pub(super) fn quorum_addresses(&self, server: ServerId) -> Vec<HostPort> {
        self.servers.lock().get(&server).map_or_else(Vec::new, |server| server.quorum.clone())
    }

    /// Runs a task on the next thread in turn. It has to end by itself when the server does.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.turn.fetch_add(1, Relaxed);
        self.tasks.spawn_on(task, &self.threads[turn % self.threads.len()]);
    }

    /// Runs a task on the first thread, until the server ends.
    pub(super) fn spawn_first(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(self.stop.clone(), task);
    }

    /// Runs a task on the first thread, until `stop`, which the server's end causes, too.
    pub(super) fn spawn_until(
        &self,
        stop: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
        };
        self.tasks.spawn_on(task, &self.threads[0]);
    }
}

/// The links there are.
#[derive(Debug, Default)]
pub(super) struct Links {
    opened: AtomicU64,
    open: Mutex<BTreeMap<LinkId, Arc<Link>>>,
}

impl Links {
    /// A new link; none when there are too many.
    pub(super) fn open(&self, remote: SocketAddr) -> Option<Arc<Link>> {
        let mut open = self.open.lock();
        if open.len() >= LINKS_MAX {
            return None;
        }
        let id = LinkId(self.opened.fetch_add(1, Relaxed) + 1);
        let link = Arc::new(Link::new(id, remote, LINK_BYTES_MAX));
        open.insert(id, link.clone());
        Some(link)
    }

    pub(super) fn get(&self, id: LinkId) -> Option<Arc<Link>> {
        self.open.lock().get(&id).cloned()
    }

    pub(super) fn remove(&self, id: LinkId) {
        self.open.lock().remove(&id);
    }
}
