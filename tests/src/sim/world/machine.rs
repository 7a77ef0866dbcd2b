//! A server's machine, whether or not its process runs.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::{Debug, Formatter},
    path::PathBuf,
};

use quorate_protocol::Zxid;
use quorate_server::storage::layout::Layout;

use crate::sim::{
    disk::Disk,
    network::StreamId,
    plan::{self, ClockDrift, Plan},
    queue::Micros,
    server::{Found, Input, Job, Server},
};

/// Starts processes.
pub trait Factory: Debug {
    /// Starts the process of a server from its disk; `seed` is for what it draws. An error is why
    /// it refuses to.
    fn start(
        &self,
        plan: &Plan,
        server: usize,
        disk: &Disk,
        local: Micros,
        seed: u64,
    ) -> Result<(Box<dyn Server>, Found), String>;
}

/// The folders of a server for data and for its log.
pub fn folders(server: usize) -> [PathBuf; 2] {
    ["data", "log"].map(|folder| PathBuf::from(format!("/{server}/{folder}")))
}

/// What is true of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// What it holds is what its server has put there.
    Good,
    /// It was emptied or replaced, and its server has not joined a leader since.
    Replaced,
    /// Its server has found that it is damaged, and does not start.
    Refused,
}

/// A machine.
pub struct Machine {
    /// Its disk.
    pub disk: Disk,
    /// What is true of the disk.
    pub health: Health,
    /// Its clock.
    pub clock: ClockDrift,
    /// How long a sync takes now, on average.
    pub sync: Micros,
    /// How long a sync takes when nothing is wrong.
    pub usual_sync: Micros,
    /// How many processes have run.
    pub boot: u32,
    /// The process, if one runs.
    pub process: Option<Box<dyn Server>>,
    /// What has happened while the process stands still.
    pub deferred: Option<VecDeque<Input>>,
    /// Work that the process waits for.
    pub scheduled: BTreeSet<Job>,
    /// The connection to a leader that is being made, and which try that is.
    pub dialing: Option<StreamId>,
    /// How many tries there were.
    pub tries: u64,
    /// It stays down until somebody starts it.
    pub is_held: bool,
    /// The promises on the copy of the disk, if there is one.
    pub remembered: Option<(u32, u32, Zxid)>,
}

impl Debug for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("health", &self.health)
            .field("boot", &self.boot)
            .field("is_up", &self.process.is_some())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine with an empty disk that is off.
    pub fn new(id: usize, machine: &plan::Machine) -> Self {
        let [data, log] = folders(id);
        Self {
            disk: Disk::new(Layout::new(&data, &log)),
            health: Health::Good,
            clock: machine.clock,
            sync: machine.sync,
            usual_sync: machine.sync,
            boot: 0,
            process: None,
            deferred: None,
            scheduled: BTreeSet::new(),
            dialing: None,
            tries: 0,
            is_held: false,
            remembered: None,
        }
    }

    /// Whether the disk holds what it should, as far as anybody but its server can know: damage may
    /// not have been found yet.
    pub fn is_whole(&self) -> bool {
        self.health == Health::Good && !self.disk.was_damaged()
    }

    /// Whether a process runs and does not stand still.
    pub fn is_running(&self) -> bool {
        self.process.is_some() && self.deferred.is_none()
    }
}
