//! The shell: feeds inputs to the deciding code and performs what it says.
//!
//! [`Server`] starts and ends everything. [`pipeline`](Pipeline) is the path of a write;
//! `docs/` and `ARCHITECTURE.md` draw the whole picture.

mod backlog;
mod batch;
mod checkpointer;
mod clock;
mod core;
mod data;
mod files;
mod io_threads;
mod log_writer;
mod members;
mod node;
mod pipeline;
mod process;
mod server;
mod shared;
mod shell;
mod stream;
#[cfg(test)]
mod tests;
mod thread;
mod ticker;
mod view;

pub use batch::{LogChange, LoggedBatch};
pub use checkpointer::{Checkpointer, Mailbox};
pub use clock::{Clock, between_us};
pub use core::{Core, Event};
pub use node::{Node, Surroundings};
pub use pipeline::{Arrival, Behind, Input, NextBatch, Opening, Pipeline, Reopening};
pub use process::{Process, ThisProcess};
pub use server::Server;
pub use shared::{Duty, Shared};
pub use shell::Shell;
pub use stream::Stream;
