//! What clients do: a generator per client, which is told what became of its requests.
//!
//! Generators are plain state: the random numbers come from the seed, nothing from a clock. Each
//! value and each name of a run is written by one request only, so whatever is read names the
//! request it stems from. Nodes stand below a few parents that are made in the beginning and
//! never go; nodes other than ephemeral ones are never deleted.

mod ephemeral;
mod register;
mod set;

use serde::{Deserialize, Serialize};

use crate::history::{Mode, Op, Operation};

/// The workloads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Creates of new nodes, some numbered by the server, and sets of them: none acknowledged may be lost
    Set,
    /// Reads, sets and compare-and-sets of a few nodes, with and without a sync before the read
    Register,
    /// Ephemeral nodes of sessions that are closed, moved and left to expire
    Ephemeral,
}

/// What a client does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Sends these in one go.
    Send(Vec<Op>),
    /// Leaves the server and takes the session to another.
    Move,
    /// Is away for this share of the session's timeout, and comes back to another server.
    Away(f64),
    /// Leaves the session to its timeout.
    Abandon,
}

/// One client's part in a workload.
pub trait Generator: Send {
    /// What it does next.
    fn next(&mut self) -> Step;

    /// Hears what became of a request of its own.
    fn observe(&mut self, operation: &Operation);
}

impl Kind {
    /// The part of the client with this number.
    pub fn client(self, number: usize, seed: u64) -> Box<dyn Generator> {
        let source = Source::new(number, seed);
        match self {
            Self::Set => Box::new(set::Client::new(source)),
            Self::Register => Box::new(register::Client::new(source)),
            Self::Ephemeral => Box::new(ephemeral::Client::new(source)),
        }
    }

    /// The parents of all nodes a client may create or set.
    pub fn parents(self) -> Vec<String> {
        match self {
            Self::Set => set::parents(),
            Self::Register => vec![register::PARENT.to_owned()],
            Self::Ephemeral => ephemeral::parents(),
        }
    }

    /// What has to be there before the clients begin.
    pub fn setup(self) -> Vec<Op> {
        let mut paths = self.parents();
        if self == Self::Register {
            paths.extend((0..register::KEYS).map(register::path));
        }
        let create = |(n, path)| {
            let value = format!("setup-{n}");
            Op::Create { path, value, mode: Mode::Persistent }
        };
        (0..).zip(paths).map(create).collect()
    }

    /// Whether sessions end in ways that take their timeout.
    pub fn expires_sessions(self) -> bool {
        self == Self::Ephemeral
    }
}

/// Where a client's random numbers and values come from.
#[derive(Debug)]
struct Source {
    rng: fastrand::Rng,
    client: usize,
    values: u32,
}

impl Source {
    fn new(client: usize, seed: u64) -> Self {
        // The clients of a run differ in all they do, not in the first numbers only.
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..=client {
            rng = rng.fork();
        }
        Self { rng, client, values: 0 }
    }

    /// A text that no request of the run has used.
    fn unique(&mut self) -> String {
        self.values += 1;
        format!("c{}-{}", self.client, self.values)
    }

    /// True so many times in a hundred.
    fn percent(&mut self, share: u32) -> bool {
        self.rng.u32(..100) < share
    }

    /// How many requests go together: mostly one.
    fn burst(&mut self) -> usize {
        if self.percent(15) { self.rng.usize(2..=6) } else { 1 }
    }
}

#[cfg(test)]
mod tests;
