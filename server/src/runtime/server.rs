//! Start and end of a server.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::Context;
use parking_lot::{Mutex, RwLock};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    backlog::Backlog,
    checkpointer::{self, Checkpointer},
    clock::Clock,
    core::Core,
    data::{self, Data, rounded},
    io_threads::IoThreads,
    log_writer::{self, LogWriter},
    pipeline::Pipeline,
    shared::Shared,
    thread, ticker,
};
use crate::{
    admin::{Environment, ServerStats},
    config::Settings,
    net::{Load, Registry, TokenBucket, listener},
    request::{self, Preparer},
    session::{SessionIds, Tracker},
    storage::fs::Lock,
    watch::WatchTable,
};

/// How long connections may take to end when the server ends.
const GOODBYE: Duration = Duration::from_secs(2);

/// A running server. It has to be ended by [`Server::stop`].
pub struct Server {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
    io_threads: IoThreads,
    threads: Vec<JoinHandle<()>>,
    stop_checkpointer: Arc<checkpointer::Stop>,
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
        anyhow::ensure!(settings.ensemble.is_none(), "ensembles are not built yet");
        let clock = Clock::start();
        // First, so that a second server by mistake ends before it touches anything.
        let clients = &settings.clients;
        let listener = listener::bind(clients.address, clients.listen_backlog)?;
        let client_address = listener.local_addr().context("ask for the listening address")?;
        let Data { recovered, reserve, passwords, seed } = data::open(&settings)?;
        let stats = ServerStats::default();
        stats.dbinittime.record_time(clock.elapsed());
        stats.startup_txns_loaded.record(recovered.report.replayed);
        let mut sessions = Tracker::new(millis(settings.sessions.tick));
        for (&session, &timeout_ms) in recovered.tree.sessions() {
            sessions.open(session, timeout_ms, clock.now_ms());
        }
        let preparing = request::Settings {
            schemes: settings.auth.clone(),
            extended_types: settings.tree.extended_types,
            enforce_quota: settings.tree.enforce_quota,
            reconfig: settings.tree.reconfig,
        };
        let preparer = Preparer::new(preparing, &recovered.tree, seed);
        let session_ids = SessionIds::new(settings.server_id, clock.wall_ms());
        let shared = Arc::new(Shared {
            client_address,
            clock: clock.clone(),
            tree: RwLock::new(recovered.tree),
            watches: WatchTable::new(seed),
            conns: Registry::default(),
            load: Arc::new(Load::new(settings.limits.clone())),
            throttle: settings
                .connection_throttle
                .clone()
                .map(|throttle| Mutex::new(TokenBucket::new(throttle, clock.now_ms()))),
            pipeline: Pipeline::new(
                Core::new(preparer, sessions, session_ids),
                LogWriter::new(recovered.log),
            ),
            passwords,
            stats,
            environment: Environment::collect(),
            reap_from: 0.into(),
            backlog: Backlog::new(recovered.report.checkpoint_zxid, recovered.report.replayed),
            settings,
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let io_threads = IoThreads::start(shared.settings.threads)?;
        let stop_checkpointer = Arc::<checkpointer::Stop>::default();
        let checkpointer = Checkpointer {
            shared: shared.clone(),
            checkpoint: recovered.checkpoint,
            reserve,
            stop: stop_checkpointer.clone(),
            is_full: false,
        };
        let threads = vec![
            thread::spawn("checkpoint", move || checkpointer.run()),
            thread::spawn("log", {
                let shared = shared.clone();
                move || log_writer::run(&shared)
            }),
        ];
        tasks.spawn(ticker::run(shared.clone(), stop.clone()));
        let (shared_, handles) = (shared.clone(), io_threads.handles());
        tasks.spawn(listener::accept(shared_, listener, handles, tasks.clone(), stop.clone()));
        info!(
            clients = %client_address,
            data = %shared.settings.storage.data_dir.display(),
            zxid = %shared.tree.read().last_zxid(),
            started_in = %rounded(clock.elapsed()),
            "serving"
        );
        Ok(Self {
            shared,
            stop,
            tasks,
            io_threads,
            threads,
            stop_checkpointer,
            _locks: recovered.locks,
        })
    }

    /// Where clients connect to.
    pub fn client_address(&self) -> SocketAddr {
        self.shared.client_address
    }

    /// Ends the server: connections are closed, what was acknowledged is on disk already, and the
    /// log says so. Sessions live on and can be continued after the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(GOODBYE, self.tasks.wait()).await.is_err() {
            warn!("some connections did not end in time");
        }
        self.shared.pipeline.close();
        self.stop_checkpointer.stop();
        for thread in self.io_threads.stop().into_iter().chain(self.threads) {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
        info!("ended");
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
