//! What the server's parts share of one client connection.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

use quorate_protocol::{Id, SessionId};

use super::outbox::Outbox;
use crate::{admin::ConnectionStats, watch::ConnId};

/// A client connection as the pipeline, the watches and the operators see it. The socket itself
/// belongs to the connection's own task.
#[derive(Debug)]
pub struct Conn {
    /// Never used again by another connection of this process.
    pub id: ConnId,
    /// What waits to be sent.
    pub outbox: Outbox,
    /// Its address, its session, and counters for operators.
    pub stats: ConnectionStats,
    /// Requests handed to the pipeline whose replies are not in the outbox yet. The task adds
    /// before it hands over; whoever appends a reply to the outbox subtracts under its lock: so
    /// a task that waits for room after it has taken everything is told. While it is 0 the task
    /// may answer reads itself.
    in_flight: AtomicUsize,
    /// When bytes last came, in milliseconds of the monotonic clock.
    last_heard_ms: AtomicI64,
    /// `last_heard_ms` as last reported to the session tracker.
    reported_ms: AtomicI64,
    /// Since when bytes wait that the client does not take; -1 while none do.
    blocked_since_ms: AtomicI64,
    auth: parking_lot::RwLock<Arc<[Id]>>,
}

impl Conn {
    /// A connection without a session.
    pub fn new(id: ConnId, stats: ConnectionStats, auth: Arc<[Id]>, now_ms: i64) -> Self {
        Self {
            id,
            outbox: Outbox::default(),
            stats,
            in_flight: AtomicUsize::new(0),
            last_heard_ms: AtomicI64::new(now_ms),
            reported_ms: AtomicI64::new(now_ms),
            blocked_since_ms: AtomicI64::new(-1),
            auth: parking_lot::RwLock::new(auth),
        }
    }

    /// Requests handed to the pipeline and not answered yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Counts requests about to be handed to the pipeline.
    pub fn hand_over(&self, requests: usize) {
        self.in_flight.fetch_add(requests, Ordering::Relaxed);
    }

    /// Counts a request whose reply is being appended to the outbox.
    pub fn answered(&self) {
        self.in_flight.fetch_sub(1, Ordering::Release);
    }

    /// The session, once the connection has one.
    pub fn session(&self) -> Option<SessionId> {
        Some(self.stats.session()).filter(|&session| session != SessionId::NONE)
    }

    /// Notes that bytes came.
    pub fn heard(&self, now_ms: i64) {
        self.last_heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When bytes last came.
    pub fn last_heard_ms(&self) -> i64 {
        self.last_heard_ms.load(Ordering::Relaxed)
    }

    /// The session and when it was last heard of, if that is news since the last call.
    pub fn touched(&self) -> Option<(SessionId, i64)> {
        let session = self.session()?;
        let heard = self.last_heard_ms();
        (self.reported_ms.swap(heard, Ordering::Relaxed) != heard).then_some((session, heard))
    }

    /// Notes whether the client leaves bytes untaken, and whether it has just taken some: a slow
    /// client is not a stuck one, and a busy one may never have taken everything.
    pub fn blocked(&self, blocked: bool, took_some: bool, now_ms: impl FnOnce() -> i64) {
        let was = self.blocked_since_ms.load(Ordering::Relaxed) >= 0;
        if blocked != was || blocked && took_some {
            let since = if blocked { now_ms() } else { -1 };
            self.blocked_since_ms.store(since, Ordering::Relaxed);
        }
    }

    /// Since when the client has not taken the bytes that wait for it.
    pub fn blocked_since_ms(&self) -> Option<i64> {
        Some(self.blocked_since_ms.load(Ordering::Relaxed)).filter(|&since| since >= 0)
    }

    /// The identities of the connection at this moment.
    pub fn auth(&self) -> Arc<[Id]> {
        self.auth.read().clone()
    }

    /// Replaces the identities; requests that came before keep what they were sent with.
    pub fn set_auth(&self, auth: Arc<[Id]>) {
        *self.auth.write() = auth;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_a_little_at_a_time_is_not_stuck() {
        let stats = ConnectionStats::new(([127, 0, 0, 1], 4000).into(), 0);
        let conn = Conn::new(ConnId(1), stats, Arc::from([]), 0);
        let since = |blocked, took_some, now_ms| {
            conn.blocked(blocked, took_some, || now_ms);
            conn.blocked_since_ms()
        };
        assert_eq!(since(false, true, 10), None);
        assert_eq!(since(true, false, 20), Some(20));
        assert_eq!(since(true, false, 30), Some(20));
        assert_eq!(since(true, true, 40), Some(40));
        assert_eq!(since(false, true, 50), None);
    }
}
