//! How far the log has outgrown the checkpoint.

use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use quorate_protocol::Zxid;

/// What a start would have to replay: the log behind the newest checkpoint.
#[derive(Debug, Default)]
pub struct Backlog {
    transactions: AtomicU64,
    bytes: AtomicU64,
    checkpoint: AtomicI64,
    log_is_full: AtomicBool,
    /// Since when the log has been at the oldest batch that is not durable, in milliseconds of the
    /// server's clock; 0 while there is none.
    log_busy_since_ms: AtomicI64,
    is_installing: AtomicBool,
    /// The reserve is taken: what room there is besides may be the log's.
    may_have_room: AtomicBool,
}

impl Backlog {
    /// After recovery: the newest checkpoint, and what was replayed behind it.
    pub fn new(checkpoint: Zxid, transactions: u64) -> Self {
        Self {
            transactions: transactions.into(),
            checkpoint: checkpoint.0.into(),
            ..Self::default()
        }
    }

    /// A batch was logged.
    pub fn grew(&self, transactions: u64, bytes: u64) {
        self.transactions.fetch_add(transactions, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Transactions behind the checkpoint.
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Relaxed)
    }

    /// Bytes of log behind it.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// A checkpoint begins: what is logged from now on counts for the next one. Returns how many
    /// transactions this one is for.
    pub fn begin_checkpoint(&self) -> u64 {
        self.bytes.store(0, Relaxed);
        self.transactions.swap(0, Relaxed)
    }

    /// The checkpoint that was begun came to nothing; its transactions are still behind.
    pub fn checkpoint_failed(&self, transactions: u64) {
        self.transactions.fetch_add(transactions, Relaxed);
    }

    /// The checkpoint that was begun is durable.
    pub fn checkpointed(&self, zxid: Zxid) {
        self.checkpoint.store(zxid.0, Release);
    }

    /// The newest durable checkpoint.
    pub fn checkpoint(&self) -> Zxid {
        Zxid(self.checkpoint.load(Acquire))
    }

    /// Notes that a leader's snapshot was written, and the tree is not replaced by it yet; or that
    /// it is.
    pub fn set_installing(&self, is_installing: bool) {
        self.is_installing.store(is_installing, Release);
    }

    /// Whether the newest checkpoint is not of this tree.
    pub fn is_installing(&self) -> bool {
        self.is_installing.load(Acquire)
    }

    /// The log begins with a batch, or has made it durable.
    pub fn set_log_busy(&self, since_ms: Option<i64>) {
        match since_ms {
            Some(since_ms) => {
                let _ =
                    self.log_busy_since_ms.compare_exchange(0, since_ms.max(1), Relaxed, Relaxed);
            }
            None => self.log_busy_since_ms.store(0, Relaxed),
        }
    }

    /// For how long the log has been at a batch.
    pub fn log_waits_ms(&self, now_ms: i64) -> i64 {
        match self.log_busy_since_ms.load(Relaxed) {
            0 => 0,
            since_ms => (now_ms - since_ms).max(0),
        }
    }

    /// Notes whether there is room for the log; returns what was noted before.
    pub fn set_log_full(&self, is_full: bool) -> bool {
        self.may_have_room.store(false, Relaxed);
        self.log_is_full.swap(is_full, Relaxed)
    }

    /// Notes that the reserve is taken, so that the log may look for room.
    pub fn note_room(&self) {
        self.may_have_room.store(true, Relaxed);
    }

    /// Whether that was noted since the log was last full, or last asked.
    pub fn take_note_of_room(&self) -> bool {
        self.may_have_room.swap(false, Relaxed)
    }

    /// Whether there is no room for the log.
    pub fn is_log_full(&self) -> bool {
        self.log_is_full.load(Relaxed)
    }
}
