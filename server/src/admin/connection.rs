//! What is known of one client connection: the rows of `stat` and `cons`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering::Relaxed};

use quorate_protocol::{OpCode, SessionId, Zxid};

use super::measure::{Summary, SummaryNumbers, micros};
use super::tally::Batch;

/// What is known of one client connection.
#[derive(Debug)]
pub struct ConnectionStats {
    /// The client's address.
    pub remote: SocketAddr,
    /// When it connected, in milliseconds since 1970.
    pub established_ms: i64,
    /// The session attached to it; none before the connect request was answered.
    session: AtomicI64,
    timeout_ms: AtomicI32,
    received: AtomicU64,
    sent: AtomicU64,
    requests_read: AtomicU64,
    requests_answered: AtomicU64,
    latency: Summary,
    last_latency_ms: AtomicU64,
    /// The wire number of the last answered operation, 0 when there was none.
    last_op: AtomicI32,
    /// -1 when there was none.
    last_xid: AtomicI64,
    /// -1 when there was none.
    last_zxid: AtomicI64,
    last_response_ms: AtomicI64,
}

impl ConnectionStats {
    /// A connection that has not said anything yet. An IPv4 client of a socket for both kinds is
    /// shown by its IPv4 address.
    pub fn new(remote: SocketAddr, established_ms: i64) -> Self {
        Self {
            remote: SocketAddr::new(remote.ip().to_canonical(), remote.port()),
            established_ms,
            session: AtomicI64::new(SessionId::NONE.0),
            timeout_ms: AtomicI32::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            requests_read: AtomicU64::new(0),
            requests_answered: AtomicU64::new(0),
            latency: Summary::default(),
            last_latency_ms: AtomicU64::new(0),
            last_op: AtomicI32::new(0),
            last_xid: AtomicI64::new(-1),
            last_zxid: AtomicI64::new(-1),
            last_response_ms: AtomicI64::new(0),
        }
    }

    /// The connection now serves this session.
    pub fn attach(&self, session: SessionId, timeout_ms: i32) {
        self.timeout_ms.store(timeout_ms, Relaxed);
        self.session.store(session.0, Relaxed);
    }

    /// The session it serves, or none.
    pub fn session(&self) -> SessionId {
        SessionId(self.session.load(Relaxed))
    }

    /// That session's timeout; 0 before there is one.
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms.load(Relaxed)
    }

    /// Requests read from it and not yet answered.
    pub fn outstanding(&self) -> u64 {
        let answered = self.requests_answered.load(Relaxed);
        self.requests_read.load(Relaxed).saturating_sub(answered)
    }

    pub(super) fn add(&self, batch: &Batch) {
        self.received.fetch_add(batch.received, Relaxed);
        self.sent.fetch_add(batch.sent, Relaxed);
        self.requests_read.fetch_add(batch.requests, Relaxed);
        self.requests_answered.fetch_add(batch.answers, Relaxed);
        let Some(last) = batch.last else { return };
        self.latency.merge(&batch.latency);
        self.last_op.store(last.op.wire(), Relaxed);
        if last.xid.0 >= 0 {
            self.last_xid.store(i64::from(last.xid.0), Relaxed);
        }
        self.last_zxid.store(last.zxid.0, Relaxed);
        self.last_response_ms.store(last.at_ms, Relaxed);
        self.last_latency_ms.store(micros(last.latency) / 1000, Relaxed);
    }

    /// Sets to zero what `crst` resets.
    pub fn reset(&self) {
        self.received.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        self.latency.reset();
        self.last_latency_ms.store(0, Relaxed);
        self.last_op.store(0, Relaxed);
        self.last_xid.store(-1, Relaxed);
        self.last_zxid.store(-1, Relaxed);
        self.last_response_ms.store(0, Relaxed);
    }

    /// All of it, for a listing.
    pub fn numbers(&self) -> ConnectionNumbers {
        ConnectionNumbers {
            remote: self.remote,
            established_ms: self.established_ms,
            session: self.session(),
            timeout_ms: self.timeout_ms(),
            outstanding: self.outstanding(),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            last_op: OpCode::from_wire(self.last_op.load(Relaxed)),
            last_xid: self.last_xid.load(Relaxed),
            last_zxid: Zxid(self.last_zxid.load(Relaxed)),
            last_response_ms: self.last_response_ms.load(Relaxed),
            last_latency_ms: self.last_latency_ms.load(Relaxed),
            latency: self.latency.numbers(),
        }
    }
}

/// A [`ConnectionStats`] at one moment.
#[derive(Debug, Clone)]
pub struct ConnectionNumbers {
    /// The client's address.
    pub remote: SocketAddr,
    /// When it connected, in milliseconds since 1970.
    pub established_ms: i64,
    /// The session attached to it, or none.
    pub session: SessionId,
    /// That session's timeout.
    pub timeout_ms: i32,
    /// Requests read and not yet answered.
    pub outstanding: u64,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// What was last answered.
    pub last_op: Option<OpCode>,
    /// The last answered request's xid, -1 when there was none.
    pub last_xid: i64,
    /// The zxid last sent, -1 when there was none.
    pub last_zxid: Zxid,
    /// When the last answer was given, on the server's monotonic clock.
    pub last_response_ms: i64,
    /// How long that answer took.
    pub last_latency_ms: u64,
    /// Latencies of all answers, in microseconds.
    pub latency: SummaryNumbers,
}
