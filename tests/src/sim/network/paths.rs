//! The ways from host to host, and what is wrong with them.

use crate::sim::{
    queue::{MILLI, Micros},
    random::Random,
};

/// A machine: servers first, clients behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub usize);

/// How long a lost packet takes to be sent again.
const RETRANSMISSION: Micros = 40 * MILLI;

/// What is true of the way from one host to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// Nothing gets through.
    pub is_blocked: bool,
    /// Nothing arrives before then.
    pub clogged_until: Micros,
    /// How long anything takes at least.
    pub delay: Micros,
    /// How much longer it may take, on average.
    pub jitter: Micros,
    /// The part of packets that are lost.
    pub loss: f64,
    /// The part of notifications that come twice.
    pub duplication: f64,
    /// How long a thousand bytes take besides.
    pub per_thousand_bytes: Micros,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            is_blocked: false,
            clogged_until: 0,
            delay: 50,
            jitter: 100,
            loss: 0.0,
            duplication: 0.0,
            per_thousand_bytes: 1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// It runs.
    Up,
    /// It has ended; the machine answers for it that nobody is there.
    Ended,
    /// The machine is off and answers nothing.
    Off,
}

/// All paths, and which hosts are there.
#[derive(Debug)]
pub struct Paths {
    hosts: usize,
    ways: Vec<Path>,
    processes: Vec<(Process, u32)>,
    random: Random,
}

impl Paths {
    /// Between so many hosts, whose processes run.
    pub fn new(hosts: usize, path: &Path, random: Random) -> Self {
        let ways = vec![path.clone(); hosts * hosts];
        Self { hosts, ways, processes: vec![(Process::Up, 1); hosts], random }
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> usize {
        self.hosts
    }

    /// The way from one host to another.
    pub fn path(&self, from: Host, to: Host) -> &Path {
        &self.ways[from.0 * self.hosts + to.0]
    }

    /// The same, to be changed. Who unblocks paths tells [`super::Streams`] and
    /// [`super::Notices`] afterwards.
    pub fn path_mut(&mut self, from: Host, to: Host) -> &mut Path {
        &mut self.ways[from.0 * self.hosts + to.0]
    }

    /// A host's process starts.
    pub fn start(&mut self, host: Host) {
        let (process, boot) = &mut self.processes[host.0];
        *process = Process::Up;
        *boot += 1;
    }

    /// A host's process ends; its connections are known to nobody there any more.
    pub fn end(&mut self, host: Host, powered: bool) {
        self.processes[host.0].0 = if powered { Process::Ended } else { Process::Off };
    }

    /// Whether the process runs.
    pub fn is_up(&self, host: Host) -> bool {
        self.processes[host.0].0 == Process::Up
    }

    /// Whether at least the machine answers.
    pub(super) fn is_powered(&self, host: Host) -> bool {
        self.processes[host.0].0 != Process::Off
    }

    /// Which process of that host it is that runs, or ran last.
    pub(super) fn boot(&self, host: Host) -> u32 {
        self.processes[host.0].1
    }

    /// When something sent now arrives, if nothing else stands in its way.
    pub(super) fn arrival(&mut self, now: Micros, from: Host, to: Host, size: usize) -> Micros {
        let path = &self.ways[from.0 * self.hosts + to.0];
        let bytes = i64::try_from(size).expect("a size in memory fits");
        let mut took = path.delay + path.per_thousand_bytes * bytes / 1000;
        took += self.random.duration(path.jitter);
        while self.random.chance(path.loss) {
            took += RETRANSMISSION;
        }
        (now + took).max(path.clogged_until)
    }

    /// Whether a packet that is not sent again gets lost.
    pub(super) fn loses(&mut self, from: Host, to: Host) -> bool {
        let path = &self.ways[from.0 * self.hosts + to.0];
        path.is_blocked || self.random.chance(path.loss)
    }

    /// Whether a notification comes twice.
    pub(super) fn duplicates(&mut self, from: Host, to: Host) -> bool {
        let path = &self.ways[from.0 * self.hosts + to.0];
        self.random.chance(path.duplication)
    }

    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}
