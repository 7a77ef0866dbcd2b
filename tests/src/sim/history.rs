//! What clients asked, were answered and were told, and when.

use std::collections::BTreeMap;

use quorate_protocol::{SessionId, Zxid};

use super::queue::Micros;
use crate::{Op, Reply};

/// A client, numbered from 0.
pub type ClientId = usize;

/// A request.
#[derive(Debug, Clone)]
pub struct Call {
    /// The connection it was sent on.
    pub stream: usize,
    /// Its session.
    pub session: SessionId,
    /// Its number in the session.
    pub xid: i32,
    /// What it asks for.
    pub op: Op,
    /// When it was sent.
    pub called_at: Micros,
    /// The greatest zxid of any write that had been answered by then, to whomever.
    pub answered_before: Zxid,
    /// The answer, and when it came. Without one nobody knows whether it was executed.
    pub answer: Option<(Micros, Reply)>,
}

impl Call {
    /// Whether it asks for the end of its session.
    pub fn ends_session(&self) -> bool {
        self.op == Op::Plain(quorate_protocol::OpCode::CloseSession)
    }

    /// Whether it is for the leader to execute.
    pub fn is_write(&self) -> bool {
        use quorate_protocol::OpCode;
        matches!(
            self.op,
            Op::Create(..)
                | Op::Delete(..)
                | Op::SetData(..)
                | Op::Multi(OpCode::Multi, _)
                | Op::Plain(OpCode::CloseSession)
        )
    }
}

/// Something that came on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The answer to a call, or to a ping; the state it is of.
    Reply { call: Option<usize>, zxid: Zxid },
    /// An event; the zxid is -1 for what was missed.
    Event { zxid: Zxid, kind: i32, path: String },
}

/// A connection with a session.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Whose it is.
    pub client: ClientId,
    /// The session.
    pub session: SessionId,
    /// When the server said so.
    pub since: Micros,
    /// The server said that it is read-only.
    pub read_only: bool,
    /// What came, in order.
    pub items: Vec<Item>,
}

/// Why a session was found to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The session.
    pub session: SessionId,
    /// When its client learned of it.
    pub at: Micros,
}

/// Everything that clients did and saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// All requests but pings, in the order in which they were sent.
    pub calls: Vec<Call>,
    /// All connections that got a session.
    pub streams: Vec<Stream>,
    /// All sessions that were refused.
    pub refused: Vec<Refused>,
    /// Whether sessions are known to their server alone, at first.
    pub has_local_sessions: bool,
    names: BTreeMap<(SessionId, i32), usize>,
    /// The greatest zxid of a write that was answered.
    answered: Zxid,
}

impl History {
    /// Nothing, so far.
    pub fn new(has_local_sessions: bool) -> Self {
        Self { has_local_sessions, ..Self::default() }
    }

    /// A connection has a session.
    pub fn attached(&mut self, client: ClientId, session: SessionId, at: Micros) -> usize {
        let read_only = false;
        self.streams.push(Stream { client, session, since: at, read_only, items: Vec::new() });
        self.streams.len() - 1
    }

    /// The server of a connection is read-only.
    pub fn only_reads(&mut self, stream: usize) {
        self.streams[stream].read_only = true;
    }

    /// A session was refused.
    pub fn refused(&mut self, session: SessionId, at: Micros) {
        self.refused.push(Refused { session, at });
    }

    /// A request is sent.
    pub fn called(&mut self, stream: usize, xid: i32, op: Op, at: Micros) -> usize {
        let session = self.streams[stream].session;
        let call = self.calls.len();
        self.names.insert((session, xid), call);
        self.calls.push(Call {
            stream,
            session,
            xid,
            op,
            called_at: at,
            answered_before: self.answered,
            answer: None,
        });
        call
    }

    /// A request is answered.
    pub fn answered(&mut self, call: usize, reply: Reply, at: Micros) {
        let zxid = Zxid(reply.zxid);
        let asked = &mut self.calls[call];
        if asked.is_write() {
            self.answered = self.answered.max(zxid);
        }
        self.streams[asked.stream].items.push(Item::Reply { call: Some(call), zxid });
        asked.answer = Some((at, reply));
    }

    /// A ping is answered.
    pub fn ponged(&mut self, stream: usize, zxid: Zxid) {
        self.streams[stream].items.push(Item::Reply { call: None, zxid });
    }

    /// An event came.
    pub fn told(&mut self, stream: usize, zxid: Zxid, kind: i32, path: String) {
        self.streams[stream].items.push(Item::Event { zxid, kind, path });
    }

    /// The call that a session gave this number.
    pub fn call_of(&self, session: SessionId, xid: i32) -> Option<usize> {
        self.names.get(&(session, xid)).copied()
    }

    /// The greatest zxid of a write that was answered.
    pub fn last_answered(&self) -> Zxid {
        self.answered
    }
}
