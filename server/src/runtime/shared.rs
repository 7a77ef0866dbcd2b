//! What all tasks and threads of a server share.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicI64, AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use quorate_protocol::{OpCode, Zxid};
use tokio::sync::watch;

use super::{
    backlog::Backlog,
    clock::{Clock, between_us},
    pipeline::Pipeline,
    process::Process,
    shell::Shell,
};
use crate::{
    admin::{Environment, ServerStats},
    config::Settings,
    net::{Load, Registry, TokenBucket},
    session::{Passwords, TimeoutRange},
    storage::{checkpoint::CheckpointSource, log::LogSource},
    tree::{ReapLimits, Tree},
    watch::WatchTable,
    zab::Configuration,
};

/// Containers and TTL nodes looked at in one go while the tree is locked.
const REAP_LOOK_AT: usize = 10_000;

/// A running server, as its parts see it.
pub struct Shared {
    /// What it was told to do.
    pub settings: Settings,
    /// Where clients connect to.
    pub client_address: RwLock<SocketAddr>,
    /// Its time.
    pub clock: Clock,
    /// The process it runs in.
    pub process: Box<dyn Process>,
    /// The replicated state. Written to by the pipeline, for a bounded number of transactions at a
    /// time, and by the checkpointer, for a bounded number of slots.
    pub tree: RwLock<Tree>,
    /// Who wants to know of changes.
    pub watches: WatchTable,
    /// The clients.
    pub conns: Registry,
    /// The work they have in progress.
    pub load: Arc<Load>,
    /// What new ones pay with, where their number is bounded.
    pub throttle: Option<Mutex<TokenBucket>>,
    /// The path of writes.
    pub pipeline: Pipeline,
    /// What proves that a session is a client's own.
    pub passwords: Passwords,
    /// Its own numbers.
    pub stats: ServerStats,
    /// Where it runs.
    pub environment: Environment,
    /// Where the next look for outdated nodes begins.
    pub reap_from: AtomicU32,
    /// How far the log has outgrown the checkpoint.
    pub backlog: Backlog,
    /// Reads the log that is being written.
    pub log_source: LogSource,
    /// Reads the newest checkpoint.
    pub checkpoints: CheckpointSource,
    /// See [`Tree::new`].
    pub tree_seed: u64,
    /// What it does.
    pub duty: watch::Sender<Duty>,
    /// The servers of the ensemble, for operators.
    pub configuration: RwLock<Option<Configuration>>,
    /// Up to where the log may be streamed to learners.
    pub streamable: AtomicI64,
    /// What the core has done by others; set right after the start, in an ensemble.
    pub shell: OnceLock<Box<dyn Shell>>,
}

/// What a server does, for everybody to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// It is alone.
    Alone,
    /// It has no leader and serves nobody.
    Looking,
    /// It has no leader, and serves clients that only read.
    ReadOnly,
    /// It changes its leader and keeps its clients.
    Waiting,
    /// It leads.
    Leading,
    /// It follows a leader.
    Following,
    /// It observes a leader.
    Observing,
}

impl Shared {
    /// What the server does.
    pub fn duty(&self) -> Duty {
        *self.duty.borrow()
    }

    pub(super) fn set_duty(&self, duty: Duty) {
        self.duty.send_replace(duty);
    }

    /// Waits until what the server does is so. Cancel safe.
    pub(super) async fn duty_becomes(&self, is_so: impl Fn(Duty) -> bool) {
        let mut duty = self.duty.subscribe();
        let _ = duty.wait_for(|duty| is_so(*duty)).await;
    }

    /// Up to where the log may be streamed to learners: what is committed and durable.
    pub(super) fn streamable(&self) -> Zxid {
        Zxid(self.streamable.load(Acquire))
    }

    pub(super) fn set_streamable(&self, zxid: Zxid) {
        self.streamable.store(zxid.0, Release);
    }

    /// What the core has done by others.
    ///
    /// # Panics
    /// In a server alone, which needs nothing done, and before the shell is there.
    pub(super) fn shell(&self) -> &dyn Shell {
        &**self.shell.get().expect("the shell is set before the first input")
    }

    /// Milliseconds of a tick.
    pub(super) fn tick_ms(&self) -> i64 {
        i64::try_from(self.settings.sessions.tick.as_millis()).unwrap_or(i64::MAX)
    }

    /// Which session timeouts are granted.
    pub fn session_timeouts(&self) -> TimeoutRange {
        let ms = |limit: Duration| i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        let sessions = &self.settings.sessions;
        TimeoutRange { min_ms: ms(sessions.min_timeout), max_ms: ms(sessions.max_timeout) }
    }

    /// Whether a request that came then has waited so long that it is to be refused instead of
    /// executed (`throttled_op_wait_time`): its client has probably given up.
    ///
    /// Compat: ZooKeeper executes pings and ends of sessions however late.
    pub fn waited_too_long(&self, op: OpCode, arrived_us: i64) -> bool {
        let Some(most) = self.settings.limits.throttled_op_wait else { return false };
        if matches!(op, OpCode::Ping | OpCode::CloseSession) {
            return false;
        }
        let waited = between_us(arrived_us, self.clock.now_us());
        let late = waited > most;
        if late {
            self.stats.throttled_ops.add(1);
        }
        late
    }

    /// Paths of containers and TTL nodes whose time has come, `most` of them at most. Goes on
    /// where the last call ended.
    pub fn outdated_nodes(&self, tree: &Tree, wall_ms: i64, most: usize) -> Vec<String> {
        let Some(settings) = &self.settings.containers else { return Vec::new() };
        let never_used = settings.max_never_used.unwrap_or_default().as_millis();
        let limits = ReapLimits {
            look_at: REAP_LOOK_AT,
            find: most,
            never_used_ms: i64::try_from(never_used).unwrap_or(i64::MAX),
        };
        let from = self.reap_from.load(Relaxed);
        let found = tree.expired_containers(from, wall_ms, &limits);
        self.reap_from.store(found.next.unwrap_or(0), Relaxed);
        found.paths
    }
}
