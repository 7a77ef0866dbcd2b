//! Everything of a server but its tasks, threads and sockets.
//!
//! [`Server`](super::Server) puts those around it; a simulation drives it by hand.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{
    backlog::Backlog,
    checkpointer::{Checkpointer, Mailbox},
    clock::Clock,
    core::{Beginning, Core, Membership},
    data::{self, Data},
    log_writer::LogWriter,
    pipeline::{Input, Pipeline},
    process::Process,
    shared::{Duty, Shared},
    shell::Shell,
};
use crate::{
    admin::{Environment, ServerStats},
    config::{EnsembleSettings, Settings},
    net::{Load, Registry, TokenBucket},
    request::{self, Preparer},
    session::{SessionIds, Tracker},
    storage::{
        fs::{Fs, Lock},
        recovery::Recovered,
    },
    tree::CONFIG,
    watch::WatchTable,
    zab::{self, Configs, History, Zab},
};

/// What a node is put into.
pub struct Surroundings {
    /// The files.
    pub fs: Arc<dyn Fs>,
    /// The time.
    pub clock: Clock,
    /// The process.
    pub process: Box<dyn Process>,
    /// How long a sync may take on average so that a lone write is logged by whoever prepared it
    /// instead of the log's thread; never if there is no such time.
    pub fast_sync: Option<Duration>,
    /// Bytes kept back for the case that the disk is full.
    pub reserve_bytes: u64,
    /// Random bytes: for the id of a new log, for hash tables, for a new secret.
    pub random: [u8; 48],
    /// Where clients connect to.
    pub client_address: SocketAddr,
    /// What is known of the machine.
    pub environment: Environment,
}

/// A server without tasks and threads.
pub struct Node {
    /// What its parts share.
    pub shared: Arc<Shared>,
    /// Keeps the checkpoint current.
    pub checkpointer: Checkpointer,
    /// What the checkpointer is told.
    pub mailbox: Arc<Mailbox>,
    /// Keeps other servers out of the data folders.
    pub locks: Vec<Box<dyn Lock>>,
}

impl Node {
    /// Recovers the data. Nothing happens before [`Self::begin`].
    ///
    /// # Errors
    /// When the data cannot be used; the message says what to do.
    pub fn open(settings: Settings, surroundings: Surroundings) -> anyhow::Result<Self> {
        let Surroundings {
            fs,
            clock,
            process,
            fast_sync,
            reserve_bytes,
            random,
            client_address,
            environment,
        } = surroundings;
        let opened = data::open(&settings, fs, &random, reserve_bytes)?;
        let Data { recovered, reserve, passwords, seed } = opened;
        let stats = ServerStats::default();
        stats.dbinittime.record_time(clock.elapsed());
        stats.startup_txns_loaded.record(recovered.report.replayed);
        let (applied, durable) = (recovered.tree.last_zxid(), recovered.log.last_zxid());
        let mut sessions = Tracker::new(millis(settings.sessions.tick));
        for (&session, &timeout_ms) in recovered.tree.sessions() {
            sessions.open(session, timeout_ms, clock.now_ms());
        }
        let preparing = request::Settings {
            schemes: settings.auth.clone(),
            extended_types: settings.tree.extended_types,
            enforce_quota: settings.tree.enforce_quota,
            reconfig: settings.tree.reconfig,
            in_ensemble: settings.ensemble.is_some(),
            local_sessions_of: settings.sessions.local.map(|_| settings.server_id),
        };
        let preparer = Preparer::new(preparing, &recovered.tree, seed);
        let session_ids = SessionIds::new(settings.server_id, clock.wall_ms());
        let member = |ensemble: &EnsembleSettings| {
            let promises = recovered.log.promises();
            let history = History::new(
                promises.accepted_epoch,
                promises.current_epoch,
                recovered.log.epochs().clone(),
                applied,
                configs(ensemble, &recovered, settings.tree.reconfig)?,
            )
            .with_loss(promises.incomplete);
            let zab = Zab::new(zab_settings(ensemble), history);
            anyhow::Ok(Membership { zab })
        };
        let membership = settings.ensemble.as_ref().map(member).transpose()?;
        let configs = membership.as_ref().map(|membership| membership.zab.configs());
        let configuration = configs.map(|configs| configs.in_force().clone());
        let duty = if membership.is_some() { Duty::Looking } else { Duty::Alone };
        let tick_ms = millis(settings.sessions.tick);
        let beginning = Beginning { preparer, sessions, tick_ms, session_ids, applied, durable };
        let shared = Arc::new(Shared {
            client_address: RwLock::new(client_address),
            tree: RwLock::new(recovered.tree),
            watches: WatchTable::new(seed),
            conns: Registry::default(),
            load: Arc::new(Load::new(settings.limits.clone())),
            throttle: settings
                .connection_throttle
                .clone()
                .map(|throttle| Mutex::new(TokenBucket::new(throttle, clock.now_ms()))),
            log_source: recovered.log.source(),
            checkpoints: recovered.checkpoint.source(),
            pipeline: Pipeline::new(
                Core::new(beginning, membership),
                LogWriter::new(recovered.log, fast_sync),
            ),
            passwords,
            stats,
            environment,
            reap_from: 0.into(),
            backlog: Backlog::new(recovered.report.checkpoint_zxid, recovered.report.replayed),
            tree_seed: seed,
            duty: watch::Sender::new(duty),
            configuration: RwLock::new(configuration),
            streamable: applied.0.into(),
            shell: std::sync::OnceLock::new(),
            clock,
            process,
            settings,
        });
        let mailbox = Arc::<Mailbox>::default();
        let checkpointer =
            Checkpointer::new(shared.clone(), recovered.checkpoint, reserve, mailbox.clone());
        Ok(Self { shared, checkpointer, mailbox, locks: recovered.locks })
    }

    /// Lets the core use what does its work; in an ensemble, before the first input.
    ///
    /// # Panics
    /// When it was called before.
    pub fn begin(&self, shell: Box<dyn Shell>) {
        assert!(self.shared.shell.set(shell).is_ok(), "a node begins once");
    }
}

/// What ZAB needs of the settings.
fn zab_settings(ensemble: &EnsembleSettings) -> zab::Settings {
    zab::Settings {
        server: ensemble.me,
        tick_ms: millis(ensemble.tick),
        init_limit: ensemble.init_limit.into(),
        sync_limit: ensemble.sync_limit.into(),
        roll_over: zab::Settings::ROLL_OVER,
        observer_masters: ensemble.observer_master_port.is_some(),
    }
}

/// The newest configuration that the files, the tree and the log know, and one that is in the log
/// and perhaps not committed.
fn configs(
    ensemble: &EnsembleSettings,
    recovered: &Recovered,
    can_change: bool,
) -> anyhow::Result<Configs> {
    let mut configs = Configs::new(ensemble.configuration.clone(), can_change);
    if !can_change {
        return Ok(configs);
    }
    let noted = &recovered.log.promises().configuration;
    if !noted.is_empty() && !configs.recover(noted) {
        anyhow::bail!("the log notes a configuration of the ensemble that cannot be read");
    }
    if let Some(node) = recovered.tree.get(CONFIG) {
        configs.recover_applied(node.data().unwrap_or_default());
    }
    let mut reader = recovered.log.source().open(recovered.tree.last_zxid())?;
    while let Some((_, txn)) = reader.next(recovered.log.last_zxid())? {
        configs.recover_logged(txn);
    }
    Ok(configs)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Shared {
    /// Gives the node something to do, and does it.
    pub fn submit(&self, input: Input) {
        self.pipeline.submit_one(self, input);
    }
}
