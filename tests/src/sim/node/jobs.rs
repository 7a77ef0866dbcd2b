//! What the server's threads do, a step at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use quorate_server::runtime::{LoggedBatch, NextBatch, Node, Shared, Stream};

use super::observe::Observer;
use crate::sim::server::{Command, Job};

/// The work under way.
#[derive(Default)]
pub(super) struct Jobs {
    /// The batch that the log is at.
    writing: Option<LoggedBatch>,
    /// What was to be done beside everything else.
    pub(super) spawned: VecDeque<Box<dyn FnOnce() + Send>>,
    streams: BTreeMap<u64, Stream>,
    /// Streams and snapshots are told apart by these numbers.
    numbered: u64,
}

impl Jobs {
    /// Does a step of a job.
    pub(super) fn work(
        &mut self,
        node: &mut Node,
        job: Job,
        observer: &mut Observer,
        commands: &mut Vec<Command>,
    ) {
        match job {
            Job::Log => {
                if let Some(batch) = self.writing.take() {
                    write(&node.shared, batch, observer);
                    node.shared.look_after_segments();
                }
            }
            Job::Checkpoint | Job::Install(_) => node.checkpointer.round(None),
            Job::Segments => {
                if let Some(work) = self.spawned.pop_front() {
                    work();
                }
                if !self.spawned.is_empty() {
                    commands.push(Command::Schedule { job });
                }
            }
            Job::Stream(number) => {
                let goes_on = |stream: &mut Stream| stream.advance(&node.shared);
                if self.streams.get_mut(&number).is_some_and(goes_on) {
                    commands.push(Command::Schedule { job });
                } else {
                    self.streams.remove(&number);
                }
            }
        }
    }

    /// What the threads do now and then while nobody wants anything of them.
    pub(super) fn idle(&mut self, node: &Node, commands: &mut Vec<Command>) {
        if self.writing.is_none() && !node.shared.pipeline.has_batch() {
            node.shared.mark_log();
        }
        node.shared.look_after_segments();
        if node.checkpointer.has_work() {
            commands.push(Command::Schedule { job: Job::Checkpoint });
        }
    }

    /// Gives the log the next batch.
    pub(super) fn schedule(&mut self, shared: &Shared, commands: &mut Vec<Command>) {
        if self.writing.is_none()
            && shared.pipeline.has_batch()
            && let NextBatch::Batch(batch) = shared.pipeline.next_batch(Duration::ZERO)
        {
            shared.backlog.set_log_busy(Some(shared.clock.now_ms()));
            self.writing = Some(batch);
            commands.push(Command::Schedule { job: Job::Log });
        }
    }

    /// Begins to bring a learner up to date.
    pub(super) fn begin_stream(&mut self, stream: Stream, commands: &mut Vec<Command>) {
        self.numbered += 1;
        self.streams.insert(self.numbered, stream);
        commands.push(Command::Schedule { job: Job::Stream(self.numbered) });
    }

    /// Has the checkpointer do at once what it was told.
    pub(super) fn install(&mut self, commands: &mut Vec<Command>) {
        self.numbered += 1;
        commands.push(Command::Schedule { job: Job::Install(self.numbered) });
    }

    /// Brings everything to its end.
    pub(super) fn finish(&mut self, node: &mut Node, observer: &mut Observer) {
        let shared = &node.shared;
        if let Some(batch) = self.writing.take() {
            write(shared, batch, observer);
        }
        while let NextBatch::Batch(batch) = shared.pipeline.next_batch(Duration::ZERO) {
            write(shared, batch, observer);
        }
        self.spawned.drain(..).for_each(|work| work());
        shared.close_log();
    }
}

fn write(shared: &Shared, batch: LoggedBatch, observer: &mut Observer) {
    let change = observer.foresee(&batch);
    let written = shared.write_log(batch);
    observer.written(shared, change, &written);
    shared.submit(written);
    observer.look(shared);
}
