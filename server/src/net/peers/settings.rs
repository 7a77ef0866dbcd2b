//! What connections to other servers are told at their start.

use std::{collections::BTreeMap, time::Duration};

use crate::zab::{Server, ServerId};

/// Who this server is, who the others are, and for how long one waits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This server.
    pub server: ServerId,
    /// All servers there are at first, this one among them.
    pub servers: BTreeMap<ServerId, Server>,
    /// Listen on all addresses, not only on the own one (`quorumListenOnAllIPs`).
    pub listen_on_all: bool,
    /// How long connecting to an address may take (`cnxTimeout`).
    pub connect_timeout: Duration,
    /// How long a server that connects to the election port may take to say who it is
    /// (`quorumCnxnTimeoutMs`, else `tickTime` times `syncLimit`).
    pub handshake_timeout: Duration,
    /// How long a server that connects to the quorum port may take for its first packet
    /// (`tickTime` times `initLimit`).
    pub first_packet_timeout: Duration,
    /// For how long the connection to a leader is tried: it may not run any more.
    pub leader_timeout: Duration,
    /// Length of the longest packet that is taken.
    pub packet_max: usize,
    /// For the tables of trees that come as snapshots.
    pub seed: u64,
}
