//! A server as the simulation drives it: everything of it but sockets, threads and clocks.

use quorate_protocol::Zxid;
use quorate_server::zab::election::Notification;

use super::{
    check::{Role, Server as ServerId},
    network::StreamId,
    queue::Micros,
};

/// Something that happens to a server.
#[derive(Debug)]
pub enum Input {
    /// Half a tick has passed.
    Tick,
    /// It has asked to be woken now.
    Wake,
    /// A notification came by the election port.
    Notification { from: ServerId, notification: Notification },
    /// The election port's connection to a server is there, or is gone.
    Reachable { server: ServerId, up: bool },
    /// Another server has connected to the quorum port.
    LearnerCame { stream: StreamId },
    /// The connection to a leader that was asked for is there.
    Connected { stream: StreamId },
    /// It could not be made.
    ConnectFailed,
    /// A client has connected.
    ClientCame { stream: StreamId },
    /// Bytes came by a connection.
    Bytes { stream: StreamId, bytes: Vec<u8> },
    /// A connection has ended.
    Closed { stream: StreamId },
    /// Work that takes time is to be done now, a step of it.
    Work { job: Job },
    /// The operator wants it to end; it may hand over first.
    Stop,
    /// The operator wants another leader.
    HandOver,
    /// The operator wants these servers, and no others; in the lines of a configuration.
    Reconfigure { members: String },
}

/// Work that takes time in a server's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Writing and syncing what waits for the log.
    Log,
    /// Writing a checkpoint.
    Checkpoint,
    /// Looking after the log's segments.
    Segments,
    /// Sending a piece of the history to a learner.
    Stream(u64),
    /// Writing a snapshot that came from the leader.
    Install(u64),
}

/// Something that a server wants.
#[derive(Debug)]
pub enum Command {
    /// Send a notification by the election port.
    Notify { to: ServerId, notification: Notification },
    /// Connect to a leader's quorum port; an earlier try is given up.
    Connect { leader: ServerId },
    /// Send bytes on a connection.
    Send { stream: StreamId, bytes: Vec<u8> },
    /// End a connection behind what was sent.
    Close { stream: StreamId },
    /// Be given [`Input::Work`] when the work may be done.
    Schedule { job: Job },
    /// Be woken then, by the clock of this server.
    WakeAt { local: Micros },
    /// The process ends.
    End { why: String },
}

/// Something that can be seen of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// It is something else now.
    Became(Role),
    /// What it has promised durably.
    Promised { accepted_epoch: u32, current_epoch: u32 },
    /// The configuration of this version is in force, as its log says durably.
    InForce { version: Zxid },
    /// A transaction is durable in its log.
    Logged { zxid: Zxid, txn: Vec<u8> },
    /// Its log is about to be cut behind this transaction, or to begin anew with it.
    Cutting { to: Zxid },
    /// Its log was cut.
    Truncated { to: Zxid },
    /// Its log and tree begin anew behind a snapshot.
    Installed { zxid: Zxid },
    /// A transaction has reached its tree.
    Delivered { zxid: Zxid, txn: Vec<u8> },
    /// The tree, after it has changed.
    State { applied: Zxid, digest: u64 },
}

/// What a process has found on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The transactions in the log.
    pub log: Vec<(Zxid, Vec<u8>)>,
    /// Everything up to there is in a checkpoint only.
    pub floor: Zxid,
    /// What the tree holds.
    pub applied: Zxid,
    /// The tree's digest.
    pub digest: u64,
    /// The newest epoch it has promised to follow.
    pub accepted_epoch: u32,
    /// The epoch whose initial history it has.
    pub current_epoch: u32,
    /// The version of the configuration in force, as far as its log says.
    pub in_force: Zxid,
    /// It knows that there was more, and does not vote until it has got everything again.
    pub is_incomplete: bool,
}

impl Found {
    /// Whether it is all new, in the place of something that is set aside.
    pub fn is_set_aside(&self) -> bool {
        self.is_incomplete && self.log.is_empty() && self.floor == Zxid::ZERO
    }
}

/// A server's process.
pub trait Server {
    /// Deals with an input at this time by its own clock, and says what it wants.
    fn step(&mut self, local: Micros, input: Input, commands: &mut Vec<Command>);

    /// What there is to be seen since the last time, in the order in which it happened.
    fn report(&mut self, reports: &mut Vec<Report>);
}
