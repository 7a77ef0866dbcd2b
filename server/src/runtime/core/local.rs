//! Local sessions: known to this server alone, begun and ended without a transaction.
//!
//! A local session writes like any other, but owns no node: the first request to create an
//! ephemeral one makes it known to all servers, by a transaction in front of that request. From then
//! on it is a session like any other. Wherever else its client turns to with a local session, it has
//! expired. The sessions outlive a change of leader, and end with the server's process.

use std::{collections::BTreeMap, sync::Arc};

use quorate_protocol::{ErrorCode, OpCode, SessionId};
use tracing::info;

use super::{Core, Duty, Waiting, forwarded::Pending};
use crate::{
    config::LocalSessions,
    net::{Conn, End},
    request::{Request, makes_ephemeral},
    runtime::{
        Behind,
        pipeline::{Arrival, Opening, Reopening},
        shared::Shared,
    },
    session::{State, Tracker},
    tree::Tree,
    watch::ConnId,
};

/// The sessions known to this server alone.
pub(super) struct Local {
    pub(super) sessions: Tracker,
    /// Sessions that are being made known to all servers, with their timeouts.
    pub(super) upgrading: BTreeMap<SessionId, i32>,
}

impl Local {
    pub(super) fn new(tick_ms: i64) -> Self {
        Self { sessions: Tracker::new(tick_ms), upgrading: BTreeMap::new() }
    }

    /// A transaction has opened the session at all servers.
    pub(super) fn became_global(&mut self, session: SessionId) {
        self.sessions.remove(session);
        self.upgrading.remove(&session);
    }
}

impl Core {
    /// The sessions of this server alone, and when they expire.
    pub fn local_sessions(&self) -> &Tracker {
        &self.local.sessions
    }

    pub(super) fn is_local(&self, session: SessionId) -> bool {
        self.local.sessions.state(session) == Some(State::Open)
    }

    /// Gives a client a new session that no other server hears of.
    pub(super) fn open_local(&mut self, shared: &Shared, tree: &Tree, opening: &Opening) {
        let Opening { conn, timeout_ms, read_only, .. } = opening;
        let session = self.new_session_id(tree);
        self.local.sessions.open(session, *timeout_ms, shared.clock.now_ms());
        self.attach(shared, conn, session, *timeout_ms, *read_only);
    }

    /// Lets a client go on with a local session; false if it has none.
    pub(super) fn reopen_local(&mut self, shared: &Shared, reopening: &Reopening) -> bool {
        let Reopening { opening: Opening { conn, timeout_ms, read_only, .. }, session, .. } =
            reopening;
        if !self.is_local(*session) {
            return false;
        }
        self.local.sessions.open(*session, *timeout_ms, shared.clock.now_ms());
        self.attach(shared, conn, *session, *timeout_ms, *read_only);
        true
    }

    /// Ends the local sessions that were not heard of for too long.
    pub(super) fn expire_local(&mut self, shared: &Shared, now_ms: i64) {
        for session in self.local.sessions.expired(now_ms) {
            info!(%session, "local session expired");
            shared.stats.stale_sessions_expired.add(1);
            self.local.sessions.remove(session);
            if let Some(conn) = shared.conns.of_session(session) {
                conn.outbox.end(End::AfterFlush);
            }
        }
    }

    /// A client ends its local session: that is said behind what it asked for before.
    pub(super) fn close_local(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        conn: Arc<Conn>,
        request: &Request,
        arrival: Arrival,
    ) {
        self.local.sessions.remove(request.session);
        let item = Behind::Empty { op: request.op, xid: request.xid, code: ErrorCode::Ok };
        self.behind(shared, tree, Waiting { conn, item, arrival });
    }

    /// Makes a local session ready for a write of its client: known to all servers if the write
    /// needs that and it may be; else the request says that it is local.
    pub(super) fn prepare_local(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        request: &mut Request,
    ) {
        let upgrading =
            matches!(shared.settings.sessions.local, Some(LocalSessions { upgrading: true }));
        if upgrading && makes_ephemeral(request.op, &request.body) {
            self.upgrade(shared, tree, wall_ms, request.session);
        } else {
            request.is_local = true;
        }
    }

    /// Makes a local session known to all servers.
    fn upgrade(&mut self, shared: &Shared, tree: &Tree, wall_ms: i64, session: SessionId) {
        let Some(timeout_ms) = self.local.sessions.timeout_ms(session) else { return };
        info!(%session, "a local session becomes one of all servers");
        self.local.sessions.remove(session);
        self.local.upgrading.insert(session, timeout_ms);
        let request = Request::create_session(session, ConnId::NONE, timeout_ms);
        match &self.duty {
            Duty::Leading(leading) if !leading.is_draining() => {
                self.propose_upgrade(shared, tree, wall_ms, &request, timeout_ms);
            }
            _ => self.forward(Pending::Upgrade { request, timeout_ms }),
        }
    }

    /// A leader makes a local session of its own known to all servers.
    pub(super) fn propose_upgrade(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        request: &Request,
        timeout_ms: i32,
    ) {
        // The session is used before its transaction is applied.
        self.sessions.open(request.session, timeout_ms, shared.clock.now_ms());
        if let Duty::Leading(leading) = &mut self.duty {
            leading.moved_here(request.session);
        }
        self.prepare_own(shared, tree, wall_ms, request);
    }

    /// Whether new sessions are local ones.
    pub(super) fn has_local_sessions(shared: &Shared) -> bool {
        shared.settings.sessions.local.is_some()
    }
}

/// Whether a refused write was refused because its session is a local one. The leader knows nothing
/// of local sessions of others, and says that it has expired.
///
/// Compat: in a multi, ZooKeeper's followers pass on what the leader said.
pub(super) fn owns_nothing(request: &Request) -> bool {
    request.is_local
        && matches!(request.op, OpCode::Create | OpCode::Create2 | OpCode::Multi)
        && makes_ephemeral(request.op, &request.body)
}
