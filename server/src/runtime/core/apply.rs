//! From the log to the tree, and the answers.

use std::sync::Arc;

use bytes::BytesMut;
use quorate_protocol::{Decode, ErrorCode, OpCode, Perms, Zxid};
use tracing::{error, info};

use super::{Core, Duty, Waiting, clients::count_stale_reply};
use crate::{
    auth,
    net::{Conn, End},
    request::{frame, reply},
    runtime::{
        Behind,
        batch::{Entry, LogChange, LoggedBatch, Teller, Waits},
        clock::between_us,
        pipeline::Arrival,
        shared::Shared,
    },
    tree::{DigestMismatch, NodeKind, OpOutcome, Tree},
    txn::{Txn, TxnRecord},
    watch::Change,
    zab,
};

/// Transactions applied under one write lock on the tree: readers wait that long at most.
const APPLY_CHUNK: usize = 128;

impl Core {
    /// A batch is durable.
    pub(super) fn durable(&mut self, shared: &Shared, mut batch: LoggedBatch) {
        self.outgoing.came_back();
        let installed = match batch.before.take() {
            Some(LogChange::Truncate(to)) => {
                self.durable = to;
                None
            }
            Some(LogChange::BeginAnew { tree, .. }) => Some(self.replace_tree(shared, *tree)),
            None => None,
        };
        if let Some(last) = batch.log.last_zxid() {
            self.durable = last;
        }
        let position = batch.position;
        let is_kept = !matches!(self.duty, Duty::Looking { planned: false } | Duty::ReadOnly);
        let is_current = batch.term == self.outgoing.term() && is_kept;
        if is_current && batch.log.last_zxid().is_some() {
            self.unapplied.push_back(batch);
        } else {
            // What counts of it is read from the log when it is committed.
            self.recycle(shared, batch);
        }
        if self.ensemble.is_none() {
            self.committed = self.durable;
            self.apply_committed(shared);
            return;
        }
        let wall_ms = shared.clock.wall_ms();
        self.zab(shared, wall_ms, zab::Input::Durable { position });
        self.release_vouched(position);
        if let Some(zxid) = installed {
            self.snapshot_installed(shared, wall_ms, zxid);
        }
        self.apply_committed(shared);
    }

    /// A batch could not be written, and nothing of it was.
    pub(super) fn no_room(&mut self, shared: &Shared, batch: LoggedBatch) {
        self.outgoing.came_back();
        if self.ensemble.is_some() {
            // Others have its transactions already. It waits for room; a leader that waits too
            // long is replaced.
            self.outgoing.try_again(batch);
            return;
        }
        // None of its writes happened, and their zxids are given again.
        let tree = shared.tree.read();
        self.answer_refused(shared, &tree, batch);
        if let Some(behind) = self.outgoing.refuse(tree.last_zxid()) {
            self.answer_refused(shared, &tree, behind);
            self.preparer.reset(&tree);
            self.sessions.reopen_closing(shared.clock.now_ms());
        }
    }

    /// Answers the writes of a batch that came to nothing.
    fn answer_refused(&mut self, shared: &Shared, tree: &Tree, mut batch: LoggedBatch) {
        for entry in &mut batch.entries {
            match &entry.waits {
                Waits::Nobody => {}
                Waits::Session { conn, .. } => {
                    conn.outbox.end(End::Now);
                }
                Waits::Reply(conn) => {
                    let code = ErrorCode::SystemError;
                    let item = Behind::Empty { op: entry.op, xid: entry.xid, code };
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

    /// Drops a batch of a duty that has ended: nobody is there any more who waits for it.
    pub(super) fn recycle(&mut self, shared: &Shared, batch: LoggedBatch) {
        let behind = &batch.entries[batch.applied.min(batch.entries.len())..];
        let waiting = behind.iter().filter(|entry| matches!(entry.waits, Waits::Reply(_)));
        let waiting = waiting.count();
        self.abandon(shared, waiting);
        shared.pipeline.recycle(batch);
    }

    /// The tree is one that came from a leader as a snapshot; gives its zxid.
    fn replace_tree(&mut self, shared: &Shared, tree: Tree) -> Zxid {
        let zxid = tree.last_zxid();
        // They would not be told of what the snapshot brings, either.
        self.give_up_clients_kept(shared);
        *shared.tree.write() = tree;
        (self.applied, self.committed, self.durable) = (zxid, zxid, zxid);
        shared.backlog.checkpointed(zxid);
        shared.shell().installed();
        info!(%zxid, "a snapshot from the leader is installed");
        zxid
    }

    /// Applies what is left of the history that a term begins with. From now on the tree is exact,
    /// whatever it began from.
    pub(super) fn apply_initial_history(&mut self, shared: &Shared) {
        self.apply_committed(shared);
        shared.tree.write().set_lenient(false);
        self.show_configuration(shared);
    }

    /// Applies what is committed and durable. A sync is answered at its place, so that no later
    /// write of its session overtakes it.
    pub(super) fn apply_committed(&mut self, shared: &Shared) {
        let upto = self.committed.min(self.durable);
        shared.set_streamable(upto);
        while self.applied < upto {
            let next_sync = self.proved_syncs.front().map(|(upto, _)| *upto);
            let stop = next_sync.filter(|at| *at > self.applied && *at < upto);
            self.apply_up_to(shared, stop.unwrap_or(upto));
            self.after_apply(shared);
        }
        self.after_apply(shared);
    }

    fn apply_up_to(&mut self, shared: &Shared, upto: Zxid) {
        while self.applied < upto {
            match self.unapplied.pop_front() {
                Some(mut batch) if batch.applied > 0 || batch.after == self.applied => {
                    self.apply(shared, &mut batch, upto);
                    if batch.applied < batch.len() {
                        self.unapplied.push_front(batch);
                    } else {
                        shared.pipeline.recycle(batch);
                    }
                }
                Some(batch) => {
                    assert!(
                        self.applied < batch.after,
                        "a batch that follows {} waits although {} is applied",
                        batch.after,
                        self.applied
                    );
                    let until = upto.min(batch.after);
                    self.unapplied.push_front(batch);
                    self.apply_from_log(shared, until);
                }
                None => self.apply_from_log(shared, upto),
            }
        }
    }

    /// Applies transactions of a batch up to `upto`, and answers them.
    fn apply(&mut self, shared: &Shared, batch: &mut LoggedBatch, upto: Zxid) {
        let started_us = shared.clock.now_us();
        let mut entries = std::mem::take(&mut batch.entries);
        for entry in &mut entries {
            // Clients may send the next large request as soon as they have their answers.
            entry.arrival.large = None;
        }
        let mut transactions = batch.log.transactions().skip(batch.applied).peekable();
        let mut done = batch.applied;
        let mut go_on = true;
        while go_on {
            let mut teller = Teller::new(shared);
            let mut tree = shared.tree.write();
            for _ in 0..APPLY_CHUNK {
                let Some((zxid, body)) = transactions.next_if(|(zxid, _)| *zxid <= upto) else {
                    go_on = false;
                    break;
                };
                self.apply_one(shared, &mut tree, &mut teller, entries.get(done), zxid, body);
                done += 1;
            }
            drop(tree);
            drop(teller);
            self.wake(shared);
        }
        drop(transactions);
        batch.applied = done;
        batch.entries = entries;
        let now_us = shared.clock.now_us();
        shared.stats.write_final_proc_time_ms.record_time(between_us(started_us, now_us));
        shared.stats.propagation_latency.record_time(between_us(batch.begun_us, now_us));
    }

    /// Applies what stands in the log since before this duty began.
    fn apply_from_log(&mut self, shared: &Shared, upto: Zxid) {
        let mut applied = 0_u64;
        let mut reader = match shared.log_source.open(self.applied) {
            Ok(reader) => reader,
            Err(error) => shared.process.halt("the log cannot be read again", Some(&error)),
        };
        let mut teller = Teller::new(shared);
        let mut tree = shared.tree.write();
        while self.applied < upto {
            match reader.next(upto) {
                Ok(Some((zxid, body))) => {
                    self.apply_one(shared, &mut tree, &mut teller, None, zxid, body);
                    applied += 1;
                }
                Ok(None) => {
                    let why = format!("the log ends at {}, not at {upto}", self.applied);
                    shared.process.halt(&why, None)
                }
                Err(error) => shared.process.halt("the log cannot be read again", Some(&error)),
            }
        }
        drop(tree);
        drop(teller);
        info!(count = applied, %upto, "transactions applied from the log");
        self.wake(shared);
    }

    fn apply_one<'e>(
        &mut self,
        shared: &Shared,
        tree: &mut Tree,
        teller: &mut Teller<'e>,
        entry: Option<&'e Entry>,
        zxid: Zxid,
        body: &[u8],
    ) {
        let record = TxnRecord::from_bytes(body).expect("a transaction that was checked before");
        if let Txn::DeleteContainer { path } = &record.txn
            && let Some(NodeKind::Ttl(_)) = tree.get(path).map(|node| node.kind())
        {
            shared.stats.ttl_node_deleted_count.add(1);
        }
        let to_wake = &mut self.to_wake;
        let mut outcome = tree.apply(&record, &mut |change| notify(to_wake, shared, &change));
        // What comes over a leader's snapshot that is not of one moment makes it right again.
        let mismatch = outcome.digest_mismatch.filter(|_| !tree.is_lenient());
        if mismatch.is_some() || self.digest_differs {
            self.compare_digests(shared, zxid, mismatch);
        }
        self.note_applied(shared, zxid, &record, &outcome.multi, teller.now_us / 1000);
        if let Some(entry) = entry {
            if entry.owns_nothing {
                outcome
                    .replace_error(ErrorCode::SessionExpired, ErrorCode::EphemeralOnLocalSession);
            }
            self.answer(shared, tree, teller, entry, &record, |out| {
                reply::put(&record, &outcome, out);
            });
        }
        if matches!(record.txn, Txn::CloseSession(_))
            && let Some(conn) = shared.conns.of_session(record.header.client_id)
        {
            conn.outbox.end(End::AfterFlush);
        }
    }

    fn note_applied(
        &mut self,
        shared: &Shared,
        zxid: Zxid,
        record: &TxnRecord<'_>,
        multi: &[OpOutcome],
        now_ms: i64,
    ) {
        self.applied = zxid;
        let session = record.header.client_id;
        if matches!(record.txn, Txn::CreateSession { .. }) {
            self.local.became_global(session);
        }
        if matches!(record.txn, Txn::CloseSession(_)) {
            let lost = self.forwarded.end_session(session);
            self.abandon(shared, lost);
        }
        if matches!(self.duty, Duty::Alone | Duty::Leading(_)) {
            self.preparer.applied(zxid);
            match &record.txn {
                Txn::CreateSession { timeout_ms } => {
                    self.sessions.open(session, *timeout_ms, now_ms);
                }
                Txn::CloseSession(_) => {
                    self.sessions.remove(session);
                    if let Duty::Leading(leading) = &mut self.duty {
                        leading.session_ended(session);
                    }
                }
                _ => {}
            }
        }
        match &record.txn {
            Txn::CreateTtl(_) => shared.stats.ttl_node_created_count.add(1),
            Txn::Multi(_) => {
                let created = multi.iter().filter(|op| op.kind == OpCode::CreateTtl).count();
                shared.stats.ttl_node_created_count.add(created as u64);
            }
            _ => {}
        }
    }

    /// Answers whoever waits for a transaction.
    fn answer<'e>(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        teller: &mut Teller<'e>,
        entry: &'e Entry,
        record: &TxnRecord<'_>,
        put: impl FnOnce(&mut BytesMut),
    ) {
        match &entry.waits {
            Waits::Nobody => {}
            Waits::Session { conn, timeout_ms, read_only } => {
                self.attach(shared, conn, record.header.client_id, *timeout_ms, *read_only);
                if let Duty::Leading(leading) = &mut self.duty {
                    leading.moved_here(record.header.client_id);
                }
            }
            Waits::Reply(conn) => {
                let mut bytes = 0;
                let to_wake = conn.outbox.append(|out| {
                    let before = out.len();
                    put(out);
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
    }

    /// Counts and reports that the tree's digest is not the one announced by a transaction, which
    /// is a broken invariant. It goes on nevertheless. Stopping would not help, since the
    /// transaction is durable and the next start would find the same.
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
}

/// Tells the watchers of a change, as far as they may read the node. The tree is locked for
/// writing: no reader can see the change before the event is in its outbox.
pub(super) fn notify(to_wake: &mut Vec<Arc<Conn>>, shared: &Shared, change: &Change<'_>) {
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
