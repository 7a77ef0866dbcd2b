//! ZAB: who leads, what everybody's history is, and what is committed.
//!
//! Pure state machines for election, discovery, synchronization and broadcast, in the roles
//! leader, follower and observer. [`Input`]s say what happened, [`Effect`]s what is to be done;
//! there is no I/O, clock, thread or randomness inside, and transactions are opaque bytes.
//! `docs/ensemble.md` has the rules; the facts of ZooKeeper's protocol that they follow are those
//! of "Zab 1.0" and of its fast leader election.

pub mod configs;
pub mod configuration;
mod context;
mod effect;
pub mod election;
mod history;
mod input;
mod leader;
mod learner;
mod lobby;
mod master;
mod message;
mod quorum;
mod settings;
#[cfg(test)]
mod tests;
mod types;

pub use configs::Configs;
pub use configuration::{Configuration, ConfigurationError, HostPort, Server};
pub use effect::{Effect, Record, Role, SyncPlan, Vouch};
pub use history::History;
pub use input::Input;
pub use message::Message;
pub use settings::Settings;
pub use types::{Features, LinkId, Member, Position, ServerId};

use self::{
    context::{Context, Next},
    election::{Decision, Election, Own, PeerState, Standing, Vote},
    leader::Leader,
    learner::Learner,
    lobby::Lobby,
    master::Master,
};

/// One server's part in ZAB.
///
/// Everything that happens to it goes through [`Zab::step`], which never fails: what others do
/// wrong ends their link.
///
/// Invariant: the links it knows are those in the lobby and those of its state.
#[derive(Debug)]
pub struct Zab {
    settings: Settings,
    history: History,
    election: Election,
    lobby: Lobby,
    /// The observers that learn from this server while it follows.
    master: Master,
    /// How many observer masters this server has tried, and how many of the last ones in vain.
    masters_tried: usize,
    masters_failed: usize,
    state: State,
    /// What the last [`Effect::Become`] said.
    role: Role,
    /// The epoch that the election was told of.
    settled: Option<u32>,
    /// Why this server looks for a leader, or did last.
    reason: &'static str,
    log_is_stuck: bool,
    /// Since when those who elected this server have turned to others.
    deserted_since_ms: Option<i64>,
}

/// For how long a server that tries to lead waits for those who have turned to others to come
/// back. Longer than an election takes: a new round would disturb the one they are in.
const DESERTED_MS: i64 = 2 * election::FINALIZE_MS + 100;

#[derive(Debug)]
enum State {
    /// Not begun yet.
    New,
    /// An election is under way.
    Looking,
    Leading(Leader),
    Learning(Learner),
    /// [`Effect::Halt`] was said.
    Halted,
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
    /// its first step.
    pub fn new(settings: Settings, history: History) -> Self {
        let election = Election::new(settings.server, history.configs().clone());
        Self {
            settings,
            history,
            election,
            lobby: Lobby::default(),
            master: Master::default(),
            masters_tried: 0,
            masters_failed: 0,
            state: State::New,
            role: Role::Looking { planned: false },
            settled: None,
            reason: "it was started",
            log_is_stuck: false,
            deserted_since_ms: None,
        }
    }

    /// Something has happened at `now_ms` of the monotonic clock, which never goes back. What is
    /// to be done is added to `effects`.
    pub fn step<'a>(&mut self, now_ms: i64, input: Input<'a>, effects: &mut Vec<Effect<'a>>) {
        match self.state {
            State::Halted => return,
            State::New => {
                if self.configs().can_change() {
                    effects.push(Effect::Configured);
                }
                let next = self.look(now_ms, effects);
                self.change(now_ms, next, effects);
            }
            State::Looking | State::Leading(_) | State::Learning(_) => {}
        }
        let next = self.handle(now_ms, input, effects);
        self.change(now_ms, next, effects);
        self.as_master(now_ms, effects, Master::pass_on);
        self.settle(effects);
        self.configured(effects);
    }

    /// Lets the election, and whoever reaches other servers, know of changed configurations.
    fn configured(&mut self, effects: &mut Vec<Effect<'_>>) {
        if self.election.configs() != self.history.configs() {
            effects.push(Effect::Configured);
            self.election.configure(self.history.configs().clone(), effects);
        }
    }

    /// What this server is: what the last [`Effect::Become`] said.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its log.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The configurations it goes by.
    pub fn configs(&self) -> &Configs {
        self.history.configs()
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whom this server follows or tries to follow; itself when it leads or tries to.
    pub fn leader(&self) -> Option<ServerId> {
        match &self.state {
            State::Leading(_) => Some(self.settings.server),
            State::Learning(learner) => Some(learner.leader()),
            State::New | State::Looking | State::Halted => None,
        }
    }

    /// Why this server looks for a leader, or did last; for the log that people read.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Where the election stands, while this server looks for a leader.
    pub fn standing(&self) -> Option<Standing> {
        if matches!(self.state, State::Looking) { self.election.standing() } else { None }
    }

    /// The observers that learn from this follower.
    pub fn observers(&self) -> impl Iterator<Item = LinkInfo> {
        self.master.links()
    }

    /// The links to learners that said who they are, or the one to the leader; in the order of
    /// their ids.
    pub fn links(&self) -> Vec<LinkInfo> {
        match &self.state {
            State::Leading(leader) => leader.links().collect(),
            State::Learning(learner) => learner.link().into_iter().collect(),
            State::New | State::Looking | State::Halted => Vec::new(),
        }
    }

    /// Who is at the other end of a link, once it is known.
    pub fn link(&self, link: LinkId) -> Option<LinkInfo> {
        match &self.state {
            State::Leading(leader) => leader.link(link),
            State::Learning(learner) => learner.link().filter(|info| info.link == link),
            State::New | State::Looking | State::Halted => None,
        }
    }

    fn handle<'a>(&mut self, now_ms: i64, input: Input<'a>, effects: &mut Vec<Effect<'a>>) -> Next {
        match input {
            Input::Tick { log_waits_ms } => return self.tick(now_ms, log_waits_ms, effects),
            Input::Notification { from, notification } => {
                let next = self.adopt(now_ms, &notification.config, effects);
                if next != Next::Stay {
                    return next;
                }
                let decision = self.election.notification(now_ms, from, &notification, effects);
                return self.decided(now_ms, decision, effects);
            }
            Input::Reachable { server, up } => {
                let decision = self.election.reachable(now_ms, server, up, effects);
                return self.decided(now_ms, decision, effects);
            }
            Input::Durable { position } => return self.durable(now_ms, position, effects),
            Input::Accepted { link } => {
                self.lobby.enter(link, now_ms);
                return Next::Stay;
            }
            Input::Closed { link } if self.lobby.leave(link) || self.master.leave(link) => {
                return Next::Stay;
            }
            Input::Message { link, message } if self.master.contains(link) => {
                self.as_master(now_ms, effects, |master, ctx| master.message(link, message, ctx));
                return Next::Stay;
            }
            Input::Progress { link } if self.master.contains(link) => {
                self.master.progress(link, now_ms);
                return Next::Stay;
            }
            Input::CaughtUp { link, upto } if self.master.contains(link) => {
                self.as_master(now_ms, effects, |master, ctx| master.caught_up(link, upto, ctx));
                return Next::Stay;
            }
            Input::Message { link, message } if self.lobby.contains(link) => {
                return self.greet(now_ms, link, message, effects);
            }
            _ => {}
        }
        self.with(now_ms, effects, |state, ctx| match state {
            State::Leading(leader) => lead(leader, &input, ctx),
            State::Learning(learner) => learn(learner, &input, ctx),
            State::New | State::Looking | State::Halted => idle(&input, ctx),
        })
    }

    fn tick(&mut self, now_ms: i64, log_waits_ms: i64, effects: &mut Vec<Effect<'_>>) -> Next {
        self.log_is_stuck = log_waits_ms > self.settings.sync_ms() / 2;
        for link in self.lobby.expired(now_ms, &self.settings) {
            effects.push(Effect::Close { link });
        }
        self.as_master(now_ms, effects, Master::tick);
        let log_is_stuck = self.log_is_stuck;
        if let decision @ Some(_) = self.election.tick(now_ms, log_is_stuck, effects) {
            return self.decided(now_ms, decision, effects);
        }
        if self.is_deserted(now_ms) {
            return Next::Leave("those who elected this server have turned to others");
        }
        self.with(now_ms, effects, |state, ctx| match state {
            State::Leading(leader) => leader.tick(log_is_stuck, ctx),
            State::Learning(learner) => learner.tick(ctx),
            State::New | State::Looking | State::Halted => Next::Stay,
        })
    }

    /// Whether this server tries to lead, and a quorum has not wanted it for a while.
    fn is_deserted(&mut self, now_ms: i64) -> bool {
        let tries = matches!(&self.state, State::Leading(leader) if leader.established().is_none());
        if tries && self.election.is_deserted() {
            now_ms - *self.deserted_since_ms.get_or_insert(now_ms) >= DESERTED_MS
        } else {
            self.deserted_since_ms = None;
            false
        }
    }

    fn durable(&mut self, now_ms: i64, position: Position, effects: &mut Vec<Effect<'_>>) -> Next {
        let epoch = self.history.durable_epoch();
        self.history.synced(position);
        match &mut self.state {
            State::Leading(_) => self.with(now_ms, effects, |state, ctx| match state {
                State::Leading(leader) => leader.durable(ctx),
                _ => Next::Stay,
            }),
            // A vote holds nothing that a crash could take (B11).
            State::Looking
                if self.history.durable_epoch() > epoch || self.history.activate_logged() =>
            {
                self.look(now_ms, effects)
            }
            State::Looking => {
                let zxid = self.history.durable_last();
                let decision = self.election.durable(now_ms, zxid, effects);
                self.decided(now_ms, decision, effects)
            }
            State::New | State::Learning(_) | State::Halted => Next::Stay,
        }
    }

    /// Somebody who had connected says who it is. If this server does not lead, it may be about
    /// to: others may have learned of the decision earlier.
    fn greet(
        &mut self,
        now_ms: i64,
        link: LinkId,
        message: Message<'_>,
        effects: &mut Vec<Effect<'_>>,
    ) -> Next {
        let Some(greeting) = context::Greeting::of(&message) else {
            self.lobby.leave(link);
            effects.push(Effect::Close { link });
            return Next::Stay;
        };
        if let Some(followed) = self.followed_for(&greeting) {
            self.lobby.leave(link);
            self.as_master(now_ms, effects, |master, ctx| {
                master.admit(link, greeting, followed, ctx);
            });
            return Next::Stay;
        }
        if !matches!(self.state, State::Leading(_)) {
            let until_ms = self.lobby.greet(link, greeting, now_ms);
            effects.push(Effect::Wake { at_ms: until_ms });
            return Next::Stay;
        }
        self.lobby.leave(link);
        self.with(now_ms, effects, |state, ctx| match state {
            State::Leading(leader) => leader.admit(link, greeting, ctx),
            _ => Next::Stay,
        })
    }

    /// Goes by a configuration that another server says is in force, and looks for a leader once
    /// more, if this server knows only of earlier ones and is not synchronized with a leader. So a
    /// server learns what was decided while it was down, and one that is new.
    fn adopt(&mut self, now_ms: i64, text: &[u8], effects: &mut Vec<Effect<'_>>) -> Next {
        let in_force = self.history.configs().in_force().version;
        let is_newer = configs::version_of(text).is_some_and(|version| version > in_force);
        let may_be_wrong = match &self.state {
            State::Looking => true,
            State::Learning(learner) => learner.is_connecting(),
            State::New | State::Leading(_) | State::Halted => false,
        };
        if !is_newer || !may_be_wrong {
            return Next::Stay;
        }
        match configs::read(text) {
            Some(config) if self.history.adopt(&config, effects) => {
                if matches!(self.state, State::Looking) {
                    self.look(now_ms, effects)
                } else {
                    Next::Leave("the servers have changed")
                }
            }
            _ => Next::Stay,
        }
    }

    /// The leader and the epoch that whoever has greeted may observe by this server, if it is an
    /// observer and this is a follower that serves such ones.
    fn followed_for(&self, greeting: &context::Greeting) -> Option<(ServerId, u32)> {
        let State::Learning(learner) = &self.state else { return None };
        let observes = greeting.member == Member::Observer
            && !self.history.configs().is_voter(greeting.server);
        let serves = self.settings.observer_masters && learner.member() == Member::Participant;
        let epoch = learner.synced().filter(|_| observes && serves)?;
        Some((learner.leader(), epoch))
    }

    /// Which follower to learn from when this is the leader: an observer learns from followers, if
    /// they serve it, from the next one with each try. Where they begin differs from observer to
    /// observer. If it was in vain with all of them it goes to the leader: that may be waiting for it,
    /// because this server is to vote and does not know yet.
    ///
    /// Compat: `QuorumPeer.nextObserverMaster`, which draws the order.
    fn next_master(&mut self, leader: ServerId) -> Option<ServerId> {
        let configs = self.history.configs();
        let observes = configs.member(self.settings.server) == Member::Observer;
        if !self.settings.observer_masters || !observes {
            return None;
        }
        let masters: Vec<_> = configs.voters().filter(|&voter| voter != leader).collect();
        if self.masters_failed >= masters.len() {
            self.masters_failed = 0;
            return None;
        }
        let begin = usize::try_from(self.settings.server.0).unwrap_or(0);
        let tried = begin.wrapping_add(self.masters_tried);
        self.masters_tried += 1;
        Some(masters[tried % masters.len()])
    }

    fn as_master<'a>(
        &mut self,
        now_ms: i64,
        effects: &mut Vec<Effect<'a>>,
        act: impl FnOnce(&mut Master, &mut Context<'_, 'a>),
    ) {
        let Self { settings, history, role, master, .. } = self;
        act(master, &mut Context { settings, history, role, now_ms, effects });
    }

    /// Looks for a leader.
    fn look(&mut self, now_ms: i64, effects: &mut Vec<Effect<'_>>) -> Next {
        self.state = State::Looking;
        self.history.activate_logged();
        self.configured(effects);
        let own = Own {
            zxid: self.history.durable_last(),
            epoch: self.history.durable_epoch(),
            fresh: self.history.is_fresh(),
            lost: self.history.is_incomplete(),
        };
        let decision = self.election.start(now_ms, own, effects);
        self.decided(now_ms, decision, effects)
    }

    fn decided(
        &mut self,
        now_ms: i64,
        decision: Option<Decision>,
        effects: &mut Vec<Effect<'_>>,
    ) -> Next {
        let Some(Decision { leader, join_as }) = decision else { return Next::Stay };
        if leader == self.settings.server {
            self.lead(now_ms, 0, self.settings.init_ms(), effects)
        } else {
            match self.next_master(leader) {
                Some(master) => self.with(now_ms, effects, |state, ctx| {
                    *state = State::Learning(Learner::of_follower(master, ctx));
                }),
                None => self.follow(now_ms, leader, join_as, i64::MAX, effects),
            }
            Next::Stay
        }
    }

    /// Begins to lead, with those who are here already.
    fn lead(
        &mut self,
        now_ms: i64,
        newest: u32,
        limit_ms: i64,
        effects: &mut Vec<Effect<'_>>,
    ) -> Next {
        let guests = self.lobby.greeted();
        self.with(now_ms, effects, |state, ctx| {
            let mut leader = Leader::new(newest, limit_ms, ctx);
            let mut next = leader.begin(ctx);
            for (link, greeting) in guests {
                if next == Next::Stay {
                    next = leader.admit(link, greeting, ctx);
                }
            }
            *state = State::Leading(leader);
            next
        })
    }

    fn follow(
        &mut self,
        now_ms: i64,
        leader: ServerId,
        member: Member,
        give_up_ms: i64,
        effects: &mut Vec<Effect<'_>>,
    ) {
        self.with(now_ms, effects, |state, ctx| {
            *state = State::Learning(Learner::new(leader, member, give_up_ms, ctx));
        });
    }

    /// Becomes what a role wants this server to become, and what that in turn may want.
    fn change(&mut self, now_ms: i64, mut next: Next, effects: &mut Vec<Effect<'_>>) {
        loop {
            next = match next {
                Next::Stay => return,
                Next::Leave(reason) => {
                    self.reason = reason;
                    self.end_state(now_ms, false, effects);
                    self.look(now_ms, effects)
                }
                Next::Follow(leader) => {
                    self.reason = "the leader has handed over";
                    self.end_state(now_ms, true, effects);
                    self.follow_planned(now_ms, leader, 0, effects)
                }
                Next::Turn(leader) => {
                    self.reason = "the configuration has changed";
                    self.end_state(now_ms, false, effects);
                    self.follow_planned(now_ms, leader, 0, effects)
                }
                Next::Renew(newest) => {
                    self.reason = "a new epoch begins";
                    self.end_state(now_ms, true, effects);
                    self.follow_planned(now_ms, self.settings.server, newest, effects)
                }
                Next::Halt(why) => {
                    effects.push(Effect::Halt(why));
                    self.state = State::Halted;
                    return;
                }
            };
        }
    }

    /// Follows, or leads, without an election. Not for long if it does not come to anything.
    fn follow_planned(
        &mut self,
        now_ms: i64,
        leader: ServerId,
        newest: u32,
        effects: &mut Vec<Effect<'_>>,
    ) -> Next {
        let limit_ms = self.settings.sync_ms().min(self.settings.init_ms());
        self.configured(effects);
        let member = self.configs().member(self.settings.server);
        self.tell_election(leader, self.history.current_epoch(), member, effects);
        if leader == self.settings.server {
            self.lead(now_ms, newest, limit_ms, effects)
        } else {
            self.follow(now_ms, leader, member, now_ms + limit_ms, effects);
            Next::Stay
        }
    }

    fn end_state(&mut self, now_ms: i64, planned: bool, effects: &mut Vec<Effect<'_>>) {
        let ended = std::mem::replace(&mut self.state, State::Looking);
        self.settled = None;
        if let State::Learning(learner) = &ended
            && learner.is_by_follower()
        {
            let failed = if learner.synced().is_some() { 0 } else { self.masters_failed + 1 };
            self.masters_failed = failed;
        }
        self.as_master(now_ms, effects, Master::end);
        self.with(now_ms, effects, |_, ctx| {
            match ended {
                State::Leading(leader) => leader.end(ctx),
                State::Learning(learner) => learner.end(ctx),
                State::New | State::Looking | State::Halted => {}
            }
            ctx.become_role(Role::Looking { planned });
        });
    }

    /// Lets others know once this server has a leader.
    fn settle(&mut self, effects: &mut Vec<Effect<'_>>) {
        let (leader, epoch, member) = match &self.state {
            State::Leading(leader) => {
                (self.settings.server, leader.established(), Member::Participant)
            }
            State::Learning(learner) => (learner.leader(), learner.synced(), learner.member()),
            State::New | State::Looking | State::Halted => return,
        };
        if epoch != self.settled
            && let Some(established) = epoch
        {
            self.settled = epoch;
            self.tell_election(leader, established, member, effects);
        }
    }

    fn tell_election(
        &mut self,
        leader: ServerId,
        epoch: u32,
        member: Member,
        effects: &mut Vec<Effect<'_>>,
    ) {
        let state = match member {
            _ if leader == self.settings.server => PeerState::Leading,
            Member::Participant => PeerState::Following,
            Member::Observer => PeerState::Observing,
        };
        let vote = Vote { leader, zxid: self.history.durable_last(), epoch };
        self.election.settle(state, vote, effects);
    }

    fn with<'a, T>(
        &mut self,
        now_ms: i64,
        effects: &mut Vec<Effect<'a>>,
        act: impl FnOnce(&mut State, &mut Context<'_, 'a>) -> T,
    ) -> T {
        let Self { settings, history, role, state, .. } = self;
        act(state, &mut Context { settings, history, role, now_ms, effects })
    }
}

/// What a leader makes of what concerns its part.
fn lead<'a>(leader: &mut Leader, input: &Input<'a>, ctx: &mut Context<'_, 'a>) -> Next {
    match *input {
        Input::Message { link, message } => leader.message(link, message, ctx),
        Input::Closed { link } => leader.closed(link),
        Input::Progress { link } => leader.progress(link, ctx),
        Input::Proposed { last, count, ref reconfig } => {
            leader.proposed(last, count, reconfig.clone(), ctx)
        }
        Input::CaughtUp { link, upto } => leader.caught_up(link, upto, ctx),
        Input::Confirm { ticket } => leader.confirm(ticket, ctx),
        Input::HandOver { ends } => leader.hand_over(ends, ctx),
        _ => idle(input, ctx),
    }
}

/// What a learner makes of what concerns its part.
fn learn<'a>(learner: &mut Learner, input: &Input<'a>, ctx: &mut Context<'_, 'a>) -> Next {
    match *input {
        Input::Message { link, message } => learner.message(link, message, ctx),
        Input::Closed { link } => learner.closed(link),
        Input::Progress { link } => learner.progress(link, ctx),
        Input::Connected { leader, link } => learner.connected(leader, link, ctx),
        Input::ConnectFailed { leader } => learner.connect_failed(leader, ctx),
        Input::SnapshotReceived { link, zxid } => learner.snapshot_received(link, zxid, ctx),
        Input::SnapshotInstalled { zxid, ref configuration } => {
            learner.snapshot_installed(zxid, configuration.as_ref(), ctx)
        }
        _ => idle(input, ctx),
    }
}

/// What comes too late, or belongs to another role.
fn idle(input: &Input<'_>, ctx: &mut Context<'_, '_>) -> Next {
    match *input {
        // Nobody wants it any more.
        Input::Connected { link, .. } => ctx.close(link),
        // It is in the log, whoever leads now.
        Input::Proposed { last, count, ref reconfig } => {
            ctx.history.proposed(last, count, reconfig.clone());
        }
        _ => {}
    }
    Next::Stay
}
