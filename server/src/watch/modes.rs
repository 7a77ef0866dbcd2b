//! What a connection wants to know about a path, as bits.

use std::ops::{BitAnd, BitOr, Not};

use quorate_protocol::record::{AddWatchMode, WatcherType};

/// What one watch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// One-shot, for the node: set by `getData` and `exists`.
    Data,
    /// One-shot, for the list of children and the node's end: set by `getChildren`.
    Child,
    /// For the node and the list of its children.
    Persistent,
    /// For the node and all below it.
    PersistentRecursive,
}

impl From<AddWatchMode> for Mode {
    fn from(mode: AddWatchMode) -> Self {
        match mode {
            AddWatchMode::Persistent => Self::Persistent,
            AddWatchMode::PersistentRecursive => Self::PersistentRecursive,
        }
    }
}

/// A set of [`Mode`]s: all that a connection has at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Modes(u8);

impl Modes {
    pub(super) const NONE: Self = Self(0);
    pub(super) const RECURSIVE: Self = Self(1 << Mode::PersistentRecursive as u8);
    /// What fires once.
    pub(super) const ONE_SHOT: Self = Self(1 << Mode::Data as u8 | 1 << Mode::Child as u8);
    /// What ZooKeeper keeps in its table of data watches.
    pub(super) const DATA_TABLE: Self =
        Self(1 << Mode::Data as u8 | 1 << Mode::Persistent as u8 | Self::RECURSIVE.0);
    /// What ZooKeeper keeps in its table of child watches.
    pub(super) const CHILD_TABLE: Self = Self(1 << Mode::Child as u8 | 1 << Mode::Persistent as u8);
    /// All of them.
    pub(super) const ALL: Self = Self(Self::DATA_TABLE.0 | Self::CHILD_TABLE.0);

    pub(super) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        !(self & other).is_empty()
    }
}

impl From<Mode> for Modes {
    fn from(mode: Mode) -> Self {
        Self(1 << mode as u8)
    }
}

impl From<WatcherType> for Modes {
    fn from(kind: WatcherType) -> Self {
        match kind {
            WatcherType::Children => Mode::Child.into(),
            WatcherType::Data => Mode::Data.into(),
            WatcherType::Any => Self::ALL,
            WatcherType::Persistent => Mode::Persistent.into(),
            WatcherType::PersistentRecursive => Self::RECURSIVE,
        }
    }
}

impl BitOr for Modes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Modes {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Modes {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }
}
