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
mod io_threads;
mod log_writer;
mod members;
mod node;
mod pipeline;
mod server;
mod shared;
mod shell;
mod stream;
mod thread;
mod ticker;
mod view;

pub use clock::{Clock, between_us};
pub use core::Event;
pub use node::{Node, Surroundings};
pub use pipeline::{Arrival, Behind, Input, Opening, Pipeline, Reopening};
pub use server::Server;
pub use shared::Shared;
pub use shell::Shell;
pub use stream::{Progress, Stream, StreamError};

/// The status a process ends with when its disk failed: what the disk holds is unknown then, and
/// only a start from it, with every record checked, can tell.
const EXIT_DISK_FAILED: i32 = 13;
