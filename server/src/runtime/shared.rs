//! What all tasks and threads of a server share.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use parking_lot::RwLock;

use super::{backlog::Backlog, clock::Clock, pipeline::Pipeline};
use crate::{
    admin::{Environment, ServerStats},
    config::Settings,
    net::Registry,
    session::{Passwords, TimeoutRange},
    tree::{ReapLimits, Tree},
    watch::WatchTable,
};

/// Containers and TTL nodes looked at in one go while the tree is locked.
const REAP_LOOK_AT: usize = 10_000;

/// A running server, as its parts see it.
pub struct Shared {
    /// What it was told to do.
    pub settings: Settings,
    /// Where clients connect to.
    pub client_address: SocketAddr,
    /// Its time.
    pub clock: Clock,
    /// The replicated state. Written to by the pipeline, for a bounded number of transactions at a
    /// time, and by the checkpointer, for a bounded number of slots.
    pub tree: RwLock<Tree>,
    /// Who wants to know of changes.
    pub watches: WatchTable,
    /// The clients.
    pub conns: Registry,
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
}

impl Shared {
    /// Which session timeouts are granted.
    pub fn session_timeouts(&self) -> TimeoutRange {
        let ms = |limit: std::time::Duration| i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        let sessions = &self.settings.sessions;
        TimeoutRange { min_ms: ms(sessions.min_timeout), max_ms: ms(sessions.max_timeout) }
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
