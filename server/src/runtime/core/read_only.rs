//! The read-only mode: reads, for clients that allow it, while there is no quorum.
//!
//! A server that has looked for a leader for a while begins to serve what it has. It ends that, and
//! all its connections, as soon as it knows whom to follow or that it is to lead. Nothing that
//! clients ask for meanwhile reaches the log.

use std::sync::Arc;

use quorate_protocol::{Encode, ErrorCode, OpCode, Xid, frame::put_frame, record::ReplyHeader};
use tracing::{debug, info};

use super::{
    Core, Duty, Waiting,
    clients::{is_ahead, refuse_session},
};
use crate::{
    net::{Conn, End},
    request::Request,
    runtime::{
        Behind,
        pipeline::{Arrival, Opening, Reopening},
        shared::Shared,
    },
    tree::Tree,
};

impl Core {
    /// What is due when the election may have begun or ended, or time has passed.
    ///
    /// Compat: `QuorumPeer` counts the time anew whenever an election begins.
    pub(super) fn look_at_election(&mut self, shared: &Shared, wall_ms: i64) {
        let Some(ensemble) = &self.ensemble else { return };
        let grace = shared.settings.ensemble.as_ref().and_then(|all| all.read_only_after);
        let Some(grace) = grace else { return };
        if ensemble.zab.leader().is_some() {
            self.electing_since_ms = None;
            self.end_read_only(shared);
            return;
        }
        let now_ms = shared.clock.now_ms();
        let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        let since_ms = *self.electing_since_ms.get_or_insert_with(|| {
            shared.shell().wake_at(now_ms.saturating_add(grace_ms));
            now_ms
        });
        if self.is_without_leader() && now_ms - since_ms >= grace_ms {
            info!("no quorum was found: serving clients that are content with reading");
            self.duty = Duty::ReadOnly;
            self.show_duty(shared);
            self.admit_early(shared, wall_ms);
        }
    }

    /// Ends the mode, and the connections of its clients.
    pub(super) fn end_read_only(&mut self, shared: &Shared) {
        if matches!(self.duty, Duty::ReadOnly) {
            info!("a quorum was found: no longer read-only");
            self.send_clients_away(shared);
            self.show_duty(shared);
        }
    }

    /// A client asks for a new session.
    ///
    /// Compat: without local sessions there can be none, which `ReadOnlyRequestProcessor` says by
    /// the header of a reply in the place of the connect response.
    pub(super) fn open_read_only(&mut self, shared: &Shared, tree: &Tree, opening: &Opening) {
        if sends_away(tree, opening) {
            return;
        }
        if Self::has_local_sessions(shared) {
            return self.open_local(shared, tree, opening);
        }
        let header = ReplyHeader {
            xid: Xid(0),
            zxid: tree.last_zxid(),
            error: ErrorCode::NotReadOnly.wire(),
        };
        let _ = opening.conn.outbox.append(|out| put_frame(out, |out| header.encode(out)));
        opening.conn.outbox.end(End::AfterFlush);
    }

    /// A client comes back with its session.
    ///
    /// Compat: `ReadOnlyZooKeeperServer.validateSession` closes on a session that is known: it is
    /// not this server's to say that it lives. Of a session that is not known, one that has local
    /// sessions says that it has expired; one that has none lets the client go on.
    pub(super) fn reopen_read_only(&mut self, shared: &Shared, tree: &Tree, reopening: &Reopening) {
        let Reopening { opening, session, password } = reopening;
        if sends_away(tree, opening) {
            return;
        }
        let Opening { conn, timeout_ms, read_only, .. } = opening;
        if tree.sessions().contains_key(session) {
            debug!(%session, "a client of a session of all servers, which a read-only one cannot renew");
            conn.outbox.end(End::Now);
        } else if !shared.passwords.verify(*session, password) {
            refuse_session(conn, Some(true));
        } else if !self.reopen_local(shared, reopening) {
            if Self::has_local_sessions(shared) {
                refuse_session(conn, Some(true));
            } else {
                self.attach(shared, conn, *session, *timeout_ms, *read_only);
            }
        }
    }

    /// A client asks for what takes a leader.
    pub(super) fn refuse_read_only(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        conn: Arc<Conn>,
        request: &Request,
        arrival: Arrival,
    ) {
        if request.op == OpCode::CloseSession && self.is_local(request.session) {
            return self.close_local(shared, tree, conn, request, arrival);
        }
        let code = ErrorCode::NotReadOnly;
        let item = Behind::Empty { op: request.op, xid: request.xid, code };
        self.behind(shared, tree, Waiting { conn, item, arrival });
    }
}

/// Whether a client is sent away, as it wants more than reading or has seen more than is here.
fn sends_away(tree: &Tree, opening: &Opening) -> bool {
    if opening.read_only != Some(true) {
        debug!(conn = opening.conn.id.0, "a client that is not content with reading");
        opening.conn.outbox.end(End::Now);
        return true;
    }
    is_ahead(tree, opening)
}
