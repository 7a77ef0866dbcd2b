//! The digest by which replicas notice that they differ: version 2 of ZooKeeper's
//! `DigestCalculator`.
//!
//! The tree's digest is the wrapping sum of its nodes' digests, so a change costs as much as the
//! nodes it touches. A node's is the CRC-32 of path, data and numbers in this order. The state
//! after path and data is a value of its own here: it does not change with the numbers, and
//! creating a child changes only its parent's numbers.

use quorate_protocol::Zxid;

use super::node::NodeKind;

/// The CRC of a node's path and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentCrc {
    /// Of a node that the digest counts.
    Counted(u32),
    /// Of a node that it leaves out.
    LeftOut,
}

impl ContentCrc {
    /// The CRC of the node at `path` with this data. `Compat:` nodes below `/zookeeper` are left
    /// out, because quota statistics change without a transaction; the root's path is empty.
    pub fn of(path: &str, data: Option<&[u8]>) -> Self {
        if path.starts_with("/zookeeper/") {
            return Self::LeftOut;
        }
        let path = if path == "/" { "" } else { path };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(path.as_bytes());
        hasher.update(data.unwrap_or_default());
        Self::Counted(hasher.finalize())
    }
}

/// The CRC of what `crc` is of, followed by `bytes`.
pub(super) fn resume(crc: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(crc);
    hasher.update(bytes);
    hasher.finalize()
}

/// A node's numbers as far as they are part of its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestParts {
    /// The transaction that created it.
    pub czxid: Zxid,
    /// The transaction that last wrote its data.
    pub mzxid: Zxid,
    /// The transaction that last created or deleted a child.
    pub pzxid: Zxid,
    /// When it was created.
    pub ctime: i64,
    /// When its data was last written.
    pub mtime: i64,
    /// Its data's version.
    pub version: i32,
    /// How many children were ever created; ZooKeeper's stored `cversion`.
    pub create_count: i32,
    /// Its ACL's version.
    pub aversion: i32,
    /// What kind of node it is.
    pub kind: NodeKind,
}

/// A node's digest.
pub fn node_digest(content: ContentCrc, parts: &DigestParts) -> u32 {
    let ContentCrc::Counted(crc) = content else { return 0 };
    let mut bytes = [0; 60];
    bytes[0..8].copy_from_slice(&parts.czxid.0.to_be_bytes());
    bytes[8..16].copy_from_slice(&parts.mzxid.0.to_be_bytes());
    bytes[16..24].copy_from_slice(&parts.pzxid.0.to_be_bytes());
    bytes[24..32].copy_from_slice(&parts.ctime.to_be_bytes());
    bytes[32..40].copy_from_slice(&parts.mtime.to_be_bytes());
    bytes[40..44].copy_from_slice(&parts.version.to_be_bytes());
    bytes[44..48].copy_from_slice(&parts.create_count.to_be_bytes());
    bytes[48..52].copy_from_slice(&parts.aversion.to_be_bytes());
    bytes[52..60].copy_from_slice(&parts.kind.owner().to_be_bytes());
    resume(crc, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_can_be_taken_in_pieces() {
        let whole = ContentCrc::Counted(crc32fast::hash(b"/some/path and data"));
        assert_eq!(ContentCrc::of("/some/path", Some(b" and data")), whole);
        assert_eq!(ContentCrc::of("/", None), ContentCrc::Counted(0));
        assert_eq!(ContentCrc::of("/zookeeper/config", None), ContentCrc::LeftOut);
        assert_ne!(ContentCrc::of("/zookeeper", None), ContentCrc::LeftOut);
    }
}
