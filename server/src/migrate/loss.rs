//! What keeps ZooKeeper's files from being one whole history.

use std::fmt::{Display, Formatter, Result};
use std::path::{Path, PathBuf};

use quorate_protocol::{ErrorCode, Zxid};

use crate::zookeeper_files::Damage;

/// Where a transaction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The log.
    pub file: PathBuf,
    /// Where its record begins.
    pub offset: u64,
    /// The transaction.
    pub zxid: Zxid,
}

impl Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { file, offset, zxid } = self;
        write!(f, "{} at offset {offset}: transaction {zxid}", file.display())
    }
}

/// What is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// A file is damaged.
    #[error("{0}")]
    Damage(Damage),
    /// No snapshot is whole, and the logs do not reach back to the beginning.
    #[error("no snapshot can be read, and the logs do not begin with the first transaction{}", list(.damage))]
    NoSnapshot {
        /// What is wrong with each.
        damage: Vec<Damage>,
    },
    /// Transactions are missing between two that are there.
    #[error("{at} comes after {after}: what was between them is missing{}", list(.skipped))]
    Hole {
        /// The first one behind the hole.
        at: At,
        /// The last one before it.
        after: Zxid,
        /// Snapshots that would have covered it, were they whole.
        skipped: Vec<Damage>,
    },
    /// Two logs have the same transaction.
    #[error("{at} is in {} too: which of the two happened cannot be told", next.display())]
    Twice {
        /// Where it is first.
        at: At,
        /// The log behind.
        next: PathBuf,
    },
    /// A transaction cannot be decoded.
    #[error("{at} cannot be decoded: {what}")]
    Undecodable {
        /// The transaction.
        at: At,
        /// Why.
        what: String,
    },
    /// A transaction cannot be applied.
    #[error("{at} does not fit the tree before it: {error}")]
    Misfit {
        /// The transaction.
        at: At,
        /// What would have been answered.
        error: ErrorCode,
    },
    /// The tree is not what ZooKeeper had.
    #[error("{at} should leave a tree with digest {expected:#x}, but it has {found:#x}")]
    Digest {
        /// The transaction.
        at: At,
        /// ZooKeeper's digest.
        expected: u64,
        /// The tree's.
        found: u64,
    },
    /// The tree is not what the snapshot's writer had.
    #[error(
        "{} says that the tree behind {zxid} has digest {expected:#x}, but it has {found:#x}",
        snapshot.display()
    )]
    SnapshotDigest {
        /// The snapshot.
        snapshot: PathBuf,
        /// The transaction.
        zxid: Zxid,
        /// ZooKeeper's digest.
        expected: u64,
        /// The tree's.
        found: u64,
    },
    /// The logs do not reach as far as the snapshot.
    #[error(
        "{} shows effects of transactions up to {shows}, but the logs end at {end}: the newest are \
         missing",
        snapshot.display()
    )]
    Ahead {
        /// The snapshot.
        snapshot: PathBuf,
        /// The last transaction of which it shows something.
        shows: Zxid,
        /// The last one in the logs.
        end: Zxid,
    },
    /// A node has an ACL that is nowhere.
    #[error("{} has nodes with an ACL that neither it nor the logs tell", snapshot.display())]
    UnknownAcl {
        /// The snapshot.
        snapshot: PathBuf,
    },
    /// The epochs contradict each other.
    #[error(
        "{}: the accepted epoch {accepted} is below the current epoch {current}: a promise to the \
         ensemble is missing",
        folder.display()
    )]
    Epochs {
        /// Where the files are.
        folder: PathBuf,
        /// What one says.
        accepted: u32,
        /// What the other says.
        current: u32,
    },
}

impl Loss {
    /// The file it is about.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Damage(damage) => Some(&damage.file),
            Self::NoSnapshot { .. } | Self::Epochs { .. } => None,
            Self::Hole { at, .. }
            | Self::Twice { at, .. }
            | Self::Undecodable { at, .. }
            | Self::Misfit { at, .. }
            | Self::Digest { at, .. } => Some(&at.file),
            Self::SnapshotDigest { snapshot, .. }
            | Self::Ahead { snapshot, .. }
            | Self::UnknownAcl { snapshot } => Some(snapshot),
        }
    }
}

fn list(damage: &[Damage]) -> String {
    damage.iter().flat_map(|damage| ["; ".to_owned(), damage.to_string()]).collect()
}
