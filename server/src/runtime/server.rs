//! Start and end of a server.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::Context;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    checkpointer::Mailbox,
    clock::Clock,
    core::Event,
    data::rounded,
    io_threads::IoThreads,
    members::Members,
    node::{Node, Surroundings},
    pipeline::Input,
    process::ThisProcess,
    shared::{Duty, Shared},
    thread, ticker,
};
use crate::{
    admin::Environment,
    config::Settings,
    net::{Door, listener},
    storage::fs::{Lock, RealFs},
};

/// A disk is fast whose syncs take no longer than this on average.
const FAST_SYNC: Duration = Duration::from_micros(400);
/// Room kept for a full disk: a checkpoint of what a segment of the log holds fits into it.
const RESERVE_BYTES: u64 = 16 << 20;
/// How long connections may take to end when the server ends.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long a leader that ends waits until another one can take over.
const HAND_OVER: Duration = Duration::from_secs(2);

/// A running server. It has to be ended by [`Server::stop`].
pub struct Server {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
    io_threads: IoThreads,
    threads: Vec<JoinHandle<()>>,
    mailbox: Arc<Mailbox>,
    /// Keeps other servers out of the data folders.
    _locks: Vec<Box<dyn Lock>>,
}

impl Server {
    /// Recovers the data and serves clients. Must be called on a tokio runtime,
    /// which accepts clients and looks after sessions; connections have threads of their own.
    ///
    /// # Errors
    /// When the address is taken, or the data cannot be used; the message says what to do.
    pub fn start(settings: Settings) -> anyhow::Result<Self> {
        let clock = Clock::start();
        // First, so that a second server by mistake ends before it touches anything.
        let clients = &settings.clients;
        let (door, moves) = Door::open(clients.address, clients.listen_backlog)?;
        let client_address = door.local_addr()?;
        let ports = settings.ensemble.as_ref().map(Members::bind).transpose()?;
        let mut random = [0; 48];
        getrandom::fill(&mut random).context("draw random numbers")?;
        let surroundings = Surroundings {
            fs: Arc::new(RealFs),
            clock: clock.clone(),
            process: Box::new(ThisProcess),
            fast_sync: Some(FAST_SYNC),
            reserve_bytes: RESERVE_BYTES,
            random,
            client_address,
            environment: Environment::collect(),
        };
        let node = Node::open(settings, surroundings)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let shared = node.shared.clone();
        let io_threads = IoThreads::start(shared.settings.threads)?;
        let wake = ticker::Wake::default();
        if let Some(ports) = ports {
            Members::start(&node, ports, moves, &io_threads, &tasks, &stop, wake.clone());
        }
        let Node { checkpointer, mailbox, locks, .. } = node;
        let threads = vec![
            thread::spawn("checkpoint", move || checkpointer.run()),
            thread::spawn("log", {
                let shared = shared.clone();
                move || shared.run_log()
            }),
        ];
        tasks.spawn(ticker::run(shared.clone(), wake, stop.clone()));
        let (shared_, handles) = (shared.clone(), io_threads.handles());
        tasks.spawn(listener::accept(shared_, door, handles, tasks.clone(), stop.clone()));
        info!(
            clients = %client_address,
            data = %shared.settings.storage.data_dir.display(),
            zxid = %shared.tree.read().last_zxid(),
            started_in = %rounded(clock.elapsed()),
            "serving"
        );
        Ok(Self { shared, stop, tasks, io_threads, threads, mailbox, _locks: locks })
    }

    /// Where clients connect to.
    pub fn client_address(&self) -> SocketAddr {
        *self.shared.client_address.read()
    }

    /// Ends the server: a leader leaves the lead to another one, connections are closed, what was
    /// acknowledged is on disk already, and the log says so. Sessions live on and can be continued
    /// after the next start, or at another server.
    pub async fn stop(self) {
        self.hand_over().await;
        self.stop.cancel();
        self.tasks.close();
        if timeout(GOODBYE, self.tasks.wait()).await.is_err() {
            warn!("some connections did not end in time");
        }
        self.shared.pipeline.close();
        self.mailbox.stop();
        for thread in self.io_threads.stop().into_iter().chain(self.threads) {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
        info!("ended");
    }

    async fn hand_over(&self) {
        if self.shared.duty() != Duty::Leading {
            return;
        }
        self.shared.submit(Input::Ensemble(Event::HandOver { ends: true }));
        let left = self.shared.duty_becomes(|duty| duty != Duty::Leading);
        if timeout(HAND_OVER, left).await.is_err() {
            warn!("no other server could take over the lead in time");
        }
    }
}
