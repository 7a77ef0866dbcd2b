//! Simulates whole ensembles: servers, clients, network and disks on a clock of their own, from one
//! seed and in one thread, so that every run can be repeated. `docs/simulation.md` explains it.

pub mod check;
pub mod client;
pub mod coverage;
pub mod disk;
pub mod history;
pub mod model;
pub mod nemesis;
pub mod network;
pub mod node;
#[cfg(test)]
mod perfect;
pub mod plan;
pub mod queue;
pub mod random;
pub mod run;
pub mod server;
pub mod trace;
pub mod world;
