//! What clients of this server asked for that another server has to do, or that waits for a leader.

use std::{collections::VecDeque, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use quorate_protocol::{OpCode, SessionId, Xid};

use super::local::owns_nothing;
use crate::{
    net::Conn,
    request::Request,
    runtime::{
        batch::{Entry, Waits},
        pipeline::Arrival,
    },
    txn::TxnHeader,
};

/// A request that was not answered.
pub(super) enum Pending {
    /// A write of a session.
    Write { conn: Arc<Conn>, request: Request, arrival: Arrival },
    /// A new session.
    Open { conn: Arc<Conn>, request: Request, timeout_ms: i32, read_only: Option<bool> },
    /// A local session that is to be known to all servers.
    Upgrade { request: Request, timeout_ms: i32 },
}

impl Pending {
    pub(super) fn request(&self) -> &Request {
        match self {
            Self::Write { request, .. }
            | Self::Open { request, .. }
            | Self::Upgrade { request, .. } => request,
        }
    }

    fn xid(&self) -> Xid {
        self.request().xid
    }

    /// What its transaction is told apart by, besides session and xid.
    fn opens(&self) -> bool {
        self.request().op == OpCode::CreateSession
    }

    fn into_entry(self) -> Entry {
        match self {
            Self::Write { conn, request, arrival } => Entry {
                owns_nothing: owns_nothing(&request),
                waits: Waits::Reply(conn),
                op: request.op,
                xid: request.xid,
                arrival,
            },
            Self::Open { conn, request, timeout_ms, read_only } => Entry {
                waits: Waits::Session { conn, timeout_ms, read_only },
                op: request.op,
                xid: request.xid,
                arrival: Arrival::at(0),
                owns_nothing: false,
            },
            Self::Upgrade { request, .. } => Entry::of_nobody(request.op, request.xid),
        }
    }
}

/// The requests that wait for their transactions, by session, each session's in order.
///
/// Whoever leads makes exactly one transaction of each request, in the order of the session's
/// requests; its header names the session and the request's xid.
#[derive(Default)]
pub(super) struct Forwarded {
    /// Iterated only by [`Self::take`], which sorts.
    by_session: HashMap<SessionId, VecDeque<(u64, Pending)>, FixedState>,
    next: u64,
}

impl Forwarded {
    pub(super) fn push(&mut self, pending: Pending) {
        let session = pending.request().session;
        let number = self.number();
        self.by_session.entry(session).or_default().push_back((number, pending));
    }

    /// Puts back what [`Self::take`] has given, in its order.
    pub(super) fn put_back(&mut self, number: u64, pending: Pending) {
        let session = pending.request().session;
        self.by_session.entry(session).or_default().push_back((number, pending));
    }

    /// The next number in the order in which clients ask.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Who waits for the transaction with this header, if it is somebody here.
    pub(super) fn claim(&mut self, header: &TxnHeader) -> Option<Entry> {
        let queue = self.by_session.get_mut(&header.client_id)?;
        let (_, front) = queue.front()?;
        let is_its = front.xid().0 == header.cxid
            && (front.opens() == (header.kind == OpCode::CreateSession));
        if !is_its {
            return None;
        }
        let (_, pending) = queue.pop_front()?;
        if queue.is_empty() {
            self.by_session.remove(&header.client_id);
        }
        Some(pending.into_entry())
    }

    /// Forgets what a session asked for that has ended; how much that was. The next leader must not be
    /// asked for it: with local sessions, it takes the session for one of this server.
    pub(super) fn end_session(&mut self, session: SessionId) -> usize {
        self.by_session.remove(&session).map_or(0, |queue| queue.len())
    }

    /// Takes everything out, in the order in which it came.
    pub(super) fn take(&mut self) -> Vec<(u64, Pending)> {
        let mut all: Vec<_> = self.by_session.drain().flat_map(|(_, queue)| queue).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all
    }

    /// Everything, in the order in which it came.
    pub(super) fn in_order(&self) -> Vec<&(u64, Pending)> {
        let mut all: Vec<_> = self.by_session.values().flatten().collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all
    }
}
