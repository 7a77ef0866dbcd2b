//! The end of all faults: a core of servers is made whole, and what must come of it.

use std::collections::BTreeSet;

use quorate_protocol::Zxid;

use super::{Event, Health, World, servers::Ending};
use crate::sim::{
    check::{Broken, Replica, Role},
    client::Client,
    network::{Host, Path},
    queue::{MILLI, Micros},
};

/// How long anything may take that has to come about once nothing is wrong any more.
const BOUND: Micros = 30_000 * MILLI;
/// How often the world is looked at meanwhile.
const LOOK: Micros = 20 * MILLI;
/// Writes that have to be answered.
const WRITES: usize = 10;

impl World {
    /// Lets faults happen for as long as planned.
    pub fn endanger(&mut self) -> Result<(), Broken> {
        self.run_until(self.now + self.plan.safety)
    }

    /// Ends all faults for a quorum, and leaves all others dead or cut off: the quorum must have a
    /// leader, serve clients and agree. Then the others come back, and must agree with it.
    pub fn heal(&mut self) -> Result<(), Broken> {
        let core = self.choose_core();
        self.note(&("core", &core));
        self.end_faults();
        self.leave_out(&core)?;
        let all: Vec<_> = (0..self.machines.len()).collect();
        match self.await_core(&core) {
            Err(broken) if broken.rule == "Liveness" && self.are_stranded(&all) => {
                self.coverage.count("stranded by a change of the servers");
                return Ok(());
            }
            served => served?,
        }
        self.let_back();
        self.await_agreement(&all)?;
        self.await_ends_of_sessions()
    }

    /// A random quorum of those whose disks can be relied on, and some others; while the servers change,
    /// of every configuration that counts or may count.
    fn choose_core(&mut self) -> Vec<usize> {
        let ledger = self.checker.ledger();
        let voters: BTreeSet<_> = ledger.configurations.values().flatten().copied().collect();
        let mut whole: Vec<_> =
            voters.into_iter().filter(|&voter| self.is_reliable(voter)).collect();
        self.random.shuffle(&mut whole);
        let ledger = self.checker.ledger();
        let Some(least) = (1..=whole.len()).find(|&count| ledger.can_elect(&whole[..count])) else {
            // The ensemble has hardly begun, and takes everybody to do so.
            return (0..self.machines.len()).collect();
        };
        whole.truncate(least + self.random.below(whole.len() - least + 1));
        // Whoever does not vote any more may know nobody who does.
        let ledger = self.checker.ledger();
        let counts: Vec<_> = ledger.needed(&whole).flatten().copied().collect();
        whole.retain(|server| counts.contains(server));
        if !self.plan.menace.reconfigures() {
            let observers = self.plan.participants..self.machines.len();
            whole.extend(observers.filter(|_| self.random.chance(0.5)));
        }
        whole.sort_unstable();
        whole
    }

    fn are_stranded(&self, servers: &[usize]) -> bool {
        self.plan.menace.reconfigures() && self.checker.ledger().are_stranded(servers)
    }

    /// Whether servers were asked for since the core was chosen that it cannot do without.
    fn is_outgrown(&self, core: &[usize]) -> bool {
        self.plan.menace.reconfigures() && !self.checker.ledger().can_elect(core)
    }

    fn end_faults(&mut self) {
        self.era += 1;
        let hosts = self.paths.hosts();
        self.blocks.fill(0);
        let usual = Path { loss: 0.0, duplication: 0.0, ..self.plan.path.clone() };
        for (from, to) in (0..hosts).flat_map(|a| (0..hosts).map(move |b| (a, b))) {
            *self.paths.path_mut(Host(from), Host(to)) = usual.clone();
        }
        for server in 0..self.machines.len() {
            let machine = &mut self.machines[server];
            machine.sync = machine.usual_sync;
            machine.disk.disarm();
            // What waits for a disk that was stuck need not wait any longer.
            for &job in &machine.scheduled {
                let boot = machine.boot;
                let at = self.now + self.random.duration(5 * machine.usual_sync).max(1);
                self.queue.add(at, Event::Work { server, boot, job });
            }
            if machine.deferred.is_some() {
                let boot = machine.boot;
                self.queue.add(self.now, Event::Resume { server, boot });
            }
            if self.machines[server].health == Health::Refused {
                self.replace_refused(server);
            }
        }
        self.after_unblocking();
    }

    /// Kills, cuts off or lets live who is not in the core.
    fn leave_out(&mut self, core: &[usize]) -> Result<(), Broken> {
        let servers = self.machines.len();
        for server in (0..servers).filter(|server| !core.contains(server)) {
            match self.random.below(3) {
                0 => {
                    self.machines[server].is_held = true;
                    self.machines[server].disk.let_go();
                    self.end(server, Ending::Process)?;
                }
                1 => {
                    for other in (0..self.paths.hosts()).filter(|&other| other != server) {
                        let both = [(server, other), (other, server)];
                        // Even one way is enough to be out.
                        let ways = 1 + self.random.below(2);
                        for (from, to) in both.into_iter().take(ways) {
                            self.paths.path_mut(Host(from), Host(to)).is_blocked = true;
                        }
                    }
                    self.notices.look(&mut self.paths, self.now, 500 * MILLI, |_| true);
                }
                _ => {}
            }
        }
        for &server in core {
            let boot = self.machines[server].boot;
            self.queue.add(self.now, Event::Start { server, boot });
        }
        let core: Vec<_> = core.iter().map(|&server| Host(server)).collect();
        self.clients.iter_mut().for_each(|client| client.confine(core.clone()));
        Ok(())
    }

    /// The core serves; or all servers do, if it is outgrown.
    fn await_core(&mut self, core: &[usize]) -> Result<(), Broken> {
        match self.await_service(core) {
            Err(broken) if broken.rule == "Liveness" && self.is_outgrown(core) => {
                self.coverage.count("core outgrown");
                self.let_back();
                let all: Vec<_> = (0..self.machines.len()).collect();
                let hosts: Vec<_> = all.iter().copied().map(Host).collect();
                self.clients.iter_mut().for_each(|client| client.confine(hosts.clone()));
                self.await_service(&all)
            }
            served => served,
        }
    }

    /// These have a leader, everybody among them follows, and writes are answered.
    fn await_service(&mut self, core: &[usize]) -> Result<(), Broken> {
        let began = self.history.calls.len();
        self.until("a leader, and everybody in the core with it", |world| {
            let role = |&server: &usize| world.checker.ledger().replicas[server].role;
            core.iter().all(|server| role(server) != Role::Looking)
        })?;
        self.coverage.count("core has a leader");
        self.until("answered writes", |world| {
            let calls = world.history.calls[began..].iter();
            calls.filter(|call| call.is_write() && call.answer.is_some()).count() >= WRITES
        })?;
        self.clients.iter_mut().for_each(Client::rest);
        self.await_agreement(core)
    }

    /// Everybody has everything, and clients have seen it.
    fn await_agreement(&mut self, servers: &[usize]) -> Result<(), Broken> {
        self.until("the same state everywhere", |world| {
            let last = world.last_delivered();
            let has_all = |&server: &usize| {
                let replica = &world.checker.ledger().replicas[server];
                replica.role != Role::Looking && replica.applied == last
            };
            let has_seen = |client: &Client| client.is_settled() && client.seen() >= last;
            servers.iter().all(has_all) && world.clients.iter().all(has_seen)
        })
    }

    fn last_delivered(&self) -> Zxid {
        self.checker.ledger().delivered.last().map_or(Zxid::ZERO, |entry| entry.zxid)
    }

    fn let_back(&mut self) {
        self.note(&"all come back");
        self.end_faults();
        for server in 0..self.machines.len() {
            self.machines[server].is_held = false;
            let boot = self.machines[server].boot;
            self.queue.add(self.now, Event::Start { server, boot });
        }
    }

    /// Sessions whose clients have left them are over.
    fn await_ends_of_sessions(&mut self) -> Result<(), Broken> {
        self.until("the end of all abandoned sessions", |world| {
            let held: BTreeSet<_> = world.clients.iter().filter_map(Client::session).collect();
            world.checker.sessions().all(|session| held.contains(&session))
        })
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), Broken> {
        let limit = self.now + BOUND;
        while !holds(self) {
            if self.now >= limit {
                let text = format!("waited in vain for {what}: {}", self.describe());
                return Err(Broken::new("Liveness", text));
            }
            self.run_until(self.now + LOOK)?;
        }
        Ok(())
    }

    /// How things stand, for reports.
    fn describe(&self) -> String {
        let server = |(id, replica): (usize, &Replica)| {
            let machine = &self.machines[id];
            format!(
                "{id} is {:?}, {:?}, applied {}, last {}, epochs {}/{}, in force {}",
                replica.role,
                machine,
                replica.applied,
                replica.last(),
                replica.accepted_epoch,
                replica.current_epoch,
                replica.in_force
            )
        };
        let servers = self.checker.ledger().replicas.iter().enumerate().map(server);
        let clients = self.clients.iter().map(|client| {
            format!("client: settled {}, seen {}", client.is_settled(), client.seen())
        });
        let configurations = self.checker.ledger().configurations.iter();
        let configurations =
            configurations.map(|(version, voters)| format!("configuration {version}: {voters:?}"));
        servers.chain(clients).chain(configurations).collect::<Vec<_>>().join("\n  ")
    }
}
