//! What servers say to each other on the quorum port: bytes into values and back.
//!
//! `zab` decides what is said, `net` moves the bytes; here is only how it is written. The format is
//! ZooKeeper's, so that a server of either kind can be at the other end: packets without an outer
//! length ([`packet`]), and among them, behind a `SNAP`, a whole tree. What only this project's
//! servers say is put where ZooKeeper's do not look.
//!
//! Nothing here does I/O or trusts what comes: a length costs nothing before its bytes are there.

pub mod packet;

pub use packet::{Packet, PacketError, PacketType};
