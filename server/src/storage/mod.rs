//! The log, the checkpoint, and recovery from both.
