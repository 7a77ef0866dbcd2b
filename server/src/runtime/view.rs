//! The running server as operators look at it.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use quorate_protocol::{SessionId, Zxid};
use rustix::process::{Resource, getrlimit};

use super::{
    core::{Core, Event},
    pipeline::Input,
    shared::{Duty, Shared},
};
use crate::{
    admin::{
        AdminView, ConnectionNumbers, Environment, FolderSizes, Mode, OpenFiles, ServerStats,
        TreeNumbers, WatchNumbers,
    },
    config::Settings,
    session::Tracker,
    watch::ConnId,
    zab::Configuration,
};

impl AdminView for Shared {
    fn mode(&self) -> Option<Mode> {
        if self.duty() == Duty::Alone {
            return Some(Mode::Standalone);
        }
        self.pipeline.with_core(self, |core| core.mode(self.clock.now_ms()))
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn configuration(&self) -> Option<Configuration> {
        self.configuration.read().clone()
    }

    fn stats(&self) -> &ServerStats {
        &self.stats
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn uptime_ms(&self) -> u64 {
        self.clock.now_ms().unsigned_abs()
    }

    fn client_port(&self) -> u16 {
        self.client_address.read().port()
    }

    fn last_zxid(&self) -> Zxid {
        self.tree.read().last_zxid()
    }

    fn tree(&self) -> TreeNumbers {
        let tree = self.tree.read();
        TreeNumbers {
            nodes: tree.node_count(),
            data_bytes: tree.data_size(),
            ephemerals: tree.ephemeral_count(),
        }
    }

    fn watches(&self) -> WatchNumbers {
        let data = self.watches.summary();
        WatchNumbers {
            connections: data.connections,
            paths: data.paths,
            watches: self.watches.count(),
        }
    }

    fn session_count(&self) -> usize {
        self.tree.read().sessions().len()
    }

    fn local_session_count(&self) -> usize {
        self.pipeline.with_core(self, |core| core.local_sessions().len())
    }

    fn connections(&self) -> Vec<ConnectionNumbers> {
        self.conns.all().iter().map(|conn| conn.stats.numbers()).collect()
    }

    fn connection_count(&self) -> usize {
        self.conns.len()
    }

    fn reset_connection_stats(&self) {
        self.conns.all().iter().for_each(|conn| conn.stats.reset());
    }

    fn watched_by_session(&self) -> Vec<(SessionId, Vec<String>)> {
        let mut by_session: BTreeMap<SessionId, Vec<String>> = BTreeMap::new();
        for (conn, paths) in self.watches.by_connection() {
            if let Some(session) = self.session_of(conn) {
                let paths = paths.iter().map(ToString::to_string);
                by_session.entry(session).or_default().extend(paths);
            }
        }
        by_session.into_iter().collect()
    }

    fn watched_by_path(&self) -> Vec<(String, Vec<SessionId>)> {
        let sessions =
            |conns: Vec<ConnId>| conns.into_iter().filter_map(|conn| self.session_of(conn));
        let by_path = self.watches.by_path().into_iter();
        by_path.map(|(path, conns)| (path.to_string(), sessions(conns).collect())).collect()
    }

    fn session_expiries(&self) -> Vec<(i64, Vec<SessionId>)> {
        self.expiries(Core::sessions)
    }

    fn local_session_expiries(&self) -> Option<Vec<(i64, Vec<SessionId>)>> {
        self.settings.sessions.local.map(|_| self.expiries(Core::local_sessions))
    }

    fn connection_expiries(&self) -> Vec<(i64, Vec<(SocketAddr, SessionId)>)> {
        let to_wall = self.clock.wall_ms() - self.clock.now_ms();
        let mut expiries: BTreeMap<i64, Vec<_>> = BTreeMap::new();
        for conn in self.conns.all() {
            let at = to_wall + conn.last_heard_ms() + i64::from(conn.stats.timeout_ms());
            expiries.entry(at).or_default().push((conn.stats.remote, conn.stats.session()));
        }
        expiries.into_iter().collect()
    }

    fn session_timeouts(&self) -> Vec<(SessionId, i32)> {
        self.tree.read().sessions().iter().map(|(&session, &timeout)| (session, timeout)).collect()
    }

    fn ephemerals(&self) -> Vec<(SessionId, Vec<String>)> {
        let tree = self.tree.read();
        tree.ephemeral_owners().map(|owner| (owner, tree.ephemerals(owner))).collect()
    }

    fn digests(&self) -> Vec<(Zxid, u64)> {
        let tree = self.tree.read();
        vec![(tree.last_zxid(), tree.digest())]
    }

    fn folder_sizes(&self) -> FolderSizes {
        let storage = &self.settings.storage;
        FolderSizes {
            data: size_of_folder(&storage.data_dir),
            log: size_of_folder(&storage.log_dir),
        }
    }

    fn open_files(&self) -> OpenFiles {
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        OpenFiles { open: open as u64, limit }
    }

    fn hand_over(&self) -> bool {
        let leads = self.duty() == Duty::Leading;
        if leads {
            self.submit(Input::Ensemble(Event::HandOver { ends: false }));
        }
        leads
    }
}

impl Shared {
    /// Sessions by the time at which they expire, since 1970.
    fn expiries(&self, of: impl Fn(&Core) -> &Tracker) -> Vec<(i64, Vec<SessionId>)> {
        let to_wall = self.clock.wall_ms() - self.clock.now_ms();
        self.pipeline.with_core(self, |core| {
            let buckets = of(core).listing().into_iter();
            let ids = |sessions: Vec<(SessionId, i32)>| sessions.into_iter().map(|(id, _)| id);
            buckets.map(|(at, sessions)| (to_wall + at, ids(sessions).collect())).collect()
        })
    }

    fn session_of(&self, conn: ConnId) -> Option<SessionId> {
        self.conns.get(conn).and_then(|conn| conn.session())
    }
}

/// Bytes of all files below a folder; what cannot be read counts nothing.
fn size_of_folder(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of_folder(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
