//! What goes wrong, done to the world.

use quorate_protocol::Zxid;

use super::{Event, Health, World, servers::Ending};
use crate::sim::{
    check::{Broken, Replica, Role, is_majority},
    nemesis::Fault,
    network::Host,
    node::members,
    queue::{MILLI, Micros},
    server::Input,
};

/// Longer than anybody waits for a disk.
const STUCK: Micros = 3000 * MILLI;

/// For how long servers that were asked for may still come to be.
const UNKNOWN: Micros = STUCK + 1000 * MILLI;

/// What makes up for a fault.
#[derive(Debug)]
pub(super) enum Remedy {
    /// These ways are free again, as far as this fault goes.
    Unblock(Vec<(Host, Host)>),
    /// A disk is as fast as usual.
    Speed(usize),
    /// There is room on a disk.
    Room(usize),
    /// Nothing is lost any more on the ways from and to this server.
    Loss(usize, f64),
}

impl World {
    /// Plans the next fault.
    pub(super) fn plan_strike(&mut self) {
        let Some((pause, _)) = self.plan.menace.next(&mut self.random) else { return };
        self.queue.add(self.now + pause, Event::Strike { era: self.era });
    }

    /// Something goes wrong.
    pub(super) fn strike(&mut self) -> Result<(), Broken> {
        let Some((_, fault)) = self.plan.menace.next(&mut self.random) else { return Ok(()) };
        let server = self.victim();
        self.hit(fault, server)
    }

    /// Who is hit: often the leader.
    fn victim(&mut self) -> usize {
        let chance = self.plan.menace.at_leader;
        match self.leader() {
            Some(leader) if self.random.chance(chance) => leader,
            _ => self.random.below(self.machines.len()),
        }
    }

    /// This goes wrong, at this server if it is one server's.
    pub fn hit(&mut self, fault: Fault, server: usize) -> Result<(), Broken> {
        self.note(&(fault, server));
        let lasting = self.random.duration(self.plan.menace.lasting);
        let happened = match fault {
            Fault::Kill => self.kill(server)?,
            Fault::PowerCut => self.cut_power(server)?,
            Fault::PowerCutOfAll => self.cut_power_of_all()?,
            Fault::PowerCutWhileWriting => {
                let after = self.random.below(30) as u64;
                self.machines[server].disk.arm_power_cut(after);
                true
            }
            Fault::Stop => {
                self.step(server, Input::Stop)?;
                true
            }
            Fault::HandOver => {
                let leader = self.leader();
                leader.map_or(Ok(()), |leader| self.step(leader, Input::HandOver))?;
                leader.is_some()
            }
            Fault::Pause => {
                self.pause(server);
                let boot = self.machines[server].boot;
                self.queue.add(self.now + lasting, Event::Resume { server, boot });
                true
            }
            Fault::Isolation => self.block(self.around(|a, b| a == server || b == server), lasting),
            Fault::Split => {
                let side = self.sides();
                self.block(self.around(|a, b| side[a] != side[b]), lasting)
            }
            Fault::Ring => self.ring(lasting),
            Fault::Bridge => {
                let side = self.sides();
                let pairs = self.around(|a, b| side[a] != side[b] && a != server && b != server);
                self.block(pairs, lasting)
            }
            Fault::LinkDown => {
                let other = self.other(server);
                let pairs = vec![(Host(server), Host(other)), (Host(other), Host(server))];
                self.block(pairs, lasting)
            }
            Fault::OneWay => self.one_way(server, lasting),
            Fault::Swizzle => self.swizzle(lasting),
            Fault::Cut => self.cut_some(0.3),
            Fault::HalfOpen => self.half_open(server),
            Fault::ClientsCutOff => self.cut_clients_off(server, lasting),
            Fault::SlowDisk => {
                self.machines[server].sync = self.random.duration(100 * MILLI) + MILLI;
                self.lift_later(lasting, Remedy::Speed(server));
                true
            }
            Fault::StuckDisk => {
                self.machines[server].sync = STUCK;
                self.lift_later(lasting, Remedy::Speed(server));
                true
            }
            Fault::DiskError => {
                let after = self.random.below(30) as u64;
                self.machines[server].disk.arm_error(after);
                true
            }
            Fault::DiskFull => {
                self.machines[server].disk.set_full(true);
                self.lift_later(lasting, Remedy::Room(server));
                true
            }
            Fault::Damage => self.damage(server),
            Fault::Wipe => self.wipe(server)?,
            Fault::RollBack => self.roll_back(server)?,
            Fault::Reconfigure => self.reconfigure()?,
        };
        if happened {
            self.coverage.count(fault.name());
        }
        Ok(())
    }

    fn lift_later(&mut self, lasting: Micros, remedy: Remedy) {
        self.queue.add(self.now + lasting, Event::Lift { era: self.era, remedy });
    }

    pub(super) fn lift(&mut self, remedy: Remedy) {
        match remedy {
            Remedy::Unblock(ways) => {
                for (from, to) in ways {
                    self.change_block(from, to, false);
                }
                self.after_unblocking();
            }
            Remedy::Speed(server) => {
                let machine = &mut self.machines[server];
                machine.sync = machine.usual_sync;
            }
            Remedy::Room(server) => self.machines[server].disk.disarm(),
            Remedy::Loss(server, loss) => {
                for other in (0..self.machines.len()).filter(|&other| other != server) {
                    self.paths.path_mut(Host(server), Host(other)).loss = loss;
                    self.paths.path_mut(Host(other), Host(server)).loss = loss;
                }
            }
        }
    }

    /// An operator asks the leader for other servers, and not for a majority with disks that are lost.
    fn reconfigure(&mut self) -> Result<bool, Broken> {
        let Some(leader) = self.leader() else { return Ok(false) };
        let mut servers = Vec::new();
        for server in 0..self.machines.len() {
            if self.random.chance(0.75) {
                servers.push((server, self.random.chance(0.8)));
            }
        }
        let voters: Vec<_> =
            servers.iter().filter(|(_, votes)| *votes).map(|(server, _)| *server).collect();
        let is_whole = |server: &usize| self.machines[*server].is_whole();
        let whole: Vec<_> = voters.iter().copied().filter(is_whole).collect();
        let reliable: Vec<_> = voters.iter().copied().filter(|&s| self.is_reliable(s)).collect();
        // The leader may not have noticed yet that somebody is gone, whose disk is lost, too. New servers
        // have to be synchronized before they can stand in for him.
        let is_lost = whole.len() < voters.len() && !is_majority(&reliable, &voters);
        if is_lost || !is_majority(&whole, &voters) {
            return Ok(false);
        }
        self.asked_for.push((self.now, voters));
        let members = members(servers.into_iter());
        self.step(leader, Input::Reconfigure { members })?;
        Ok(true)
    }

    // Processes and machines.

    fn kill(&mut self, server: usize) -> Result<bool, Broken> {
        if self.machines[server].process.is_none() {
            return Ok(false);
        }
        self.machines[server].disk.let_go();
        self.end(server, Ending::Process)?;
        self.start_soon(server);
        Ok(true)
    }

    fn cut_power(&mut self, server: usize) -> Result<bool, Broken> {
        if self.machines[server].process.is_none() {
            return Ok(false);
        }
        self.machines[server].disk.cut_power(&mut self.random);
        self.end(server, Ending::Power)?;
        self.start_soon(server);
        Ok(true)
    }

    fn cut_power_of_all(&mut self) -> Result<bool, Broken> {
        for server in 0..self.machines.len() {
            self.cut_power(server)?;
        }
        Ok(true)
    }

    // The network.

    /// The ways between servers, in both directions, that are to be blocked.
    fn around(&self, is_blocked: impl Fn(usize, usize) -> bool) -> Vec<(Host, Host)> {
        let servers = self.machines.len();
        let all = (0..servers).flat_map(|a| (0..servers).map(move |b| (a, b)));
        let blocked = all.filter(|&(a, b)| a != b && is_blocked(a, b));
        blocked.map(|(a, b)| (Host(a), Host(b))).collect()
    }

    fn sides(&mut self) -> Vec<bool> {
        (0..self.machines.len()).map(|_| self.random.chance(0.5)).collect()
    }

    fn other(&mut self, server: usize) -> usize {
        let others = self.machines.len() - 1;
        (server + 1 + self.random.below(others)) % self.machines.len()
    }

    fn ring(&mut self, lasting: Micros) -> bool {
        let mut order: Vec<_> = (0..self.machines.len()).collect();
        self.random.shuffle(&mut order);
        let servers = order.len();
        let place = |server| order.iter().position(|&other| other == server).unwrap_or_default();
        let is_far = |a: usize, b: usize| {
            let steps = place(a).abs_diff(place(b));
            steps.min(servers - steps) > servers / 4
        };
        let ways = self.around(is_far);
        self.block(ways, lasting)
    }

    fn one_way(&mut self, server: usize, lasting: Micros) -> bool {
        let other = self.other(server);
        let ways = match self.random.below(3) {
            0 => self.around(|_, to| to == server),
            1 => self.around(|from, _| from == server),
            _ => vec![(Host(server), Host(other))],
        };
        self.block(ways, lasting)
    }

    fn cut_clients_off(&mut self, server: usize, lasting: Micros) -> bool {
        let clients = self.machines.len()..self.paths.hosts();
        let one_way = self.random.chance(0.3);
        let mut ways: Vec<_> = clients.clone().map(|client| (Host(server), Host(client))).collect();
        if !one_way {
            ways.extend(clients.map(|client| (Host(client), Host(server))));
        }
        self.block(ways, lasting)
    }

    fn block(&mut self, ways: Vec<(Host, Host)>, lasting: Micros) -> bool {
        for &(from, to) in &ways {
            self.change_block(from, to, true);
        }
        // Nobody notices before nothing has come for a while.
        self.notices.look(&mut self.paths, self.now, 500 * MILLI, |_| true);
        self.lift_later(lasting, Remedy::Unblock(ways));
        true
    }

    fn change_block(&mut self, from: Host, to: Host, more: bool) {
        let blocks = &mut self.blocks[from.0 * self.paths.hosts() + to.0];
        *blocks = if more { *blocks + 1 } else { blocks.saturating_sub(1) };
        self.paths.path_mut(from, to).is_blocked = *blocks > 0;
    }

    pub(super) fn after_unblocking(&mut self) {
        self.streams.unblock(&mut self.paths, self.now);
        self.notices.look(&mut self.paths, self.now, 20 * MILLI, |_| true);
    }

    /// Clogs the links of some servers one by one; they are freed in another order.
    fn swizzle(&mut self, lasting: Micros) -> bool {
        let servers = self.machines.len();
        for server in 0..servers {
            if self.random.chance(0.5) {
                let until = self.now + self.random.duration(lasting);
                for other in (0..servers).filter(|&other| other != server) {
                    for (from, to) in [(server, other), (other, server)] {
                        self.paths.path_mut(Host(from), Host(to)).clogged_until = until;
                    }
                }
            }
        }
        if self.random.chance(0.3) {
            let server = self.random.below(servers);
            let usual = self.plan.path.loss;
            self.lift(Remedy::Loss(server, 0.3));
            self.lift_later(lasting, Remedy::Loss(server, usual));
        }
        true
    }

    fn cut_some(&mut self, part: f64) -> bool {
        for (stream, _) in self.streams.established() {
            if self.random.chance(part) {
                self.streams.cut(&mut self.paths, self.now, stream, [true, true]);
            }
        }
        true
    }

    fn half_open(&mut self, server: usize) -> bool {
        let all = self.streams.established();
        let its: Vec<_> = all.iter().filter(|(_, ends)| ends.contains(&Host(server))).collect();
        if its.is_empty() {
            return false;
        }
        let (stream, _) = **self.random.pick(&its);
        let told = if self.random.chance(0.5) { [true, false] } else { [false, true] };
        self.streams.cut(&mut self.paths, self.now, stream, told);
        true
    }

    // Disks.

    fn replica(&self, server: usize) -> &Replica {
        &self.checker.ledger().replicas[server]
    }

    /// Whether a server has all that it should have of a history.
    pub(super) fn is_reliable(&self, server: usize) -> bool {
        self.machines[server].is_whole() && self.replica(server).current_epoch > 0
    }

    /// Whether this server's disk may be lost: it does not vote, or all others whose disks can be
    /// relied on can elect a leader, and could if what was asked for lately comes about. They are a
    /// majority of the first voters, too: otherwise empty servers that know of nobody else could
    /// begin anew.
    fn is_spare(&self, server: usize) -> bool {
        let others = (0..self.machines.len()).filter(|&other| other != server);
        let reliable: Vec<_> = others.filter(|&other| self.is_reliable(other)).collect();
        let ledger = self.checker.ledger();
        let first = &ledger.configurations[&Zxid::ZERO];
        let asked_for = self.asked_for.iter().filter(|(at, _)| self.now - at < UNKNOWN);
        let asked_for = asked_for.map(|(_, voters)| voters);
        let counts = ledger.needed(&reliable).chain([first]).chain(asked_for);
        let mut counts = counts.filter(|voters| voters.contains(&server));
        counts.all(|voters| is_majority(&reliable, voters))
    }

    fn damage(&mut self, server: usize) -> bool {
        if !self.is_spare(server) {
            return false;
        }
        let damage = self.machines[server].disk.damage(&mut self.random);
        self.note(&damage);
        damage.is_some()
    }

    /// Gives a server an empty disk, if enough others have everything.
    fn wipe(&mut self, server: usize) -> Result<bool, Broken> {
        if !self.is_spare(server) || self.replica(server).current_epoch == 0 {
            return Ok(false);
        }
        self.end(server, Ending::Power)?;
        let machine = &mut self.machines[server];
        machine.disk.wipe();
        machine.health = Health::Replaced;
        self.start_soon(server);
        Ok(true)
    }

    /// What does not start is replaced by an empty disk as soon as that does no harm.
    pub(super) fn replace_refused(&mut self, server: usize) {
        if self.is_spare(server) {
            let machine = &mut self.machines[server];
            machine.disk.wipe();
            machine.health = Health::Replaced;
        }
    }

    /// Gives a server an old copy of its disk, or makes one for the next time.
    ///
    /// Nobody can tell such a disk from the right one, so a majority of the others must have
    /// everything that it forgets, and it must not forget a promise.
    fn roll_back(&mut self, server: usize) -> Result<bool, Broken> {
        let replica = self.replica(server).clone();
        let promises = (replica.accepted_epoch, replica.current_epoch, replica.in_force);
        let machine = &mut self.machines[server];
        let may = machine.remembered == Some(promises) && machine.health == Health::Good;
        if !may || replica.role == Role::Looking || !self.is_dispensable(server) {
            let machine = &mut self.machines[server];
            machine.disk.remember();
            machine.remembered = Some(promises);
            return Ok(false);
        }
        self.end(server, Ending::Power)?;
        let machine = &mut self.machines[server];
        machine.remembered = None;
        if machine.disk.roll_back() {
            machine.health = Health::Replaced;
        }
        self.start_soon(server);
        Ok(true)
    }

    /// Whether everything this server has is at a quorum without it, if it votes.
    fn is_dispensable(&self, server: usize) -> bool {
        let own = self.replica(server);
        let Some(&last) = own.log.last() else { return false };
        let others = (0..self.machines.len()).filter(|&other| other != server);
        let have = others.filter(|&other| {
            let replica = self.replica(other);
            self.machines[other].is_whole()
                && replica.has(last)
                && replica.current_epoch >= own.current_epoch
        });
        let have: Vec<_> = have.collect();
        let ledger = self.checker.ledger();
        let mut counts = ledger.needed(&have).filter(|voters| voters.contains(&server));
        counts.all(|voters| is_majority(&have, voters)) && self.is_spare(server)
    }
}
