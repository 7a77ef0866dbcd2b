//! Listeners and client connections.
//!
//! [`listener`] accepts, [`handshake`] deals with what comes first, [`Connection`] serves the rest: it
//! moves the bytes, [`Requests`] deals with them.
//! [`Conn`] is what the pipeline and the operators see of a connection, [`Registry`] all of them;
//! [`Load`] bounds the work they cause, and [`TokenBucket`] how fast new ones come.

mod conn;
mod connection;
mod door;
pub mod handshake;
pub mod listener;
mod load;
mod outbox;
pub mod peers;
mod registry;
mod requests;
mod throttle;
mod words;

pub use conn::Conn;
pub use connection::{Connection, Ended};
pub use door::{Door, Moves};
pub use load::{LargeRequest, Load};
pub use outbox::{End, Outbox};
pub use registry::Registry;
pub use requests::Requests;
pub use throttle::TokenBucket;
