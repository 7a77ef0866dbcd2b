//! The server itself in a simulation: [`Node`] with all that it decides, writes and sends, while
//! sockets, threads and timers are events of the world.
//!
//! What the running server has around a node is here as well, by hand: connections (`links`,
//! `clients`), the hands of the core (`hands`), what threads do (`jobs`). Bytes go through the
//! server's own decoders and handlers, and what it would send is taken from its outboxes.

mod clients;
mod hands;
mod jobs;
mod links;
mod observe;
mod plant;
mod settings;

use std::{
    collections::BTreeMap,
    fmt::{Debug, Formatter},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::BytesMut;
use quorate_protocol::{Encode, Id, OpCode, Xid, record::ReconfigRequest};
use quorate_server::{
    admin::Environment,
    config::Settings,
    net::peers::PeerEvent,
    request::Request,
    runtime::{Clock, Event, Input as NodeInput, Node, Shared, Surroundings},
    watch::ConnId,
    zab::ServerId,
};

pub use plant::Plant;
pub use settings::members;

use self::{
    clients::Clients,
    hands::{Halted, Hands, Order, Walls},
    jobs::Jobs,
    links::Links,
    observe::Observer,
};
use super::{
    disk::Disk,
    plan::Plan,
    queue::{MILLI, Micros},
    random::Random,
    server::{Command, Found, Input, Job, Report, Server},
    world::Factory,
};

/// How long a leader that is to end waits until another one can take over.
const HAND_OVER: Micros = 2000 * MILLI;

/// Starts the server as it is.
#[derive(Debug)]
pub struct Nodes {
    settings: Settings,
    environment: Environment,
    plant: Plant,
}

impl Nodes {
    /// What all servers of all plans have in common.
    pub fn new() -> Self {
        Self::with(Plant::Nothing)
    }

    /// The same with a mistake.
    pub fn with(plant: Plant) -> Self {
        let (settings, environment) = (settings::common(), Environment::collect());
        Self { settings, environment, plant }
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Self::new()
    }
}

impl Factory for Nodes {
    fn start(
        &self,
        plan: &Plan,
        server: usize,
        disk: &Disk,
        local: Micros,
        seed: u64,
    ) -> Result<(Box<dyn Server>, Found), String> {
        let time = Arc::new(AtomicU64::new(local.unsigned_abs()));
        let hands = Hands::default();
        let mut random = Random::new(seed);
        let fs = self.plant.disk(disk.fs());
        self.plant.furnish(&fs, disk.layout());
        let surroundings = Surroundings {
            fs,
            clock: Clock::simulated(time.clone()),
            process: Box::new(Walls(hands.clone())),
            // All syncs take their time.
            fast_sync: None,
            reserve_bytes: 4 << 10,
            random: std::array::from_fn(|_| random.number().to_le_bytes()[0]),
            client_address: settings::address(server),
            environment: self.environment.clone(),
        };
        let mut settings = settings::of(&self.settings, plan, server);
        self.plant.settings(&mut settings);
        let opened = catch_unwind(AssertUnwindSafe(|| Node::open(settings, surroundings)));
        let node = match opened {
            Ok(node) => node.map_err(|error| format!("{error:#}"))?,
            Err(panic) => return Err(Halted::of(panic).0),
        };
        node.begin(Box::new(hands.clone()));
        let (observer, found) = Observer::new(&node.shared)?;
        let process = Process {
            links: Links::default(),
            clients: Clients::new(self.plant),
            jobs: Jobs::default(),
            observer,
            reachable: BTreeMap::new(),
            hands,
            time,
            node,
            plant: self.plant,
            stops_at: None,
            is_over: false,
        };
        Ok((Box::new(process), found))
    }
}

/// A node and what surrounds it.
struct Process {
    node: Node,
    time: Arc<AtomicU64>,
    hands: Hands,
    plant: Plant,
    links: Links,
    clients: Clients,
    jobs: Jobs,
    observer: Observer,
    /// The servers it is connected with at the election port, or not any more.
    reachable: BTreeMap<usize, bool>,
    /// It is to end, then at the latest.
    stops_at: Option<Micros>,
    is_over: bool,
}

impl Debug for Process {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl Server for Process {
    fn step(&mut self, local: Micros, input: Input, commands: &mut Vec<Command>) {
        if self.is_over {
            return;
        }
        self.time.store(local.unsigned_abs(), Relaxed);
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            self.happen(local, input, commands);
            self.settle(local, commands);
            if self.plant == Plant::HearsItsOwnPings && observe::leads(&self.node.shared) {
                self.hear_own_pings(commands);
                self.settle(local, commands);
            }
        }));
        if let Err(panic) = stepped {
            self.is_over = true;
            commands.push(Command::End { why: Halted::of(panic).0 });
        }
        self.plant.commands(commands);
    }

    fn report(&mut self, reports: &mut Vec<Report>) {
        reports.append(&mut self.observer.reports);
    }
}

impl Process {
    fn happen(&mut self, local: Micros, input: Input, commands: &mut Vec<Command>) {
        let shared = &self.node.shared;
        match input {
            Input::Tick => {
                shared.half_tick(None);
                self.jobs.idle(&self.node, commands);
            }
            Input::Wake => shared.wake(),
            Input::Notification { from, notification } => {
                tell(shared, PeerEvent::Notification { from: number(from), notification });
            }
            Input::Reachable { server, up } => {
                self.reachable.insert(server, up);
                tell(shared, PeerEvent::Reachable { server: number(server), up });
            }
            Input::LearnerCame { stream } => self.links.learner_came(stream),
            Input::Connected { stream } => self.links.connected(shared, stream),
            Input::ConnectFailed => self.links.connect_failed(shared),
            Input::ClientCame { stream } => self.clients.came(shared, stream, commands),
            Input::Bytes { stream, bytes } => {
                self.links.receive(shared, stream, &bytes, commands);
                self.clients.receive(stream, &bytes);
            }
            Input::Closed { stream } => {
                self.links.closed(shared, stream);
                self.clients.closed(shared, stream);
            }
            Input::Work { job } => {
                self.jobs.work(&mut self.node, job, &mut self.observer, commands);
            }
            Input::Stop => self.stop(local),
            Input::Reconfigure { members } => reconfigure(shared, &members),
            Input::HandOver => {
                shared.submit(NodeInput::Ensemble(Event::HandOver { ends: false }));
            }
        }
    }

    /// Lets everything go on that can, and says what is wanted from the world.
    fn settle(&mut self, local: Micros, commands: &mut Vec<Command>) {
        let shared = self.node.shared.clone();
        loop {
            let orders = self.hands.take();
            let is_quiet = orders.is_empty();
            for order in orders {
                self.obey(order, commands);
            }
            let has_talked = self.links.flush(&shared, commands);
            if is_quiet && !has_talked && !self.clients.advance(&shared, commands) {
                break;
            }
        }
        self.jobs.schedule(&shared, commands);
        self.observer.look(&shared);
        if self.stops_at.is_some_and(|at| local >= at || !observe::leads(&shared)) {
            self.jobs.finish(&mut self.node, &mut self.observer);
            self.is_over = true;
            commands.push(Command::End { why: "it was asked to".to_owned() });
        }
    }

    fn obey(&mut self, order: Order, commands: &mut Vec<Command>) {
        match order {
            Order::Notify { to, notification } => {
                commands.push(Command::Notify { to: index(to), notification });
            }
            Order::Configure => {
                // Whoever is new to the server is among those whom the world connects it with.
                for (&server, &up) in &self.reachable {
                    let server = number(server);
                    tell(&self.node.shared, PeerEvent::Reachable { server, up });
                }
            }
            Order::Connect { leader } => {
                self.links.dialing = Some(leader);
                commands.push(Command::Connect { leader: index(leader) });
            }
            Order::Close { link } => self.links.close(link),
            Order::Synchronize(stream) => self.jobs.begin_stream(*stream, commands),
            Order::WakeAt { at_ms } => commands.push(Command::WakeAt { local: at_ms * MILLI }),
            Order::Install(tree) => {
                self.node.mailbox.install(tree);
                self.jobs.install(commands);
            }
            Order::Installed => {
                self.node.mailbox.installed();
                self.jobs.install(commands);
            }
            Order::Spawn(work) => {
                self.jobs.spawned.push_back(work);
                commands.push(Command::Schedule { job: Job::Segments });
            }
        }
    }

    fn hear_own_pings(&mut self, commands: &mut Vec<Command>) {
        let mut heard = Vec::new();
        for command in &*commands {
            if let Command::Send { stream, bytes } = command {
                heard.push((*stream, plant::echo(bytes)));
            }
        }
        for (stream, pings) in heard {
            self.links.hear_between(&self.node.shared, stream, &pings, commands);
        }
    }

    fn stop(&mut self, local: Micros) {
        if self.stops_at.is_none() {
            self.stops_at = Some(local + HAND_OVER);
            if observe::leads(&self.node.shared) {
                let event = Event::HandOver { ends: true };
                self.node.shared.submit(NodeInput::Ensemble(event));
            }
        }
    }
}

fn tell(shared: &Shared, event: PeerEvent) {
    shared.submit(NodeInput::Ensemble(Event::Peer(event)));
}

/// The xid of what the operator asks for, which no client uses.
pub const OPERATOR: Xid = Xid(i32::MIN);

/// Asks the server, if it leads, for other servers, in the name of some session.
fn reconfigure(shared: &Shared, members: &str) {
    let Some(session) = shared.tree.read().sessions().keys().min().copied() else { return };
    let body = ReconfigRequest {
        joining: None,
        leaving: None,
        new_members: Some(members.into()),
        config_id: -1,
    };
    let mut bytes = BytesMut::new();
    body.encode(&mut bytes);
    let auth = Arc::from([Id { scheme: "super".into(), id: String::new() }]);
    let (conn, op, body) = (ConnId::NONE, OpCode::Reconfig, bytes.freeze());
    let request = Request { session, conn, xid: OPERATOR, op, body, auth, is_local: false };
    shared.submit(NodeInput::Ensemble(Event::Ask(request)));
}

/// The number of a server in the configuration.
fn number(server: usize) -> ServerId {
    ServerId(i64::try_from(server + 1).expect("there are few servers"))
}

fn index(server: ServerId) -> usize {
    usize::try_from(server.0 - 1).expect("a server of the plan")
}
