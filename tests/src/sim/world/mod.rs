//! The whole of a simulation: what happens next, and to whom.

mod faults;
mod healing;
mod machine;
mod servers;

use std::fmt::Debug;

use quorate_server::zab::election::Notification;

pub use machine::{Factory, Health, Machine, folders};

use self::faults::Remedy;
use super::{
    check::{Broken, Checker, Role, Seen, clients::Online},
    client::{Act, Client, Scene},
    coverage::Coverage,
    history::{ClientId, History},
    network::{Arrival, Host, NoticeArrival, NoticeEvent, Notices, Paths, StreamEvent, Streams},
    plan::Plan,
    queue::{MILLI, Micros, Queue},
    random::Random,
    server::{Input, Job},
    trace::Trace,
};

/// Something that is going to happen.
#[derive(Debug)]
enum Event {
    /// Something arrives on a connection.
    Stream(StreamEvent),
    /// Something happens at the election port.
    Notice(NoticeEvent<Notification>),
    /// Half a tick has passed for this process.
    Tick { server: usize, boot: u32 },
    /// A process wanted to be woken.
    Wake { server: usize, boot: u32 },
    /// A process's work may go on.
    Work { server: usize, boot: u32, job: Job },
    /// A leader has not answered.
    DialTimeout { server: usize, boot: u32, try_: u64 },
    /// A client wanted to be woken.
    Client(ClientId),
    /// A machine that was down starts.
    Start { server: usize, boot: u32 },
    /// A process goes on that stood still.
    Resume { server: usize, boot: u32 },
    /// Something goes wrong.
    Strike { era: u32 },
    /// What went wrong has passed.
    Lift { era: u32, remedy: Remedy },
}

/// How many things happen at most in a run: a hundred times what usually does. Messages that bring
/// about each other for ever would keep a run from its end.
const EVENTS_MAX: u64 = 3_000_000;

/// A simulation.
#[derive(Debug)]
pub struct World {
    /// What it is made of.
    pub plan: Plan,
    pub(super) now: Micros,
    queue: Queue<Event>,
    /// How much has happened.
    happened: u64,
    /// What was planned in an earlier era does not happen any more.
    era: u32,
    random: Random,
    pub(super) paths: Paths,
    /// How many faults block each path.
    blocks: Vec<u32>,
    streams: Streams,
    notices: Notices<Notification>,
    factory: Box<dyn Factory>,
    pub(super) machines: Vec<Machine>,
    /// Which voters were asked for, and when.
    asked_for: Vec<(Micros, Vec<usize>)>,
    pub(super) clients: Vec<Client>,
    /// When each client is going to be woken.
    alarms: Vec<Micros>,
    /// What clients did and saw.
    pub history: History,
    online: Online,
    /// What was seen of servers.
    pub checker: Checker,
    /// What has occurred.
    pub coverage: Coverage,
    /// What has happened, in order.
    pub trace: Trace,
}

impl World {
    /// A world at its beginning; keeps the text of so many events.
    pub fn new(plan: Plan, factory: Box<dyn Factory>, trace_lines: usize) -> Self {
        let mut random = Random::new(plan.seed ^ 0x5eed);
        let servers = plan.servers();
        let hosts = servers + plan.clients.len();
        let paths = Paths::new(hosts, &plan.path, random.fork());
        let streams = Streams::new(plan.splitting);
        let machines =
            plan.machines.iter().enumerate().map(|(id, machine)| Machine::new(id, machine));
        let everybody: Vec<_> = (0..servers).map(Host).collect();
        let clients = plan.clients.iter().enumerate();
        let clients = clients
            .map(|(id, manners)| Client::new(id, manners.clone(), everybody.clone(), random.fork()))
            .collect::<Vec<_>>();
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            happened: 0,
            era: 0,
            paths,
            blocks: vec![0; hosts * hosts],
            streams,
            notices: Notices::new(servers),
            factory,
            machines: machines.collect(),
            asked_for: Vec::new(),
            alarms: vec![Micros::MAX; clients.len()],
            clients,
            history: History::new(plan.local_sessions.is_some()),
            online: Online::default(),
            checker: Checker::new(servers, plan.participants),
            coverage: Coverage::default(),
            trace: Trace::keeping(trace_lines),
            random,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for server in 0..self.machines.len() {
            let at = self.random.within(0..100) * MILLI;
            self.paths.end(Host(server), true);
            self.queue.add(at, Event::Start { server, boot: 0 });
        }
        for client in 0..self.clients.len() {
            self.set_alarm(client);
        }
        self.plan_strike();
    }

    /// Lets everything happen that does so until then.
    pub fn run_until(&mut self, until: Micros) -> Result<(), Broken> {
        while let Some(at) = self.queue.next_at().filter(|&at| at <= until) {
            let Some((_, event)) = self.queue.next() else { break };
            self.now = at;
            self.happened += 1;
            if self.happened > EVENTS_MAX {
                let text = format!("{EVENTS_MAX} things have happened, and no end is in sight");
                return Err(Broken::new("Storm", text));
            }
            self.happen(event)?;
            self.collect_due();
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// The simulation's time.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// The server that leads with the greatest epoch.
    pub fn leader(&self) -> Option<usize> {
        let led = |server: usize| match self.checker.ledger().replicas[server].role {
            Role::Leading { epoch } => Some((epoch, server)),
            _ => None,
        };
        (0..self.machines.len()).filter_map(led).max().map(|(_, server)| server)
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Stream(event) => {
                let arrival = self.streams.arrive(&mut self.paths, self.now, event);
                arrival.map_or(Ok(()), |arrival| self.arrive(arrival))
            }
            Event::Notice(event) => {
                let mut arrivals = Vec::new();
                self.notices.happen(&mut self.paths, self.now, event, &mut arrivals);
                arrivals.into_iter().try_for_each(|arrival| self.arrive_notice(arrival))
            }
            Event::Tick { server, boot } if self.is_same(server, boot) => {
                let period = self.plan.tick_ms * MILLI / 2;
                let clock = self.machines[server].clock;
                let next = clock.when(clock.local(self.now) + period);
                self.queue.add(next, Event::Tick { server, boot });
                self.step(server, Input::Tick)
            }
            Event::Wake { server, boot } if self.is_same(server, boot) => {
                self.step(server, Input::Wake)
            }
            Event::Work { server, boot, job } if self.is_same(server, boot) => {
                if !self.machines[server].scheduled.remove(&job) {
                    // It was done earlier than planned.
                    return Ok(());
                }
                self.note(&("work", server, job));
                self.step(server, Input::Work { job })
            }
            Event::DialTimeout { server, boot, try_ } if self.is_same(server, boot) => {
                self.give_up_dialing(server, try_)
            }
            Event::Client(client) => {
                self.alarms[client] = Micros::MAX;
                self.with_client(client, |client, scene| {
                    client.wake(scene);
                    Ok(())
                })
            }
            Event::Start { server, boot } if self.machines[server].boot == boot => {
                self.start(server)
            }
            Event::Resume { server, boot } if self.is_same(server, boot) => self.resume(server),
            Event::Strike { era } if era == self.era => {
                self.strike()?;
                self.plan_strike();
                Ok(())
            }
            Event::Lift { era, remedy } if era == self.era => {
                self.lift(remedy);
                Ok(())
            }
            // Of a process that has ended, or of an era that has passed.
            _ => Ok(()),
        }
    }

    /// Whether this process still runs.
    fn is_same(&self, server: usize, boot: u32) -> bool {
        let machine = &self.machines[server];
        machine.boot == boot && machine.process.is_some()
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), Broken> {
        self.note(&arrival);
        let (Arrival::Offered { host, .. }
        | Arrival::Connected { host, .. }
        | Arrival::Data { host, .. }
        | Arrival::Closed { host, .. }) = arrival;
        match host.0.checked_sub(self.machines.len()) {
            Some(client) => self.with_client(client, |client, scene| client.arrive(scene, arrival)),
            None => self.arrive_at_server(host.0, arrival),
        }
    }

    fn arrive_notice(&mut self, arrival: NoticeArrival<Notification>) -> Result<(), Broken> {
        match arrival {
            NoticeArrival::Notice { from, to, notice } => {
                self.note(&("notification", from, to, notice.round, notice.vote.leader.0));
                self.step(to.0, Input::Notification { from: from.0, notification: notice })
            }
            NoticeArrival::Reachable { host, peer, up } => {
                self.note(&("reachable", host, peer, up));
                self.step(host.0, Input::Reachable { server: peer.0, up })
            }
        }
    }

    fn with_client(
        &mut self,
        id: ClientId,
        act: impl FnOnce(&mut Client, &mut Scene<'_>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let mut acts = Vec::new();
        let mut scene = Scene {
            now: self.now,
            history: &mut self.history,
            online: &mut self.online,
            coverage: &mut self.coverage,
            acts: &mut acts,
        };
        act(&mut self.clients[id], &mut scene)?;
        let host = Host(self.machines.len() + id);
        let (paths, now) = (&mut self.paths, self.now);
        for act in acts {
            match act {
                Act::Connect { to } => {
                    let port = super::network::Port::Client;
                    let stream = self.streams.connect(paths, now, host, to, port);
                    self.clients[id].dialing(stream);
                }
                Act::Send { stream, bytes } => self.streams.send(paths, now, host, stream, bytes),
                Act::Close { stream } => self.streams.close(paths, now, host, stream),
            }
        }
        self.set_alarm(id);
        Ok(())
    }

    fn set_alarm(&mut self, client: ClientId) {
        let at = self.clients[client].wakes_at().max(self.now);
        if at < self.alarms[client] {
            self.alarms[client] = at;
            self.queue.add(at, Event::Client(client));
        }
    }

    /// What the network will do.
    fn collect_due(&mut self) {
        for (at, event) in self.streams.due() {
            self.queue.add(at, Event::Stream(event));
        }
        for (at, event) in self.notices.due() {
            self.queue.add(at, Event::Notice(event));
        }
    }

    fn note(&mut self, event: &(impl std::hash::Hash + Debug)) {
        self.trace.note(self.now, event);
    }

    fn see(&mut self, seen: &Seen) -> Result<(), Broken> {
        self.trace.note(self.now, seen);
        self.checker.see(seen)
    }
}
