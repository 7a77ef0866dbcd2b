//! Whole ensembles of [`Zab`](super::Zab) on virtual time: a model of log, streams and network
//! around each, invariants checked at every step.
//!
//! `world` runs it; `disk` is the log; `oracle` knows what must hold. The tests: `scenarios` are
//! directed, one for each known bug that can be expressed here; `random` draws schedules from
//! seeds. Three concern one server alone, told by hand what happens: `rules`, `masters`, and `sequence`, the
//! order of messages with ZooKeeper's servers at the other end.

mod disk;
mod masters;
mod network;
mod oracle;
mod perform;
mod random;
mod reconfig;
mod rules;
mod scenarios;
mod sequence;
mod solo;
mod world;
