//! An ensemble on virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_protocol::Zxid;

use super::{
    disk::{Book, Disk, Entry},
    network::{Network, Packet},
    oracle::Oracle,
};
use crate::zab::{
    Configuration, Input, LinkId, Member, Position, Role, ServerId, Settings, SyncPlan, Vouch, Zab,
    election::Notification,
};

pub(super) const TICK_MS: i64 = 100;

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// A millisecond.
    Steady,
    /// Mostly a few, sometimes many.
    Random,
}

#[derive(Debug)]
pub(super) enum Event {
    Tick {
        server: usize,
        life: u32,
        again: bool,
    },
    Deliver {
        wire: usize,
        end: usize,
    },
    /// The other end was closed.
    Hangup {
        wire: usize,
        end: usize,
    },
    Sync {
        server: usize,
        life: u32,
    },
    Connect {
        from: usize,
        life: u32,
        attempt: u64,
        to: usize,
    },
    Stream {
        server: usize,
        life: u32,
        link: LinkId,
    },
    SnapshotReceived {
        server: usize,
        life: u32,
        link: LinkId,
    },
    Notification {
        to: usize,
        from: usize,
        notification: Notification,
    },
    Reachable {
        at: usize,
        server: usize,
        up: bool,
    },
}

/// A server: its state machines, its log, and what the core around them would keep.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) settings: Settings,
    /// The configuration in its files.
    pub(super) file: Configuration,
    /// The servers it has connections of the election port to.
    pub(super) known: BTreeSet<ServerId>,
    pub(super) zab: Option<Zab>,
    /// It speaks ZooKeeper's protocol and no more.
    pub(super) is_java: bool,
    /// Counts its starts.
    pub(super) life: u32,
    pub(super) disk: Disk,
    /// How much of the history its tree holds.
    pub(super) applied: usize,
    pub(super) leads: Option<u32>,
    pub(super) vouched: VecDeque<(Position, LinkId, Vouch)>,
    pub(super) streams: BTreeMap<LinkId, Stream>,
    pub(super) snapshots: BTreeMap<LinkId, (Zxid, Vec<Entry>)>,
    /// A snapshot takes the place of the log: the memory image is ahead of the tree.
    pub(super) installs: bool,
    pub(super) newest: (Zxid, Zxid),
    pub(super) attempt: u64,
    pub(super) sync_is_due: bool,
    /// The roles it had since its last start.
    pub(super) roles: Vec<Role>,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) plan: Option<SyncPlan>,
    pub(super) at: Zxid,
    pub(super) until: Zxid,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now_ms: i64,
    pub(super) rng: fastrand::Rng,
    pub(super) servers: Vec<Server>,
    pub(super) network: Network,
    pub(super) oracle: Oracle,
    pub(super) pace: Pace,
    /// All messages that were delivered: from, to, what.
    pub(super) delivered: Vec<(ServerId, ServerId, Packet)>,
    pub(super) prints: bool,
    /// The configuration that the ensemble begins with.
    pub(super) first: Configuration,
    pub(super) book: Book,
    events: BTreeMap<(i64, u64), Event>,
    sequence: u64,
    next_value: u64,
    next_ticket: u64,
}

impl World {
    /// Servers 1 to `voters`, then observers; none is started.
    pub(super) fn new(seed: u64, voters: usize, observers: usize) -> Self {
        let line = |id: usize| {
            let role = if id <= voters { "participant" } else { "observer" };
            format!("server.{id}=h{id}:1:2:{role}\n")
        };
        let text: String = (1..=voters + observers).map(line).collect();
        let configuration = Configuration::parse(&text).unwrap();
        let servers = configuration.servers.keys().map(|id| {
            let settings = Settings {
                server: *id,
                tick_ms: TICK_MS,
                init_limit: 10,
                sync_limit: 5,
                roll_over: Settings::ROLL_OVER,
                observer_masters: false,
            };
            Server::new(*id, settings, configuration.clone())
        });
        Self {
            now_ms: 0,
            rng: fastrand::Rng::with_seed(seed),
            servers: servers.collect(),
            first: configuration.clone(),
            book: Book::default(),
            network: Network::default(),
            oracle: Oracle::default(),
            pace: Pace::Steady,
            delivered: Vec::new(),
            prints: false,
            events: BTreeMap::new(),
            sequence: 0,
            next_value: 0,
            next_ticket: 0,
        }
    }

    /// Adds servers that are in no configuration but their own, which names some others, too.
    pub(super) fn add_joiners(&mut self, count: usize, seeds: usize) {
        for _ in 0..count {
            let id = ServerId(self.servers[self.servers.len() - 1].id.0 + 1);
            let mut servers = self.first.servers.clone();
            while servers.len() > seeds {
                servers.pop_last();
            }
            servers.insert(id, format!("h{id}:1:2:participant").parse().unwrap());
            let file = Configuration { version: 0, servers };
            let settings = Settings { server: id, ..self.servers[0].settings.clone() };
            self.servers.push(Server::new(id, settings, file));
        }
    }

    /// An ensemble with all servers started, and a leader that all others follow.
    pub(super) fn settled(voters: usize, observers: usize) -> Self {
        let mut world = Self::new(1, voters, observers);
        (0..voters + observers).for_each(|server| world.start(server));
        world.settle();
        world
    }

    pub(super) fn print(&self, what: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>7} {}", self.now_ms, what());
        }
    }

    pub(super) fn delay(&mut self) -> i64 {
        match (self.pace, self.rng.u32(..100)) {
            (Pace::Steady, _) => 1,
            (Pace::Random, 0..75) => self.rng.i64(0..4),
            (Pace::Random, 75..98) => self.rng.i64(0..60),
            (Pace::Random, _) => self.rng.i64(0..800),
        }
    }

    pub(super) fn schedule(&mut self, at_ms: i64, event: Event) {
        self.sequence += 1;
        self.events.insert((at_ms.max(self.now_ms), self.sequence), event);
    }

    /// Lets happen what happens next; false if that would be after `until_ms`.
    pub(super) fn step(&mut self, until_ms: i64) -> bool {
        let Some(entry) = self.events.first_entry().filter(|e| e.key().0 <= until_ms) else {
            self.now_ms = self.now_ms.max(until_ms);
            return false;
        };
        self.now_ms = entry.key().0;
        let event = entry.remove();
        self.happen(event);
        true
    }

    pub(super) fn run_ms(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while self.step(until_ms) {}
    }

    /// Runs until something holds; it has to within a time.
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until_ms = self.now_ms + 200 * TICK_MS;
        while !holds(self) {
            assert!(self.step(until_ms), "never: {what}; {}", self.describe());
        }
    }

    /// Runs until there is a leader, all who are up follow it, and all is applied.
    pub(super) fn settle(&mut self) {
        self.until("all follow one leader", Self::is_settled);
    }

    /// As [`World::settle`], but for one server.
    pub(super) fn settle_without(&mut self, index: usize) {
        let id = self.servers[index].id;
        self.until("the others follow one leader", |w| w.are_settled(|other| other != id));
    }

    pub(super) fn is_settled(&self) -> bool {
        self.are_settled(|_| true)
    }

    fn are_settled(&self, counts: impl Fn(ServerId) -> bool) -> bool {
        let Some(leader) = self.leader() else { return false };
        let all = &self.servers[leader].disk.memory.entries;
        let is_up = |server: &&Server| server.zab.is_some() && counts(server.id);
        self.servers.iter().filter(is_up).all(|server| {
            let follows = match server.zab().role() {
                Role::Leading { .. } => server.id == self.servers[leader].id,
                Role::Following { leader: id, epoch, .. } => {
                    id == self.servers[leader].id && Some(epoch) == self.servers[leader].leads
                }
                Role::Draining | Role::Looking { .. } => false,
            };
            let is_member = server.zab().links().iter().all(|link| link.synced);
            follows && is_member && server.applied == all.len() && !server.disk.is_busy()
        })
    }

    /// The established leader of the newest epoch that is up.
    pub(super) fn leader(&self) -> Option<usize> {
        let leading = |server: &usize| {
            let server = &self.servers[*server];
            server.leads.filter(|_| server.zab.is_some())
        };
        (0..self.servers.len()).filter(|s| leading(s).is_some()).max_by_key(leading)
    }

    pub(super) fn describe(&self) -> String {
        let describe = |server: &Server| {
            let Some(zab) = &server.zab else { return format!("{}: down", server.id) };
            format!(
                "{}: {:?} ({}) leader {:?} accepted {} current {} last {} committed {} applied {} of {} \
                 links {:?}",
                server.id,
                zab.role(),
                zab.reason(),
                zab.leader(),
                zab.history().accepted_epoch(),
                zab.history().current_epoch(),
                zab.history().last(),
                zab.history().committed(),
                server.applied,
                server.disk.memory.entries.len(),
                zab.links(),
            )
        };
        self.servers.iter().map(describe).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn start(&mut self, index: usize) {
        self.start_with(index, usize::MAX);
    }

    /// Starts a server; of what was under way to its disk when it crashed, `kept` remain.
    pub(super) fn start_with(&mut self, index: usize, kept: usize) {
        self.print(|| format!("{} starts", index + 1));
        let server = &mut self.servers[index];
        assert!(server.zab.is_none(), "server {} is up", server.id);
        let history = server.disk.recover(kept, &server.file, &self.book);
        server.known.clear();
        server.applied = server.disk.memory.up_to(history.committed()).len();
        server.life += 1;
        server.sync_is_due = false;
        server.zab = Some(Zab::new(server.settings.clone(), history));
        let life = server.life;
        self.schedule(self.now_ms, Event::Tick { server: index, life, again: true });
        for other in (0..self.servers.len()).filter(|other| *other != index) {
            let up = self.servers[other].zab.is_some() && self.is_connected(index, other);
            let (here, there) = (self.delay(), self.delay());
            self.schedule(self.now_ms + here, Event::Reachable { at: index, server: other, up });
            if up {
                let event = Event::Reachable { at: other, server: index, up };
                self.schedule(self.now_ms + there, event);
            }
        }
    }

    /// The process ends at once; what is not durable may be lost.
    pub(super) fn crash(&mut self, index: usize) {
        self.print(|| format!("{} crashes", index + 1));
        let server = &mut self.servers[index];
        server.zab = None;
        server.leads = None;
        server.vouched.clear();
        server.streams.clear();
        server.snapshots.clear();
        server.installs = false;
        server.roles.clear();
        for wire in self.network.wires_of(index) {
            self.break_wire(wire, Some(index));
        }
        for other in (0..self.servers.len()).filter(|other| *other != index) {
            let at_ms = self.now_ms + self.delay();
            self.schedule(at_ms, Event::Reachable { at: other, server: index, up: false });
        }
    }

    /// Nothing becomes durable at a server as long as this holds.
    pub(super) fn hold(&mut self, index: usize, holds: bool) {
        self.servers[index].disk.held = holds;
        if !holds && self.servers[index].zab.is_some() {
            self.schedule_sync(index);
        }
    }

    /// What a server finds when it starts: its promises, and how many transactions of each epoch.
    pub(super) fn give_log(
        &mut self,
        index: usize,
        accepted: u32,
        current: u32,
        epochs: &[(u32, u32)],
    ) {
        let durable = &mut self.servers[index].disk.durable;
        (durable.accepted, durable.current) = (accepted, current);
        for (epoch, count) in epochs {
            let zxids = (1..=*count).map(|counter| Zxid::new(*epoch, counter));
            durable.entries.extend(zxids.map(|zxid| (zxid, zxid.0.cast_unsigned())));
        }
        for entry in durable.entries.clone() {
            self.oracle.proposed(entry);
        }
    }

    /// The disk is empty afterwards.
    pub(super) fn wipe(&mut self, index: usize) {
        assert!(self.servers[index].zab.is_none(), "only of a server that is down");
        self.servers[index].disk = Disk::default();
    }

    /// A server that is down finds its log damaged and sets it aside.
    pub(super) fn set_aside(&mut self, index: usize) {
        self.wipe(index);
        self.servers[index].disk.durable.incomplete = true;
    }

    /// A connection breaks: some of what was under way may still come, to ends that are not of
    /// the server that has `gone`.
    pub(super) fn break_wire(&mut self, wire: usize, gone: Option<usize>) {
        for end in 0..2 {
            let lost = self.rng.bool();
            let state = self.network.end(wire, end);
            state.cut = true;
            if gone == Some(state.server) {
                state.open = false;
                state.incoming.clear();
            } else if state.open {
                if lost {
                    state.incoming.clear();
                }
                let at_ms = self.now_ms.max(state.not_before_ms) + self.delay();
                self.schedule(at_ms, Event::Hangup { wire, end });
            }
        }
    }

    pub(super) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.network.can_reach(a, b) && self.network.can_reach(b, a)
    }

    /// Nothing gets from one server to the other any more. Connections stay until somebody is
    /// tired of waiting.
    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.network.blocked.insert((from, to));
        for (at, server) in [(from, to), (to, from)] {
            let at_ms = self.now_ms + self.delay();
            self.schedule(at_ms, Event::Reachable { at, server, up: false });
        }
    }

    /// Cuts a server off from others, in both directions.
    pub(super) fn isolate(&mut self, server: usize) {
        for other in (0..self.servers.len()).filter(|other| *other != server) {
            self.block(server, other);
            self.block(other, server);
        }
    }

    pub(super) fn heal(&mut self) {
        let blocked = std::mem::take(&mut self.network.blocked);
        for (at, server) in blocked.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]) {
            if self.servers[at].zab.is_some() && self.servers[server].zab.is_some() {
                let at_ms = self.now_ms + self.delay();
                self.schedule(at_ms, Event::Reachable { at, server, up: true });
            }
        }
    }

    pub(super) fn count(&self, from: usize, to: usize, is: impl Fn(&Packet) -> bool) -> usize {
        let ids = (self.servers[from].id, self.servers[to].id);
        self.delivered.iter().filter(|(f, t, p)| (*f, *t) == ids && is(p)).count()
    }

    pub(super) fn epoch(&self) -> u32 {
        self.leader().and_then(|leader| self.servers[leader].leads).expect("somebody leads")
    }

    /// The leader proposes; false if the server is none.
    pub(super) fn propose(&mut self, index: usize, count: u64) -> bool {
        let server = &mut self.servers[index];
        let Some(Role::Leading { epoch }) = server.zab.as_ref().map(Zab::role) else {
            return false;
        };
        let before = server.disk.memory.last();
        for _ in 0..count {
            self.next_value += 1;
            let next = server.disk.memory.last().max(Zxid::new(epoch, 0)).next().unwrap();
            let entry = (next, self.next_value);
            self.oracle.proposed(entry);
            server.disk.propose(entry, self.now_ms);
        }
        let last = server.disk.memory.last();
        server.newest = (before, last);
        self.print(|| format!("{} proposes up to {last}", index + 1));
        self.schedule_sync(index);
        self.input(index, Input::Proposed { last, count, reconfig: None });
        true
    }

    /// The leader proposes another configuration, behind `count` transactions; false if it may not.
    pub(super) fn reconfigure(&mut self, index: usize, mut next: Configuration) -> bool {
        let server = &mut self.servers[index];
        let Some(Role::Leading { epoch }) = server.zab.as_ref().map(Zab::role) else {
            return false;
        };
        let zab = server.zab();
        let followers = zab.links().into_iter().filter(|link| {
            link.synced
                && link.member == Member::Participant
                && zab.configs().member(link.server) == Member::Participant
        });
        let synced = followers.map(|link| link.server).chain([server.id]).collect();
        if zab.configs().last_seen().is_some() || !next.is_quorum(&synced) {
            return false;
        }
        self.next_value += 1;
        let before = server.disk.memory.last();
        let last = before.max(Zxid::new(epoch, 0)).next().unwrap();
        next.version = last.0;
        let entry = (last, self.next_value);
        self.oracle.proposed(entry);
        self.book.enter(self.next_value, next.clone());
        server.disk.propose(entry, self.now_ms);
        server.newest = (before, last);
        self.print(|| format!("{} proposes {next}", index + 1));
        self.schedule_sync(index);
        self.input(index, Input::Proposed { last, count: 1, reconfig: Some(next) });
        true
    }

    /// Asks a server whether it leads.
    pub(super) fn confirm(&mut self, index: usize) {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        if let Some(epoch) = self.servers[index].leads {
            self.oracle.asked(index, ticket, epoch);
            self.input(index, Input::Confirm { ticket });
        }
    }

    /// What was applied anywhere is everywhere, and is as long as this.
    pub(super) fn assert_all_applied(&self, count: usize) {
        for server in &self.servers {
            assert_eq!(server.applied, count, "server {}", server.id);
            assert_eq!(server.disk.memory.entries[..count], self.oracle.committed[..count]);
        }
        assert_eq!(self.oracle.committed.len(), count);
    }
}

impl Server {
    fn new(id: ServerId, settings: Settings, file: Configuration) -> Self {
        Self {
            id,
            settings,
            file,
            known: BTreeSet::new(),
            zab: None,
            is_java: false,
            life: 0,
            disk: Disk::default(),
            applied: 0,
            leads: None,
            vouched: VecDeque::new(),
            streams: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            installs: false,
            newest: (Zxid::ZERO, Zxid::ZERO),
            attempt: 0,
            sync_is_due: false,
            roles: Vec::new(),
        }
    }

    pub(super) fn zab(&self) -> &Zab {
        self.zab.as_ref().expect("the server is up")
    }
}
