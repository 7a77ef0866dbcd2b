//! Transactions on their way through the log, and who waits for them.

use std::sync::Arc;

use quorate_protocol::{OpCode, Xid, Zxid};

use super::{clock::between_us, pipeline::Arrival, shared::Shared};
use crate::{
    admin::{Answer, ServerStats, Tally},
    net::Conn,
    storage::log::Batch,
    watch::ConnId,
};

/// A transaction on its way to the log, and who waits for it.
pub(super) struct Entry {
    pub(super) waits: Waits,
    pub(super) op: OpCode,
    pub(super) xid: Xid,
    pub(super) arrival: Arrival,
}

/// Who is told when a transaction is durable and applied.
pub(super) enum Waits {
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
    pub(super) entries: Vec<Entry>,
    /// When the first of them was prepared.
    pub begun_us: i64,
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
