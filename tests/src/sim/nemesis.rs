//! What goes wrong, and when.

use super::{queue::Micros, random::Random};

/// Something that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A process is killed; what it has written stays.
    Kill,
    /// A machine loses its power.
    PowerCut,
    /// All machines lose their power.
    PowerCutOfAll,
    /// A machine loses its power in the middle of what it does to its disk.
    PowerCutWhileWriting,
    /// A process is asked to end.
    Stop,
    /// An operator wants another leader.
    HandOver,
    /// A process stands still.
    Pause,
    /// One server is cut off from all others.
    Isolation,
    /// Servers are cut into two parts.
    Split,
    /// Servers stand in a ring, and each sees only its neighbours.
    Ring,
    /// Two parts that only one server connects.
    Bridge,
    /// Two servers do not see each other.
    LinkDown,
    /// A server hears nobody, or nobody hears it, or only one way between two is blocked.
    OneWay,
    /// Some servers' links are clogged one by one, and freed one by one.
    Swizzle,
    /// Connections break.
    Cut,
    /// A connection breaks, and one of its ends does not learn of it.
    HalfOpen,
    /// Clients do not reach a server.
    ClientsCutOff,
    /// A disk is slow.
    SlowDisk,
    /// A disk does not answer for long.
    StuckDisk,
    /// An operation on a disk fails.
    DiskError,
    /// There is no room on a disk.
    DiskFull,
    /// A bit on a disk turns around.
    Damage,
    /// A disk is replaced by an empty one.
    Wipe,
    /// A disk is replaced by an old copy of it.
    RollBack,
    /// An operator wants other servers.
    Reconfigure,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Kill,
        Self::PowerCut,
        Self::PowerCutOfAll,
        Self::PowerCutWhileWriting,
        Self::Stop,
        Self::HandOver,
        Self::Pause,
        Self::Isolation,
        Self::Split,
        Self::Ring,
        Self::Bridge,
        Self::LinkDown,
        Self::OneWay,
        Self::Swizzle,
        Self::Cut,
        Self::HalfOpen,
        Self::ClientsCutOff,
        Self::SlowDisk,
        Self::StuckDisk,
        Self::DiskError,
        Self::DiskFull,
        Self::Damage,
        Self::Wipe,
        Self::RollBack,
        Self::Reconfigure,
    ];

    /// Those that take from a server what it has promised or acknowledged.
    pub const LOSSES: [Self; 3] = [Self::Damage, Self::Wipe, Self::RollBack];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "fault: process killed",
            Self::PowerCut => "fault: power cut",
            Self::PowerCutOfAll => "fault: power cut of all",
            Self::PowerCutWhileWriting => "fault: power cut while writing",
            Self::Stop => "fault: process stopped",
            Self::HandOver => "fault: hand-over wanted",
            Self::Pause => "fault: process paused",
            Self::Isolation => "fault: server isolated",
            Self::Split => "fault: servers split",
            Self::Ring => "fault: servers in a ring",
            Self::Bridge => "fault: servers with a bridge",
            Self::LinkDown => "fault: link down",
            Self::OneWay => "fault: one-way partition",
            Self::Swizzle => "fault: swizzled clogging",
            Self::Cut => "fault: connections cut",
            Self::HalfOpen => "fault: connection half open",
            Self::ClientsCutOff => "fault: clients cut off",
            Self::SlowDisk => "fault: slow disk",
            Self::StuckDisk => "fault: stuck disk",
            Self::DiskError => "fault: disk error",
            Self::DiskFull => "fault: disk full",
            Self::Damage => "fault: disk damaged",
            Self::Wipe => "fault: disk wiped",
            Self::RollBack => "fault: disk rolled back",
            Self::Reconfigure => "fault: other servers wanted",
        }
    }
}

/// Which faults happen in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Menace {
    /// How likely each fault is, in the order of [`Fault::ALL`].
    pub weights: Vec<u32>,
    /// The time between two, on average.
    pub pause: Micros,
    /// How long those last that do not pass at once, on average.
    pub lasting: Micros,
    /// How likely the leader is hit rather than anybody.
    pub at_leader: f64,
}

impl Menace {
    /// No faults at all.
    pub fn none() -> Self {
        let weights = vec![0; Fault::ALL.len()];
        Self { weights, pause: Micros::MAX, lasting: 1, at_leader: 0.0 }
    }

    /// This fault alone.
    pub fn only(fault: Fault, pause: Micros, lasting: Micros) -> Self {
        let weights = Fault::ALL.iter().map(|&other| u32::from(other == fault)).collect();
        Self { weights, pause, lasting, at_leader: 0.4 }
    }

    /// How likely a fault is.
    pub fn weight(&mut self, fault: Fault) -> &mut u32 {
        let index = Fault::ALL.iter().position(|other| *other == fault);
        &mut self.weights[index.expect("all faults are among all")]
    }

    /// Whether servers come and go.
    pub fn reconfigures(&self) -> bool {
        let last = Fault::ALL.len() - 1;
        debug_assert_eq!(Fault::ALL[last], Fault::Reconfigure);
        self.weights[last] > 0
    }

    /// The next fault; none if there never is one.
    pub fn next(&self, random: &mut Random) -> Option<(Micros, Fault)> {
        if self.pause == Micros::MAX {
            return None;
        }
        Some((random.duration(self.pause), Fault::ALL[random.weighted(&self.weights)]))
    }
}
