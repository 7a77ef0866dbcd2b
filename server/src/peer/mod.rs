//! What servers say to each other on the quorum port: bytes into values and back.
//!
//! `zab` decides what is said, `net` moves the bytes; here is only how it is written. The format is
//! ZooKeeper's, so that a server of either kind can be at the other end: packets without an outer
//! length ([`packet`]), and among them, behind a `SNAP`, a whole tree ([`snapshot`]). [`LinkDecoder`]
//! tells them apart. What only this project's
//! servers say is put where ZooKeeper's do not look.
//!
//! Nothing here does I/O or trusts what comes: a length costs nothing before its bytes are there.

mod decoder;
pub mod packet;
pub mod snapshot;
#[cfg(test)]
mod testdata;
#[cfg(test)]
mod tests;

pub use decoder::{FromLink, LinkDecoder, LinkError};
pub use packet::{Packet, PacketError, PacketType};
