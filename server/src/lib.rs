//! The Quorate server as a library, for its binary and for tests that run parts of it.
//!
//! Everything that decides is plain state (`request`, `tree`, `watch`, `session`, `auth`): no I/O,
//! clock, thread or randomness. `runtime` and `net` feed it; `storage` keeps what it decided.
//! See `ARCHITECTURE.md` for the map.

pub mod admin;
pub mod auth;
pub mod config;
pub mod logging;
pub mod migrate;
pub mod net;
pub mod peer;
pub mod request;
pub mod runtime;
pub mod session;
pub mod storage;
pub mod tool;
pub mod tree;
pub mod txn;
pub mod watch;
pub mod zab;
pub mod zookeeper_files;
