//! What makes batches durable: one write and one sync for each.
//!
//! It has a thread of its own, which the pipeline hands batches to. A lone write is written by the
//! thread that prepared it, as long as the disk has been fast: to wake another one would take
//! about as long as the sync.

use std::{
    collections::VecDeque,
    sync::mpsc::{self, Receiver, TryRecvError},
    time::Duration,
};

use tracing::{error, info, warn};

use super::{
    batch::{LogChange, LoggedBatch},
    clock::between_us,
    pipeline::{Input, NextBatch},
    process::Process,
    shared::Shared,
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
    preparing: Option<Job<fs::Result<Spare>>>,
    /// Removes segments that no start needs any more.
    retiring: Option<Job<()>>,
    /// Removes segments that the log does not continue any more.
    void: VecDeque<Retirement>,
    /// The checkpoint that segments were last let go for.
    retired: i64,
    /// The last batch was refused.
    is_refusing: bool,
    /// How long syncs take: the average over some of the last.
    sync_time: Duration,
    /// How long they may take so that they are waited for.
    fast_sync: Option<Duration>,
}

/// Work beside the log; what comes of it.
struct Job<T>(Receiver<T>);

impl<T: Send + 'static> Job<T> {
    fn start(
        process: &dyn Process,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Self {
        let (done, outcome) = mpsc::channel();
        process.spawn(
            name,
            Box::new(move || {
                // Nobody wants to know any more when the server has ended.
                let _ = done.send(work());
            }),
        );
        Self(outcome)
    }

    /// What came of it, if it has come to an end.
    fn outcome(&self) -> Option<T> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("a job that does not panic"),
        }
    }

    fn wait(self) {
        let _ = self.0.recv();
    }
}

impl LogWriter {
    /// A writer of the log that recovery left.
    pub(super) fn new(log: Log, fast_sync: Option<Duration>) -> Self {
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
            fast_sync,
        }
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Whether the disk has lately been fast enough to be waited for.
    pub(super) fn is_fast(&self) -> bool {
        self.fast_sync.is_some_and(|fast| self.sync_time <= fast)
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
            self.change(shared, change);
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
            Err(error) => end_process(shared, &error),
        }
    }

    /// Cuts the log, or begins it anew; durable when this returns.
    fn change(&mut self, shared: &Shared, change: &LogChange) {
        let void = match change {
            LogChange::Truncate(to) => self.log.truncate(*to),
            LogChange::BeginAnew { tree, generation } => {
                self.log.begin_anew(tree.last_zxid(), *generation).map(Some)
            }
        };
        match void {
            Ok(void) => self.void.extend(void),
            Err(error) => end_process(shared, &error),
        }
    }

    /// Has the next segment made ahead, and those removed that no start needs any more.
    fn look_after_segments(&mut self, shared: &Shared) {
        if let Some(spare) = self.preparing.as_ref().and_then(Job::outcome) {
            self.preparing = None;
            self.log.supply(spare);
            self.accept_again_with_room(shared);
        }
        if shared.backlog.is_log_full() && shared.backlog.take_note_of_room() {
            self.log.prepare_again();
            self.accept_again_with_room(shared);
        }
        if self.preparing.is_none()
            && let Some(job) = self.log.preparation()
        {
            self.preparing = Some(Job::start(&*shared.process, "segment", move || job.run()));
        }
        let checkpoint = shared.backlog.checkpoint();
        if self.retiring.as_ref().is_some_and(|job| job.outcome().is_none()) {
            return;
        }
        self.retiring = None;
        if let Some(void) = self.void.pop_front() {
            self.retiring = Some(retire(shared, void));
        } else if checkpoint.0 != self.retired {
            self.retired = checkpoint.0;
            let keep = shared.settings.storage.retained_segments;
            self.retiring = self.log.retire(checkpoint, keep).map(|job| retire(shared, job));
        }
    }

    /// Ends the refusal of writes once a segment waits for them.
    fn accept_again_with_room(&self, shared: &Shared) {
        if self.log.has_spare() && shared.backlog.set_log_full(false) {
            info!("there is room for the log again: writes are accepted");
        }
    }
}

impl Shared {
    /// The log writer's thread: writes batches until the pipeline is closed.
    pub(super) fn run_log(&self) {
        loop {
            self.look_after_segments();
            match self.pipeline.next_batch(IDLE) {
                NextBatch::Batch(batch) => {
                    let written = self.write_log(batch);
                    self.submit(written);
                }
                NextBatch::Idle => self.mark_log(),
                NextBatch::Closed => break,
            }
        }
        self.close_log();
    }

    /// Writes and syncs a batch; what the pipeline is to be told of it.
    pub fn write_log(&self, batch: LoggedBatch) -> Input {
        self.pipeline.writer().write(self, batch)
    }

    /// Notes in the log, which has nothing else to do, how far it is durable.
    pub fn mark_log(&self) {
        let marked = self.pipeline.writer().log.mark();
        marked.unwrap_or_else(|error| end_process(self, &error));
    }

    /// Has the log's next segment made ahead, and those removed that no start needs any more.
    pub fn look_after_segments(&self) {
        self.pipeline.writer().look_after_segments(self);
    }

    /// Ends the use of the log.
    pub fn close_log(&self) {
        let mut writer = self.pipeline.writer();
        if let Err(error) = writer.log.close() {
            error!(%error, "the log could not be closed; the next start reads it as after a crash");
        }
        let _ = writer.retiring.take().map(Job::wait);
        let _ = writer.preparing.take().map(Job::wait);
    }
}

fn retire(shared: &Shared, job: Retirement) -> Job<()> {
    Job::start(&*shared.process, "retire", move || match job.run() {
        Ok(count) => info!(count, "log segments removed that no start needs any more"),
        Err(error) => warn!(%error, "superfluous log segments could not be removed"),
    })
}

/// After a failed sync nobody knows what the disk holds. Only a start from the disk, with every
/// record checked, can tell.
fn end_process(shared: &Shared, error: &LogError) -> ! {
    shared.process.halt("the log cannot be written any more", Some(error))
}
