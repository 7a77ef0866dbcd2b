//! The thread that makes batches durable: one write and one sync for each.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use tracing::{error, info, warn};

use super::{
    EXIT_DISK_FAILED,
    core::LoggedBatch,
    pipeline::{Input, NextBatch},
    shared::Shared,
    thread,
};
use crate::storage::{
    fs,
    log::{Log, LogError, Retirement, Spare},
};

/// Without a batch for so long, the log notes how far it is durable.
const IDLE: Duration = Duration::from_millis(100);

/// The log and the jobs that run beside it.
pub(super) struct LogWriter {
    log: Log,
    /// Makes the next segment while this one is being filled.
    preparing: Option<JoinHandle<fs::Result<Spare>>>,
    /// Removes segments that a checkpoint made superfluous.
    retiring: Option<JoinHandle<()>>,
    /// The checkpoint that segments were last let go for.
    retired: i64,
}

impl LogWriter {
    /// A writer of the log that recovery left.
    pub(super) fn new(log: Log) -> Self {
        Self { log, preparing: None, retiring: None, retired: 0 }
    }

    /// Writes and syncs batches until the pipeline is closed.
    pub(super) fn run(mut self, shared: &Arc<Shared>) {
        loop {
            self.look_after_segments(shared);
            match shared.pipeline.next_batch(IDLE) {
                NextBatch::Batch(batch) => self.write(shared, batch),
                NextBatch::Idle => self.log.mark().unwrap_or_else(|error| end_process(&error)),
                NextBatch::Closed => break,
            }
        }
        if let Err(error) = self.log.close() {
            error!(%error, "the log could not be closed; the next start reads it as after a crash");
        }
        let _ = self.retiring.map(JoinHandle::join);
        let _ = self.preparing.map(JoinHandle::join);
    }

    fn write(&mut self, shared: &Arc<Shared>, mut batch: LoggedBatch) {
        let started = shared.clock.elapsed();
        let appended = self.log.append(&mut batch.log);
        let written = shared.clock.elapsed();
        let durable = appended.and_then(|()| self.log.sync());
        let sync_time = shared.clock.elapsed().saturating_sub(written);
        shared.stats.sync_processor_batch_size.record(batch.len() as u64);
        shared.stats.fsynctime.record_time(sync_time);
        if sync_time > shared.settings.storage.sync_warning {
            let total = humantime::format_duration(shared.clock.elapsed().saturating_sub(started));
            warn!(%total, "a sync of the log took long: the disk is slow or busy");
        }
        match durable {
            Ok(()) => {
                if shared.backlog.set_log_full(false) {
                    info!("there is room for the log again: writes are accepted");
                }
                shared.backlog.grew(batch.len() as u64, batch.log.size() as u64);
                shared.pipeline.submit_one(shared, Input::Durable(batch));
            }
            Err(LogError::Full(error)) => {
                if !shared.backlog.set_log_full(true) {
                    warn!(
                        %error,
                        "no room for the log: writes are refused and reads go on, until there is \
                         room on this file system again"
                    );
                }
                shared.pipeline.submit_one(shared, Input::NoRoom(batch));
            }
            Err(error) => end_process(&error),
        }
    }

    /// Has the next segment made ahead, and those removed that no start needs any more.
    fn look_after_segments(&mut self, shared: &Shared) {
        if let Some(job) = self.preparing.take_if(|job| job.is_finished()) {
            self.log.supply(job.join().expect("a job that does not panic"));
        }
        if self.preparing.is_none()
            && !shared.backlog.is_log_full()
            && let Some(job) = self.log.preparation()
        {
            self.preparing = Some(thread::spawn("segment", move || job.run()));
        }
        let checkpoint = shared.backlog.checkpoint();
        if checkpoint.0 != self.retired
            && self.retiring.as_ref().is_none_or(JoinHandle::is_finished)
        {
            self.retired = checkpoint.0;
            let keep = shared.settings.storage.retained_segments;
            self.retiring = self.log.retire(checkpoint, keep).map(retire);
        }
    }
}

fn retire(job: Retirement) -> JoinHandle<()> {
    thread::spawn("retire", move || match job.run() {
        Ok(count) => info!(count, "log segments removed that the checkpoint made superfluous"),
        Err(error) => warn!(%error, "superfluous log segments could not be removed"),
    })
}

/// After a failed sync nobody knows what the disk holds. Only a start from the disk, with every
/// record checked, can tell.
fn end_process(error: &LogError) -> ! {
    error!(%error, "the log cannot be written any more: the server ends");
    std::process::exit(EXIT_DISK_FAILED);
}
