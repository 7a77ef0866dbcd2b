//! A client of its own, on the protocol's records: one session at a time, every step recorded.
//!
//! It is not `quorate-client`, because a history needs what a good client hides: which requests
//! were sent and not answered, on which connection, and the zxid of every reply.

mod connection;
mod wire;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use connection::{Connection, Credentials, Granted};
use tokio::time::{sleep, timeout};

use crate::{
    clock::{Clock, Nanos},
    history::{Op, Operation, Outcome, Phase, Recorder, Reply, SessionId, Zxid},
};

/// How long a client waits for an answer before it takes the connection for dead.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause between attempts to connect.
const RETRY: Duration = Duration::from_millis(20);

/// What all clients of a run share.
#[derive(Debug)]
pub struct Shared {
    /// The run's clock.
    pub clock: Clock,
    /// Where operations are recorded.
    pub recorder: Recorder,
    /// Where clients connect to the servers, by index.
    pub servers: Vec<SocketAddr>,
    /// Set when the servers are given up: who has no connection stops looking for one.
    pub hopeless: AtomicBool,
}

/// A client with at most one session.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    number: usize,
    rng: fastrand::Rng,
    /// What its operations are recorded as.
    pub phase: Phase,
    timeout: Duration,
    session: Option<Credentials>,
    last_zxid: Zxid,
    connection: Option<Connection>,
    /// The server connected to at last.
    server: usize,
    pinned: bool,
}

impl Client {
    /// A client without a session. `timeout` is that of the sessions it opens.
    pub fn new(shared: Arc<Shared>, number: usize, seed: u64, timeout: Duration) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let server = number % shared.servers.len();
        Self {
            shared,
            number,
            rng,
            phase: Phase::Run,
            timeout,
            session: None,
            last_zxid: Zxid(0),
            connection: None,
            server,
            pinned: false,
        }
    }

    /// A client that talks to one server only.
    pub fn at(shared: Arc<Shared>, number: usize, server: usize, timeout: Duration) -> Self {
        let mut client = Self::new(shared, number, 0, timeout);
        client.server = server;
        client.pinned = true;
        client
    }

    /// Whether it has a session, alive as far as it knows.
    pub fn session(&self) -> Option<SessionId> {
        self.session.map(|session| session.id)
    }

    /// The timeout of the sessions it opens.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends requests in one go and waits for their outcomes; opens a session if there is none.
    /// The last of `ops` may end the session. Nothing is sent, and nothing answered, when the
    /// servers are [given up](Shared::hopeless).
    pub async fn perform(&mut self, ops: Vec<Op>) -> Vec<Operation> {
        self.connect().await;
        let Some(mut connection) = self.connection.take() else { return Vec::new() };
        let ends = ops.last() == Some(&Op::Close);
        let call = self.shared.clock.now();
        let mut operations: Vec<_> =
            ops.into_iter().map(|op| self.operation(op, call, connection.id)).collect();
        let requests = operations.iter().map(|operation| &operation.op);
        let mut alive = timeout(PATIENCE, connection.send(requests)).await.is_ok_and(|r| r.is_ok());
        for operation in &mut operations {
            if alive {
                match timeout(PATIENCE, connection.receive(&operation.op)).await {
                    Ok(Ok(outcome)) => {
                        let answered = outcome != Outcome::Unknown;
                        operation.returned = answered.then(|| self.shared.clock.now());
                        operation.outcome = outcome;
                        self.last_zxid = self.last_zxid.max(operation.zxid().unwrap_or_default());
                    }
                    _ => alive = false,
                }
            }
            self.shared.recorder.operation(operation);
        }
        if ends {
            self.forget();
        } else if alive {
            self.connection = Some(connection);
        }
        operations
    }

    /// Leaves the server and keeps the session; the next request goes to another server.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Leaves the session to its timeout, with all that belongs to it.
    pub fn forget(&mut self) {
        self.connection = None;
        self.session = None;
    }

    /// Connects until it has a session on a server, its own if that is still there.
    async fn connect(&mut self) {
        while self.connection.is_none() && !self.shared.hopeless.load(Ordering::Relaxed) {
            self.attempt().await;
            if self.connection.is_none() {
                sleep(RETRY).await;
            }
        }
    }

    async fn attempt(&mut self) {
        if !self.pinned {
            self.server = self.rng.usize(..self.shared.servers.len());
        }
        let wanted = self.session.unwrap_or_else(|| Credentials::new(self.timeout));
        let op = if self.session.is_some() { Op::Attach } else { Op::Open };
        let call = self.shared.clock.now();
        let id = self.shared.recorder.connection_id();
        let addr = self.shared.servers[self.server];
        let opening = Connection::open(id, addr, &wanted, self.last_zxid);
        let Ok(Ok((connection, granted))) = timeout(PATIENCE, opening).await else {
            // Whether the server has given a session that nobody knows of matters to nobody, and
            // that it has kept one shows when it is asked again.
            return;
        };
        let mut operation = self.operation(op, call, id);
        operation.returned = Some(self.shared.clock.now());
        if let Granted::Yes(session) = granted {
            let reply = Reply::Session { timeout_ms: u64::from(session.timeout_ms.unsigned_abs()) };
            operation.outcome = Outcome::Ok { zxid: None, reply };
            operation.session = session.id;
            self.session = Some(session);
            self.connection = Some(connection);
        } else {
            let error = quorate_protocol::ErrorCode::SessionExpired.wire();
            operation.outcome = Outcome::Fail { zxid: None, error };
            self.session = None;
        }
        self.shared.recorder.operation(&operation);
    }

    fn operation(&self, op: Op, call: Nanos, connection: u64) -> Operation {
        Operation {
            id: self.shared.recorder.operation_id(),
            client: self.number,
            session: self.session().unwrap_or_default(),
            connection,
            server: self.server,
            phase: self.phase,
            call,
            returned: None,
            op,
            outcome: Outcome::Unknown,
        }
    }
}
