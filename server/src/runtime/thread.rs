//! Threads of the server's own, with names that debuggers and `top` show.

use std::thread::{Builder, JoinHandle};

/// Starts a thread.
///
/// # Panics
/// When the system has no thread left: a server that cannot start its threads cannot serve.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    Builder::new().name(name.to_owned()).spawn(run).expect("the system can start a thread")
}
