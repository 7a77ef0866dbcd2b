//! Listeners and client connections.
//!
//! [`listener`] accepts, [`handshake`] deals with what comes first, [`connection`] serves the rest.
//! [`Conn`] is what the pipeline and the operators see of a connection, [`Registry`] all of them.

mod conn;
mod connection;
mod handshake;
pub mod listener;
mod outbox;
mod registry;
mod words;

pub use conn::Conn;
pub use connection::{Connection, Ended};
pub use outbox::{End, Outbox};
pub use registry::Registry;
