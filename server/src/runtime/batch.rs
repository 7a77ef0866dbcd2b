//! Transactions on their way through the log, and who waits for them.

use std::sync::Arc;

use quorate_protocol::{OpCode, Xid, Zxid};

use super::{clock::between_us, pipeline::Arrival, shared::Shared};
use crate::{
    admin::{Answer, ServerStats, Tally},
    net::Conn,
    storage::log::Batch,
    tree::Tree,
    watch::ConnId,
    zab::Position,
};

/// A transaction that this server prepared, and who waits for it.
pub(super) struct Entry {
    pub(super) waits: Waits,
    pub(super) op: OpCode,
    pub(super) xid: Xid,
    pub(super) arrival: Arrival,
    /// Another server refuses it because its session is a local one here, without knowing that.
    pub(super) owns_nothing: bool,
}

impl Entry {
    /// A transaction that nobody here waits for.
    pub(super) fn of_nobody(op: OpCode, xid: Xid) -> Self {
        Self { waits: Waits::Nobody, op, xid, arrival: Arrival::at(0), owns_nothing: false }
    }
}

/// Who is told when a transaction is committed and applied.
pub(super) enum Waits {
    /// The client that asked for the write.
    Reply(Arc<Conn>),
    /// The client that asked for a session.
    Session { conn: Arc<Conn>, timeout_ms: i32, read_only: Option<bool> },
    /// Nobody here: the server itself asked, or the client of another server, which tells it.
    Nobody,
}

/// Records that are written and synced together.
#[derive(Default)]
pub struct LoggedBatch {
    /// What happens to the log before the records are written.
    pub before: Option<LogChange>,
    /// The records as they go to the log.
    pub log: Batch,
    /// For each transaction prepared here who waits for it; nothing in a batch that came from a
    /// leader.
    pub(super) entries: Vec<Entry>,
    /// The last transaction before it.
    pub(super) after: Zxid,
    /// How many of its transactions are applied.
    pub(super) applied: usize,
    /// Where the log stands behind it.
    pub(super) position: Position,
    /// While this server was what it was then for the so-many-th time.
    pub(super) term: u64,
    /// When the first record was added.
    pub begun_us: i64,
}

/// What happens to a log besides being appended to.
pub enum LogChange {
    /// It is cut behind this transaction.
    Truncate(Zxid),
    /// It begins anew behind a leader's snapshot: the tree is this one from then on, and its
    /// checkpoint has this number.
    BeginAnew { tree: Box<Tree>, generation: u64 },
}

impl LoggedBatch {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.before.is_none() && self.log.is_empty()
    }

    /// How many transactions are in it.
    pub fn len(&self) -> usize {
        usize::try_from(self.log.transaction_count()).expect("a batch fits into memory")
    }

    /// Whether it is one record and nothing else.
    pub(super) fn is_lone(&self) -> bool {
        self.before.is_none() && self.len() <= 1
    }

    /// Empties it and keeps its buffers.
    pub fn clear(&mut self) {
        self.before = None;
        self.log.clear();
        self.entries.clear();
        self.applied = 0;
    }
}

/// Counts answers to writes; those to one connection usually stand together.
pub(super) struct Teller<'e> {
    stats: &'e ServerStats,
    pub(super) now_us: i64,
    current: Option<(ConnId, Tally<'e>)>,
}

impl<'e> Teller<'e> {
    pub(super) fn new(shared: &'e Shared) -> Self {
        Self { stats: &shared.stats, now_us: shared.clock.now_us(), current: None }
    }

    pub(super) fn answer(&mut self, conn: &'e Conn, entry: &Entry, zxid: Zxid, bytes: usize) {
        let answer = Answer {
            op: entry.op,
            xid: entry.xid,
            zxid,
            bytes,
            latency: between_us(entry.arrival.at_us, self.now_us),
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
