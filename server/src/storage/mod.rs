//! The log, the checkpoint, and recovery from both.

pub mod fs;
pub mod log;
