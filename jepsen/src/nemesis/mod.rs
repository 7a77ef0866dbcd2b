//! Faults: which, when, on whom.
//!
//! The plan (kinds, times) follows from the seed alone. Whom a fault hits is decided when it is
//! due, since only then there is a leader to be hit, but by numbers from the seed too. A
//! [`Script`] is what is done for one fault, and always ends with its repair.

mod perform;
mod script;

use std::{str::FromStr, time::Duration};

pub use perform::perform;
pub use script::{Action, Script, script};

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Kind {
    /// The leader's process ends at once, and is started again
    KillLeader,
    /// A follower's process ends at once, and is started again
    KillFollower,
    /// All processes end at once, and are started again
    KillAll,
    /// The leader's process is stopped in its tracks, and goes on later
    PauseLeader,
    /// A follower's process is stopped in its tracks, and goes on later
    PauseFollower,
    /// All processes are stopped in their tracks, and go on later
    PauseAll,
    /// All servers are asked to end and started again, one after the other
    Restart,
    /// The leader is cut off from its peers
    IsolateLeader,
    /// A follower is cut off from its peers
    IsolateFollower,
    /// A minority is cut off from the majority
    Halves,
    /// Two sides see a server between them, but not each other
    Bridge,
    /// Each server sees its neighbours only, so each sees another majority
    Ring,
    /// A server hears nothing from its peers, but is heard
    Deaf,
    /// A server is not heard by its peers, but hears
    Mute,
    /// One server is not heard by one other
    OneWay,
    /// One link between two servers comes and goes
    Flap,
    /// Connections between servers break, and new ones too
    Reset,
    /// Everything between servers comes late
    Delay,
    /// Links are cut one by one and restored in another order
    Swizzle,
    /// Clients do not reach some of the servers
    Clients,
}

/// Kinds by a common name.
const GROUPS: [(&str, &[Kind]); 6] = {
    use Kind::{
        Bridge, Clients, Deaf, Delay, Flap, Halves, IsolateFollower, IsolateLeader, KillAll,
        KillFollower, KillLeader, Mute, OneWay, PauseAll, PauseFollower, PauseLeader, Reset,
        Restart, Ring, Swizzle,
    };
    [
        ("none", &[]),
        ("kill", &[KillLeader, KillFollower, KillAll]),
        ("pause", &[PauseLeader, PauseFollower, PauseAll]),
        ("partition", &[IsolateLeader, IsolateFollower, Halves, Bridge, Ring]),
        ("link", &[Deaf, Mute, OneWay, Flap, Reset, Delay, Swizzle]),
        (
            "all",
            &[
                KillLeader,
                KillFollower,
                KillAll,
                PauseLeader,
                PauseFollower,
                PauseAll,
                Restart,
                IsolateLeader,
                IsolateFollower,
                Halves,
                Bridge,
                Ring,
                Deaf,
                Mute,
                OneWay,
                Flap,
                Reset,
                Delay,
                Swizzle,
                Clients,
            ],
        ),
    ]
};

/// Kinds as a person lists them: names of kinds and groups between commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(pub Vec<Kind>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut kinds = Vec::new();
        for name in text.split(',') {
            if let Some((_, group)) = GROUPS.iter().find(|(group, _)| *group == name) {
                kinds.extend_from_slice(group);
            } else {
                kinds.push(<Kind as clap::ValueEnum>::from_str(name, false)?);
            }
        }
        Ok(Self(kinds))
    }
}

/// A fault to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// When, since the clients began.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// How long it lasts.
    pub hold: Duration,
    /// Decides whom it hits.
    pub seed: u64,
}

/// Faults of these kinds, one after the other, that are over before `time` is. With enough time
/// each kind comes up before any comes again.
pub fn plan(kinds: &[Kind], time: Duration, seed: u64) -> Vec<Planned> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut seconds =
        |low: f64, high: f64| Duration::from_secs_f64(low + (high - low).max(0.0) * rng.f64());
    let longest = (time.as_secs_f64() / 8.0).clamp(1.5, 6.0);
    let mut moments = Vec::new();
    let mut at = Duration::from_secs(1);
    loop {
        let hold = seconds(0.5, longest);
        if at + hold >= time {
            break;
        }
        moments.push((at, hold));
        at += hold + seconds(1.0, longest);
    }
    let mut bag: Vec<Kind> = Vec::new();
    let mut draw = || {
        if bag.is_empty() {
            bag = kinds.to_vec();
            rng.shuffle(&mut bag);
        }
        bag.pop().map(|kind| (kind, rng.u64(..)))
    };
    let planned = |(at, hold)| draw().map(|(kind, seed)| Planned { at, kind, hold, seed });
    moments.into_iter().map_while(planned).collect()
}

#[cfg(test)]
mod tests;
