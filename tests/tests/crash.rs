//! Kills the server (SIGKILL) at random moments under load, starts it again, and looks for
//! everything it had acknowledged.
//!
//! Each client works on nodes of its own through a session that has to survive. What it was
//! promised and what may have happened besides (requests sent and not answered) is kept beside it,
//! so that every state found after a restart is either explained or a failure.
//!
//! `QUORATE_CRASH_ROUNDS` is the number of kills (thousands take minutes), `QUORATE_CRASH_SEED`
//! draws their moments.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use fastrand::Rng;
use quorate_protocol::OpCode;
use quorate_tests::{
    Body, Connection, Op, Reply, Server, Session, Subject,
    asked::number,
    op::NewNode,
    wait::{self, PATIENCE},
    wire,
};

const CLIENTS: usize = 4;
/// Requests a client has under way.
const IN_FLIGHT: usize = 16;
/// Long enough to outlive any restart.
const TIMEOUT_MS: i32 = 60_000;
const ROUNDS_BY_DEFAULT: u64 = 40;

#[test]
fn what_was_acknowledged_is_found_after_a_kill() {
    let rounds = number("QUORATE_CRASH_ROUNDS").unwrap_or(ROUNDS_BY_DEFAULT);
    let seed = number("QUORATE_CRASH_SEED").unwrap_or(1);
    let mut rng = Rng::with_seed(seed);
    let mut server = Server::start(Subject::tested(), &["maxSessionTimeout=60000"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|i| Client::new(i, server.addr())).collect();
    let mut acknowledged = 0;
    for round in 0..rounds {
        acknowledged += load_and_kill(&mut server, &mut clients, &mut rng);
        server.restart();
        for client in &mut clients {
            client.recover(server.addr()).unwrap_or_else(|e| {
                panic!("seed {seed}, round {round}, client {}: {e}", client.name)
            });
        }
    }
    println!("{rounds} kills, {acknowledged} acknowledged requests");
}

/// Lets all clients work, kills the server after a random number of answers (and a random moment
/// more), and answers how many there were.
fn load_and_kill(server: &mut Server, clients: &mut [Client], rng: &mut Rng) -> u64 {
    let answered = AtomicU64::new(0);
    let target = rng.u64(0..1500);
    let extra = Duration::from_micros(rng.u64(0..3000));
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| client.work(&answered));
        }
        wait::until("requests to be answered", PATIENCE, || {
            (answered.load(Ordering::Relaxed) >= target).then_some(())
        });
        wait::pause(extra);
        server.kill();
    });
    answered.into_inner()
}

/// What a client has asked for.
#[derive(Debug, Clone)]
enum Asked {
    /// The counter node to be set to a number.
    Count(u64),
    /// Both nodes of the pair to be set to a number, in one multi.
    Pair(u64),
    /// A sequential node with this mark as its data.
    Append(u64),
    /// The sequential node of this name to be deleted.
    Remove(String),
}

/// One client with its nodes, and what it knows about them.
struct Client {
    name: String,
    connection: Connection,
    rng: Rng,
    /// The number of the last request for each of counter, pair and list.
    next: u64,
    /// Asked and not answered, in order.
    pending: VecDeque<Asked>,
    /// Promised: the values of counter and pair.
    count: u64,
    pair: u64,
    /// Promised: the sequential nodes by name, with their marks.
    list: BTreeMap<String, u64>,
    /// Sequential nodes asked to be deleted, so that none is asked for twice.
    leaving: BTreeSet<String>,
    /// Every name a sequential node ever had.
    names: BTreeSet<String>,
}

impl Client {
    fn new(number: usize, addr: SocketAddr) -> Self {
        let name = format!("/client{number}");
        let mut connection =
            Connection::with_new_session(addr, TIMEOUT_MS).expect("a fresh server accepts");
        let zero = 0_u64.to_be_bytes();
        let nodes = ["", "/count", "/first", "/second", "/list"];
        for node in nodes {
            let create = Op::create(&format!("{name}{node}"), &zero, 0);
            assert_eq!(connection.call(&create).expect("it answers").error, 0);
        }
        let alive = Op::create(&format!("{name}/alive"), b"", 1);
        assert_eq!(connection.call(&alive).expect("it answers").error, 0);
        Self {
            name,
            connection,
            rng: Rng::with_seed(number as u64),
            next: 0,
            pending: VecDeque::new(),
            count: 0,
            pair: 0,
            list: BTreeMap::new(),
            leaving: BTreeSet::new(),
            names: BTreeSet::new(),
        }
    }

    /// Keeps requests under way until the server is gone.
    fn work(&mut self, answered: &AtomicU64) {
        loop {
            while self.pending.len() < IN_FLIGHT {
                let asked = self.ask();
                let op = self.op(&asked);
                self.pending.push_back(asked);
                if self.connection.send(&[op]).is_err() {
                    return;
                }
            }
            let Ok(frame) = self.connection.read_frame() else { return };
            answered.fetch_add(1, Ordering::Relaxed);
            let asked = self.pending.pop_front().expect("a reply answers a request");
            let reply = frame.parse(&self.op(&asked));
            assert_eq!(reply.error, 0, "{asked:?} of {} is always possible", self.name);
            self.promised(&asked, &reply);
        }
    }

    fn ask(&mut self) -> Asked {
        self.next += 1;
        match self.rng.u32(..10) {
            0..4 => Asked::Count(self.next),
            4..6 => Asked::Pair(self.next),
            6..8 => Asked::Append(self.next),
            _ => {
                let free = self.list.keys().find(|name| !self.leaving.contains(*name)).cloned();
                let Some(name) = free else { return Asked::Append(self.next) };
                self.leaving.insert(name.clone());
                Asked::Remove(name)
            }
        }
    }

    fn op(&self, asked: &Asked) -> Op {
        let path = |node: &str| format!("{}/{node}", self.name);
        match asked {
            Asked::Count(n) => Op::set(&path("count"), &n.to_be_bytes()),
            Asked::Pair(n) => {
                let sets = ["first", "second"].map(|node| Op::set(&path(node), &n.to_be_bytes()));
                Op::Multi(OpCode::Multi, sets.into())
            }
            Asked::Append(n) => {
                let node = NewNode::open(&path("list/n-"), &n.to_be_bytes(), 2);
                Op::Create(OpCode::Create, node)
            }
            Asked::Remove(name) => Op::delete(name),
        }
    }

    /// Takes note of what the server has acknowledged.
    fn promised(&mut self, asked: &Asked, reply: &Reply) {
        match asked {
            Asked::Count(n) => self.count = *n,
            Asked::Pair(n) => self.pair = *n,
            Asked::Append(n) => {
                let Body::Path(name, _) = &reply.body else { panic!("{reply:?}") };
                self.appended(name.clone(), *n);
            }
            Asked::Remove(name) => drop(self.list.remove(name)),
        }
    }

    fn appended(&mut self, name: String, mark: u64) {
        assert!(self.names.insert(name.clone()), "{name} was given out twice");
        self.list.insert(name, mark);
    }

    /// Attaches to its session again and compares what it finds with what it was promised.
    fn recover(&mut self, addr: SocketAddr) -> io::Result<()> {
        let session = self.attach_again(addr)?;
        assert!(session.is_accepted(), "the session of {} is gone", self.name);
        let (alive, owner) = self.read("alive");
        assert_eq!((alive.len(), owner), (0, session.id.0), "the ephemeral node of {}", self.name);
        let unsure: Vec<_> = self.pending.drain(..).collect();
        let [count, first, second] = ["count", "first", "second"].map(|node| {
            let (data, _) = self.read(node);
            u64::from_be_bytes(data.try_into().expect("eight bytes were written"))
        });
        assert_eq!(first, second, "half a multi of {}", self.name);
        let found = self.list_found();
        // Requests take effect in the order they were sent: those that did come first.
        let took_effect = |asked: &Asked| match asked {
            Asked::Count(n) => count >= *n,
            Asked::Pair(n) => first >= *n,
            Asked::Append(n) => found.values().any(|mark| mark == n),
            Asked::Remove(name) => !found.contains_key(name),
        };
        let done = unsure.iter().take_while(|asked| took_effect(asked)).count();
        let later = unsure[done..].iter().find(|asked| took_effect(asked));
        assert!(later.is_none(), "{later:?} took effect and {:?} did not", unsure[done]);
        for asked in &unsure[..done] {
            match asked {
                Asked::Count(n) => self.count = *n,
                Asked::Pair(n) => self.pair = *n,
                Asked::Append(n) => {
                    let name = found.iter().find(|(_, mark)| *mark == n).map(|(name, _)| name);
                    self.appended(name.expect("its mark was found").clone(), *n);
                }
                Asked::Remove(name) => drop(self.list.remove(name)),
            }
        }
        assert_eq!(count, self.count, "the counter of {}", self.name);
        assert_eq!(first, self.pair, "the pair of {}", self.name);
        assert_eq!(found, self.list, "the list of {}", self.name);
        self.leaving.retain(|name| found.contains_key(name));
        for asked in &unsure[done..] {
            if let Asked::Remove(name) = asked {
                self.leaving.remove(name);
            }
        }
        Ok(())
    }

    fn attach_again(&mut self, addr: SocketAddr) -> io::Result<Session> {
        let (old, last_zxid) = (self.connection.session.clone(), self.connection.last_zxid);
        let mut connection = Connection::open(addr)?;
        // A server that has forgotten a zxid this client has seen would hang up here.
        let session = connection.attach(&old, last_zxid).map_err(|e| {
            if wire::is_closed(&e) { io::Error::other("hung up: behind what was seen") } else { e }
        })?;
        self.connection = connection;
        Ok(session)
    }

    /// The sequential nodes that are there, by name, with their marks.
    fn list_found(&mut self) -> BTreeMap<String, u64> {
        let list = Op::children(&format!("{}/list", self.name));
        let reply = self.connection.call(&list).expect("the server answers").parse(&list);
        let Body::Names(children, None) = reply.body else { panic!("{reply:?}") };
        let entry = |child: String| {
            let (data, _) = self.read(&format!("list/{child}"));
            let mark = data.try_into().expect("eight bytes were written");
            (format!("{}/list/{child}", self.name), u64::from_be_bytes(mark))
        };
        children.into_iter().map(entry).collect()
    }

    /// The data and the owner of one of the client's nodes.
    fn read(&mut self, node: &str) -> (Vec<u8>, i64) {
        let get = Op::get(&format!("{}/{node}", self.name));
        let reply = self.connection.call(&get).expect("the server answers").parse(&get);
        let Body::Data(data, stat) = reply.body else {
            panic!("{node} of {}: {reply:?}", self.name)
        };
        (data.unwrap_or_default(), stat.ephemeral_owner.0)
    }
}
