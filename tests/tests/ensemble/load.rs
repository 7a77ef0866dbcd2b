//! Clients that write while something happens to their servers, and what they were promised.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use quorate_protocol::OpCode;
use quorate_tests::{
    Connection, Ensemble, Frame, Op, Session,
    wait::{self, PATIENCE},
};

use crate::{LONG_MS, tree::Tree};

/// How long a writer waits for an answer before it goes to another server.
const ANSWER: Duration = Duration::from_secs(3);
/// How long a writer thinks between two nodes: where all of an ensemble shares a processor or two, its
/// servers need some of them for other things than writes.
const THINK: Duration = Duration::from_millis(3);
const NODE_EXISTS: i32 = -110;
const SESSION_MOVED: i32 = -118;

/// Writers at work, each with a session of its own.
pub(crate) struct Load {
    control: Arc<Control>,
    writers: Vec<JoinHandle<Promised>>,
}

#[derive(Default)]
struct Control {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Load {
    /// Starts a writer at each server, which goes on to the next one when it must.
    pub(crate) fn start(ensemble: &Ensemble) -> Self {
        Self::start_at(ensemble, &ensemble.ids().collect::<Vec<_>>())
    }

    /// The same, at these servers only.
    pub(crate) fn start_at(ensemble: &Ensemble, ids: &[u8]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let control = Arc::<Control>::default();
        let all: Vec<_> = ensemble.ids().map(|id| ensemble.server(id).addr()).collect();
        let writers = ids.iter().map(|&id| {
            let mut addrs = all.clone();
            addrs.rotate_left(usize::from(id) - 1);
            let folder = format!("/load-{}", NEXT.fetch_add(1, Ordering::Relaxed));
            let writer = Writer::new(&folder, addrs);
            let control = Arc::clone(&control);
            thread::spawn(move || writer.run(&control))
        });
        let writers = writers.collect();
        Self { control, writers }
    }

    /// Waits until `count` more writes were acknowledged.
    pub(crate) fn wait_for(&self, count: usize) {
        let acknowledged = || self.control.acknowledged.load(Ordering::Relaxed);
        let until = acknowledged() + count;
        wait::until("writes to be acknowledged", PATIENCE, || {
            // A writer ends before it is told to only if it fails.
            assert!(!self.writers.iter().any(JoinHandle::is_finished), "a writer has failed");
            (acknowledged() >= until).then_some(())
        });
    }

    /// Ends the writers and their sessions; all that they were promised.
    pub(crate) fn stop(self) -> Promised {
        self.control.stop.store(true, Ordering::Relaxed);
        let mut all = Promised::default();
        for writer in self.writers {
            let one = writer.join().expect("a writer ends well");
            all.nodes.extend(one.nodes);
            all.broken += one.broken;
        }
        all
    }
}

/// What clients were promised.
#[derive(Debug, Default)]
pub(crate) struct Promised {
    /// Nodes with their data; `None` for those deleted.
    nodes: BTreeMap<String, Option<Vec<u8>>>,
    /// How often a client lost its connection.
    pub(crate) broken: usize,
}

impl Promised {
    /// Everything promised is in the tree.
    pub(crate) fn check(&self, tree: &Tree) {
        for (path, promised) in &self.nodes {
            let found = tree.get(path).map(|node| node.data.clone().unwrap_or_default());
            assert_eq!(&found, promised, "{path}");
        }
    }
}

/// A client that makes a node after the other in a folder of its own.
struct Writer {
    folder: String,
    /// Where it can go, beginning with where it is.
    addrs: Vec<SocketAddr>,
    session: Session,
    last_zxid: i64,
    promised: Promised,
}

impl Writer {
    fn new(folder: &str, addrs: Vec<SocketAddr>) -> Self {
        Self {
            folder: folder.to_owned(),
            addrs,
            session: Session::new(LONG_MS),
            last_zxid: 0,
            promised: Promised::default(),
        }
    }

    fn run(mut self, control: &Control) -> Promised {
        let mut node = 0;
        while !control.stop.load(Ordering::Relaxed) {
            if let Ok(mut client) = self.attach() {
                let ended = self.work(&mut client, &mut node, control);
                self.promised.broken += usize::from(ended.is_err());
                self.last_zxid = client.last_zxid;
            }
            self.addrs.rotate_left(1);
        }
        self.end_session();
        self.promised
    }

    /// Ends the session, and with it what belongs to it.
    fn end_session(&mut self) {
        let alive = self.alive();
        wait::until("a server that ends the session", PATIENCE, || {
            self.addrs.rotate_left(1);
            let mut client = self.attach().ok()?;
            client.call(&Op::Plain(OpCode::CloseSession)).ok()
        });
        self.promised.nodes.insert(alive, None);
    }

    /// The node that belongs to the session.
    fn alive(&self) -> String {
        format!("{}/alive", self.folder)
    }

    /// Takes the session to where the next server should be.
    fn attach(&mut self) -> io::Result<Connection> {
        // When nobody listens, that takes no time to find out.
        wait::pause(Duration::from_millis(5));
        let mut client = Connection::open(self.addrs[0])?;
        client.set_patience(ANSWER)?;
        let session = client.attach(&self.session, self.last_zxid)?;
        assert!(session.is_accepted(), "the session of {} is gone", self.folder);
        self.session = session;
        client.last_zxid = self.last_zxid;
        Ok(client)
    }

    fn work(
        &mut self,
        client: &mut Connection,
        next: &mut u64,
        control: &Control,
    ) -> io::Result<()> {
        for (path, flags) in [(self.folder.clone(), 0), (self.alive(), 1)] {
            let reply = write(client, &Op::create(&path, b"", flags))?;
            assert!(matches!(reply.error, 0 | NODE_EXISTS), "{path}: {reply:?}");
            self.promised.nodes.insert(path, Some(Vec::new()));
        }
        while !control.stop.load(Ordering::Relaxed) {
            let path = format!("{}/{next}", self.folder);
            let delete = *next % 2 == 1;
            // If an answer does not come, this node is as it may be: the next one is another.
            *next += 1;
            self.write(client, &path, delete)?;
            control.acknowledged.fetch_add(1, Ordering::Relaxed);
            wait::pause(THINK);
        }
        Ok(())
    }

    /// The life of one node.
    fn write(&mut self, client: &mut Connection, path: &str, delete: bool) -> io::Result<()> {
        self.promise(client, &Op::create(path, b"new", 0), path, Some(b"new"))?;
        self.promise(client, &Op::set(path, path.as_bytes()), path, Some(path.as_bytes()))?;
        if delete {
            self.promise(client, &Op::delete(path), path, None)?;
        }
        Ok(())
    }

    /// Sends a write; as long as it is not answered, nothing is promised of its node.
    fn promise(
        &mut self,
        client: &mut Connection,
        op: &Op,
        path: &str,
        then: Option<&[u8]>,
    ) -> io::Result<()> {
        self.promised.nodes.remove(path);
        let reply = write(client, op)?;
        assert_eq!(reply.error, 0, "{op:?}");
        self.promised.nodes.insert(path.to_owned(), then.map(<[u8]>::to_vec));
        Ok(())
    }
}

/// What a server answers to a write.
///
/// A writer that has waited in vain at a server goes to another one. If the leader hears of the first
/// try last, it takes the session for that server's, and refuses what comes from the other: the writer
/// has to connect once more.
fn write(client: &mut Connection, op: &Op) -> io::Result<Frame> {
    let reply = client.call(op)?;
    if reply.error == SESSION_MOVED {
        return Err(io::Error::other("the session is another server's"));
    }
    Ok(reply)
}
