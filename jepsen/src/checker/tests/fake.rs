//! Histories of an ensemble that does everything right, on virtual time.
//!
//! It has a log and servers that lag behind it. Clients overlap, lose answers, move and leave
//! sessions; requests without an answer are done at once, later or never.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use quorate_protocol::ErrorCode;

use crate::{
    clock::Nanos,
    history::{
        Fault, History, Mode, Op, Operation, Outcome, Phase, Reply, SessionId, Settings, Stat, Zxid,
    },
    target::Kind as Target,
    workload::{Generator, Kind, Step},
};

const SERVERS: usize = 3;
const MS: Nanos = 1_000_000;
const TIMEOUT_MS: u64 = 4000;

#[derive(Debug, Clone)]
enum Txn {
    Create {
        path: String,
        value: String,
        owner: SessionId,
    },
    Set {
        path: String,
        value: String,
    },
    End(SessionId),
    /// A refusal.
    Nothing,
}

#[derive(Debug, Clone)]
struct Node {
    value: String,
    stat: Stat,
    creates: i32,
}

/// The tree at a place of the log.
#[derive(Debug, Clone)]
struct Tree {
    nodes: BTreeMap<String, Node>,
    applied: usize,
}

fn zxid(place: usize) -> Zxid {
    Zxid(0x1_0000_0000 + i64::try_from(place).unwrap())
}

impl Tree {
    fn new() -> Self {
        let stat = Stat {
            czxid: Zxid(0),
            mzxid: Zxid(0),
            pzxid: Zxid(0),
            version: 0,
            cversion: 0,
            owner: SessionId(0),
            length: 0,
            children: 0,
        };
        let root = Node { value: String::new(), stat, creates: 0 };
        Self { nodes: [(String::new(), root)].into(), applied: 0 }
    }

    fn names(&self, parent: &str) -> Vec<String> {
        let prefix = format!("{parent}/");
        let below = |path: &String| {
            let name = path.strip_prefix(&prefix)?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        self.nodes.keys().filter_map(below).collect()
    }

    fn catch_up(&mut self, log: &[Txn], to: usize) {
        while self.applied < to {
            self.applied += 1;
            self.apply(&log[self.applied - 1], zxid(self.applied));
        }
    }

    fn apply(&mut self, txn: &Txn, zxid: Zxid) {
        let count = |nodes: &mut BTreeMap<String, Node>, path: &str, created: bool| {
            let (parent, _) = path.rsplit_once('/').unwrap();
            let parent = nodes.get_mut(parent).unwrap();
            parent.stat.cversion += 1;
            parent.stat.pzxid = zxid;
            parent.stat.children += if created { 1 } else { -1 };
            parent.creates += i32::from(created);
        };
        match txn {
            Txn::Create { path, value, owner } => {
                count(&mut self.nodes, path, true);
                let stat = Stat {
                    czxid: zxid,
                    mzxid: zxid,
                    pzxid: zxid,
                    version: 0,
                    cversion: 0,
                    owner: *owner,
                    length: i32::try_from(value.len()).unwrap(),
                    children: 0,
                };
                let node = Node { value: value.clone(), stat, creates: 0 };
                self.nodes.insert(path.clone(), node);
            }
            Txn::Set { path, value } => {
                let node = self.nodes.get_mut(path).unwrap();
                node.value.clone_from(value);
                node.stat.length = i32::try_from(value.len()).unwrap();
                node.stat.version += 1;
                node.stat.mzxid = zxid;
            }
            Txn::End(session) => {
                let owned = |(path, node): (&String, &Node)| {
                    (node.stat.owner == *session).then(|| path.clone())
                };
                for path in self.nodes.iter().filter_map(owned).collect::<Vec<_>>() {
                    self.nodes.remove(&path);
                    count(&mut self.nodes, &path, false);
                }
            }
            Txn::Nothing => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client does its next step.
    Step(usize),
    /// What a client has sent arrives.
    Arrival(usize),
    /// A session's timeout has passed.
    Expiry(SessionId),
    /// A request whose answer was lost is done now, if at all.
    Straggler(SessionId),
}

struct Client {
    generator: Box<dyn Generator>,
    session: SessionId,
    connection: u64,
    server: usize,
    last: usize,
    sent: Vec<Operation>,
}

struct Fake {
    rng: fastrand::Rng,
    log: Vec<Txn>,
    /// All of the log.
    newest: Tree,
    servers: Vec<Tree>,
    events: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    now: Nanos,
    counter: u64,
    operations: Vec<Operation>,
    stragglers: BTreeMap<SessionId, Op>,
}

/// A history of `steps` steps of all clients together.
pub(super) fn history(kind: Kind, seed: u64, steps: usize) -> History {
    let mut fake = Fake {
        rng: fastrand::Rng::with_seed(seed),
        log: Vec::new(),
        newest: Tree::new(),
        servers: vec![Tree::new(); SERVERS],
        events: BinaryHeap::new(),
        now: 0,
        counter: 0,
        operations: Vec::new(),
        stragglers: BTreeMap::new(),
    };
    let idle = || -> Box<dyn Generator> { kind.client(99, 0) };
    let mut setup = fake.client(idle(), 90, Phase::Setup, 0);
    fake.perform(&mut setup, 90, Phase::Setup, kind.setup());
    let mut clients: Vec<_> =
        (0..6).map(|n| fake.client(kind.client(n, seed), n, Phase::Run, n % SERVERS)).collect();
    for client in 0..clients.len() {
        fake.schedule(10, Event::Step(client));
    }
    fake.run(&mut clients, steps);
    // Sessions that were left expire, the others are held.
    let end = fake.now + (TIMEOUT_MS + 1000) * MS;
    fake.events.retain(|Reverse((_, _, event))| matches!(event, Event::Expiry(_)));
    fake.run(&mut clients, usize::MAX);
    fake.now = fake.now.max(end);
    for (n, client) in clients.iter_mut().enumerate() {
        if client.session != SessionId(0) {
            fake.perform(client, n, Phase::Run, vec![Op::Ping]);
        }
    }
    for server in 0..SERVERS {
        let mut client = fake.client(idle(), 91 + server, Phase::Final, server);
        for parent in kind.parents() {
            let list = vec![Op::Sync, Op::Children { path: parent.clone() }];
            fake.perform(&mut client, 91 + server, Phase::Final, list);
            let names = fake.newest.names(&parent);
            let get = |name| Op::Get { path: format!("{parent}/{name}") };
            let reads = std::iter::once(Op::Sync).chain(names.into_iter().map(get)).collect();
            fake.perform(&mut client, 91 + server, Phase::Final, reads);
        }
    }
    fake.operations.sort_by_key(|operation| operation.id);
    let settings = Settings {
        target: Target::Quorate,
        servers: SERVERS,
        workload: kind,
        nemesis: "fake".to_owned(),
        seed,
        tick_ms: 200,
        sync_limit: 5,
    };
    let healed = Fault { at: end, what: "healed".to_owned(), begins: false };
    History { settings, operations: fake.operations, faults: vec![healed] }
}

impl Fake {
    fn schedule(&mut self, in_ms: u64, event: Event) {
        self.counter += 1;
        let at = self.now + in_ms * MS + self.rng.u64(..MS);
        self.events.push(Reverse((at, self.counter, event)));
    }

    fn run(&mut self, clients: &mut [Client], mut steps: usize) {
        while steps > 0
            && let Some(Reverse((at, _, event))) = self.events.pop()
        {
            self.now = at;
            for server in 0..SERVERS {
                if self.rng.bool() {
                    let applied = self.servers[server].applied;
                    let to = self.rng.usize(applied..=self.log.len());
                    self.servers[server].catch_up(&self.log, to);
                }
            }
            match event {
                Event::Step(n) => {
                    steps -= 1;
                    self.step(&mut clients[n], n);
                }
                Event::Arrival(n) => self.arrival(&mut clients[n], n, true),
                Event::Expiry(session) => {
                    self.straggle(session);
                    self.commit(Txn::End(session));
                }
                Event::Straggler(session) => self.straggle(session),
            }
        }
    }

    fn client(
        &mut self,
        generator: Box<dyn Generator>,
        number: usize,
        phase: Phase,
        server: usize,
    ) -> Client {
        let session = SessionId(0);
        let mut client =
            Client { generator, session, connection: 0, server, last: 0, sent: vec![] };
        self.connect(&mut client, number, phase);
        client
    }

    fn step(&mut self, client: &mut Client, n: usize) {
        match client.generator.next() {
            Step::Send(ops) => {
                if client.session == SessionId(0) {
                    client.last = 0;
                    self.connect(client, n, Phase::Run);
                }
                client.sent =
                    ops.into_iter().map(|op| self.call(client, n, Phase::Run, op)).collect();
                let latency = self.rng.u64(1..30);
                self.schedule(latency, Event::Arrival(n));
            }
            Step::Move | Step::Away(_) => {
                self.reconnect(client, n);
                self.schedule(20, Event::Step(n));
            }
            Step::Abandon => {
                if client.session != SessionId(0) {
                    self.schedule(TIMEOUT_MS + 400, Event::Expiry(client.session));
                    client.session = SessionId(0);
                }
                self.schedule(20, Event::Step(n));
            }
        }
    }

    /// Sends and answers at once.
    fn perform(&mut self, client: &mut Client, n: usize, phase: Phase, ops: Vec<Op>) {
        client.sent = ops.into_iter().map(|op| self.call(client, n, phase, op)).collect();
        self.now += MS;
        self.arrival(client, n, false);
        self.now += 100 * MS;
    }

    fn arrival(&mut self, client: &mut Client, n: usize, lossy: bool) {
        let sent = std::mem::take(&mut client.sent);
        let lost = (lossy && self.rng.u8(..100) < 8).then(|| self.rng.usize(..sent.len()));
        let closes = sent.last().is_some_and(|last| last.op == Op::Close);
        let mut returned = self.now;
        for (place, mut operation) in sent.into_iter().enumerate() {
            if lost.is_none_or(|lost| place < lost) {
                operation.outcome = self.execute(client, &operation.op);
                returned += self.rng.u64(1..MS);
                operation.returned = Some(returned);
                client.generator.observe(&operation);
            } else if lost == Some(place) {
                // What comes behind it on the connection is not done either, if this is not.
                self.lose(client.session, operation.op.clone());
            }
            self.operations.push(operation);
        }
        if closes {
            if lost.is_some() {
                self.schedule(TIMEOUT_MS + 400, Event::Expiry(client.session));
            }
            client.session = SessionId(0);
        } else if lost.is_some() {
            self.reconnect(client, n);
        }
        self.now = self.now.max(returned);
        if lossy {
            let pause = self.rng.u64(1..60);
            self.schedule(pause, Event::Step(n));
        }
    }

    /// A request whose answer will never come.
    fn lose(&mut self, session: SessionId, op: Op) {
        if !op.is_write() {
            return;
        }
        self.stragglers.insert(session, op);
        match self.rng.u8(..3) {
            0 => self.straggle(session),
            1 => {
                let later = self.rng.u64(1..200);
                self.schedule(later, Event::Straggler(session));
            }
            _ => drop(self.stragglers.remove(&session)),
        }
    }

    fn straggle(&mut self, session: SessionId) {
        let Some(op) = self.stragglers.remove(&session) else { return };
        if let Ok(txn) = self.prepare(session, &op) {
            self.commit(txn);
        }
    }

    /// Onto another server, which decides what becomes of what the old one has not passed on.
    fn reconnect(&mut self, client: &mut Client, n: usize) {
        if client.session == SessionId(0) {
            return;
        }
        if self.rng.bool() {
            self.straggle(client.session);
        } else {
            self.stragglers.remove(&client.session);
        }
        client.server = self.rng.usize(..SERVERS);
        self.connect(client, n, Phase::Run);
    }

    fn connect(&mut self, client: &mut Client, n: usize, phase: Phase) {
        self.counter += 1;
        client.connection = self.counter;
        self.servers[client.server].catch_up(&self.log, client.last);
        let op = if client.session == SessionId(0) { Op::Open } else { Op::Attach };
        let mut operation = self.call(client, n, phase, op);
        if client.session == SessionId(0) {
            client.session = SessionId(0x100_0000 + self.counter.cast_signed());
            operation.session = client.session;
            self.commit(Txn::Nothing);
        }
        self.now += MS;
        operation.returned = Some(self.now);
        operation.outcome =
            Outcome::Ok { zxid: None, reply: Reply::Session { timeout_ms: TIMEOUT_MS } };
        self.operations.push(operation);
    }

    fn call(&mut self, client: &Client, n: usize, phase: Phase, op: Op) -> Operation {
        self.counter += 1;
        Operation {
            id: self.counter,
            client: n,
            session: client.session,
            connection: client.connection,
            server: client.server,
            phase,
            call: self.now,
            returned: None,
            op,
            outcome: Outcome::Unknown,
        }
    }

    fn commit(&mut self, txn: Txn) -> Zxid {
        self.log.push(txn);
        let all = self.log.len();
        self.newest.catch_up(&self.log, all);
        zxid(all)
    }

    /// The transaction for a write, or why there is none.
    fn prepare(&self, session: SessionId, op: &Op) -> Result<Txn, ErrorCode> {
        let tree = &self.newest;
        match op {
            Op::Create { path, value, mode } => {
                let path = match mode {
                    Mode::Sequential => {
                        let (parent, _) = path.rsplit_once('/').unwrap();
                        format!("{path}{:010}", tree.nodes[parent].creates)
                    }
                    Mode::Persistent | Mode::Ephemeral => path.clone(),
                };
                let owner = if *mode == Mode::Ephemeral { session } else { SessionId(0) };
                Ok(Txn::Create { path, value: value.clone(), owner })
            }
            Op::Set { path, value, expected } => {
                let node = tree.nodes.get(path).ok_or(ErrorCode::NoNode)?;
                if expected.is_some_and(|expected| expected != node.stat.version) {
                    return Err(ErrorCode::BadVersion);
                }
                Ok(Txn::Set { path: path.clone(), value: value.clone() })
            }
            Op::Close => Ok(Txn::End(session)),
            _ => unreachable!("not a write"),
        }
    }

    fn execute(&mut self, client: &mut Client, op: &Op) -> Outcome {
        if op.is_write() {
            let prepared = self.prepare(client.session, op);
            let error = prepared.as_ref().err().copied();
            let zxid = self.commit(prepared.clone().unwrap_or(Txn::Nothing));
            client.last = self.log.len();
            self.servers[client.server].catch_up(&self.log, client.last);
            if let Some(error) = error {
                return Outcome::Fail { zxid: Some(zxid), error: error.wire() };
            }
            let reply = match prepared {
                Ok(Txn::Create { path, .. }) => {
                    let stat = self.newest.nodes[&path].stat;
                    Reply::Created { path, stat }
                }
                Ok(Txn::Set { path, .. }) => Reply::Stat(self.newest.nodes[&path].stat),
                _ => Reply::Done,
            };
            return Outcome::Ok { zxid: Some(zxid), reply };
        }
        let tree = &mut self.servers[client.server];
        if *op == Op::Sync {
            tree.catch_up(&self.log, self.log.len());
        }
        client.last = tree.applied;
        let reply = match op {
            Op::Get { path } => tree
                .nodes
                .get(path)
                .map(|node| Reply::Data { value: node.value.clone(), stat: node.stat }),
            Op::Exists { path } => tree.nodes.get(path).map(|node| Reply::Stat(node.stat)),
            Op::Children { path } => tree
                .nodes
                .get(path)
                .map(|node| Reply::Names { names: tree.names(path), stat: node.stat }),
            _ => Some(Reply::Done),
        };
        let reply = reply.unwrap_or(Reply::Missing);
        Outcome::Ok { zxid: Some(zxid(tree.applied)), reply }
    }
}
