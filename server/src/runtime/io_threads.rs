//! The threads that serve connections.
//!
//! Each has a single-threaded runtime and keeps the connections it was given. With many tasks
//! that each do little, what a work-stealing runtime costs in wake-ups of other threads is more
//! than the balance it gains.

use std::{num::NonZero, thread::JoinHandle};

use anyhow::Context;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use super::thread;

/// Threads that run until they are told to stop.
pub(super) struct IoThreads {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl IoThreads {
    /// Starts `count` threads; one for each core if not told.
    ///
    /// # Errors
    /// When the system refuses what a runtime needs.
    pub(super) fn start(count: Option<usize>) -> anyhow::Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let stop = CancellationToken::new();
        let (mut handles, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count.unwrap_or_else(cores) {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context("start a thread for connections")?;
            handles.push(runtime.handle().clone());
            let stop = stop.clone();
            threads.push(thread::spawn(&format!("io-{number}"), move || {
                runtime.block_on(stop.cancelled());
            }));
        }
        Ok(Self { handles, threads, stop })
    }

    /// Where to run the tasks of connections.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Ends the threads; tasks that still run are dropped.
    pub(super) fn stop(self) -> Vec<JoinHandle<()>> {
        self.stop.cancel();
        self.threads
    }
}
