//! The differences from ZooKeeper that are meant. `docs/differences.md` explains each to users.

use super::{script::Step, side::Observed};

/// Whether this difference is one of those meant.
pub(super) fn is_meant(_step: &Step, _wanted: Option<&Observed>, _got: Option<&Observed>) -> bool {
    false
}
