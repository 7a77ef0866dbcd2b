//! What the pipeline decides, one step at a time.
//!
//! The core owns the state that decides about writes and sessions (preparation, order, expiry) and
//! uses the shared tree, watches and outboxes. It does no I/O; the pipeline drives it under its
//! lock, so steps never overlap.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use parking_lot::RwLockReadGuard;
use quorate_protocol::{
    Decode, Encode, ErrorCode, OpCode, Perms, SessionId, Xid, Zxid, frame::put_frame,
    record::ConnectResponse,
};
use tracing::{error, info};

use super::{
    clock::Clock,
    pipeline::{Behind, Input},
    shared::Shared,
};
use crate::{
    admin::{Answer, ServerStats, Tally},
    auth,
    net::{Conn, End},
    request::{Order, Prepared, Preparer, Request, frame, read, reply},
    session::{SessionIds, State, Tracker},
    storage::log::Batch,
    tree::{DigestMismatch, Tree},
    txn::{Txn, TxnRecord},
    watch::{Change, ConnId},
};

/// Transactions applied under one write lock on the tree: readers wait that long at most.
const APPLY_CHUNK: usize = 128;

/// Connections whose answers the pipeline sends itself.
const SEND_MAX: usize = 2;

/// A transaction on its way to the log, and who waits for it.
struct Entry {
    waits: Waits,
    op: OpCode,
    xid: Xid,
    received_us: i64,
}

/// Who is told when a transaction is durable and applied.
enum Waits {
    /// The client that asked for the write.
    Reply(Arc<Conn>),
    /// The client that asked for a session.
    Session { conn: Arc<Conn>, timeout_ms: i32, read_only: Option<bool> },
    /// Nobody: the server itself asked.
    Nobody,
}

/// Transactions that are written and synced together.
#[derive(Default)]
pub struct LoggedBatch {
    /// The records as they go to the log.
    pub log: Batch,
    entries: Vec<Entry>,
}

impl LoggedBatch {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many transactions are in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Empties it and keeps its buffers.
    pub fn clear(&mut self) {
        self.log.clear();
        self.entries.clear();
    }
}

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
    /// Connections to be told of what is in their outboxes.
    to_wake: Vec<Arc<Conn>>,
    /// Things let go by [`Order`], on their way to being answered.
    released: Vec<Waiting>,
}

/// Something kept behind the writes of its connection.
struct Waiting {
    conn: Arc<Conn>,
    item: Behind,
    received_us: i64,
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
            to_wake: Vec::new(),
            released: Vec::new(),
        }
    }

    /// The sessions and when they expire.
    pub fn sessions(&self) -> &Tracker {
        &self.sessions
    }

    /// Deals with inputs in their order.
    pub fn step(&mut self, shared: &Shared, inputs: impl Iterator<Item = Input>) {
        let wall_ms = Clock::wall_ms();
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
        self.wake();
    }

    fn accept(&mut self, shared: &Shared, tree: &Tree, wall_ms: i64, input: Input) {
        match input {
            Input::Write { conn, request, received_us } => {
                let waits = Waits::Reply(conn);
                self.prepare(shared, tree, wall_ms, &request, waits, received_us);
            }
            Input::Behind { conn, item, received_us } => {
                self.behind(shared, tree, Waiting { conn, item, received_us });
            }
            Input::Open { conn, timeout_ms, read_only } => {
                let session = self.session_ids.next(|id| tree.sessions().contains_key(&id));
                let request = Request::create_session(session, conn.id, timeout_ms);
                let waits = Waits::Session { conn, timeout_ms, read_only };
                self.prepare(shared, tree, wall_ms, &request, waits, shared.clock.now_us());
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
            Input::Gone(conn) => self.order.drop_connection(conn.id),
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
        self.prepare(shared, tree, wall_ms, request, Waits::Nobody, shared.clock.now_us());
    }

    /// Adds the request's transaction to the batch being built.
    fn prepare(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        request: &Request,
        waits: Waits,
        received_us: i64,
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
                self.building.entries.push(Entry { waits, op, xid, received_us });
            }
            Err(code) => {
                let Waits::Reply(conn) = waits else { return };
                let item = Behind::Refusal { op, xid, code };
                self.behind(shared, tree, Waiting { conn, item, received_us });
            }
        }
    }

    /// Keeps something behind the writes of its connection, or deals with it if there are none.
    fn behind(&mut self, shared: &Shared, tree: &Tree, waiting: Waiting) {
        if let Some(waiting) = self.order.push_behind(waiting.conn.id, waiting) {
            self.answer_waiting(shared, tree, &waiting);
        }
    }

    /// Applies a durable batch and answers it.
    fn apply(&mut self, shared: &Shared, batch: LoggedBatch) {
        let mut transactions = batch.log.transactions();
        for chunk in batch.entries.chunks(APPLY_CHUNK) {
            let mut teller = Teller::new(shared);
            let mut tree = shared.tree.write();
            for (entry, (zxid, body)) in chunk.iter().zip(&mut transactions) {
                self.apply_one(shared, &mut tree, &mut teller, entry, body);
                self.preparer.applied(zxid);
            }
            drop(tree);
            drop(teller);
            self.wake();
        }
        drop(transactions);
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
        let to_wake = &mut self.to_wake;
        let outcome = tree.apply(&record, &mut |change| notify(to_wake, shared, &change));
        if let Some(DigestMismatch { expected, found }) = outcome.digest_mismatch {
            shared.stats.digest_mismatches_count.add(1);
            let zxid = record.header.zxid;
            error!(%zxid, expected, found, "the tree is not what its digest says; please report it");
        }
        let session = record.header.client_id;
        match &record.txn {
            Txn::CreateSession { timeout_ms } => {
                self.sessions.open(session, *timeout_ms, teller.now_us / 1000);
            }
            Txn::CloseSession(_) => self.sessions.remove(session),
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
                });
                conn.answered();
                teller.answer(conn, entry, record.header.zxid, bytes);
                if to_wake {
                    self.to_wake.push(conn.clone());
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
            self.answer_waiting(shared, tree, &waiting);
        }
        self.released = released;
    }

    /// Answers something that nothing of its connection is in front of any more.
    fn answer_waiting(&mut self, shared: &Shared, tree: &Tree, waiting: &Waiting) {
        let Waiting { conn, item, received_us } = waiting;
        let mut bytes = 0;
        let to_wake = conn.outbox.append(|out| {
            let before = out.len();
            match item {
                Behind::Reply { reply, .. } => out.extend_from_slice(reply),
                Behind::Refusal { xid, code, .. } => {
                    frame::put_empty_reply(out, *xid, tree.last_zxid(), *code);
                }
                Behind::Read(request) => {
                    read::execute(tree, &shared.watches, &request.as_read(), out);
                }
            }
            bytes = out.len() - before;
        });
        conn.answered();
        let (op, xid, end) = match item {
            Behind::Reply { op, xid, end, .. } => (*op, *xid, *end),
            // A client that wanted to go is let go, though its session stays until it expires.
            Behind::Refusal { op, xid, .. } => (*op, *xid, *op == OpCode::CloseSession),
            Behind::Read(request) => (request.op, request.xid, false),
        };
        let now_us = shared.clock.now_us();
        shared.stats.tally(&conn.stats).answer(&Answer {
            op,
            xid,
            zxid: tree.last_zxid(),
            bytes,
            latency: Duration::from_micros((now_us - received_us).unsigned_abs()),
            at_ms: now_us / 1000,
        });
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
    fn refuse(&mut self, shared: &Shared, batch: LoggedBatch) {
        let behind = std::mem::take(&mut self.building);
        let tree = shared.tree.read();
        self.preparer.reset(&tree);
        let now_ms = shared.clock.now_ms();
        self.sessions.reopen_closing(now_ms);
        for entry in batch.entries.iter().chain(&behind.entries) {
            match &entry.waits {
                Waits::Nobody => {}
                Waits::Session { conn, .. } => conn.outbox.end(End::Now),
                Waits::Reply(conn) => {
                    let code = ErrorCode::SystemError;
                    let item = Behind::Refusal { op: entry.op, xid: entry.xid, code };
                    let conn = conn.clone();
                    let id = conn.id;
                    let waiting = Waiting { conn, item, received_us: entry.received_us };
                    self.answer_waiting(shared, &tree, &waiting);
                    self.release(shared, &tree, id);
                }
            }
        }
        drop(tree);
        shared.pipeline.recycle(batch);
        shared.pipeline.recycle(behind);
    }

    /// Has everything sent that was appended to outboxes.
    fn wake(&mut self) {
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

/// Counts answers to writes; those to one connection usually stand together.
struct Teller<'e> {
    stats: &'e ServerStats,
    now_us: i64,
    current: Option<(ConnId, Tally<'e>)>,
}

impl<'e> Teller<'e> {
    fn new(shared: &'e Shared) -> Self {
        Self { stats: &shared.stats, now_us: shared.clock.now_us(), current: None }
    }

    fn answer(&mut self, conn: &'e Conn, entry: &Entry, zxid: Zxid, bytes: usize) {
        let answer = Answer {
            op: entry.op,
            xid: entry.xid,
            zxid,
            bytes,
            latency: Duration::from_micros((self.now_us - entry.received_us).unsigned_abs()),
            at_ms: self.now_us / 1000,
        };
        match &mut self.current {
            Some((id, tally)) if *id == conn.id => tally.answer(&answer),
            current => {
                let mut tally = self.stats.tally(&conn.stats);
                tally.answer(&answer);
                *current = Some((conn.id, tally));
            }
        }
    }
}
