//! A client for Quorate and Apache ZooKeeper (3.5 to 3.10).
//!
//! ```no_run
//! # async fn example() -> Result<(), quorate_client::Error> {
//! use quorate_client::Client;
//!
//! let client = Client::connect("h1:2181,h2:2181,h3:2181/app").await?;
//! client.create("/config", "v1").with_parents().await?;
//! let node = client.get("/config").linearizable().await?;
//! client.set("/config", "v2").version(node.stat.version).await?;
//!
//! let mut events = client.watch("/config").recursive().await?;
//! while let Some(item) = events.next().await {
//!     println!("{item:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Order
//! A call has its place in the order of calls from the moment it is *sent*: by
//! [`send`](Call::send), or when the future of an awaited call is first polled. All calls of a
//! client and its clones go out, and take effect, in this order, and so do those that are kept for
//! the next connection when one is lost. To pipeline, send many calls and await their answers
//! afterwards:
//!
//! ```no_run
//! # async fn example(client: &quorate_client::Client) -> Result<(), quorate_client::Error> {
//! let mut answers = Vec::new();
//! for number in 0..100_000 {
//!     client.ready().await; // room in the budget of bytes
//!     answers.push(client.set("/a", number.to_string()).send());
//! }
//! for answer in answers {
//!     answer.await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # When the connection is lost
//! The client connects again by itself and keeps its session as long as the servers do. What
//! becomes of the calls that have no answer:
//! * not wholly sent: they go out on the next connection, ahead of all later ones;
//! * reads, and writes declared [`repeatable`](Call::repeatable): likewise;
//! * other writes: they fail with [`ErrorKind::ConnectionLost`], and whether they were done is
//!   unknown ([`Error::surely_not_done`]). Nothing is repeated silently.
//!
//! When the session is lost, writes that wait fail with [`ErrorKind::SessionLost`], and a new
//! session is opened. Those who rely on ephemeral nodes watch [`Client::states`] and make their
//! calls through [`Client::in_this_session`]. [`RetryPolicy`] says how long calls wait for a
//! connection; [`Client::session_deadline`] between which moments the session can end.
//!
//! # Watches
//! [`Client::watch`] is a stream of events that never loses one in silence: [`WatchItem::Resync`]
//! tells of gaps. [`cache`]s keep nodes current. Reads set one-shot watches with `watch()`.
//!
//! # Recipes
//! [`recipes`] has locks and leadership, with the nodes of Apache Curator's.
//!
//! # Servers, encryption, identity
//! A connect string names hosts, or a service whose servers are in the SRV records of DNS:
//! `zk+srv://zk.example.org/app` stands for those of `_zookeeper._tcp.zk.example.org`. All names
//! are resolved again before each round of attempts. Servers with a lower priority in their record
//! are tried first; those with the same one are equals. [`Status::server`] is where the client is
//! connected.
//!
//! `Tls` encrypts connections; [`Connector`] lets them go another way altogether. An identity is
//! given by [`auth`](ClientBuilder::auth) (`digest` and other schemes), by the certificate of
//! `Tls::identity`, or proved by [`sasl`].
//!
//! # Features
//! None is on by default.
//!
//! | feature | brings |
//! |---|---|
//! | `blocking` | a facade for programs without an asynchronous runtime |
//! | `cli` | the program `quorate-cli` |
//! | `discovery` | [`recipes`] for service discovery |
//! | `sasl` | `sasl::DigestMd5`, for users with passwords |
//! | `srv` | `zk+srv://` |
//! | `testing` | real servers for tests |
//! | `tls` | `Tls`, over rustls with the algorithms of ring |
//!
//! # Logs
//! Through `tracing`: states at level `info`, why connections ended at `debug`. At `debug` each
//! call is in a span of its own (`op`, `path`, `xid`, and `zxid` once it is answered), which costs
//! nothing while nobody asks for it.
//!
//! # Cancelling
//! Dropping a future gives up the answer, not the call: what was sent goes out, in its turn.
//!
//! `docs/client.md` in the repository explains the design.

#![deny(missing_docs)]

#[cfg(feature = "blocking")]
pub mod blocking;
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
pub mod sasl;
mod session;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tls")]
mod tls;
mod watch;

#[cfg(test)]
mod tests;

pub use builder::ClientBuilder;
pub use call::{Answer, Call, Calling};
pub use client::Client;
pub use create::{ComposedCreate, protection_of};
pub use error::{Disconnect, Error, ErrorKind};
pub use hosts::{ConnectString, Host, Servers};
pub use io::connector::{Connecting, Connector, Tcp, Transport};
pub use payload::Payload;
pub use quorate_protocol::{
    ErrorCode, OpCode, SessionId, Stat, Zxid,
    acl::{Acl, Id, Perms},
    record::{CreateMode, EventType, WatcherType},
};
pub use request::{Children, Created, MultiOutcome, MultiPart, Node, NodeAcl, ReadOutcome};
pub use retry::RetryPolicy;
pub use state::{SessionDeadline, SessionPassword, SessionTicket, State, States, Status};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use watch::{Event, OneShot, Watch, WatchItem, WatchStream};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
