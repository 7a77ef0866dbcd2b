//! What the pipeline decides, one step at a time.
//!
//! The core owns the state that decides about writes and sessions (preparation, order, expiry) and
//! uses the shared tree, watches and outboxes. It does no I/O; the pipeline drives it under its
//! lock, so steps never overlap.

use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::RwLockReadGuard;
use quorate_protocol::{
    Decode, Encode, ErrorCode, OpCode, Perms, SessionId, Zxid, frame::put_frame,
    record::ConnectResponse,
};
use tracing::{error, info, warn};

use super::{
    batch::{Entry, LoggedBatch, Teller, Waits},
    clock::between_us,
    pipeline::{Arrival, Behind, Input},
    shared::Shared,
};
use crate::{
    admin::Answer,
    auth,
    net::{Conn, End},
    request::{Order, Prepared, Preparer, Request, frame, read, reply},
    session::{SessionIds, State, Tracker},
    tree::{DigestMismatch, NodeKind, OpOutcome, Tree},
    txn::{Txn, TxnRecord},
    watch::{Change, ConnId},
};

/// Transactions applied under one write lock on the tree: readers wait that long at most.
const APPLY_CHUNK: usize = 128;

/// Time between two warnings of exceeded soft quotas.
const QUOTA_WARNING_MS: i64 = 1000;

/// Connections whose answers the pipeline sends itself.
const SEND_MAX: usize = 2;

/// The state that decides; see the module.
pub struct Core {
    preparer: Preparer,
    order: Order<Waiting>,
    sessions: Tracker,
    session_ids: SessionIds,
    /// Transactions prepared since the last batch was handed to the log writer.
    pub building: LoggedBatch,
    /// Batches given to be logged that have not come back.
    pub under_way: usize,
    /// A batch was refused, and those behind it are still to come back: what is being built will
    /// be refused, too.
    pub is_void: bool,
    /// Connections to be told of what is in their outboxes.
    to_wake: Vec<Arc<Conn>>,
    /// Things let go by [`Order`], on their way to being answered.
    released: Vec<Waiting>,
    /// Requests done with since the last look at the load.
    done: usize,
    /// The tree was not what a transaction announced, and has not been since.
    digest_differs: bool,
    /// Not before then is a soft quota mentioned again.
    next_quota_warning_ms: i64,
}

/// Something kept behind the writes of its connection.
struct Waiting {
    conn: Arc<Conn>,
    item: Behind,
    arrival: Arrival,
}

impl Core {
    /// A core that continues with the sessions in `sessions` after the last transaction that
    /// `preparer` knows.
    pub fn new(preparer: Preparer, sessions: Tracker, session_ids: SessionIds) -> Self {
        Self {
            preparer,
            order: Order::default(),
            sessions,
            session_ids,
            building: LoggedBatch::default(),
            under_way: 0,
            is_void: false,
            to_wake: Vec::new(),
            released: Vec::new(),
            done: 0,
            digest_differs: false,
            next_quota_warning_ms: 0,
        }
    }

    /// The sessions and when they expire.
    pub fn sessions(&self) -> &Tracker {
        &self.sessions
    }

    /// Deals with inputs in their order.
    pub fn step(&mut self, shared: &Shared, inputs: impl Iterator<Item = Input>) {
        let wall_ms = shared.clock.wall_ms();
        let mut tree: Option<RwLockReadGuard<'_, Tree>> = None;
        for input in inputs {
            match input {
                Input::Durable(batch) => {
                    drop(tree.take());
                    self.under_way -= 1;
                    self.apply(shared, batch);
                }
                Input::NoRoom(batch) => {
                    drop(tree.take());
                    self.under_way -= 1;
                    self.refuse(shared, batch);
                }
                input => {
                    let tree = tree.get_or_insert_with(|| shared.tree.read());
                    self.accept(shared, tree, wall_ms, input);
                }
            }
        }
        drop(tree);
        self.report_over_quota(shared);
        self.wake(shared);
    }

    fn accept(&mut self, shared: &Shared, tree: &Tree, wall_ms: i64, input: Input) {
        match input {
            Input::Write { conn, request, arrival } => {
                if shared.waited_too_long(request.op, arrival.at_us) {
                    let item = throttled(&request);
                    self.behind(shared, tree, Waiting { conn, item, arrival });
                } else {
                    let waits = Waits::Reply(conn);
                    self.prepare(shared, tree, wall_ms, &request, waits, arrival);
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
            Input::Open { conn, timeout_ms, read_only } => {
                let session = self.session_ids.next(|id| tree.sessions().contains_key(&id));
                let request = Request::create_session(session, conn.id, timeout_ms);
                let waits = Waits::Session { conn, timeout_ms, read_only };
                let arrival = Arrival::at(shared.clock.now_us());
                self.prepare(shared, tree, wall_ms, &request, waits, arrival);
            }
            Input::Reopen { conn, session, password, timeout_ms, read_only } => {
                // Checked before the session's present connection is closed: whoever does not know
                // the password does no harm.
                let its_own = self.sessions.state(session) == Some(State::Open)
                    && shared.passwords.verify(session, &password);
                if its_own {
                    shared.stats.connection_revalidate_count.add(1);
                    self.sessions.open(session, timeout_ms, shared.clock.now_ms());
                    self.attach(shared, &conn, session, timeout_ms, read_only);
                } else {
                    refuse_session(&conn, read_only);
                }
            }
            Input::Gone(conn) => {
                let dropped = self.order.drop_connection(conn.id);
                self.done += dropped;
                shared.stats.stale_requests_dropped.add(dropped as u64);
                shared.stats.abandon(dropped as u64);
            }
            Input::Touched(sessions) => {
                for (session, heard_ms) in sessions {
                    self.sessions.touch(session, heard_ms);
                }
            }
            Input::Expire { now_ms } => {
                for session in self.sessions.expired(now_ms) {
                    info!(%session, "session expired");
                    shared.stats.stale_sessions_expired.add(1);
                    self.prepare_own(shared, tree, wall_ms, &Request::expire_session(session));
                }
            }
            Input::Reap { most } => {
                for path in shared.outdated_nodes(tree, wall_ms, most) {
                    self.prepare_own(shared, tree, wall_ms, &Request::delete_container(&path));
                }
            }
            Input::Durable(_) | Input::NoRoom(_) => unreachable!("dealt with by step"),
        }
    }

    /// Prepares what the server itself asks for.
    fn prepare_own(&mut self, shared: &Shared, tree: &Tree, wall_ms: i64, request: &Request) {
        let arrival = Arrival::at(shared.clock.now_us());
        self.prepare(shared, tree, wall_ms, request, Waits::Nobody, arrival);
    }

    /// Tells operators of a soft quota that a client exceeds; now and then is enough.
    fn report_over_quota(&mut self, shared: &Shared) {
        let Some(path) = self.preparer.take_over_quota() else { return };
        let now_ms = shared.clock.now_ms();
        if now_ms >= self.next_quota_warning_ms {
            self.next_quota_warning_ms = now_ms + QUOTA_WARNING_MS;
            warn!(path, "a soft quota is exceeded");
        }
    }

    /// Adds the request's transaction to the batch being built.
    fn prepare(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        request: &Request,
        waits: Waits,
        arrival: Arrival,
    ) {
        if request.op == OpCode::CloseSession {
            self.sessions.start_closing(request.session);
        }
        let (op, xid) = (request.op, request.xid);
        let preparer = &mut self.preparer;
        let prepared =
            self.building.log.try_push(|out| match preparer.prepare(tree, wall_ms, request, out) {
                Prepared::Logged(zxid) => Ok(zxid),
                Prepared::Refused(code) => Err(code),
            });
        match prepared {
            Ok(()) => {
                if let Waits::Reply(conn) = &waits {
                    self.order.push_write(conn.id);
                }
                if self.building.is_empty() {
                    self.building.begun_us = shared.clock.now_us();
                }
                self.building.entries.push(Entry { waits, op, xid, arrival });
            }
            Err(code) => {
                let Waits::Reply(conn) = waits else { return };
                let item = Behind::Refusal { op, xid, code };
                self.behind(shared, tree, Waiting { conn, item, arrival });
            }
        }
    }

    /// Keeps something behind the writes of its connection, or deals with it if there are none.
    fn behind(&mut self, shared: &Shared, tree: &Tree, waiting: Waiting) {
        if let Some(waiting) = self.order.push_behind(waiting.conn.id, waiting) {
            self.answer_waiting(shared, tree, waiting);
        }
    }

    /// Applies a durable batch and answers it.
    fn apply(&mut self, shared: &Shared, mut batch: LoggedBatch) {
        let started_us = shared.clock.now_us();
        let mut transactions = batch.log.transactions();
        for chunk in batch.entries.chunks_mut(APPLY_CHUNK) {
            let mut teller = Teller::new(shared);
            let mut tree = shared.tree.write();
            for (entry, (zxid, body)) in chunk.iter_mut().zip(&mut transactions) {
                // The client may send the next large request as soon as it has its answer.
                entry.arrival.large = None;
                self.apply_one(shared, &mut tree, &mut teller, entry, body);
                self.preparer.applied(zxid);
            }
            drop(tree);
            drop(teller);
            self.wake(shared);
        }
        drop(transactions);
        let now_us = shared.clock.now_us();
        shared.stats.write_final_proc_time_ms.record_time(between_us(started_us, now_us));
        shared.stats.propagation_latency.record_time(between_us(batch.begun_us, now_us));
        shared.pipeline.recycle(batch);
    }

    fn apply_one<'e>(
        &mut self,
        shared: &'e Shared,
        tree: &mut Tree,
        teller: &mut Teller<'e>,
        entry: &'e Entry,
        body: &[u8],
    ) {
        let record = TxnRecord::from_bytes(body).expect("a transaction that was just prepared");
        if let Txn::DeleteContainer { path } = &record.txn
            && let Some(NodeKind::Ttl(_)) = tree.get(path).map(|node| node.kind())
        {
            shared.stats.ttl_node_deleted_count.add(1);
        }
        let to_wake = &mut self.to_wake;
        let outcome = tree.apply(&record, &mut |change| notify(to_wake, shared, &change));
        if outcome.digest_mismatch.is_some() || self.digest_differs {
            self.compare_digests(shared, record.header.zxid, outcome.digest_mismatch);
        }
        let session = record.header.client_id;
        match &record.txn {
            Txn::CreateSession { timeout_ms } => {
                self.sessions.open(session, *timeout_ms, teller.now_us / 1000);
            }
            Txn::CloseSession(_) => self.sessions.remove(session),
            Txn::CreateTtl(_) => shared.stats.ttl_node_created_count.add(1),
            Txn::Multi(_) => {
                let created = |op: &&OpOutcome| op.kind == OpCode::CreateTtl;
                let created = outcome.multi.iter().filter(created).count();
                shared.stats.ttl_node_created_count.add(created as u64);
            }
            _ => {}
        }
        match &entry.waits {
            Waits::Nobody => {}
            Waits::Session { conn, timeout_ms, read_only } => {
                self.attach(shared, conn, session, *timeout_ms, *read_only);
            }
            Waits::Reply(conn) => {
                let mut bytes = 0;
                let to_wake = conn.outbox.append(|out| {
                    let before = out.len();
                    reply::put(&record, &outcome, out);
                    bytes = out.len() - before;
                    conn.answered();
                });
                self.done += 1;
                if bytes > 0 {
                    teller.answer(conn, entry, record.header.zxid, bytes);
                } else {
                    count_stale_reply(shared);
                }
                if to_wake {
                    self.to_wake.push(conn.clone());
                }
                if entry.op == OpCode::CloseSession {
                    // Refused or not, nothing behind it is read.
                    conn.outbox.end(End::AfterFlush);
                }
                self.release(shared, tree, conn.id);
            }
        }
        if matches!(record.txn, Txn::CloseSession(_))
            && let Some(conn) = shared.conns.of_session(session)
        {
            conn.outbox.end(End::AfterFlush);
        }
    }

    /// Answers what stood behind the connection's oldest write, up to its next one.
    fn release(&mut self, shared: &Shared, tree: &Tree, conn: ConnId) {
        let mut released = std::mem::take(&mut self.released);
        released.extend(self.order.applied(conn));
        for waiting in released.drain(..) {
            self.answer_waiting(shared, tree, waiting);
        }
        self.released = released;
    }

    /// Answers something that nothing of its connection is in front of any more.
    fn answer_waiting(&mut self, shared: &Shared, tree: &Tree, waiting: Waiting) {
        let Waiting { conn, item, arrival } = waiting;
        // The client may send the next large request as soon as it has its answer.
        drop(arrival.large);
        let mut bytes = 0;
        let to_wake = conn.outbox.append(|out| {
            let before = out.len();
            match &item {
                Behind::Reply { reply, .. } => out.extend_from_slice(reply),
                Behind::Refusal { xid, code, .. } => {
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
            Behind::Refusal { op, xid, .. } => (*op, *xid, *op == OpCode::CloseSession),
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
    fn attach(
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
            read_only: read_only.map(|_| false),
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

    /// Answers the writes of a batch that could not be logged, and of those built behind it: none
    /// of them happened, and their zxids are given again.
    ///
    /// What was given to be logged behind it comes back in the same way. Only then is the state
    /// rewound: zxids must not be given again while a batch that has them is under way.
    fn refuse(&mut self, shared: &Shared, batch: LoggedBatch) {
        let tree = shared.tree.read();
        self.answer_refused(shared, &tree, batch);
        self.is_void = self.under_way > 0;
        if !self.is_void {
            let behind = std::mem::take(&mut self.building);
            self.answer_refused(shared, &tree, behind);
            self.preparer.reset(&tree);
            self.sessions.reopen_closing(shared.clock.now_ms());
        }
    }

    fn answer_refused(&mut self, shared: &Shared, tree: &Tree, mut batch: LoggedBatch) {
        for entry in &mut batch.entries {
            match &entry.waits {
                Waits::Nobody => {}
                Waits::Session { conn, .. } => {
                    conn.outbox.end(End::Now);
                }
                Waits::Reply(conn) => {
                    let code = ErrorCode::SystemError;
                    let item = Behind::Refusal { op: entry.op, xid: entry.xid, code };
                    let conn = conn.clone();
                    let id = conn.id;
                    let arrival = std::mem::replace(&mut entry.arrival, Arrival::at(0));
                    let waiting = Waiting { conn, item, arrival };
                    self.answer_waiting(shared, tree, waiting);
                    self.release(shared, tree, id);
                }
            }
        }
        shared.pipeline.recycle(batch);
    }

    /// Counts and reports that the tree's digest is not the one announced by a transaction, which
    /// is a broken invariant: the server announced it itself. It goes on nevertheless. Stopping
    /// would not help, since the transaction is durable and the next start would find the same;
    /// and no other server can be at odds with this one.
    #[cold]
    fn compare_digests(&mut self, shared: &Shared, zxid: Zxid, found: Option<DigestMismatch>) {
        let differed = std::mem::replace(&mut self.digest_differs, found.is_some());
        let Some(DigestMismatch { expected, found }) = found else {
            info!(%zxid, "the tree's digest is the announced one again");
            return;
        };
        shared.stats.digest_mismatches_count.add(1);
        if !differed {
            let (expected, found) = (format!("{expected:#x}"), format!("{found:#x}"));
            error!(%zxid, expected, found, "the tree's digest is not the announced one");
        }
    }

    /// Has everything sent that was appended to outboxes.
    fn wake(&mut self, shared: &Shared) {
        // Before anybody is told: who is held up by the load looks at it once more then.
        shared.load.end(std::mem::take(&mut self.done));
        // A few answers are sent from here, at once; many are better sent by many.
        let send = self.to_wake.len() <= SEND_MAX;
        for conn in self.to_wake.drain(..) {
            if send {
                conn.outbox.send_or_wake();
            } else {
                conn.outbox.wake();
            }
        }
    }
}

/// Tells the watchers of a change, as far as they may read the node. The tree is locked for
/// writing: no reader can see the change before the event is in its outbox.
fn notify(to_wake: &mut Vec<Arc<Conn>>, shared: &Shared, change: &Change<'_>) {
    shared.watches.trigger(change, |event, told| {
        shared.stats.watches_fired(event.kind, told.len());
        let mut bytes = BytesMut::new();
        frame::put_event(&mut bytes, event.zxid, event.kind, event.path);
        let told = told.iter().filter_map(|&conn| shared.conns.get(conn));
        for conn in told.filter(|conn| auth::check(event.acl, Perms::READ, &conn.auth())) {
            shared.stats.tally(&conn.stats).event(bytes.len());
            if conn.outbox.append(|out| out.extend_from_slice(&bytes)) {
                to_wake.push(conn);
            }
        }
    });
}

/// Refuses a session: no such one, ended, or not this client's.
fn refuse_session(conn: &Conn, read_only: Option<bool>) {
    let refusal = ConnectResponse::refusal(read_only.map(|_| false));
    let _ = conn.outbox.append(|out| put_frame(out, |out| refusal.encode(out)));
    conn.outbox.end(End::AfterFlush);
}

fn throttled(request: &Request) -> Behind {
    Behind::Refusal { op: request.op, xid: request.xid, code: ErrorCode::ThrottledOp }
}

/// A request was executed whose connection is gone.
fn count_stale_reply(shared: &Shared) {
    shared.stats.stale_replies.add(1);
    shared.stats.abandon(1);
}
