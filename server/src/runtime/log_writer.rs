//! What makes batches durable: one write and one sync for each.
//!
//! It has a thread of its own, which the pipeline hands batches to. A lone write is written by the
//! thread that prepared it, as long as the disk has been fast: to wake another one would take
//! about as long as the sync.

use std::{collections::VecDeque, sync::Arc, thread::JoinHandle, time::Duration};

use tracing::{error, info, warn};

use super::{
    EXIT_DISK_FAILED,
    batch::{LogChange, LoggedBatch},
    clock::between_us,
    pipeline::{Input, NextBatch},
    shared::Shared,
    thread,
};
use crate::storage::{
    fs,
    log::{Log, LogError, Retirement, Spare},
};

/// A disk is fast whose syncs take no longer than this on average.
const FAST_SYNC: Duration = Duration::from_micros(400);
/// Without a batch for so long, the log notes how far it is durable.
const IDLE: Duration = Duration::from_millis(100);

/// The log and the jobs that run beside it.
pub(super) struct LogWriter {
    log: Log,
    /// Makes the next segment while this one is being filled.
    preparing: Option<JoinHandle<fs::Result<Spare>>>,
    /// Removes segments that a checkpoint made superfluous.
    retiring: Option<JoinHandle<()>>,
    /// Removes segments that the log does not continue any more.
    void: VecDeque<Retirement>,
    /// The checkpoint that segments were last let go for.
    retired: i64,
    /// The last batch was refused.
    is_refusing: bool,
    /// How long syncs take: the average over some of the last.
    sync_time: Duration,
}

impl LogWriter {
    /// A writer of the log that recovery left.
    pub(super) fn new(log: Log) -> Self {
        let (preparing, retiring) = (None, None);
        let void = VecDeque::new();
        Self {
            log,
            preparing,
            retiring,
            void,
            retired: 0,
            is_refusing: false,
            sync_time: Duration::MAX,
        }
    }

    /// Whether the disk has lately been fast enough to be waited for.
    pub(super) fn is_fast(&self) -> bool {
        self.sync_time <= FAST_SYNC
    }

    /// Writes and syncs a batch; returns what the pipeline is to do with it. While the disk is
    /// full, no batch so much as tries: that would take the room which is being made.
    pub(super) fn write(&mut self, shared: &Shared, mut batch: LoggedBatch) -> Input {
        shared.backlog.set_log_busy(Some(shared.clock.now_ms()));
        if shared.backlog.is_log_full() {
            self.is_refusing = true;
            return Input::NoRoom(batch);
        }
        let started = shared.clock.elapsed();
        if let Some(change) = &batch.before {
            self.change(change);
        }
        self.log.set_committed(shared.streamable());
        let appended = self.log.append(&mut batch.log);
        let written = shared.clock.elapsed();
        let durable = appended.and_then(|()| self.log.sync());
        let sync_time = shared.clock.elapsed().saturating_sub(written);
        self.sync_time = match self.sync_time {
            Duration::MAX => sync_time,
            average => (average * 7 + sync_time) / 8,
        };
        shared.stats.sync_processor_batch_size.record(batch.len() as u64);
        shared.stats.fsynctime.record_time(sync_time);
        if sync_time > shared.settings.storage.sync_warning {
            let total = humantime::format_duration(shared.clock.elapsed().saturating_sub(started));
            warn!(%total, "a sync of the log took long: the disk is slow or busy");
        }
        match durable {
            Ok(()) => {
                shared.backlog.set_log_busy(None);
                self.is_refusing = false;
                let queued = between_us(batch.begun_us, shared.clock.now_us());
                shared.stats.sync_processor_queue_and_flush_time_ms.record_time(queued);
                shared.backlog.grew(batch.len() as u64, batch.log.size() as u64);
                Input::Durable(batch)
            }
            Err(LogError::Full(error)) => {
                self.is_refusing = true;
                shared.backlog.set_log_full(true);
                warn!(
                    %error,
                    "no room for the log: writes are refused and reads go on, until there is room \
                     on this file system again"
                );
                Input::NoRoom(batch)
            }
            // Built behind a batch that was refused, before anybody knew.
            Err(LogError::OutOfOrder { .. }) if self.is_refusing => Input::NoRoom(batch),
            Err(error) => end_process(&error),
        }
    }

    /// Cuts the log, or begins it anew; durable when this returns.
    fn change(&mut self, change: &LogChange) {
        let void = match change {
            LogChange::Truncate(to) => self.log.truncate(*to),
            LogChange::BeginAnew { tree, generation } => {
                self.log.begin_anew(tree.last_zxid(), *generation).map(Some)
            }
        };
        match void {
            Ok(void) => self.void.extend(void),
            Err(error) => end_process(&error),
        }
    }

    /// Has the next segment made ahead, and those removed that no start needs any more.
    fn look_after_segments(&mut self, shared: &Shared) {
        if let Some(job) = self.preparing.take_if(|job| job.is_finished()) {
            self.log.supply(job.join().expect("a job that does not panic"));
            self.accept_again_with_room(shared);
        }
        if shared.backlog.is_log_full() && shared.backlog.take_note_of_room() {
            self.log.prepare_again();
            self.accept_again_with_room(shared);
        }
        if self.preparing.is_none()
            && let Some(job) = self.log.preparation()
        {
            self.preparing = Some(thread::spawn("segment", move || job.run()));
        }
        let checkpoint = shared.backlog.checkpoint();
        let is_busy = self.retiring.as_ref().is_some_and(|job| !job.is_finished());
        if is_busy {
            return;
        }
        if let Some(void) = self.void.pop_front() {
            self.retiring = Some(retire(void));
        } else if checkpoint.0 != self.retired {
            self.retired = checkpoint.0;
            let keep = shared.settings.storage.retained_segments;
            self.retiring = self.log.retire(checkpoint, keep).map(retire);
        }
    }

    /// Ends the refusal of writes once a segment waits for them.
    fn accept_again_with_room(&self, shared: &Shared) {
        if self.log.has_spare() && shared.backlog.set_log_full(false) {
            info!("there is room for the log again: writes are accepted");
        }
    }
}

/// The writer's thread: writes batches until the pipeline is closed.
pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        shared.pipeline.writer().look_after_segments(shared);
        match shared.pipeline.next_batch(IDLE) {
            NextBatch::Batch(batch) => {
                let written = shared.pipeline.writer().write(shared, batch);
                shared.pipeline.submit_one(shared, written);
            }
            NextBatch::Idle => {
                let marked = shared.pipeline.writer().log.mark();
                marked.unwrap_or_else(|error| end_process(&error));
            }
            NextBatch::Closed => break,
        }
    }
    let mut writer = shared.pipeline.writer();
    if let Err(error) = writer.log.close() {
        error!(%error, "the log could not be closed; the next start reads it as after a crash");
    }
    let _ = writer.retiring.take().map(JoinHandle::join);
    let _ = writer.preparing.take().map(JoinHandle::join);
}

fn retire(job: Retirement) -> JoinHandle<()> {
    thread::spawn("retire", move || match job.run() {
        Ok(count) => info!(count, "log segments removed that no start needs any more"),
        Err(error) => warn!(%error, "superfluous log segments could not be removed"),
    })
}

/// After a failed sync nobody knows what the disk holds. Only a start from the disk, with every
/// record checked, can tell.
fn end_process(error: &LogError) -> ! {
    error!(%error, "the log cannot be written any more: the server ends");
    std::process::exit(EXIT_DISK_FAILED);
}
