//! Queues: what one puts, one of many takes.

mod format;
mod locking;
mod plain;

pub use self::{
    format::QueueFormat,
    locking::{LockingQueue, Taken},
    plain::{Element, Queue},
};
