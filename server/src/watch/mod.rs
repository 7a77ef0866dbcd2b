//! Watches: who wants to know of which change.

/// A client connection for as long as this process runs: numbered from 1, never used twice.
/// Watches, identities and replies belong to a connection, not to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl ConnId {
    /// No connection: what requests that the server makes itself carry.
    pub const NONE: Self = Self(0);
}
