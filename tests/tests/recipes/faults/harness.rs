//! A client that meets a fault at one of its requests.
//!
//! It connects through a proxy that counts its requests and, at the one that was chosen, loses the request, loses the
//! answer, or lets the program crash or the caller lose interest. A test runs the same actions with the fault at the
//! first request, at the second, and so on until there is none left, and checks each time what is left in the tree.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use quorate_client::{Client, SessionId, cache::TreeCache};
use quorate_tests::{Server, wait::PATIENCE};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, oneshot},
    time::timeout,
};

use crate::{builder, builder_at, until};

/// What happens at the chosen request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The connection is lost before the request is sent.
    LoseRequest,
    /// The connection is lost when the request was carried out.
    LoseAnswer,
    /// The program crashes before the request is sent.
    CrashBefore,
    /// The program crashes when the request was carried out.
    CrashAfter,
    /// The caller drops the future while the request is under way.
    Cancel,
}

pub(crate) const KINDS: [Kind; 5] =
    [Kind::LoseRequest, Kind::LoseAnswer, Kind::CrashBefore, Kind::CrashAfter, Kind::Cancel];

/// The program crashes between two requests.
pub(crate) const CRASHES: [Kind; 2] = [Kind::CrashBefore, Kind::CrashAfter];

impl Kind {
    fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter)
    }

    fn is_lost_before(self) -> bool {
        matches!(self, Self::LoseRequest | Self::CrashBefore)
    }
}

/// A fault at a request, counted from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at request {}", self.kind, self.at)
    }
}

/// What came of actions with a fault.
pub(crate) struct Outcome<T> {
    /// What they answered; nothing when the program crashed or the caller lost interest.
    pub(crate) result: Option<T>,
    /// Whether there were as many requests.
    was_hit: bool,
    /// The client, unless it crashed: it lives on while the tree is checked.
    _client: Option<Client>,
}

/// What a recipe may leave behind: at most these nodes, however often it fails.
pub(crate) type Garbage<'a> = &'a [&'a str];

/// Runs `act` with a fault of each kind at each of its requests in turn, and `check` after each run, with a client of its
/// own. A run has a chroot of its own. In the end there must be no node left there but `garbage`, although the session
/// of a client that did not crash lives on.
pub(crate) async fn at_each_request<T>(
    server: &Server,
    kinds: &[Kind],
    garbage: Garbage<'_>,
    prepare: impl AsyncFn(&Client),
    act: impl AsyncFn(&Client) -> T,
    check: impl AsyncFn(&Client, Fault, Option<T>),
) {
    let plain = builder(server).connect().await.expect("the server opens a session");
    let subject = server.subject();
    for &kind in kinds {
        for at in 1.. {
            let fault = Fault { kind, at };
            let root = format!("/{kind:?}-{at}");
            plain.create(&root, b"").await.expect("a chroot of its own");
            let healthy = plain.chroot(&root).expect("it is a path");
            prepare(&healthy).await;
            let run = run(server, &root, fault, &act);
            let Ok(outcome) = timeout(PATIENCE, run).await else {
                panic!(
                    "{subject:?}, {fault}: the actions do not end; there is {:?}",
                    tree(&healthy).await
                );
            };
            let was_hit = outcome.was_hit;
            let Ok(()) = timeout(PATIENCE, check(&healthy, fault, outcome.result)).await else {
                panic!(
                    "{subject:?}, {fault}: the check does not end; there is {:?}",
                    tree(&healthy).await
                );
            };
            let is_clear =
                async || tree(&healthy).await.iter().all(|(path, _)| garbage.contains(&&**path));
            let Ok(()) = timeout(PATIENCE, until(is_clear)).await else {
                panic!("{subject:?}, {fault}: there is left {:?}", tree(&healthy).await);
            };
            plain.delete_recursive(&root).await.expect("the chroot can go");
            if !was_hit {
                assert!(at > 1, "there were no requests");
                break;
            }
        }
    }
}

/// All nodes below the root, and whose they are.
async fn tree(client: &Client) -> Vec<(String, SessionId)> {
    let tree = TreeCache::start(client, "/").await.expect("it can be read");
    let tree = tree.snapshot();
    let nodes = tree.iter().filter(|(path, _)| *path != "/");
    nodes.map(|(path, node)| (path.to_owned(), node.stat.ephemeral_owner)).collect()
}

async fn run<T>(
    server: &Server,
    root: &str,
    fault: Fault,
    act: impl AsyncFn(&Client) -> T,
) -> Outcome<T> {
    let proxy = Proxy::start(server.addr(), fault).await;
    let hosts = format!("{}{root}", proxy.addr);
    let client = builder_at(&hosts).connect().await.expect("a session by the proxy");
    proxy.plan.is_armed.store(true, Ordering::SeqCst);
    let interrupted = proxy.plan.interrupted.notified();
    let result = tokio::select! {
        result = act(&client) => Some(result),
        () = interrupted => None,
    };
    proxy.plan.is_armed.store(false, Ordering::SeqCst);
    let was_hit = proxy.plan.is_hit.load(Ordering::SeqCst);
    if was_hit && fault.kind == Kind::Cancel {
        // Calls are carried out in order: so the one that was given up has been, before the check begins.
        client.exists("/").await.expect("an answer");
    }
    if !(was_hit && fault.kind.is_crash()) {
        return Outcome { result, was_hit, _client: Some(client) };
    }
    // Nothing of it reaches the server any more; its session ends.
    let left = client.leave().expect("it was connected");
    let heir = builder(server).session(left.id, left.password).connect().await;
    heir.expect("the session is alive").close().await.expect("it is closed");
    Outcome { result: None, was_hit, _client: None }
}

struct Plan {
    fault: Fault,
    server: SocketAddr,
    is_armed: AtomicBool,
    seen: AtomicUsize,
    is_hit: AtomicBool,
    is_dead: AtomicBool,
    /// The program crashed, or the caller loses interest now.
    interrupted: Notify,
}

impl Plan {
    /// Whether the fault is at this request.
    fn strikes_at(&self, frame: &[u8]) -> bool {
        let number = |from: usize| {
            frame.get(from..from + 4).map(|b| i32::from_be_bytes(b.try_into().expect("four bytes")))
        };
        // Pings and what a new connection begins with have numbers below 0; -11 closes the session.
        let counts = number(0) > Some(0) && number(4) != Some(-11);
        if !counts || !self.is_armed.load(Ordering::SeqCst) {
            return false;
        }
        let strikes = self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.fault.at;
        if strikes {
            self.is_hit.store(true, Ordering::SeqCst);
        }
        strikes
    }

    fn strike(&self) {
        if self.fault.kind.is_crash() {
            self.is_dead.store(true, Ordering::SeqCst);
            self.interrupted.notify_waiters();
        }
    }
}

struct Proxy {
    addr: SocketAddr,
    plan: Arc<Plan>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The client may live on for the check, through connections that are there.
        if self.plan.is_dead.load(Ordering::SeqCst) {
            self.task.abort();
        }
    }
}

impl Proxy {
    async fn start(server: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the proxy");
        let addr = listener.local_addr().expect("it has an address");
        let plan = Arc::new(Plan {
            fault,
            server,
            is_armed: AtomicBool::new(false),
            seen: AtomicUsize::new(0),
            is_hit: AtomicBool::new(false),
            is_dead: AtomicBool::new(false),
            interrupted: Notify::new(),
        });
        let shared = Arc::clone(&plan);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !shared.is_dead.load(Ordering::SeqCst) {
                    tokio::spawn(carry(client, Arc::clone(&shared)));
                }
            }
        });
        Self { addr, plan, task }
    }
}

/// Carries frames both ways until one side ends or the fault strikes.
async fn carry(client: TcpStream, plan: Arc<Plan>) {
    let Ok(server) = TcpStream::connect(plan.server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Which answer is not to arrive.
    let (lost, is_lost) = oneshot::channel();
    tokio::select! {
        _ = requests(from_client, to_server, &plan, lost) => {}
        _ = answers(from_server, to_client, is_lost) => {}
    }
    if plan.is_hit.load(Ordering::SeqCst) {
        plan.strike();
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    lost: oneshot::Sender<[u8; 4]>,
) -> Option<()> {
    let mut lost = Some(lost);
    let connect = frame(&mut from).await?;
    to.write_all(&connect).await.ok()?;
    loop {
        let frame = frame(&mut from).await?;
        let strikes = plan.strikes_at(&frame[4..]);
        if strikes && plan.fault.kind.is_lost_before() {
            return None;
        }
        if strikes && plan.fault.kind != Kind::Cancel {
            let xid = frame[4..8].try_into().expect("four bytes");
            let _ = lost.take().expect("one fault only").send(xid);
        }
        to.write_all(&frame).await.ok()?;
        if strikes && plan.fault.kind == Kind::Cancel {
            plan.interrupted.notify_waiters();
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_lost: oneshot::Receiver<[u8; 4]>,
) -> Option<()> {
    let mut lost = None;
    loop {
        let frame = frame(&mut from).await?;
        lost = lost.or_else(|| is_lost.try_recv().ok());
        if lost.is_some_and(|xid| frame[4..8] == xid) {
            return None;
        }
        to.write_all(&frame).await.ok()?;
    }
}

/// A frame, its length included.
async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + usize::try_from(length).ok()?, 0);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}
