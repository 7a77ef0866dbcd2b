//! Elections of whole ensembles, on virtual time, with messages and connections in the test's hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use quorate_protocol::Zxid;

use super::{Decision, Election, Notification, Own, PeerState, Vote};
use crate::zab::{
    configs::Configs,
    configuration::Configuration,
    effect::Effect,
    types::{Member, ServerId},
};

mod random;
mod rules;
mod scenarios;

/// What a server has: the last transaction, and the epoch that this is of.
fn own(epoch: u32, counter: u32) -> Own {
    Own { zxid: Zxid::new(epoch, counter), epoch, fresh: false, lost: false }
}

const FRESH: Own = Own { zxid: Zxid::ZERO, epoch: 0, fresh: true, lost: false };

/// Servers, the messages under way between them, and the time.
struct Ensemble {
    configuration: Configuration,
    now_ms: i64,
    nodes: BTreeMap<ServerId, Node>,
    /// Pairs without a connection, the lower number first.
    cut: BTreeSet<(ServerId, ServerId)>,
    mail: Vec<Letter>,
    posted: u64,
    weather: Weather,
    random: fastrand::Rng,
    /// Who has ever said that it wants a leader of some epoch, or has it.
    wanted: BTreeMap<(ServerId, u32), BTreeSet<ServerId>>,
}

struct Node {
    own: Own,
    /// `None` while it is down.
    election: Option<Election>,
    decision: Option<(Decision, i64)>,
    wake_at_ms: Option<i64>,
}

struct Letter {
    due_ms: i64,
    /// Counts letters: those due at the same time arrive in the order in which they were sent.
    number: u64,
    from: ServerId,
    to: ServerId,
    notification: Notification,
}

/// What befalls messages.
#[derive(Clone, Copy, Default)]
struct Weather {
    /// How many of a hundred are lost, and how many come twice.
    lost: u8,
    doubled: u8,
    /// The longest way, which lets later ones overtake.
    delay_ms: i64,
}

impl Ensemble {
    /// Servers that are down, with what they have. The text adds to the configuration, in which
    /// they are participants if it does not say otherwise.
    fn new(servers: &[(i64, Own)], more: &str) -> Self {
        let mut text = more.to_owned();
        for (id, _) in servers {
            if !more.contains(&format!("server.{id}=")) {
                write!(text, "\nserver.{id}=h:1:2").unwrap();
            }
        }
        let node = |own| Node { own, election: None, decision: None, wake_at_ms: None };
        Self {
            configuration: Configuration::parse(&text).unwrap(),
            now_ms: 0,
            nodes: servers.iter().map(|&(id, own)| (ServerId(id), node(own))).collect(),
            cut: BTreeSet::new(),
            mail: Vec::new(),
            posted: 0,
            weather: Weather::default(),
            random: fastrand::Rng::with_seed(0),
            wanted: BTreeMap::new(),
        }
    }

    /// Servers that all have the same and are connected; the others know them to be so.
    fn running(servers: &[(i64, Own)]) -> Self {
        let mut ensemble = Self::new(servers, "");
        ensemble.start_all();
        ensemble.run(0);
        ensemble
    }

    fn start_all(&mut self) {
        for id in self.ids() {
            self.start(id.0);
        }
    }

    fn ids(&self) -> Vec<ServerId> {
        self.nodes.keys().copied().collect()
    }

    fn is_up(&self, id: ServerId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.election.is_some())
    }

    fn are_connected(&self, a: ServerId, b: ServerId) -> bool {
        a != b && self.is_up(a) && self.is_up(b) && !self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn election(&mut self, id: i64) -> &mut Election {
        self.nodes.get_mut(&ServerId(id)).unwrap().election.as_mut().expect("it is up")
    }

    /// Something happens to a server that is up; what it says of it is done.
    fn at(
        &mut self,
        id: ServerId,
        event: impl FnOnce(&mut Election, i64, &mut Vec<Effect<'_>>) -> Option<Decision>,
    ) {
        let now_ms = self.now_ms;
        let mut effects = Vec::new();
        let decision = event(self.election(id.0), now_ms, &mut effects);
        let node = self.nodes.get_mut(&id).unwrap();
        if let Some(decision) = decision {
            assert!(node.decision.is_none(), "{id} decides twice");
            node.decision = Some((decision, now_ms));
            node.wake_at_ms = None;
            if decision.leader == id {
                self.check_elected(id);
            }
        }
        for effect in effects {
            match effect {
                Effect::Wake { at_ms } => {
                    self.nodes.get_mut(&id).unwrap().wake_at_ms = Some(at_ms);
                }
                Effect::Notify { to, notification } => self.post(id, to, &notification),
                other => panic!("an election does not do {other:?}"),
            }
        }
    }

    /// Who is elected was wanted by a quorum; since nobody votes for one that has less than itself,
    /// it has the latest history among them.
    fn check_elected(&mut self, id: ServerId) {
        let epoch = self.election(id.0).vote().expect("it was started").epoch;
        let wanted = self.wanted.entry((id, epoch)).or_default();
        wanted.insert(id);
        assert!(self.configuration.is_quorum(wanted), "{id} leads, wanted by {wanted:?}");
    }

    fn post(&mut self, from: ServerId, to: ServerId, notification: &Notification) {
        assert_ne!(from, to, "a server notifies itself");
        let Vote { leader, zxid, epoch } = notification.vote;
        self.wanted.entry((leader, epoch)).or_default().insert(from);
        if notification.state == PeerState::Looking && zxid != Zxid(-1) {
            let own = self.nodes[&from].own;
            let has_more = (own.epoch, own.zxid, from) > (epoch, zxid, leader);
            let may_lead = self.configuration.weight(from) > 0;
            assert!(!(may_lead && has_more), "{from} votes for {leader}, which has less");
        }
        let copies = if self.happens(self.weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            if !self.are_connected(from, to) || self.happens(self.weather.lost) {
                continue;
            }
            let due_ms = self.now_ms + self.random.i64(0..=self.weather.delay_ms);
            self.posted += 1;
            let (number, notification) = (self.posted, notification.clone());
            self.mail.push(Letter { due_ms, number, from, to, notification });
        }
    }

    fn happens(&mut self, of_hundred: u8) -> bool {
        self.random.u8(0..100) < of_hundred
    }

    /// Starts a server, and connects it.
    fn start(&mut self, id: i64) {
        let id = ServerId(id);
        let election = Election::new(id, Configs::new(self.configuration.clone(), false));
        self.nodes.get_mut(&id).unwrap().election = Some(election);
        for other in self.ids() {
            if self.are_connected(id, other) {
                self.report(id, other, true);
            }
        }
        self.look(id.0);
    }

    /// A server looks for a leader.
    fn look(&mut self, id: i64) {
        let id = ServerId(id);
        let node = self.nodes.get_mut(&id).unwrap();
        node.decision = None;
        let own = node.own;
        self.at(id, |election, now_ms, out| election.start(now_ms, own, out));
    }

    /// A connection has come or is gone; both its ends notice.
    fn report(&mut self, a: ServerId, b: ServerId, up: bool) {
        self.mail.retain(|letter| up || (letter.from, letter.to) != (a, b));
        self.mail.retain(|letter| up || (letter.from, letter.to) != (b, a));
        for (at, of) in [(a, b), (b, a)] {
            if self.is_up(at) {
                self.at(at, |election, now_ms, out| election.reachable(now_ms, of, up, out));
            }
        }
    }

    fn crash(&mut self, id: i64) {
        let id = ServerId(id);
        let node = self.nodes.get_mut(&id).unwrap();
        node.election = None;
        node.decision = None;
        node.wake_at_ms = None;
        for other in self.ids() {
            self.report(other, id, false);
        }
    }

    /// Everybody who is connected tells a server that is down that it cannot be reached.
    fn cut(&mut self, a: i64, b: i64) {
        let (a, b) = (ServerId(a.min(b)), ServerId(a.max(b)));
        if self.cut.insert((a, b)) {
            self.report(a, b, false);
        }
    }

    fn heal(&mut self, a: i64, b: i64) {
        let (a, b) = (ServerId(a.min(b)), ServerId(a.max(b)));
        if self.cut.remove(&(a, b)) && self.are_connected(a, b) {
            self.report(a, b, true);
        }
    }

    /// Lets so much time pass, and everything happen that is due by then.
    fn run(&mut self, for_ms: i64) {
        let end_ms = self.now_ms + for_ms;
        while self.happen_next(end_ms) {}
        self.now_ms = end_ms;
    }

    /// Lets the next thing happen; `false` when there is none until then.
    fn happen_next(&mut self, end_ms: i64) -> bool {
        let letters = self.mail.iter().enumerate();
        let letter = letters.min_by_key(|(_, letter)| (letter.due_ms, letter.number));
        let wakes = self.nodes.iter().filter_map(|(&id, node)| Some((node.wake_at_ms?, id)));
        let wake = wakes.min();
        match (letter, wake) {
            (Some((index, letter)), wake)
                if letter.due_ms <= end_ms && wake.is_none_or(|(at, _)| letter.due_ms <= at) =>
            {
                self.now_ms = letter.due_ms;
                let Letter { from, to, notification, .. } = self.mail.swap_remove(index);
                self.at(to, |election, now_ms, out| {
                    election.notification(now_ms, from, &notification, out)
                });
                true
            }
            (_, Some((at_ms, id))) if at_ms <= end_ms => {
                self.now_ms = at_ms;
                self.nodes.get_mut(&id).unwrap().wake_at_ms = None;
                self.at(id, |election, now_ms, out| election.tick(now_ms, false, out));
                true
            }
            _ => false,
        }
    }

    /// The decisions have come true: everybody who has decided enters the epoch.
    fn establish(&mut self, epoch: u32) {
        for id in self.ids() {
            if self.nodes[&id].decision.is_some() {
                self.enter(id.0, epoch);
            }
        }
    }

    /// A server enters the epoch of the leader it decided for.
    fn enter(&mut self, id: i64, epoch: u32) {
        let id = ServerId(id);
        let node = self.nodes.get_mut(&id).unwrap();
        let (decision, _) = node.decision.expect("it has decided");
        node.own.epoch = epoch;
        node.own.fresh = false;
        let state = if decision.leader == id {
            PeerState::Leading
        } else if self.configuration.is_voter(id) {
            PeerState::Following
        } else {
            PeerState::Observing
        };
        self.at(id, |election, _, out| {
            let vote = Vote { epoch, ..election.vote().expect("it was started") };
            election.settle(state, vote, out);
            None
        });
    }

    /// Who follows whom since when, such as `1>3 2>3 3!`, with `?` for who looks, `~` for who
    /// observes; nothing for who is down.
    fn outcome(&self) -> String {
        let up = self.nodes.iter().filter(|(_, node)| node.election.is_some());
        let words = up.map(|(id, node)| match node.decision {
            None => format!("{id}?"),
            Some((Decision { leader, .. }, _)) if leader == *id => format!("{id}!"),
            Some((Decision { leader, join_as: Member::Participant }, _)) => {
                format!("{id}>{leader}")
            }
            Some((Decision { leader, join_as: Member::Observer }, _)) => format!("{id}~{leader}"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// How much later than `since_ms` the last decision came.
    fn took_ms(&self, since_ms: i64) -> i64 {
        let decided = self.nodes.values().filter_map(|node| node.decision);
        decided.map(|(_, at_ms)| at_ms - since_ms).max().unwrap_or(0)
    }
}
