//! Recipes: what programs build from nodes and watches, in the formats of Apache Curator and kazoo, so that
//! programs in Java, Python and Rust share them.
//!
//! # What all have in common
//! * Nothing is left behind: nodes that stand for a participant are ephemeral and have unique names, so that one
//!   whose creation was interrupted is found again, and one that was given up is deleted, as soon as there is a
//!   connection or at the latest with the session.
//! * Whoever depends on the session (a member of a barrier, the holder of an element or of a share) has a guard
//!   with `lost()`, and its calls fail with [`ErrorKind::SessionLost`](crate::ErrorKind::SessionLost) once that
//!   session is gone, even if the client has a new one.
//! * A write whose answer was lost is looked after: it is repeated when it was surely not done, counts as done when
//!   it surely was, and otherwise the call fails with an error that says so
//!   ([`Error::surely_not_done`](crate::Error::surely_not_done) is false).
//!
//! # Which delivery, which order
//! | recipe | guarantee |
//! |---|---|
//! | [`Counter`], [`SharedValue`] | a change is made at most once; one that may have been made says so |
//! | [`Queue`] | each element to at most one consumer; lost if that one fails on the way |
//! | [`LockingQueue`] | each element until one consumer is done with it: at least once |
//! | [`SetPartitioner`] | each item has at most one owner whose session lives |
//! | [`PersistentNode`], [`GroupMember`] | there as long as it is kept, but for moments after the loss of a session |

mod barrier;
mod cas;
mod counter;
#[cfg(feature = "discovery")]
pub mod discovery;
mod double_barrier;
mod group;
mod locking_queue;
mod own_node;
mod partitioner;
mod persistent_node;
mod queue;
mod queue_format;
mod shared_value;

pub use self::{
    barrier::Barrier,
    counter::{Counter, CounterChange, CounterFormat},
    double_barrier::{DoubleBarrier, Entered},
    group::GroupMember,
    locking_queue::{LockingQueue, Taken},
    partitioner::{SetPartitioner, Share},
    persistent_node::{PersistentNode, PersistentNodeBuilder, Presence},
    queue::{Element, Queue},
    queue_format::QueueFormat,
    shared_value::{SharedValue, TrySet, Value, Values},
};
use crate::{Client, error::Error};

/// Creates a persistent node, unless it is there, and its parents.
async fn ensure_node(client: &Client, path: &str) -> Result<(), Error> {
    match client.create(path, b"").repeatable().with_parents().await {
        Err(error) if !error.is_node_exists() => Err(error),
        _ => Ok(()),
    }
}
