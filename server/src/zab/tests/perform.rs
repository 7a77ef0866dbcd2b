//! What happens to a server, and how it does what its state machines say.

use std::collections::BTreeSet;

use quorate_protocol::Zxid;

use super::{
    disk::{Entry, Op, value_of},
    network::Packet,
    world::{Event, Server, Stream, TICK_MS, World},
};
use crate::zab::{
    Effect, Features, Input, LinkId, Message, Position, Record, Role, SyncPlan, Vouch,
    election::PeerState,
};

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { server, life, again } if self.lives(server, life) => {
                if again {
                    let at_ms = self.now_ms + TICK_MS / 2;
                    self.schedule(at_ms, Event::Tick { server, life, again });
                }
                let log_waits_ms = self.servers[server].disk.waits_ms(self.now_ms);
                self.input(server, Input::Tick { log_waits_ms });
            }
            Event::Deliver { wire, end } => self.deliver(wire, end),
            Event::Hangup { wire, end } => self.hang_up(wire, end),
            Event::Sync { server, life } if self.lives(server, life) => self.sync(server),
            Event::Connect { from, life, attempt, to }
                if self.lives(from, life) && self.servers[from].attempt == attempt =>
            {
                self.connect(from, to);
            }
            Event::Stream { server, life, link } if self.lives(server, life) => {
                self.stream(server, link);
            }
            Event::SnapshotReceived { server, life, link } if self.lives(server, life) => {
                let is_open = self
                    .network
                    .find(server, link)
                    .is_some_and(|(wire, end)| self.network.end(wire, end).open);
                if let Some((zxid, _)) = self.servers[server].snapshots.get(&link)
                    && is_open
                {
                    let zxid = *zxid;
                    self.input(server, Input::SnapshotReceived { link, zxid });
                }
            }
            Event::Notification { to, from, notification }
                if self.servers[to].zab.is_some() && self.network.can_reach(from, to) =>
            {
                self.print(|| format!("{} => {}: {notification:?}", from + 1, to + 1));
                let from = self.servers[from].id;
                self.input(to, Input::Notification { from, notification });
            }
            Event::Reachable { at, server, up } if self.servers[at].zab.is_some() => {
                let is_connected = self.servers[server].zab.is_some()
                    && self.network.can_reach(at, server)
                    && self.network.can_reach(server, at);
                let server = self.servers[server].id;
                self.input(at, Input::Reachable { server, up });
                if up != is_connected {
                    // It has changed since.
                    self.input(at, Input::Reachable { server, up: is_connected });
                }
            }
            _ => {}
        }
    }

    fn lives(&self, server: usize, life: u32) -> bool {
        self.servers[server].zab.is_some() && self.servers[server].life == life
    }

    fn deliver(&mut self, wire: usize, end: usize) {
        let from = self.network.end(wire, 1 - end).server;
        let state = self.network.end(wire, end);
        let (server, link) = (state.server, state.link);
        if !state.open || state.incoming.is_empty() {
            return;
        }
        if state.stalled || !self.network.can_reach(from, server) {
            self.schedule(self.now_ms + 20, Event::Deliver { wire, end });
            return;
        }
        let state = self.network.end(wire, end);
        let mut packet = state.incoming.pop_front().expect("checked above");
        if self.servers[from].is_java || self.servers[server].is_java {
            packet.speak_java();
        }
        self.print(|| format!("{} -> {}: {packet:?}", from + 1, server + 1));
        if let Packet::Snapshot(zxid, entries) = &packet {
            self.network.end(wire, end).stalled = true;
            let (life, at_ms) = (self.servers[server].life, self.now_ms + self.delay());
            self.servers[server].snapshots.insert(link, (*zxid, entries.clone()));
            self.schedule(at_ms, Event::SnapshotReceived { server, life, link });
        }
        self.input(server, Input::Message { link, message: packet.message() });
        let ids = (self.servers[from].id, self.servers[server].id);
        self.delivered.push((ids.0, ids.1, packet));
    }

    fn hang_up(&mut self, wire: usize, end: usize) {
        let from = self.network.end(wire, 1 - end).server;
        let state = self.network.end(wire, end);
        let (server, link) = (state.server, state.link);
        let waits = !state.incoming.is_empty() && !state.stalled;
        if !state.open {
            return;
        }
        if waits || !self.network.can_reach(from, server) {
            self.schedule(self.now_ms + 20, Event::Hangup { wire, end });
            return;
        }
        self.network.end(wire, end).open = false;
        self.print(|| format!("{}: {link:?} to {} has ended", server + 1, from + 1));
        self.input(server, Input::Closed { link });
    }

    fn connect(&mut self, from: usize, to: usize) {
        let leader = self.servers[to].id;
        let is_known = self.servers[from].zab().configs().contains(leader);
        let is_up = self.servers[to].zab.is_some() && is_known;
        if !is_up || !self.network.can_reach(from, to) || !self.network.can_reach(to, from) {
            self.input(from, Input::ConnectFailed { leader });
            return;
        }
        let (here, there) = self.network.connect(from, to);
        self.print(|| format!("{} connects to {}", from + 1, to + 1));
        self.input(to, Input::Accepted { link: there });
        self.input(from, Input::Connected { leader, link: here });
    }

    pub(super) fn schedule_sync(&mut self, index: usize) {
        let server = &mut self.servers[index];
        if !server.sync_is_due && server.disk.is_busy() {
            server.sync_is_due = true;
            let (life, at_ms) = (server.life, self.now_ms + self.delay());
            self.schedule(at_ms, Event::Sync { server: index, life });
        }
    }

    fn sync(&mut self, index: usize) {
        let count = 1 + self.rng.usize(..8);
        let server = &mut self.servers[index];
        server.sync_is_due = false;
        if server.disk.held {
            return;
        }
        let committed = server.zab().history().committed();
        if let Some(synced) = server.disk.sync(count, committed) {
            self.release(index);
            self.input(index, Input::Durable { position: synced.position });
            if let Some(zxid) = synced.installed {
                self.servers[index].installs = false;
                self.servers[index].applied = self.servers[index].disk.memory.up_to(zxid).len();
                for link in std::mem::take(&mut self.servers[index].snapshots).into_keys() {
                    if let Some((wire, end)) = self.network.find(index, link) {
                        self.network.end(wire, end).stalled = false;
                    }
                }
                let held = self.servers[index].disk.memory.up_to(zxid);
                let configuration = self.book.last(held).cloned();
                self.input(index, Input::SnapshotInstalled { zxid, configuration });
            }
        }
        self.schedule_sync(index);
    }

    /// Sends what waited for the log.
    fn release(&mut self, index: usize) {
        loop {
            let server = &mut self.servers[index];
            let synced = server.disk.synced();
            match server.vouched.front().copied() {
                Some((after, link, vouch)) if after <= synced => {
                    server.vouched.pop_front();
                    self.vouch(index, link, vouch);
                }
                _ => return,
            }
        }
    }

    /// What is vouched for is durable.
    fn vouch(&mut self, index: usize, link: LinkId, vouch: Vouch) {
        let server = &self.servers[index];
        let durable = &server.disk.durable;
        let is_open = self.network.find(index, link).is_some();
        let message = match vouch {
            Vouch::LeaderInfo { epoch } => {
                assert!(durable.accepted >= epoch, "B2");
                Message::LeaderInfo { epoch, features: Features::ALL }
            }
            Vouch::AckEpoch { current_epoch, last } => {
                assert!(current_epoch.is_none_or(|epoch| durable.current >= epoch), "B11");
                assert!(current_epoch.is_none() || durable.last() >= last, "B11");
                Message::AckEpoch { current_epoch, last }
            }
            Vouch::Ack { zxid, .. } if zxid.counter() == 0 => {
                let counts = is_open && !server.zab().history().is_fresh();
                assert!(!counts || durable.current >= zxid.epoch(), "B6");
                Message::Ack { zxid }
            }
            Vouch::Ack { zxid, .. } => {
                let has = durable.entries.binary_search_by_key(&zxid, |(zxid, _)| *zxid).is_ok();
                assert!(has || durable.floor >= zxid, "B8");
                Message::Ack { zxid }
            }
        };
        self.send(index, link, Packet::of(&message));
    }

    pub(super) fn send(&mut self, index: usize, link: LinkId, packet: Packet) {
        let Some((wire, end)) = self.network.find(index, link) else { return };
        if !self.network.end(wire, end).open {
            return;
        }
        let at_ms = self.now_ms + self.delay();
        let there = self.network.end(wire, 1 - end);
        if there.cut {
            return;
        }
        let at_ms = at_ms.max(there.not_before_ms);
        there.not_before_ms = at_ms;
        there.incoming.push_back(packet);
        self.schedule(at_ms, Event::Deliver { wire, end: 1 - end });
    }

    fn send_entries(&mut self, index: usize, link: LinkId, after: Zxid, upto: Zxid) {
        for (zxid, value) in self.servers[index].disk.memory.between(after, upto).to_vec() {
            self.send(index, link, Packet::Proposal(zxid, self.book.bytes((zxid, value))));
        }
    }

    /// Sends a piece of the stream that synchronizes a learner.
    fn stream(&mut self, index: usize, link: LinkId) {
        let found = self.network.find(index, link);
        let is_open = found.is_some_and(|(wire, end)| self.network.end(wire, end).open);
        let learner = found.map(|(wire, end)| self.network.end(wire, 1 - end).server);
        let is_learner_java = learner.is_some_and(|learner| self.servers[learner].is_java);
        let piece = 1 + self.rng.usize(..10);
        let server = &mut self.servers[index];
        let info = server.zab().link(link);
        let Some(stream) = server.streams.get_mut(&link).filter(|_| is_open) else {
            server.streams.remove(&link);
            return;
        };
        let floor = server.disk.memory.floor;
        let first = match stream.plan.take() {
            Some(SyncPlan::Diff { after }) if after >= floor => {
                stream.at = after;
                Some(Packet::of(&Message::Diff { last: stream.until }))
            }
            Some(SyncPlan::Trunc { to }) if to >= floor => {
                stream.at = to;
                Some(Packet::of(&Message::Trunc { to }))
            }
            // The log does not reach back any more: a checkpoint does.
            Some(_) => {
                let held = server.disk.memory.entries[..server.applied]
                    .iter()
                    .map(|(zxid, _)| *zxid)
                    .filter(|zxid| *zxid > floor);
                let held: Vec<Zxid> = held.collect();
                let newest = self.rng.choice(held).unwrap_or(floor);
                // Compat: ZooKeeper's leader sends all it has, as it has replayed its whole log. And
                // its learner takes a snapshot older than what it has, with what comes behind it;
                // ours, which acts for it here, would not.
                let is_whole = server.is_java || is_learner_java;
                let zxid = if is_whole { stream.until.max(newest) } else { newest };
                stream.at = zxid;
                let entries = server.disk.memory.up_to(zxid).to_vec();
                Some(Packet::Snapshot(zxid, entries))
            }
            None => None,
        };
        let settled = server
            .zab
            .as_ref()
            .map(|zab| zab.history().committed().min(zab.history().durable_last()));
        let limit = stream.until.max(settled.unwrap_or(Zxid::ZERO));
        let entries: Vec<Entry> =
            server.disk.memory.between(stream.at, limit).iter().take(piece).copied().collect();
        stream.at = entries.last().map_or(stream.at, |(zxid, _)| *zxid);
        let (at, is_done) = (stream.at, stream.at >= limit);
        if is_done {
            server.streams.remove(&link);
        }
        if let Some(first) = first {
            self.send(index, link, first);
        }
        let cumulative = info.is_some_and(|info| info.features.has(Features::CUMULATIVE));
        for (zxid, value) in &entries {
            self.send(index, link, Packet::Proposal(*zxid, self.book.bytes((*zxid, *value))));
            if !cumulative || *zxid == at {
                self.send(index, link, Packet::of(&Message::Commit { zxid: *zxid }));
            }
        }
        if is_done {
            self.input(index, Input::CaughtUp { link, upto: at });
        } else {
            self.input(index, Input::Progress { link });
            let (life, at_ms) = (self.servers[index].life, self.now_ms + self.delay());
            self.schedule(at_ms, Event::Stream { server: index, life, link });
        }
    }

    /// Tells a server something, and does what it says.
    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        let Some(mut zab) = self.servers[index].zab.take() else { return };
        let mut effects = Vec::new();
        // One that the last configuration seen does without leaves as soon as it is established.
        let tried_to_lead = zab.leader() == Some(self.servers[index].id);
        zab.step(self.now_ms, input, &mut effects);
        self.servers[index].zab = Some(zab);
        let becomes_leader =
            |effect: &Effect<'_>| matches!(effect, Effect::Become(Role::Leading { .. }));
        let leads = tried_to_lead
            || self.servers[index].leads.is_some()
            || effects.iter().any(becomes_leader);
        for effect in effects {
            self.perform(index, effect, leads);
        }
        self.apply(index);
    }

    /// The tree holds what is committed and durable.
    fn apply(&mut self, index: usize) {
        let server = &mut self.servers[index];
        if server.installs {
            return;
        }
        let history = server.zab().history();
        let upto = history.committed().min(history.durable_last());
        let applied = server.disk.memory.up_to(upto).len();
        assert!(applied >= server.applied, "server {} takes back what it applied", server.id);
        server.applied = applied;
        // A checkpoint is made now and then, and the log below it removed.
        if self.rng.u32(..400) == 0 && self.pace == super::world::Pace::Random {
            server.disk.raise_floor(upto.min(server.disk.durable.committed));
        }
    }

    fn perform(&mut self, index: usize, effect: Effect<'_>, leads: bool) {
        let now_ms = self.now_ms;
        match effect {
            Effect::Wake { at_ms } => {
                let life = self.servers[index].life;
                self.schedule(at_ms, Event::Tick { server: index, life, again: false });
            }
            Effect::Notify { to, notification } => {
                let durable = &self.servers[index].disk.durable;
                let vote = notification.vote;
                if vote.leader == self.servers[index].id
                    && notification.state == PeerState::Looking
                    && vote.zxid >= Zxid::ZERO
                {
                    assert!(durable.last() >= vote.zxid && durable.current >= vote.epoch, "B11");
                }
                let to = self.servers.iter().position(|s| s.id == to).unwrap();
                let at_ms = now_ms + self.delay();
                let event = Event::Notification { to, from: index, notification };
                self.schedule(at_ms, event);
            }
            Effect::Connect { leader } => {
                let to = self.servers.iter().position(|s| s.id == leader).unwrap();
                let at_ms = now_ms + self.delay();
                let server = &mut self.servers[index];
                server.attempt += 1;
                let (life, attempt) = (server.life, server.attempt);
                self.schedule(at_ms, Event::Connect { from: index, life, attempt, to });
            }
            Effect::Close { link } => {
                let Some((wire, end)) = self.network.find(index, link) else { return };
                let here = self.network.end(wire, end);
                here.open = false;
                here.incoming.clear();
                self.servers[index].snapshots.remove(&link);
                let at_ms = self.network.end(wire, 1 - end).not_before_ms.max(now_ms);
                let at_ms = at_ms + self.delay();
                self.schedule(at_ms, Event::Hangup { wire, end: 1 - end });
            }
            Effect::Send { link, message } => self.send(index, link, Packet::of(&message)),
            Effect::SendDurable { after, link, message } => {
                let server = &mut self.servers[index];
                assert!(server.vouched.back().is_none_or(|(last, ..)| *last <= after));
                server.vouched.push_back((after, link, message));
                self.release(index);
            }
            Effect::Append { position, record } => self.append(index, position, record),
            Effect::Truncate { to } => {
                let server = &mut self.servers[index];
                server.disk.change(Op::Truncate(to), now_ms);
                let left = server.disk.memory.entries.len();
                assert!(left >= server.applied, "server {} cuts what it applied", server.id);
                self.schedule_sync(index);
            }
            Effect::InstallSnapshot { link } => {
                let server = &mut self.servers[index];
                let (zxid, entries) = server.snapshots[&link].clone();
                server.disk.change(Op::Install(zxid, entries), now_ms);
                server.installs = true;
                self.schedule_sync(index);
            }
            Effect::Become(role) => self.become_role(index, role),
            Effect::Commit { upto } => {
                let server = &self.servers[index];
                self.print(|| format!("{} commits {upto}", index + 1));
                let history = server.disk.memory.up_to(upto).to_vec();
                self.assert_durable_at_quorum(&history);
                self.oracle.commits(index, leads, &history);
            }
            Effect::Synchronize { link, plan, until } => {
                let server = &mut self.servers[index];
                let stream = Stream { plan: Some(plan), at: Zxid::ZERO, until };
                server.streams.insert(link, stream);
                let (life, at_ms) = (server.life, now_ms + self.delay());
                self.schedule(at_ms, Event::Stream { server: index, life, link });
            }
            Effect::SendWindow { link, after, upto } => {
                self.send_entries(index, link, after, upto);
            }
            Effect::SendProposals { link } => {
                let (after, last) = self.servers[index].newest;
                self.send_entries(index, link, after, last);
            }
            Effect::SendCommits { link, after, upto, cumulative } => {
                let committed = self.servers[index].disk.memory.between(after, upto).to_vec();
                for (zxid, _) in committed {
                    if !cumulative || zxid == upto {
                        self.send(index, link, Packet::of(&Message::Commit { zxid }));
                    }
                }
            }
            Effect::SendInforms { link, after, upto } => {
                let committed = self.servers[index].disk.memory.between(after, upto).to_vec();
                for (zxid, value) in committed {
                    self.send(index, link, Packet::Inform(zxid, self.book.bytes((zxid, value))));
                }
            }
            Effect::AnswerPing { link, round } => {
                let ping = Message::Ping { round, sessions: b"" };
                self.send(index, link, Packet::of(&ping));
            }
            Effect::SessionsHeard { .. } => {}
            Effect::Confirmed { ticket } => self.oracle.confirmed(index, ticket),
            Effect::SendNewLeader { link, epoch, newest } => {
                let config = self.servers[index].zab().configs().of_new_leader(newest);
                let packet = Packet::NewLeader(epoch, config.to_string());
                self.send(index, link, packet);
            }
            Effect::SendActivation { link, zxid, leader, observes } => {
                let entry = self.servers[index].disk.memory.up_to(zxid).last().copied().unwrap();
                assert_eq!(entry.0, zxid);
                let packet = if observes {
                    Packet::Activation(zxid, leader, self.book.bytes(entry))
                } else {
                    Packet::of(&Message::CommitAndActivate { zxid, leader })
                };
                self.send(index, link, packet);
            }
            Effect::Configured => self.configured(index),
            Effect::Halt(why) => panic!("server {} halts: {why}", index + 1),
        }
    }

    /// B9: what is about to be committed for the first time is in the logs of a quorum, durably: of
    /// the configuration in force then, and of the one that a transaction brings.
    fn assert_durable_at_quorum(&self, history: &[Entry]) {
        let known = self.oracle.committed.len().min(history.len());
        for (index, entry) in history.iter().enumerate().skip(known) {
            let holds = |server: &&Server| server.disk.durable.entries.get(index) == Some(entry);
            let holders: BTreeSet<_> =
                self.servers.iter().filter(holds).map(|server| server.id).collect();
            // What is behind a configuration in the same commit may have had both as its judges.
            let in_force = self.book.last(&history[..known]).unwrap_or(&self.first);
            let next = self.book.configuration(entry.1);
            for config in [in_force].into_iter().chain(next) {
                assert!(
                    config.is_quorum(&holders),
                    "{entry:?} is committed and in the logs of {holders:?} only, of {config}"
                );
            }
        }
    }

    /// Servers that it has not known come into reach.
    fn configured(&mut self, index: usize) {
        let configs = self.servers[index].zab().configs().clone();
        self.print(|| {
            let last_seen = configs.last_seen().map(|config| format!("{config}"));
            format!("{} goes by {} and {last_seen:?}", index + 1, configs.in_force())
        });
        let known = std::mem::take(&mut self.servers[index].known);
        self.servers[index].known = configs.servers().collect();
        for other in (0..self.servers.len()).filter(|other| *other != index) {
            let id = self.servers[other].id;
            if configs.contains(id) && !known.contains(&id) {
                let up = self.servers[other].zab.is_some() && self.is_connected(index, other);
                let at_ms = self.now_ms + self.delay();
                self.schedule(at_ms, Event::Reachable { at: index, server: other, up });
            }
        }
    }

    fn append(&mut self, index: usize, position: Position, record: Record<'_>) {
        let op = match record {
            Record::AcceptedEpoch(epoch) => Op::Accepted(epoch),
            Record::CurrentEpoch(epoch) => Op::Current(epoch),
            Record::Transaction { zxid, txn } => Op::Txn((zxid, value_of(txn))),
            Record::Configuration(bytes) => Op::Configuration(bytes),
        };
        self.servers[index].disk.append(op, position, self.now_ms);
        self.schedule_sync(index);
    }

    fn become_role(&mut self, index: usize, role: Role) {
        self.print(|| {
            let why = self.servers[index].zab().reason();
            format!("{} becomes {role:?} ({why})", index + 1)
        });
        let server = &mut self.servers[index];
        server.roles.push(role);
        match role {
            Role::Leading { epoch } => {
                server.leads = Some(epoch);
                let log = &server.disk.memory.entries;
                let log = log.clone();
                let log = &log;
                self.assert_durable_at_quorum(log);
                self.oracle.established(index, epoch, log);
                // What came in a snapshot counts as committed there without saying so.
                self.oracle.commits(index, true, log);
            }
            Role::Draining => {}
            Role::Looking { .. } | Role::Following { .. } => server.leads = None,
        }
    }
}
