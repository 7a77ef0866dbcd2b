//! The thread that keeps the checkpoint current, so that a start has little log to replay.
//!
//! It works in the background of everything else: only what changed since the last checkpoint is
//! written, the tree is locked for a few slots at a time, the thread has the lowest priority, and
//! between two checkpoints it rests in proportion to the work.

use std::{sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use tracing::{debug, info, warn};

use super::{core::Event, data::rounded, pipeline::Input, shared::Shared};
use crate::{
    storage::{
        checkpoint::{Checkpoint, CheckpointError, Written},
        reserve::Reserve,
    },
    tree::Tree,
};

/// Slots taken from the tree under one lock: a few microseconds.
const CHUNK: usize = 64;
/// How often the thread looks whether a checkpoint is due.
const LOOK: Duration = Duration::from_millis(500);
/// How often it looks whether there is room again: each look writes as much as there is.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(2);
/// After a checkpoint the thread rests as long as it took.
const REST: u32 = 1;
/// Bytes written in a second: the log's syncs share the disk.
const PACE: u64 = 16 << 20;
/// With so many bytes of log written since the checkpoint began it hurries instead: the next
/// start would take too long. So it does on a full disk, to make room.
const HURRY: u64 = 1 << 30;

/// What the thread is told.
#[derive(Debug, Default)]
pub struct Mailbox {
    orders: Mutex<Orders>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Orders {
    stop: bool,
    /// A leader's snapshot, to be written as a checkpoint.
    snapshot: Option<Box<Tree>>,
    /// The snapshot written last is the checkpoint now.
    installed: bool,
}

impl Orders {
    fn are_there(&self) -> bool {
        self.stop || self.installed || self.snapshot.is_some()
    }
}

impl Mailbox {
    /// Ends the thread after the checkpoint it may be writing was given up.
    pub(super) fn stop(&self) {
        self.orders.lock().stop = true;
        self.changed.notify_all();
    }

    /// Has a leader's snapshot written, instead of the checkpoint that may be being written.
    pub fn install(&self, tree: Box<Tree>) {
        self.orders.lock().snapshot = Some(tree);
        self.changed.notify_all();
    }

    /// Says that the log stands on the snapshot written last.
    pub fn installed(&self) {
        self.orders.lock().installed = true;
        self.changed.notify_all();
    }

    /// Waits; true when there is something else to do than what is being done.
    fn wait(&self, time: Duration) -> bool {
        let mut orders = self.orders.lock();
        if !orders.are_there() && !time.is_zero() {
            self.changed.wait_for(&mut orders, time);
        }
        orders.are_there()
    }

    fn is_stopped(&self) -> bool {
        self.orders.lock().stop
    }

    fn take_snapshot(&self) -> Option<Box<Tree>> {
        self.orders.lock().snapshot.take()
    }

    fn take_installed(&self) -> bool {
        std::mem::take(&mut self.orders.lock().installed)
    }
}

/// Writes checkpoints of the tree into the file.
pub struct Checkpointer {
    shared: Arc<Shared>,
    checkpoint: Checkpoint,
    /// Room without which a full disk could not be made to have room again.
    reserve: Reserve,
    mailbox: Arc<Mailbox>,
    /// The last attempt found no room for the checkpoint.
    is_full: bool,
    /// When the last checkpoint was written, and how long the next one has to wait then.
    last_end: Duration,
    rest: Duration,
}

impl Checkpointer {
    /// One that goes on with a checkpoint.
    pub(super) fn new(
        shared: Arc<Shared>,
        checkpoint: Checkpoint,
        reserve: Reserve,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        let (last_end, rest) = (shared.clock.elapsed(), Duration::ZERO);
        Self { shared, checkpoint, reserve, mailbox, is_full: false, last_end, rest }
    }

    /// Writes a checkpoint whenever one is due, until stopped.
    pub(super) fn run(mut self) {
        lower_priority();
        let mut look = LOOK;
        loop {
            self.mailbox.wait(look);
            if self.mailbox.is_stopped() {
                return;
            }
            self.round(Some(PACE));
            look = if self.shared.backlog.is_log_full() { LOOK_FOR_ROOM } else { LOOK };
        }
    }

    /// Does what it was told to, or writes a checkpoint if one is due, so many bytes in a second.
    pub fn round(&mut self, pace: Option<u64>) {
        // First: what was installed before a snapshot that is to be is its predecessor.
        if self.mailbox.take_installed() {
            self.switch();
        }
        if let Some(tree) = self.mailbox.take_snapshot() {
            self.install(tree);
            return;
        }
        let began = self.shared.clock.elapsed();
        let since = began.saturating_sub(self.last_end);
        if since >= self.rest && self.is_due(since) {
            self.write(pace);
            self.take_reserve();
            self.last_end = self.shared.clock.elapsed();
            self.rest = self.last_end.saturating_sub(began) * REST;
        } else if self.shared.backlog.is_log_full() {
            self.take_reserve();
        }
    }

    /// Whether there is something for [`Self::round`] to do.
    pub fn has_work(&self) -> bool {
        let since = self.shared.clock.elapsed().saturating_sub(self.last_end);
        self.mailbox.orders.lock().are_there()
            || (since >= self.rest && self.is_due(since))
            || self.shared.backlog.is_log_full()
    }

    fn is_due(&self, since: Duration) -> bool {
        let (settings, backlog) = (&self.shared.settings.storage, &self.shared.backlog);
        if backlog.is_installing() {
            return false;
        }
        let (transactions, bytes) = (backlog.transactions(), backlog.bytes());
        transactions >= settings.checkpoint_transactions
            || settings.checkpoint_log_bytes.is_some_and(|limit| bytes >= limit)
            || (transactions > 0 && since >= settings.checkpoint_interval)
            || (transactions > 0 && self.shared.backlog.is_log_full())
    }

    /// Writes a leader's snapshot as the checkpoint; the log begins anew with it then.
    ///
    /// No checkpoint is written until it does: the tree is still the old one.
    fn install(&mut self, mut tree: Box<Tree>) {
        self.shared.backlog.set_installing(true);
        match self.checkpoint.install_snapshot(&mut tree) {
            Ok(generation) => {
                let written = Event::SnapshotWritten { tree, generation };
                self.shared.submit(Input::Ensemble(written));
            }
            Err(error) => self.end_process("a snapshot from the leader", &error),
        }
    }

    /// The log and the tree have begun anew with the snapshot written last: checkpoints go into its
    /// file from now on.
    fn switch(&mut self) {
        match self.checkpoint.switch() {
            Ok(()) => self.shared.backlog.set_installing(false),
            Err(error) => self.end_process("the checkpoint of the leader's snapshot", &error),
        }
    }

    /// Writes a checkpoint, so many bytes in a second.
    fn write(&mut self, pace: Option<u64>) {
        let began = self.shared.clock.elapsed();
        let full = self.shared.backlog.is_log_full();
        if full && let Err(error) = self.reserve.release() {
            warn!(%error, "the reserve for a full disk could not be given back");
        }
        let head = self.shared.tree.write().checkpoint_begin();
        let counted = self.shared.backlog.begin_checkpoint();
        let (shared, mailbox) = (&self.shared, &self.mailbox);
        let mut bytes = 0;
        let written = self.checkpoint.write(&head, || {
            let pace = pace.filter(|_| !full && shared.backlog.bytes() < HURRY);
            let pause = pace.map_or(Duration::ZERO, |pace| {
                let due = Duration::from_millis(bytes * 1000 / pace);
                due.saturating_sub(shared.clock.elapsed().saturating_sub(began))
            });
            if mailbox.wait(pause) {
                return None;
            }
            let chunk = shared.tree.write().checkpoint_chunk(CHUNK);
            bytes += chunk
                .iter()
                .filter_map(|(_, image)| image.as_ref())
                .map(|image| image.len() as u64)
                .sum::<u64>();
            Some(chunk)
        });
        self.shared.tree.write().checkpoint_end(matches!(written, Ok(Some(_))));
        let took = self.shared.clock.elapsed().saturating_sub(began);
        match written {
            Ok(Some(written)) => self.note_success(&written, took),
            Ok(None) => {
                self.shared.backlog.checkpoint_failed(counted);
                debug!("checkpoint given up");
            }
            Err(CheckpointError::Full(error)) => {
                self.shared.backlog.checkpoint_failed(counted);
                self.shared.stats.snapshot_error_count.add(1);
                if !std::mem::replace(&mut self.is_full, true) {
                    warn!(
                        %error,
                        "no room for the checkpoint: the log grows until there is room again"
                    );
                }
            }
            Err(error) => self.end_process("the checkpoint", &error),
        }
    }

    fn end_process(&self, what: &str, error: &CheckpointError) -> ! {
        self.shared.process.halt(&format!("{what} cannot be written any more"), Some(error))
    }

    /// Keeps room back for the next time the disk is full. Only what there is besides is the log's.
    fn take_reserve(&self) {
        match self.reserve.take() {
            Ok(()) => self.shared.backlog.note_room(),
            Err(error) => debug!(%error, "the reserve for a full disk could not be taken yet"),
        }
    }

    fn note_success(&mut self, written: &Written, took: Duration) {
        self.is_full = false;
        self.shared.backlog.checkpointed(written.zxid);
        self.shared.stats.snapshottime.record_time(took);
        info!(
            zxid = %written.zxid,
            slots = written.slots,
            bytes = written.bytes,
            took = %rounded(took),
            "checkpoint written"
        );
    }
}

/// Leaves the processor to everybody else.
fn lower_priority() {
    let this = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(this), 19) {
        debug!(%error, "the checkpoint's thread keeps its priority");
    }
}
