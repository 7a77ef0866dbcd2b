//! The requests and replies, a file per family.
