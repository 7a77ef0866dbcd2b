//! What four-letter words need to know of a running server.
//!
//! The runtime implements [`AdminView`] over what it owns. Every question is asked only by the
//! words that show its answer, so a costly one costs nothing until somebody asks.

use std::net::SocketAddr;

use quorate_protocol::{SessionId, Zxid};

use super::connection::ConnectionNumbers;
use super::environment::Environment;
use super::stats::ServerStats;
use crate::config::Settings;
use crate::zab::{Configuration, ServerId};

/// A running server, as an operator may look at it. All times are in milliseconds.
pub trait AdminView {
    /// What the server does; `None` while it does not serve clients.
    fn mode(&self) -> Option<Mode>;

    /// Its settings.
    fn settings(&self) -> &Settings;

    /// The servers of its ensemble, as they are now.
    fn configuration(&self) -> Option<Configuration>;

    /// Its own numbers.
    fn stats(&self) -> &ServerStats;

    /// Where it runs, as found at its start.
    fn environment(&self) -> &Environment;

    /// Milliseconds since its start.
    fn uptime_ms(&self) -> u64;

    /// The port clients connect to, which is the one bound if any free one was asked for.
    fn client_port(&self) -> u16;

    /// The last applied transaction.
    fn last_zxid(&self) -> Zxid;

    /// Sizes of the tree.
    fn tree(&self) -> TreeNumbers;

    /// How many watches there are.
    fn watches(&self) -> WatchNumbers;

    /// How many sessions there are that all servers know.
    fn session_count(&self) -> usize;

    /// How many sessions only this server knows.
    fn local_session_count(&self) -> usize;

    /// Every open connection, this one included.
    fn connections(&self) -> Vec<ConnectionNumbers>;

    /// How many connections are open.
    fn connection_count(&self) -> usize;

    /// Sets the statistics of every connection to zero.
    fn reset_connection_stats(&self);

    /// The paths that sessions watch. A path once for each session, whatever the kind of watch.
    fn watched_by_session(&self) -> Vec<(SessionId, Vec<String>)>;

    /// The sessions that watch a path.
    fn watched_by_path(&self) -> Vec<(String, Vec<SessionId>)>;

    /// Sessions by the time at which they expire unless heard of, since 1970, ascending.
    fn session_expiries(&self) -> Vec<(i64, Vec<SessionId>)>;

    /// The same for the sessions that only this server knows; `None` when it has no such ones.
    fn local_session_expiries(&self) -> Option<Vec<(i64, Vec<SessionId>)>>;

    /// Connections by the time at which they are closed unless heard of, since 1970, ascending.
    fn connection_expiries(&self) -> Vec<(i64, Vec<(SocketAddr, SessionId)>)>;

    /// Every session with its timeout, by its id. A server that learns from a leader is asked this
    /// instead of [`Self::session_expiries`], which only the leader knows.
    fn session_timeouts(&self) -> Vec<(SessionId, i32)>;

    /// The ephemeral nodes of each session that has some.
    fn ephemerals(&self) -> Vec<(SessionId, Vec<String>)>;

    /// The tree's digests at some of the last zxids, ascending.
    fn digests(&self) -> Vec<(Zxid, u64)>;

    /// Bytes on disk.
    fn folder_sizes(&self) -> FolderSizes;

    /// Files the process has open, and how many it may.
    fn open_files(&self) -> OpenFiles;

    /// Asks the server to leave the lead to another one, as before its end. `false` if it does not
    /// lead.
    fn hand_over(&self) -> bool;
}

/// What a server that serves clients is to its ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is alone.
    Standalone,
    /// It leads.
    Leader(LeaderNumbers),
    /// It follows a leader, and votes.
    Follower {
        /// Whom it follows.
        leader: ServerId,
        /// Synchronized observers that learn from it, if there may be such ones.
        observers: Option<usize>,
    },
    /// It follows a leader, and does not vote.
    Observer {
        /// Whom it follows.
        leader: ServerId,
    },
    /// It has no leader, and serves clients that only read.
    ReadOnly,
}

impl Mode {
    /// Its name in `srvr` and `mntr`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Leader(_) => "leader",
            Self::Follower { .. } => "follower",
            Self::Observer { .. } => "observer",
            Self::ReadOnly => "read-only",
        }
    }
}

/// What a leader knows of those who learn from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaderNumbers {
    /// Milliseconds since its epoch was established.
    pub uptime_ms: u64,
    /// Links of learners, synchronized or not.
    pub learners: usize,
    /// Synchronized learners that vote.
    pub synced_followers: usize,
    /// Synchronized learners that came as followers and have no vote.
    pub synced_non_voting_followers: usize,
    /// Synchronized observers.
    pub synced_observers: usize,
    /// `sync` requests that wait for their answer.
    pub pending_syncs: usize,
}

/// Sizes of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeNumbers {
    /// Nodes, the server's own included.
    pub nodes: usize,
    /// Bytes of all paths and data.
    pub data_bytes: u64,
    /// Ephemeral nodes.
    pub ephemerals: usize,
}

/// How many watches there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchNumbers {
    /// Connections that have some.
    pub connections: usize,
    /// Paths that are watched.
    pub paths: usize,
    /// Watches.
    pub watches: usize,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FolderSizes {
    /// In the folder for data.
    pub data: u64,
    /// In the folder for the log.
    pub log: u64,
}

/// Files the process has open, and how many it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenFiles {
    /// Open now.
    pub open: u64,
    /// The limit.
    pub limit: u64,
}
