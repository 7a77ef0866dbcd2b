//! Drives servers from the outside: starts them as processes, talks to them in raw frames.
//!
//! The same tests run at two subjects, this project's binary and Apache ZooKeeper, which is the
//! oracle for everything a client can see. Nothing but [`sim`] looks inside a server, and requests
//! are encoded by [`op`] rather than by the protocol crate's records: a mistake shared by both ends
//! of a connection would cancel out. `docs/testing.md` says how the tests are organised.

pub mod asked;
pub mod ensemble;
pub mod foreign;
pub mod op;
pub mod reply;
pub mod server;
pub mod sim;
pub mod wait;
pub mod wire;

pub use ensemble::{Ensemble, Member};
pub use op::Op;
pub use reply::{Body, Reply};
pub use server::{Server, Subject, free_port};
pub use wire::{Connection, Frame, Session};
