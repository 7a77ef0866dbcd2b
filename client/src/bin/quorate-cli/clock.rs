//! The wall clock: times that people read.

use jiff::Timestamp;

/// Now, to the millisecond, as the times of nodes are.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).expect("now is a time")
}
