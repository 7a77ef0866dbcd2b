//! What clients of this server ask for.

use std::sync::Arc;

use quorate_protocol::{Encode, OpCode, SessionId, frame::put_frame, record::ConnectResponse};
use tracing::{debug, info};

use super::{ClientSync, Core, Duty, Waiting, forwarded::Pending};
use crate::{
    admin::Answer,
    net::{Conn, End},
    request::{Request, frame, read},
    runtime::{
        Behind, Input,
        batch::Waits,
        clock::between_us,
        pipeline::{Arrival, Opening, Reopening},
        shared::Shared,
    },
    session::State,
    tree::Tree,
    watch::ConnId,
};

/// Clients that may wait for a leader; further ones are sent away.
const EARLY_MAX: usize = 4096;

impl Core {
    pub(super) fn accept(&mut self, shared: &Shared, tree: &Tree, wall_ms: i64, input: Input) {
        match input {
            Input::Write { conn, request, arrival } => {
                if shared.waited_too_long(request.op, arrival.at_us) {
                    let item = throttled(&request);
                    self.behind(shared, tree, Waiting { conn, item, arrival });
                } else {
                    self.write(shared, tree, wall_ms, conn, request, arrival);
                }
            }
            Input::Behind { conn, item, arrival } => {
                let item = match item {
                    Behind::Read(request) if shared.waited_too_long(request.op, arrival.at_us) => {
                        throttled(&request)
                    }
                    item => item,
                };
                self.behind(shared, tree, Waiting { conn, item, arrival });
            }
            Input::Sync { conn, request, arrival } => {
                let waiting = Waiting { conn, item: Behind::Read(request), arrival };
                self.sync(shared, tree, waiting);
            }
            Input::Open(opening) => self.open(shared, tree, wall_ms, opening),
            Input::Reopen(reopening) => self.reopen(shared, tree, reopening),
            Input::Gone(conn) => {
                let dropped = self.order.drop_connection(conn.id);
                self.done += dropped;
                shared.stats.stale_requests_dropped.add(dropped as u64);
                shared.stats.abandon(dropped as u64);
            }
            Input::Touched(sessions) => self.touched(tree, sessions),
            Input::Expire { now_ms } => {
                if self.is_serving() {
                    self.expire_local(shared, now_ms);
                }
                if !self.decides_about_sessions() {
                    return;
                }
                for session in self.sessions.expired(now_ms) {
                    info!(%session, "session expired");
                    shared.stats.stale_sessions_expired.add(1);
                    self.prepare_own(shared, tree, wall_ms, &Request::expire_session(session));
                }
            }
            Input::Reap { most } => {
                if !self.decides_about_sessions() {
                    return;
                }
                for path in shared.outdated_nodes(tree, wall_ms, most) {
                    self.prepare_own(shared, tree, wall_ms, &Request::delete_container(&path));
                }
            }
            Input::Durable(_) | Input::NoRoom(_) | Input::Ensemble(_) => {
                unreachable!("dealt with by step")
            }
        }
    }

    fn touched(&mut self, tree: &Tree, mut sessions: Vec<(SessionId, i64)>) {
        sessions.retain(|&(session, heard_ms)| !self.local.sessions.touch(session, heard_ms));
        match &mut self.duty {
            Duty::Learning(learning) => learning.touched(&sessions, tree, &self.local.upgrading),
            _ => {
                for (session, heard_ms) in sessions {
                    self.sessions.touch(session, heard_ms);
                }
            }
        }
    }

    /// Whether this server makes the transactions that nobody asks for.
    pub(super) fn decides_about_sessions(&self) -> bool {
        match &self.duty {
            Duty::Alone => true,
            Duty::Leading(leading) => !leading.is_draining(),
            Duty::Looking { .. } | Duty::ReadOnly | Duty::Learning(_) => false,
        }
    }

    fn write(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        conn: Arc<Conn>,
        mut request: Request,
        arrival: Arrival,
    ) {
        if matches!(self.duty, Duty::ReadOnly) {
            return self.refuse_read_only(shared, tree, conn, &request, arrival);
        }
        if self.is_local(request.session) && !self.is_without_leader() {
            if request.op == OpCode::CloseSession {
                return self.close_local(shared, tree, conn, &request, arrival);
            }
            self.prepare_local(shared, tree, wall_ms, &mut request);
        }
        match &mut self.duty {
            Duty::Alone => {
                self.prepare(shared, tree, wall_ms, &request, Waits::Reply(conn), arrival);
            }
            Duty::Leading(leading) if !leading.is_draining() => {
                if leading.is_here(request.session, &self.sessions) {
                    self.prepare(shared, tree, wall_ms, &request, Waits::Reply(conn), arrival);
                } else {
                    self.prepare_moved(shared, wall_ms, &request, Waits::Reply(conn), arrival);
                }
            }
            Duty::Leading(_) | Duty::Learning(_) | Duty::Looking { planned: true } => {
                self.order.push_write(conn.id);
                self.forward(Pending::Write { conn, request, arrival });
            }
            Duty::Looking { planned: false } => {
                conn.outbox.end(End::Now);
                self.abandon(shared, 1);
            }
            Duty::ReadOnly => unreachable!("refused above"),
        }
    }

    /// A client asks to see everything that was acknowledged to anybody before.
    fn sync(&mut self, shared: &Shared, tree: &Tree, waiting: Waiting) {
        match &self.duty {
            Duty::Alone => self.behind(shared, tree, waiting),
            Duty::ReadOnly => {
                let Waiting { conn, item, arrival } = waiting;
                if let Behind::Read(request) = item {
                    self.refuse_read_only(shared, tree, conn, &request, arrival);
                }
            }
            Duty::Looking { planned: false } => {
                waiting.conn.outbox.end(End::Now);
                self.abandon(shared, 1);
            }
            Duty::Leading(_) | Duty::Learning(_) | Duty::Looking { planned: true } => {
                self.order.push_sync(waiting.conn.id);
                let number = self.forwarded.number();
                self.ask_for_sync(shared, ClientSync { number, waiting });
            }
        }
    }

    /// Answers a `sync` in its turn: at once, or right behind a write of its own client that is
    /// under way.
    pub(super) fn finish_sync(&mut self, shared: &Shared, tree: &Tree, waiting: Waiting) {
        let conn = waiting.conn.id;
        if let Some(waiting) = self.order.synced(conn, waiting) {
            self.answer_waiting(shared, tree, waiting);
            self.release(shared, tree, conn);
        }
    }

    fn open(&mut self, shared: &Shared, tree: &Tree, wall_ms: i64, opening: Opening) {
        if matches!(self.duty, Duty::ReadOnly) {
            return self.open_read_only(shared, tree, &opening);
        }
        if !self.is_serving() {
            self.keep_early(Input::Open(opening));
            return;
        }
        if is_ahead(tree, &opening) {
            return;
        }
        if Self::has_local_sessions(shared) {
            return self.open_local(shared, tree, &opening);
        }
        let Opening { conn, timeout_ms, read_only, .. } = opening;
        let session = self.new_session_id(tree);
        let request = Request::create_session(session, conn.id, timeout_ms);
        match &mut self.duty {
            Duty::Learning(_) => {
                self.forward(Pending::Open { conn, request, timeout_ms, read_only });
            }
            Duty::Leading(leading) if leading.is_draining() => {
                self.forward(Pending::Open { conn, request, timeout_ms, read_only });
            }
            _ => {
                let waits = Waits::Session { conn, timeout_ms, read_only };
                let arrival = Arrival::at(shared.clock.now_us());
                self.prepare(shared, tree, wall_ms, &request, waits, arrival);
            }
        }
    }

    pub(super) fn new_session_id(&mut self, tree: &Tree) -> SessionId {
        let local = &self.local.sessions;
        self.session_ids.next(|id| tree.sessions().contains_key(&id) || local.state(id).is_some())
    }

    fn reopen(&mut self, shared: &Shared, tree: &Tree, reopening: Reopening) {
        if matches!(self.duty, Duty::ReadOnly) {
            return self.reopen_read_only(shared, tree, &reopening);
        }
        if !self.is_serving() {
            self.keep_early(Input::Reopen(reopening));
            return;
        }
        if is_ahead(tree, &reopening.opening) {
            return;
        }
        // Checked before the session's present connection is closed: whoever does not know
        // the password does no harm.
        let Reopening { opening, session, password } = &reopening;
        if !shared.passwords.verify(*session, password) {
            refuse_session(&opening.conn, opening.read_only.map(|_| false));
            return;
        }
        shared.stats.connection_revalidate_count.add(1);
        if self.reopen_local(shared, &reopening) {
            return;
        }
        match &mut self.duty {
            Duty::Learning(_) => self.revalidate(shared, reopening),
            _ if self.sessions.state(*session) == Some(State::Open) => {
                self.sessions.open(*session, opening.timeout_ms, shared.clock.now_ms());
                if let Duty::Leading(leading) = &mut self.duty {
                    leading.moved_here(*session);
                }
                let Opening { conn, timeout_ms, read_only, .. } = opening;
                self.attach(shared, conn, *session, *timeout_ms, *read_only);
            }
            _ => refuse_session(&opening.conn, opening.read_only.map(|_| false)),
        }
    }

    /// Keeps a client until there is a leader.
    fn keep_early(&mut self, input: Input) {
        if self.early.len() < EARLY_MAX {
            self.early.push(input);
        } else if let Input::Open(Opening { conn, .. })
        | Input::Reopen(Reopening { opening: Opening { conn, .. }, .. }) = input
        {
            conn.outbox.end(End::Now);
        }
    }

    /// Deals with the clients that came before there was a leader.
    pub(super) fn admit_early(&mut self, shared: &Shared, wall_ms: i64) {
        self.local.sessions.touch_all(shared.clock.now_ms());
        for input in std::mem::take(&mut self.early) {
            let tree = shared.tree.read();
            self.accept(shared, &tree, wall_ms, input);
        }
    }

    /// Keeps something behind the writes of its connection, or deals with it if there are none.
    pub(super) fn behind(&mut self, shared: &Shared, tree: &Tree, waiting: Waiting) {
        if let Some(waiting) = self.order.push_behind(waiting.conn.id, waiting) {
            self.answer_waiting(shared, tree, waiting);
        }
    }

    /// Answers what stood behind the connection's oldest write, up to its next one.
    pub(super) fn release(&mut self, shared: &Shared, tree: &Tree, conn: ConnId) {
        let mut released = std::mem::take(&mut self.released);
        released.extend(self.order.applied(conn));
        for waiting in released.drain(..) {
            self.answer_waiting(shared, tree, waiting);
        }
        self.released = released;
    }

    /// Answers something that nothing of its connection is in front of any more.
    pub(super) fn answer_waiting(&mut self, shared: &Shared, tree: &Tree, waiting: Waiting) {
        let Waiting { conn, item, arrival } = waiting;
        // The client may send the next large request as soon as it has its answer.
        drop(arrival.large);
        let mut bytes = 0;
        let to_wake = conn.outbox.append(|out| {
            let before = out.len();
            match &item {
                Behind::Reply { reply, .. } => out.extend_from_slice(reply),
                Behind::Empty { xid, code, .. } => {
                    frame::put_empty_reply(out, *xid, tree.last_zxid(), *code);
                }
                Behind::Read(request) => {
                    read::execute(tree, &shared.watches, &request.as_read(), out);
                }
            }
            bytes = out.len() - before;
            conn.answered();
        });
        self.done += 1;
        let (op, xid, end) = match &item {
            Behind::Reply { op, xid, end, .. } => (*op, *xid, *end),
            // A client that wanted to go is let go, though its session stays until it expires.
            Behind::Empty { op, xid, .. } => (*op, *xid, *op == OpCode::CloseSession),
            Behind::Read(request) => (request.op, request.xid, false),
        };
        let now_us = shared.clock.now_us();
        if bytes > 0 {
            shared.stats.tally(&conn.stats).answer(&Answer {
                op,
                xid,
                zxid: tree.last_zxid(),
                bytes,
                latency: between_us(arrival.at_us, now_us),
                at_ms: now_us / 1000,
            });
        } else {
            count_stale_reply(shared);
        }
        if to_wake {
            self.to_wake.push(conn.clone());
        }
        if end {
            conn.outbox.end(End::AfterFlush);
        }
    }

    /// Gives a connection its session and the answer to its connect record.
    pub(super) fn attach(
        &mut self,
        shared: &Shared,
        conn: &Arc<Conn>,
        session: SessionId,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) {
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: session,
            passwd: shared.passwords.of(session),
            read_only: read_only.map(|_| matches!(self.duty, Duty::ReadOnly)),
        };
        let mut bytes = 0;
        let to_wake = conn.outbox.append(|out| {
            let before = out.len();
            put_frame(out, |out| response.encode(out));
            bytes = out.len() - before;
        });
        shared.stats.tally(&conn.stats).sent(bytes);
        // A client's silence begins with its session, however long it took to get it.
        conn.heard(shared.clock.now_ms());
        // The task serves requests as soon as it sees the session: the answer comes before.
        conn.stats.attach(session, timeout_ms);
        if let Some(old) = shared.conns.attach(session, conn) {
            old.outbox.end(End::Now);
        }
        if to_wake {
            self.to_wake.push(conn.clone());
        }
    }
}

/// Whether a client has seen more than this server has, which sends it away.
///
/// Compat: `ZooKeeperServer.processConnectRequest` closes without an answer, so that the client
/// tries a server that has seen as much as it has.
pub(super) fn is_ahead(tree: &Tree, opening: &Opening) -> bool {
    let applied = tree.last_zxid();
    let is_ahead = opening.last_zxid_seen > applied;
    if is_ahead {
        debug!(seen = %opening.last_zxid_seen, %applied, "a client has seen more than this server");
        opening.conn.outbox.end(End::Now);
    }
    is_ahead
}

/// Refuses a session: no such one, ended, or not this client's. `read_only` is what is said of this
/// server, to a client that knows of such ones.
pub(super) fn refuse_session(conn: &Conn, read_only: Option<bool>) {
    let refusal = ConnectResponse::refusal(read_only);
    let _ = conn.outbox.append(|out| put_frame(out, |out| refusal.encode(out)));
    conn.outbox.end(End::AfterFlush);
}

fn throttled(request: &Request) -> Behind {
    Behind::Empty {
        op: request.op,
        xid: request.xid,
        code: quorate_protocol::ErrorCode::ThrottledOp,
    }
}

/// A request was executed whose connection is gone.
pub(super) fn count_stale_reply(shared: &Shared) {
    shared.stats.stale_replies.add(1);
    shared.stats.abandon(1);
}
