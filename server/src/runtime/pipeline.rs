//! The path of a write: prepared, logged, applied, answered.
//!
//! Inputs from all connections meet in one inbox. Whoever adds to it then tries to become the
//! driver: the thread that holds the core takes what is there, steps through it and looks again
//! before it lets go. So a lone write is prepared on the task that read it, without a hop to
//! another thread, and under load inputs gather while somebody else drives, which makes batches.
//!
//! The log writer is a thread of its own. While it writes and syncs one batch, the next one is
//! being built; when a batch is durable it comes back as an input, is applied to the tree and
//! answered. Nothing is applied, answered or seen by a reader before it is durable. Only a write
//! that is alone, on a fast disk, is logged by the driver itself.

use std::{iter, sync::Arc, time::Duration};

use bytes::BytesMut;
use parking_lot::{Condvar, Mutex, MutexGuard};
use quorate_protocol::{ErrorCode, OpCode, SessionId, Xid, Zxid};

use super::{
    batch::LoggedBatch,
    core::{Core, Event},
    log_writer::LogWriter,
    shared::Shared,
};
use crate::{
    net::{Conn, LargeRequest},
    request::Request,
    storage::log::Log,
};

/// Bytes of a batch above which its buffers are not kept.
const SPARE_MAX: usize = 4 << 20;

/// Something for the pipeline to do.
pub enum Input {
    /// A client's write.
    Write { conn: Arc<Conn>, request: Request, arrival: Arrival },
    /// Something that must be answered behind the writes its connection has in the pipeline.
    Behind { conn: Arc<Conn>, item: Behind, arrival: Arrival },
    /// A client's `sync`, which takes an ensemble to answer.
    Sync { conn: Arc<Conn>, request: Request, arrival: Arrival },
    /// A client asks for a new session.
    Open(Opening),
    /// A client comes back with its session.
    Reopen(Reopening),
    /// A connection has ended.
    Gone(Arc<Conn>),
    /// Sessions were heard of at these times.
    Touched(Vec<(SessionId, i64)>),
    /// Sessions that were not heard of for too long are to be ended.
    Expire { now_ms: i64 },
    /// Containers and TTL nodes whose time has come are to be removed, so many at most.
    Reap { most: usize },
    /// A batch is durable.
    Durable(LoggedBatch),
    /// A batch could not be written for lack of room, and nothing of it was.
    NoRoom(LoggedBatch),
    /// Something of the ensemble.
    Ensemble(Event),
}

/// A client's connect record.
pub struct Opening {
    /// Its connection.
    pub conn: Arc<Conn>,
    /// The timeout that its session gets.
    pub timeout_ms: i32,
    /// What it says about reading from a server without an ensemble, if it says something.
    pub read_only: Option<bool>,
    /// The newest transaction that it has seen.
    pub last_zxid_seen: Zxid,
}

/// The connect record of a client that comes back with its session.
pub struct Reopening {
    /// What all connect records have.
    pub opening: Opening,
    /// The session.
    pub session: SessionId,
    /// What proves that it is the client's own.
    pub password: Vec<u8>,
}

/// When a request came, and the room it takes if it is a large one.
pub struct Arrival {
    /// In microseconds of the monotonic clock.
    pub at_us: i64,
    /// Held until the request is answered.
    pub large: Option<Box<LargeRequest>>,
}

impl Arrival {
    /// The arrival of a request that takes no room.
    pub fn at(at_us: i64) -> Self {
        Self { at_us, large: None }
    }
}

/// What can wait behind a connection's writes.
pub enum Behind {
    /// A read, executed once the writes before it are applied.
    Read(Request),
    /// A reply that is ready, such as the answer to `auth`; with `end` the connection is closed
    /// behind it.
    Reply { op: OpCode, xid: Xid, reply: BytesMut, end: bool },
    /// A reply without a body to what left no trace in the log: a write that came to nothing, or
    /// the end of a local session.
    Empty { op: OpCode, xid: Xid, code: ErrorCode },
}

/// The inbox, the core, and the hand-over to the log writer.
pub struct Pipeline {
    inbox: Mutex<Vec<Input>>,
    core: Mutex<Core>,
    to_log: Mutex<ToLog>,
    writer: Mutex<LogWriter>,
    log_has_work: Condvar,
}

/// What the log writer is to do next.
pub enum NextBatch {
    /// Write and sync this.
    Batch(LoggedBatch),
    /// Nothing: there is no write under way.
    Idle,
    /// End: everything is written.
    Closed,
}

#[derive(Default)]
struct ToLog {
    batch: Option<LoggedBatch>,
    /// Empty batches, for their buffers.
    spare: Vec<LoggedBatch>,
    closed: bool,
}

impl Pipeline {
    /// A pipeline around a core and a log that continue after what recovery found.
    pub(super) fn new(core: Core, writer: LogWriter) -> Self {
        Self {
            inbox: Mutex::default(),
            core: Mutex::new(core),
            to_log: Mutex::default(),
            writer: Mutex::new(writer),
            log_has_work: Condvar::new(),
        }
    }

    /// Adds inputs in their order, and drives the core unless somebody does so already.
    pub fn submit(&self, shared: &Shared, inputs: &mut Vec<Input>) {
        self.inbox.lock().append(inputs);
        self.drive(shared);
    }

    /// As [`Self::submit`], for one input.
    pub fn submit_one(&self, shared: &Shared, input: Input) {
        self.inbox.lock().push(input);
        self.drive(shared);
    }

    fn drive(&self, shared: &Shared) {
        let mut inputs = Vec::new();
        // The holder of the core looks into the inbox once more after it has let go, so inputs
        // added by somebody who found the core taken are never left lying.
        while let Some(mut core) = self.core.try_lock() {
            loop {
                std::mem::swap(&mut inputs, &mut *self.inbox.lock());
                if inputs.is_empty() {
                    break;
                }
                core.step(shared, inputs.drain(..));
                self.log(shared, &mut core);
            }
            drop(core);
            if self.inbox.lock().is_empty() {
                return;
            }
        }
    }

    /// Has the batches logged that were built.
    fn log(&self, shared: &Shared, core: &mut Core) {
        // A server alone refuses what there is no room for; an ensemble's member waits for room.
        while !core.outgoing.is_empty() && (!core.waits_for_room() || !shared.backlog.is_log_full())
        {
            if core.outgoing.is_lone()
                && let Some(mut writer) = self.writer.try_lock()
                && writer.is_fast()
            {
                let batch = core.outgoing.hand_over(|| self.spare());
                let written = writer.write(shared, batch);
                drop(writer);
                core.step(shared, iter::once(written));
            } else {
                self.hand_over(core);
                return;
            }
        }
    }

    fn spare(&self) -> LoggedBatch {
        self.to_log.lock().spare.pop().unwrap_or_default()
    }

    /// Gives the log writer the oldest batch, if it is waiting for one.
    fn hand_over(&self, core: &mut Core) {
        let mut to_log = self.to_log.lock();
        if to_log.batch.is_none() {
            let spare = to_log.spare.pop().unwrap_or_default();
            to_log.batch = Some(core.outgoing.hand_over(|| spare));
            drop(to_log);
            self.log_has_work.notify_one();
        }
    }

    /// The log writer, once nobody else writes.
    pub(super) fn writer(&self) -> MutexGuard<'_, LogWriter> {
        self.writer.lock()
    }

    /// Looks at the log, between two batches.
    pub fn with_log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(self.writer.lock().log())
    }

    /// Whether a batch waits for the log writer.
    pub fn has_batch(&self) -> bool {
        self.to_log.lock().batch.is_some()
    }

    /// Looks at the core from outside, between two steps.
    pub fn with_core<T>(&self, shared: &Shared, look: impl FnOnce(&Core) -> T) -> T {
        let looked = look(&self.core.lock());
        // Whoever added an input meanwhile found the core taken, and left it to its holder.
        self.drive(shared);
        looked
    }

    /// The log writer's wait for a batch, no longer than `patience`.
    pub fn next_batch(&self, patience: Duration) -> NextBatch {
        let mut to_log = self.to_log.lock();
        if to_log.batch.is_none() && !to_log.closed {
            self.log_has_work.wait_for(&mut to_log, patience);
        }
        match to_log.batch.take() {
            Some(batch) => NextBatch::Batch(batch),
            None if to_log.closed => NextBatch::Closed,
            None => NextBatch::Idle,
        }
    }

    /// Takes an applied batch back for its buffers, unless they are larger than usual.
    pub fn recycle(&self, mut batch: LoggedBatch) {
        if batch.log.size() <= SPARE_MAX {
            batch.clear();
            self.to_log.lock().spare.push(batch);
        }
    }

    /// Lets the log writer end once it has written what it was given.
    pub fn close(&self) {
        self.to_log.lock().closed = true;
        self.log_has_work.notify_one();
    }
}
