//! What is durable: the log, the checkpoint, and recovery from both.
//!
//! [`recovery::open`] takes the data folders and gives the tree with every acknowledged write in
//! it, the log to go on with, and the checkpoint to write. Nothing in here has a thread or a clock
//! or knows what may be answered to whom; `runtime` drives it. Everything goes to the disk through
//! [`fs::Fs`]; `docs/format.md` has every byte and every crash case.

pub mod checkpoint;
pub mod fs;
pub mod layout;
pub mod log;
pub mod origin;
pub mod recovery;
pub mod reserve;
