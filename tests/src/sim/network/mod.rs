//! The network: connections whose bytes come late, in pieces or not at all, and notifications that
//! get lost.
//!
//! Everything goes by directed [`Paths`] between hosts, so that faults can be one-sided. A
//! connection behaves as TCP does: bytes arrive in order or not, but never with a gap; who is cut
//! off by a silent fault learns nothing; bytes that are held up arrive when the fault has passed.

mod notices;
mod paths;
mod streams;
#[cfg(test)]
mod tests;

pub use notices::{NoticeArrival, NoticeEvent, Notices};
pub use paths::{Host, Path, Paths};
pub use streams::{Arrival, Port, StreamEvent, StreamId, Streams};
