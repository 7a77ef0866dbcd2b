//! The tree of znodes.
