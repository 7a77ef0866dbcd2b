//! The thread that keeps the checkpoint current, so that a start has little log to replay.
//!
//! It works in the background of everything else: only what changed since the last checkpoint is
//! written, the tree is locked for a few slots at a time, the thread has the lowest priority, and
//! between two checkpoints it rests in proportion to the work.

use std::{sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use tracing::{debug, error, info, warn};

use super::{EXIT_DISK_FAILED, core::Event, data::rounded, pipeline::Input, shared::Shared};
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
}

impl Mailbox {
    /// Ends the thread after the checkpoint it may be writing was given up.
    pub(super) fn stop(&self) {
        self.orders.lock().stop = true;
        self.changed.notify_all();
    }

    /// Has a leader's snapshot written, instead of the checkpoint that may be being written.
    pub(super) fn install(&self, tree: Box<Tree>) {
        self.orders.lock().snapshot = Some(tree);
        self.changed.notify_all();
    }

    /// Waits; true when there is something else to do than what is being done.
    fn wait(&self, time: Duration) -> bool {
        let mut orders = self.orders.lock();
        let is_told = |orders: &Orders| orders.stop || orders.snapshot.is_some();
        if !is_told(&orders) && !time.is_zero() {
            self.changed.wait_for(&mut orders, time);
        }
        is_told(&orders)
    }

    fn is_stopped(&self) -> bool {
        self.orders.lock().stop
    }

    fn take_snapshot(&self) -> Option<Box<Tree>> {
        self.orders.lock().snapshot.take()
    }
}

/// Writes checkpoints of the tree into the file.
pub struct Checkpointer {
    pub(super) shared: Arc<Shared>,
    pub(super) checkpoint: Checkpoint,
    /// Room without which a full disk could not be made to have room again.
    pub(super) reserve: Reserve,
    pub(super) mailbox: Arc<Mailbox>,
    /// The last attempt found no room for the checkpoint.
    pub(super) is_full: bool,
}

impl Checkpointer {
    /// Writes a checkpoint whenever one is due, until stopped.
    pub(super) fn run(mut self) {
        lower_priority();
        let mut last_end = self.shared.clock.elapsed();
        let mut rest = Duration::ZERO;
        let mut look = LOOK;
        loop {
            self.mailbox.wait(look);
            if self.mailbox.is_stopped() {
                return;
            }
            if let Some(tree) = self.mailbox.take_snapshot() {
                self.install(tree);
                continue;
            }
            let began = self.shared.clock.elapsed();
            let since = began.saturating_sub(last_end);
            let is_log_full = self.shared.backlog.is_log_full();
            if since >= rest && self.is_due(since) {
                self.write(Some(PACE));
                self.take_reserve();
                last_end = self.shared.clock.elapsed();
                rest = last_end.saturating_sub(began) * REST;
            } else if is_log_full {
                self.take_reserve();
            }
            look = if is_log_full { LOOK_FOR_ROOM } else { LOOK };
        }
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
    pub fn install(&mut self, mut tree: Box<Tree>) {
        self.shared.backlog.set_installing(true);
        match self.checkpoint.install_snapshot(&mut tree) {
            Ok(generation) => {
                let written = Event::SnapshotWritten { tree, generation };
                self.shared.submit(Input::Ensemble(written));
            }
            Err(error) => {
                error!(%error, "a snapshot from the leader cannot be written: the server ends");
                std::process::exit(EXIT_DISK_FAILED);
            }
        }
    }

    /// Writes a checkpoint, so many bytes in a second.
    pub fn write(&mut self, pace: Option<u64>) {
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
            Err(error) => {
                error!(%error, "the checkpoint cannot be written any more: the server ends");
                std::process::exit(EXIT_DISK_FAILED);
            }
        }
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
