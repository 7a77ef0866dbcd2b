//! A client for Quorate and Apache ZooKeeper.
#![deny(missing_docs)]

mod builder;
pub mod cache;
mod call;
mod client;
mod create;
mod delete;
mod error;
mod hosts;
mod io;
mod payload;
mod queue;
pub mod recipes;
pub mod request;
mod retry;
mod session;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
mod watch;

#[cfg(test)]
mod tests;

pub use builder::ClientBuilder;
pub use call::{Answer, Call, Calling};
pub use client::Client;
pub use create::{ComposedCreate, protection_of};
pub use error::{Disconnect, Error, ErrorKind};
pub use hosts::Host;
pub use io::connector::{Connecting, Connector, Tcp, Transport};
pub use payload::Payload;
pub use quorate_protocol::{
    ErrorCode, OpCode, SessionId, Stat, Zxid,
    acl::{Acl, Id, Perms},
    record::{CreateMode, EventType, WatcherType},
};
pub use request::{Children, Created, MultiOutcome, MultiPart, Node, NodeAcl, ReadOutcome};
pub use retry::RetryPolicy;
pub use state::{SessionDeadline, State, States, Status};
pub use watch::{Event, OneShot, Watch, WatchItem, WatchStream};
