//! Start and end of a server.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::Context;
use parking_lot::RwLock;
use quorate_protocol::{Decode, Zxid};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    clock::Clock,
    core::Core,
    io_threads::IoThreads,
    log_writer::LogWriter,
    pipeline::Pipeline,
    shared::{Backlog, Shared},
    thread, ticker,
};
use crate::{
    admin::{Environment, ServerStats},
    config::Settings,
    net::{Registry, listener},
    request::{self, Preparer},
    session::{Passwords, SessionIds, Tracker},
    storage::{
        fs::{Fs, RealFs},
        log::{Log, Options, Replay},
    },
    tree::Tree,
    txn::TxnRecord,
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
        let listener = listener::bind(clients.address, clients.listen_backlog)?;
        let client_address = listener.local_addr().context("ask for the listening address")?;
        let recovered = recover(&settings)?;
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
        let preparer = Preparer::new(preparing, &recovered.tree, recovered.seed);
        let session_ids = SessionIds::new(settings.server_id, Clock::wall_ms());
        let shared = Arc::new(Shared {
            client_address,
            clock,
            tree: RwLock::new(recovered.tree),
            watches: WatchTable::new(recovered.seed),
            conns: Registry::default(),
            pipeline: Pipeline::new(Core::new(preparer, sessions, session_ids)),
            passwords: recovered.passwords,
            stats: ServerStats::default(),
            environment: Environment::collect(),
            reap_from: 0.into(),
            backlog: recovered.backlog,
            settings,
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let io_threads = IoThreads::start(shared.settings.threads)?;
        let log_writer = LogWriter::new(recovered.log);
        let threads = vec![thread::spawn("log", {
            let shared = shared.clone();
            move || log_writer.run(&shared)
        })];
        tasks.spawn(ticker::run(shared.clone(), stop.clone()));
        let (shared_, handles) = (shared.clone(), io_threads.handles());
        tasks.spawn(listener::accept(shared_, listener, handles, tasks.clone(), stop.clone()));
        info!(
            clients = %client_address,
            data = %shared.settings.storage.data_dir.display(),
            zxid = %shared.tree.read().last_zxid(),
            started_in = %humantime::format_duration(Duration::from_millis(clock.now_ms().unsigned_abs())),
            "serving"
        );
        Ok(Self { shared, stop, tasks, io_threads, threads })
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
        for thread in self.io_threads.stop().into_iter().chain(self.threads) {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
        info!("ended");
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

struct Recovered {
    tree: Tree,
    log: Log,
    seed: u64,
    passwords: Passwords,
    backlog: Backlog,
}

fn recover(settings: &Settings) -> anyhow::Result<Recovered> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let dir = settings.storage.log_dir.join("quorate").join("log");
    let options = Options { segment_bytes: settings.storage.segment_bytes };
    let seed = getrandom::u64()?;
    let mut tree = Tree::new(seed);
    let mut count = 0;
    let log = match Replay::open(fs.clone(), &dir, options, tree.last_zxid())? {
        None => Log::create(fs, &dir, options, seed, tree.last_zxid())?,
        Some(mut replay) => {
            while let Some(record) = replay.next()? {
                let record = TxnRecord::from_bytes(record.body)?;
                tree.apply(&record, &mut |_| {});
                count += 1;
            }
            replay.finish()?
        }
    };
    Ok(Recovered {
        backlog: Backlog::new(Zxid::ZERO, count),
        tree,
        log,
        seed,
        passwords: Passwords::keyed(b"x"),
    })
}
