//! Links that deliver in order and may break anywhere, and an election port that may forget.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_protocol::Zxid;

use super::disk::Entry;
use crate::zab::{Features, LinkId, Message, ServerId};

/// A message as it is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// One without bytes of its own.
    Bare(Message<'static>),
    Proposal(Zxid, Vec<u8>),
    Inform(Zxid, Vec<u8>),
    Activation(Zxid, ServerId, Vec<u8>),
    NewLeader(u32, String),
    Snapshot(Zxid, Vec<Entry>),
}

impl Packet {
    pub(super) fn of(message: &Message<'_>) -> Self {
        Self::Bare(match *message {
            Message::Proposal { zxid, txn } => {
                return Self::Proposal(zxid, txn.to_vec());
            }
            Message::Inform { zxid, txn } => return Self::Inform(zxid, txn.to_vec()),
            Message::InformAndActivate { zxid, leader, txn } => {
                return Self::Activation(zxid, leader, txn.to_vec());
            }
            Message::NewLeader { epoch, config } => {
                let text = std::str::from_utf8(config).unwrap();
                return Self::NewLeader(epoch, text.to_owned());
            }
            Message::CommitAndActivate { zxid, leader } => {
                Message::CommitAndActivate { zxid, leader }
            }
            Message::Ping { round, .. } => Message::Ping { round, sessions: b"" },
            Message::LearnerInfo { server, member, accepted_epoch, config_version, features } => {
                Message::LearnerInfo { server, member, accepted_epoch, config_version, features }
            }
            Message::LeaderInfo { epoch, features } => Message::LeaderInfo { epoch, features },
            Message::AckEpoch { current_epoch, last } => Message::AckEpoch { current_epoch, last },
            Message::Diff { last } => Message::Diff { last },
            Message::Trunc { to } => Message::Trunc { to },
            Message::Snap { zxid } => Message::Snap { zxid },
            Message::UpToDate => Message::UpToDate,
            Message::Ack { zxid } => Message::Ack { zxid },
            Message::Commit { zxid } => Message::Commit { zxid },
            Message::HandOver { to } => Message::HandOver { to },
        })
    }

    /// Takes away what ZooKeeper would not say or not understand.
    pub(super) fn speak_java(&mut self) {
        if let Self::Bare(
            Message::LearnerInfo { features, .. } | Message::LeaderInfo { features, .. },
        ) = self
        {
            *features = Features::NONE;
        }
    }

    pub(super) fn message(&self) -> Message<'_> {
        match self {
            Self::Bare(message) => *message,
            Self::Proposal(zxid, txn) => Message::Proposal { zxid: *zxid, txn },
            Self::Inform(zxid, txn) => Message::Inform { zxid: *zxid, txn },
            Self::Activation(zxid, leader, txn) => {
                Message::InformAndActivate { zxid: *zxid, leader: *leader, txn }
            }
            Self::NewLeader(epoch, config) => {
                Message::NewLeader { epoch: *epoch, config: config.as_bytes() }
            }
            Self::Snapshot(zxid, _) => Message::Snap { zxid: *zxid },
        }
    }
}

/// One end of a wire.
#[derive(Debug)]
pub(super) struct End {
    pub(super) server: usize,
    pub(super) link: LinkId,
    pub(super) open: bool,
    /// The connection is gone: nothing sent from now on arrives here.
    pub(super) cut: bool,
    /// What is on its way to this end.
    pub(super) incoming: VecDeque<Packet>,
    /// Nothing is to be delivered before this.
    pub(super) not_before_ms: i64,
    /// A snapshot has come and is not installed yet: what is behind it waits.
    pub(super) stalled: bool,
}

impl End {
    fn new(server: usize, link: LinkId) -> Self {
        Self {
            server,
            link,
            open: true,
            cut: false,
            incoming: VecDeque::new(),
            not_before_ms: 0,
            stalled: false,
        }
    }
}

/// All connections, and who cannot reach whom.
#[derive(Debug, Default)]
pub(super) struct Network {
    wires: Vec<[End; 2]>,
    ends: BTreeMap<(usize, LinkId), (usize, usize)>,
    next_link: u64,
    /// Directions in which nothing gets through.
    pub(super) blocked: BTreeSet<(usize, usize)>,
}

impl Network {
    /// Connects two servers; gives their ends' links.
    pub(super) fn connect(&mut self, from: usize, to: usize) -> (LinkId, LinkId) {
        self.next_link += 2;
        let links = (LinkId(self.next_link), LinkId(self.next_link + 1));
        let wire = self.wires.len();
        self.wires.push([End::new(from, links.0), End::new(to, links.1)]);
        self.ends.insert((from, links.0), (wire, 0));
        self.ends.insert((to, links.1), (wire, 1));
        links
    }

    /// The wire and the end of a link.
    pub(super) fn find(&self, server: usize, link: LinkId) -> Option<(usize, usize)> {
        self.ends.get(&(server, link)).copied()
    }

    pub(super) fn end(&mut self, wire: usize, end: usize) -> &mut End {
        &mut self.wires[wire][end]
    }

    pub(super) fn can_reach(&self, from: usize, to: usize) -> bool {
        !self.blocked.contains(&(from, to))
    }

    /// The wires that a server has an end of that is still open.
    pub(super) fn wires_of(&self, server: usize) -> Vec<usize> {
        let has_end = |wire: &[End; 2]| wire.iter().any(|end| end.server == server && end.open);
        (0..self.wires.len()).filter(|wire| has_end(&self.wires[*wire])).collect()
    }
}
