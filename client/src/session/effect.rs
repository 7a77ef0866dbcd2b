//! What the session is told, and what it wants done.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use quorate_protocol::{SessionId, Zxid, record::ConnectResponse};

use crate::{
    error::Disconnect,
    state::{SessionPassword, Status},
};

/// A server's address, and the name it was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) name: Arc<str>,
    pub(crate) addr: SocketAddr,
    /// Servers of a lower rank are tried before those of a higher one.
    pub(crate) rank: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, addr, .. } = self;
        if **name == *addr.ip().to_string() { addr.fmt(f) } else { write!(f, "{name} ({addr})") }
    }
}

/// What happened.
pub(crate) enum Input {
    /// The client begins.
    Start,
    /// The addresses of all servers; not empty.
    Resolved(Vec<Endpoint>),
    /// No server has an address.
    Unresolved(Disconnect),
    /// The transport asked for is there.
    Connected,
    /// The server answered the greeting.
    Answered(ConnectResponse),
    /// The identity was proved, as [`Effect::Prove`] asked.
    Proved,
    /// The attempt failed, or the transport ended.
    Failed(Disconnect),
    /// The server of [`Effect::Probe`], and whether it can write.
    Probed {
        /// The server.
        endpoint: Endpoint,
        /// Whether it can write.
        writes: bool,
    },
    /// The deadline has come.
    Timer,
    /// The session was closed as asked, or nobody is left to use it.
    Close,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Find the servers' addresses.
    Resolve,
    /// Make a transport to this server.
    Connect(Endpoint),
    /// Send this as the first record of the transport.
    Greet(Greeting),
    /// Prove the identity by SASL, ahead of all else.
    Prove,
    /// Send identities and watches, ahead of all calls.
    Restore,
    /// Let calls pass, those that were kept first.
    Open,
    /// Send a ping.
    Ping,
    /// Ask this server whether it can write.
    Probe(Endpoint),
    /// Drop the transport. Calls that were sent fail or are kept, the others are kept.
    Disconnect(Arc<Disconnect>),
    /// Fail all calls that wait, and those to come, until calls may pass again.
    GiveUpCalls,
    /// Fail all calls that belong to the session.
    LoseSession,
    /// The session with this number has begun.
    NewSession(u64),
    /// Tell everybody.
    Publish(Status),
    /// Publish the last status and fail all calls there are and will be; nothing comes after this.
    End(Arc<Disconnect>),
}

/// What to tell a server first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) last_zxid: Zxid,
    pub(crate) timeout: Duration,
    /// The session to carry on with, or none.
    pub(crate) session: SessionId,
    pub(crate) password: SessionPassword,
    pub(crate) read_only: bool,
}
