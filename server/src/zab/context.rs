//! What the roles share while an input is dealt with.

use quorate_protocol::Zxid;

use super::{
    configs::Configs,
    effect::{Effect, Role, Vouch},
    history::History,
    message::Message,
    settings::Settings,
    types::{Features, LinkId, Member, Position, ServerId},
};

/// What a role looks at and changes besides its own state.
pub(super) struct Context<'c, 'a> {
    pub(super) settings: &'c Settings,
    pub(super) history: &'c mut History,
    pub(super) role: &'c mut Role,
    pub(super) now_ms: i64,
    pub(super) effects: &'c mut Vec<Effect<'a>>,
}

impl<'a> Context<'_, 'a> {
    pub(super) fn send(&mut self, link: LinkId, message: Message<'a>) {
        self.effects.push(Effect::Send { link, message });
    }

    pub(super) fn vouch(&mut self, after: Position, link: LinkId, message: Vouch) {
        self.effects.push(Effect::SendDurable { after, link, message });
    }

    /// Vouches for everything in the log.
    pub(super) fn vouch_all(&mut self, link: LinkId, message: Vouch) {
        self.vouch(self.history.appended(), link, message);
    }

    /// The configurations this server goes by.
    pub(super) fn configs(&self) -> &Configs {
        self.history.configs()
    }

    pub(super) fn close(&mut self, link: LinkId) {
        self.effects.push(Effect::Close { link });
    }

    pub(super) fn wake(&mut self, at_ms: i64) {
        self.effects.push(Effect::Wake { at_ms });
    }

    /// Changes what this server is, if it is not that already.
    pub(super) fn become_role(&mut self, role: Role) {
        if *self.role != role {
            *self.role = role;
            self.effects.push(Effect::Become(role));
        }
    }

    /// Everything up to `upto` is committed.
    pub(super) fn commit(&mut self, upto: Zxid) {
        self.history.commit(upto, self.effects);
    }
}

/// What a role wants to become of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Next {
    /// Nothing changes.
    Stay,
    /// There is no leader, for this reason: elect one.
    Leave(&'static str),
    /// Follow this server, or lead if it is this one, without an election. Nothing that was asked
    /// of the leader before is lost.
    Follow(ServerId),
    /// The same, but nobody knows what has become of what was asked.
    Turn(ServerId),
    /// Lead on in a later epoch than this one, without an election.
    Renew(u32),
    /// Invariants do not hold any more.
    Halt(&'static str),
}

/// A learner's first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) server: ServerId,
    pub(super) member: Member,
    pub(super) accepted_epoch: u32,
    pub(super) config_version: i64,
    pub(super) features: Features,
}

impl Greeting {
    pub(super) fn of(message: &Message<'_>) -> Option<Self> {
        match *message {
            Message::LearnerInfo { server, member, accepted_epoch, config_version, features } => {
                Some(Self { server, member, accepted_epoch, config_version, features })
            }
            _ => None,
        }
    }
}
