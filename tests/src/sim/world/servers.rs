//! Processes: their start, their steps and their end.

use std::collections::VecDeque;

use quorate_protocol::Zxid;

use super::{Event, Health, World};
use crate::sim::{
    check::{Broken, Entry, Established, Role, Seen},
    network::{Arrival, Host, Port},
    queue::{MILLI, Micros},
    server::{Command, Found, Input, Job, Report},
};

/// How long a try to connect to a leader may take.
const DIAL_TIMEOUT: Micros = 300 * MILLI;

/// How a process comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ending {
    /// By itself or by a signal; the machine lives on.
    Process,
    /// With its machine.
    Power,
}

impl World {
    /// Starts a machine's process.
    pub(super) fn start(&mut self, server: usize) -> Result<(), Broken> {
        let seed = self.random.number();
        let machine = &mut self.machines[server];
        if machine.process.is_some() || machine.is_held {
            return Ok(());
        }
        machine.boot += 1;
        let boot = machine.boot;
        let local = machine.clock.local(self.now);
        let started = self.factory.start(&self.plan, server, &machine.disk, local, seed);
        let (process, found) = match started {
            Ok(started) => started,
            Err(why) => {
                self.note(&("refuses to start", server, &why));
                return self.refused(server);
            }
        };
        machine.process = Some(process);
        if found.is_set_aside() && machine.disk.was_damaged() {
            machine.disk.set_aside();
            machine.health = Health::Replaced;
            self.coverage.count("damaged disk set aside");
        }
        self.paths.start(Host(server));
        self.coverage.count("process started");
        let looks = |(a, b): (Host, Host)| a.0 == server || b.0 == server;
        self.notices.look(&mut self.paths, self.now, 5 * MILLI, looks);
        self.see_found(server, &found)?;
        self.queue.add(self.now, Event::Tick { server, boot });
        Ok(())
    }

    fn see_found(&mut self, server: usize, found: &Found) -> Result<(), Broken> {
        let is_damaged = self.machines[server].health != Health::Good;
        for (zxid, txn) in &found.log {
            // It may have been written by a process that did not live to see it durable.
            self.checker.note_configuration(*zxid, txn);
        }
        self.see(&Seen::Started {
            server,
            log: found.log.iter().map(|(zxid, txn)| Entry::of(*zxid, txn)).collect(),
            floor: found.floor,
            applied: found.applied,
            accepted_epoch: found.accepted_epoch,
            current_epoch: found.current_epoch,
            is_damaged,
        })?;
        self.see(&Seen::InForce { server, version: found.in_force })?;
        self.see(&Seen::State { server, applied: found.applied, digest: found.digest })
    }

    /// What the disk holds cannot be used: an operator will have to replace it.
    fn refused(&mut self, server: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[server];
        if machine.disk.has_lost_power() || machine.disk.has_failed() {
            self.coverage.count("disk failed at a start");
            machine.disk.cut_power(&mut self.random);
            self.start_soon(server);
            return Ok(());
        }
        if machine.disk.is_full() {
            self.coverage.count("no room for a start");
            self.start_soon(server);
            return Ok(());
        }
        self.coverage.count("start refused");
        machine.disk.disarm();
        if self.machines[server].health == Health::Good {
            // Nobody has touched this disk but its server, crashes, and damage that is found.
            if !self.machines[server].disk.was_damaged() {
                let text = format!("{server} does not start from what it has left");
                return Err(Broken::new("StableStorage", text));
            }
        }
        self.machines[server].health = Health::Refused;
        self.start_soon(server);
        self.replace_refused(server);
        Ok(())
    }

    /// The process is started again after a while.
    pub(super) fn start_soon(&mut self, server: usize) {
        let at = self.now + self.random.duration(300 * MILLI);
        let boot = self.machines[server].boot;
        self.queue.add(at, Event::Start { server, boot });
    }

    /// Ends a process; what becomes of its disk is the caller's.
    pub(super) fn end(&mut self, server: usize, ending: Ending) -> Result<(), Broken> {
        let machine = &mut self.machines[server];
        if machine.process.take().is_none() {
            return Ok(());
        }
        machine.deferred = None;
        machine.scheduled.clear();
        machine.dialing = None;
        let (host, powered) = (Host(server), ending == Ending::Process);
        self.streams.end_all(&mut self.paths, self.now, host, powered);
        self.notices.end_all(&mut self.paths, self.now, host, powered);
        self.paths.end(host, powered);
        self.note(&("ends", server, ending));
        self.see(&Seen::Ended { server })
    }

    /// Lets something happen to a process, now or when it goes on.
    pub(super) fn step(&mut self, server: usize, input: Input) -> Result<(), Broken> {
        let machine = &mut self.machines[server];
        let Some(process) = &mut machine.process else { return Ok(()) };
        if let Some(deferred) = &mut machine.deferred {
            deferred.push_back(input);
            return Ok(());
        }
        let local = machine.clock.local(self.now);
        let (mut commands, mut reports) = (Vec::new(), Vec::new());
        process.step(local, input, &mut commands);
        process.report(&mut reports);
        for report in reports {
            self.see_report(server, report)?;
        }
        commands.into_iter().try_for_each(|command| self.obey(server, command))
    }

    /// A process that stood still goes on with what has happened meanwhile.
    pub(super) fn resume(&mut self, server: usize) -> Result<(), Broken> {
        self.note(&("resumes", server));
        let deferred = self.machines[server].deferred.take().unwrap_or_default();
        deferred.into_iter().try_for_each(|input| self.step(server, input))
    }

    /// A process stands still from now on.
    pub(super) fn pause(&mut self, server: usize) {
        let machine = &mut self.machines[server];
        if machine.process.is_some() && machine.deferred.is_none() {
            machine.deferred = Some(VecDeque::new());
        }
    }

    pub(super) fn arrive_at_server(
        &mut self,
        server: usize,
        arrival: Arrival,
    ) -> Result<(), Broken> {
        let dialing = self.machines[server].dialing;
        let input = match arrival {
            Arrival::Offered { stream, port: Port::Quorum, .. } => Input::LearnerCame { stream },
            Arrival::Offered { stream, port: Port::Client, .. } => Input::ClientCame { stream },
            Arrival::Connected { stream, .. } if dialing == Some(stream) => {
                self.machines[server].dialing = None;
                Input::Connected { stream }
            }
            Arrival::Closed { stream, .. } if dialing == Some(stream) => {
                self.machines[server].dialing = None;
                Input::ConnectFailed
            }
            Arrival::Connected { .. } => return Ok(()),
            Arrival::Data { stream, bytes, .. } => Input::Bytes { stream, bytes },
            Arrival::Closed { stream, .. } => Input::Closed { stream },
        };
        self.step(server, input)
    }

    pub(super) fn give_up_dialing(&mut self, server: usize, try_: u64) -> Result<(), Broken> {
        let machine = &mut self.machines[server];
        let Some(stream) = machine.dialing.take_if(|_| machine.tries == try_) else {
            return Ok(());
        };
        self.streams.close(&mut self.paths, self.now, Host(server), stream);
        self.step(server, Input::ConnectFailed)
    }

    fn obey(&mut self, server: usize, command: Command) -> Result<(), Broken> {
        let (host, now) = (Host(server), self.now);
        let machine = &mut self.machines[server];
        let boot = machine.boot;
        if machine.process.is_none() {
            return Ok(());
        }
        match command {
            Command::Notify { to, notification } => {
                self.notices.send(&mut self.paths, now, host, Host(to), notification);
            }
            Command::Connect { leader } => {
                if let Some(stream) = machine.dialing.take() {
                    self.streams.close(&mut self.paths, now, host, stream);
                }
                machine.tries += 1;
                let try_ = machine.tries;
                let to = Host(leader);
                let stream = self.streams.connect(&mut self.paths, now, host, to, Port::Quorum);
                self.machines[server].dialing = Some(stream);
                self.queue.add(now + DIAL_TIMEOUT, Event::DialTimeout { server, boot, try_ });
            }
            Command::Send { stream, bytes } => {
                self.streams.send(&mut self.paths, now, host, stream, bytes);
            }
            Command::Close { stream } => {
                self.streams.close(&mut self.paths, now, host, stream);
            }
            Command::Schedule { job } => {
                if machine.scheduled.insert(job) {
                    let took = self.random.duration(match job {
                        Job::Log => machine.sync,
                        Job::Checkpoint | Job::Segments | Job::Install(_) => 5 * machine.sync,
                        Job::Stream(_) => machine.usual_sync,
                    });
                    self.queue.add(now + took.max(1), Event::Work { server, boot, job });
                }
            }
            Command::WakeAt { local } => {
                let at = machine.clock.when(local).max(now);
                self.queue.add(at, Event::Wake { server, boot });
            }
            Command::End { why } => {
                self.note(&("ends by itself", server, &why));
                return self.ended_by_itself(server);
            }
        }
        Ok(())
    }

    /// A process ends because of its disk, or because it was asked to.
    fn ended_by_itself(&mut self, server: usize) -> Result<(), Broken> {
        self.coverage.count("process ended by itself");
        let disk = &mut self.machines[server].disk;
        if disk.has_lost_power() {
            disk.cut_power(&mut self.random);
            self.end(server, Ending::Power)?;
        } else if disk.has_failed() {
            // What a failed sync leaves behind is unknown.
            disk.cut_power(&mut self.random);
            self.end(server, Ending::Process)?;
        } else {
            disk.let_go();
            self.end(server, Ending::Process)?;
        }
        self.start_soon(server);
        Ok(())
    }

    fn see_report(&mut self, server: usize, report: Report) -> Result<(), Broken> {
        match report {
            Report::Became(role) => self.see_role(server, role),
            Report::Promised { accepted_epoch, current_epoch } => {
                self.see(&Seen::Promised { server, accepted_epoch, current_epoch })
            }
            Report::InForce { version } => self.see(&Seen::InForce { server, version }),
            Report::Logged { zxid, txn } => {
                self.checker.note_configuration(zxid, &txn);
                self.see(&Seen::Logged { server, entry: Entry::of(zxid, &txn) })
            }
            Report::Cutting { to } => self.see(&Seen::Cutting { server, to }),
            Report::Truncated { to } => {
                self.coverage.count("log truncated");
                self.see(&Seen::Truncated { server, to })
            }
            Report::Installed { zxid } => {
                self.coverage.count("snapshot installed");
                self.see(&Seen::Installed { server, zxid })
            }
            Report::Delivered { zxid, txn } => self.see_delivered(server, zxid, &txn),
            Report::State { applied, digest } => self.see(&Seen::State { server, applied, digest }),
        }
    }

    fn see_delivered(&mut self, server: usize, zxid: Zxid, txn: &[u8]) -> Result<(), Broken> {
        self.note(&("delivered", server, zxid));
        let voters = self.checker.ledger().participants.clone();
        self.checker.see_delivered(server, zxid, txn)?;
        if self.checker.ledger().participants != voters {
            self.coverage.count("voters changed");
        }
        Ok(())
    }

    fn see_role(&mut self, server: usize, role: Role) -> Result<(), Broken> {
        match role {
            Role::Leading { .. } => self.coverage.count("leader established"),
            Role::Following { leader, epoch } => {
                self.coverage.count("learner synchronized");
                let leads = |led: &Established| led.server == leader;
                if !self.checker.ledger().leaders.get(&epoch).is_some_and(leads) {
                    self.coverage.count("observer synchronized by a follower");
                }
            }
            Role::Looking => self.coverage.count("server looking"),
        }
        self.see(&Seen::Became { server, role })?;
        let machine = &mut self.machines[server];
        if machine.health == Health::Replaced && role != Role::Looking {
            machine.health = Health::Good;
            self.coverage.count("replaced disk filled again");
        }
        Ok(())
    }
}
