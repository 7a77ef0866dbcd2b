//! Black-box tests of ensembles.
//!
//! Real servers run as processes on loopback, ours or Apache ZooKeeper's. Clients do a
//! [`workload`] on them while a [`nemesis`] kills, pauses and restarts them and cuts the
//! [`network`] between them. The [`history`] of all operations goes to a file, and the [`checker`]
//! says what it proves. Nothing looks inside a server: `docs/jepsen.md` tells how to use it and
//! what the checks mean.

pub mod checker;
pub mod client;
pub mod clock;
pub mod ensemble;
pub mod history;
pub mod nemesis;
pub mod network;
mod ports;
pub mod report;
pub mod run;
pub mod target;
pub mod workload;
