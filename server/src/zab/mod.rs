//! ZAB: who leads, what everybody's history is, and what is committed.
//!
//! Pure state machines for election, discovery, synchronization and broadcast, in the roles
//! leader, follower and observer. [`Input`]s say what happened, [`Effect`]s what is to be done;
//! there is no I/O, clock, thread or randomness inside, and transactions are opaque bytes.
//! `docs/ensemble.md` has the rules; the facts of ZooKeeper's protocol that they follow are those
//! of "Zab 1.0" and of its fast leader election.

pub mod configuration;
mod effect;
pub mod election;
#[allow(dead_code, reason = "the roles, which use it, follow")]
mod history;
mod input;
mod message;
mod quorum;
#[allow(dead_code, reason = "the roles, which use it, follow")]
mod settings;
mod types;

pub use configuration::{Configuration, ConfigurationError, HostPort, Server};
pub use effect::{Effect, Record, Role, SyncPlan, Vouch};
pub use history::History;
pub use input::Input;
pub use message::Message;
pub use settings::Settings;
pub use types::{Features, LinkId, Member, Position, ServerId};

/// One server's part in ZAB.
///
/// Everything that happens to it goes through [`Zab::step`], which never fails: what others do
/// wrong ends their link.
#[derive(Debug)]
pub struct Zab {
    settings: Settings,
    history: History,
    role: Role,
}

/// Who is at the other end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkInfo {
    /// The link.
    pub link: LinkId,
    /// Who it is.
    pub server: ServerId,
    /// As what it takes part: for a learner's link to its leader, always a participant.
    pub member: Member,
    /// What both ends can do.
    pub features: Features,
    /// Whether the learner is synchronized, so that it gets what is proposed.
    pub synced: bool,
}

impl Zab {
    /// A server that was just started, with what its log holds. It begins to look for a leader at
    /// its first step. `seed` varies what servers should not all do alike.
    pub fn new(settings: Settings, history: History, now_ms: i64, seed: u64) -> Self {
        let _ = (now_ms, seed);
        Self { settings, history, role: Role::Looking { planned: false } }
    }

    /// Something has happened at `now_ms` of the monotonic clock, which never goes back. What is
    /// to be done is added to `effects`.
    pub fn step<'a>(&mut self, now_ms: i64, input: Input<'a>, effects: &mut Vec<Effect<'a>>) {
        let _ = (now_ms, input, effects, &self.settings);
    }

    /// What this server is: what the last [`Effect::Become`] said.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its log.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whom this server follows or tries to follow; itself when it leads or tries to.
    pub fn leader(&self) -> Option<ServerId> {
        None
    }

    /// The links to learners that said who they are, or the one to the leader; in the order of
    /// their ids.
    pub fn links(&self) -> Vec<LinkInfo> {
        Vec::new()
    }

    /// Who is at the other end of a link, once it is known.
    pub fn link(&self, link: LinkId) -> Option<LinkInfo> {
        self.links().into_iter().find(|info| info.link == link)
    }
}
