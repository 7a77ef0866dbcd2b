//! One of the two servers: performs steps over its connections and describes what came back in
//! terms that do not depend on the server.

use std::{
    collections::HashMap,
    io,
    net::{Shutdown, SocketAddr},
};

use quorate_protocol::{OpCode, SessionId, Stat, Xid};
use quorate_tests::{Body, Connection, Frame, Op, Reply, Server, Session, wire};

use super::{
    Outcome,
    script::{SHORT_TIMEOUT_MS, SLOTS, Step, TIMEOUT_MS},
};

/// What a connection saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    /// A reply or event.
    Reply(Reply),
    /// An accepted session, by its number in order of creation, with its timeout.
    Attached(usize, i32),
    /// A refused session.
    Refused,
    /// The server closed the connection.
    Closed,
    /// Something that should not happen, such as no answer in time.
    Failed(String),
}

impl Observed {
    /// Whether this answers a request.
    pub(super) fn is_reply(&self) -> bool {
        matches!(self, Self::Reply(reply) if !matches!(reply.body, Body::Event(..)))
    }
}

/// A server with its connections.
pub(super) struct Side {
    server: Server,
    slots: Vec<Connection>,
    normal: Normaliser,
}

impl Side {
    /// Connects every slot in order.
    pub(super) fn new(server: Server) -> Self {
        let connect = |_| {
            Connection::with_new_session(server.addr(), TIMEOUT_MS).expect("a new server accepts")
        };
        let slots: Vec<_> = (0..SLOTS).map(connect).collect();
        let mut normal = Normaliser::default();
        for slot in &slots {
            normal.session_number(slot.session.id);
        }
        Self { server, slots, normal }
    }

    /// Performs a step and collects what every slot saw.
    pub(super) fn perform(&mut self, step: &Step) -> Outcome {
        let mut outcome: Outcome = vec![Vec::new(); SLOTS];
        match step {
            Step::Burst { slot, ops } => self.burst(*slot, ops, &mut outcome[*slot]),
            Step::Close { slot } => {
                let close = [Op::Plain(OpCode::CloseSession)];
                self.fatal(*slot, |c| c.send(&close).map(drop), &close[0], &mut outcome[*slot]);
                self.attach_new(*slot, &mut outcome[*slot]);
            }
            Step::Reattach { slot, stray } => {
                self.reattach(*slot, stray.as_ref(), &mut outcome[*slot]);
            }
            Step::Fatal { slot, op } => {
                let ops = std::slice::from_ref(op);
                self.fatal(*slot, |c| c.send(ops).map(drop), op, &mut outcome[*slot]);
                self.reattach(*slot, None, &mut outcome[*slot]);
            }
            Step::Garbage { slot, bytes } => {
                self.fatal(*slot, |c| c.send_raw(bytes), &Op::ping(), &mut outcome[*slot]);
                self.reattach(*slot, None, &mut outcome[*slot]);
            }
            Step::Expire { slot, path } => self.expire(*slot, path, &mut outcome[*slot]),
        }
        self.fence(&mut outcome);
        if matches!(step, Step::Close { .. } | Step::Expire { .. }) {
            for seen in &mut outcome {
                sort_events_of_one_transaction(seen);
            }
        }
        outcome
    }

    /// Sends requests in one go and reads their replies with the events between them.
    fn burst(&mut self, slot: usize, ops: &[Op], seen: &mut Vec<Observed>) {
        let connection = &mut self.slots[slot];
        let mut result = connection.send(ops).map(drop);
        let mut due = ops.iter();
        while result.is_ok() && due.len() > 0 {
            match connection.read_frame() {
                Ok(frame) => {
                    let op = if frame.is_event() { None } else { due.next() };
                    seen.push(self.normal.frame(&frame, op));
                }
                Err(e) => result = Err(e),
            }
        }
        if let Err(e) = result {
            seen.push(failure(&e));
            self.reattach(slot, None, seen);
        }
    }

    /// Sends something after which the server closes the connection.
    fn fatal(
        &mut self,
        slot: usize,
        send: impl FnOnce(&mut Connection) -> io::Result<()>,
        op: &Op,
        seen: &mut Vec<Observed>,
    ) {
        let connection = &mut self.slots[slot];
        match send(connection).and_then(|()| connection.read_to_end()) {
            Ok(frames) => {
                seen.extend(frames.iter().map(|frame| self.normal.frame(frame, Some(op))));
                seen.push(Observed::Closed);
            }
            Err(e) => seen.push(failure(&e)),
        }
    }

    /// Cuts the slot's connection and attaches to its session again; before that, perhaps, with
    /// credentials that are wrong. If the session is gone, opens a new one.
    fn reattach(&mut self, slot: usize, stray: Option<&Session>, seen: &mut Vec<Observed>) {
        let old = &self.slots[slot];
        // The server may have closed it already.
        let _ = old.stream().shutdown(Shutdown::Both);
        let (mut session, last_zxid) = (old.session.clone(), old.last_zxid);
        if session.id == SessionId::NONE {
            return self.attach_new(slot, seen);
        }
        session.timeout_ms = TIMEOUT_MS;
        if let Some(stray) = stray {
            let stray = Session {
                id: if stray.id == SessionId::NONE { session.id } else { stray.id },
                ..stray.clone()
            };
            let (_, observed) = self.attach(&stray, last_zxid);
            seen.push(observed);
        }
        let (connection, observed) = self.attach(&session, last_zxid);
        let refused = observed == Observed::Refused;
        seen.push(observed);
        match connection {
            Some(connection) if !refused => self.slots[slot] = connection,
            _ => self.attach_new(slot, seen),
        }
    }

    fn attach_new(&mut self, slot: usize, seen: &mut Vec<Observed>) {
        let (connection, observed) = self.attach(&Session::new(TIMEOUT_MS), 0);
        seen.push(observed);
        if let Some(connection) = connection {
            self.slots[slot] = connection;
        }
    }

    fn attach(&mut self, session: &Session, last_zxid: i64) -> (Option<Connection>, Observed) {
        let attempt = connect(self.server.addr(), session, last_zxid);
        match attempt {
            Ok(connection) if connection.session.is_accepted() => {
                let number = self.normal.session_number(connection.session.id);
                let observed = Observed::Attached(number, connection.session.timeout_ms);
                (Some(connection), observed)
            }
            Ok(_) => (None, Observed::Refused),
            Err(e) => (None, failure(&e)),
        }
    }

    /// Opens a session with an ephemeral node, abandons it, and waits until the node is gone.
    fn expire(&mut self, slot: usize, path: &str, seen: &mut Vec<Observed>) {
        let (connection, observed) = self.attach(&Session::new(SHORT_TIMEOUT_MS), 0);
        seen.push(observed);
        let Some(mut connection) = connection else { return };
        let create = Op::create(path, b"until the session ends", 1);
        let created = connection.call(&create);
        seen.push(match &created {
            Ok(frame) => self.normal.frame(frame, Some(&create)),
            Err(e) => failure(e),
        });
        if !created.is_ok_and(|frame| frame.error == 0) {
            // Left alone, the session would expire in the middle of a later step.
            let close = connection.call(&Op::Plain(OpCode::CloseSession));
            return drop(close);
        }
        let watch = Op::Read(OpCode::Exists, path.to_owned(), true);
        self.burst(slot, &[watch], seen);
        if !matches!(seen.last(), Some(Observed::Reply(reply)) if reply.error == 0) {
            return; // It has expired already: this machine is slow today.
        }
        drop(connection);
        loop {
            match self.slots[slot].read_frame() {
                Ok(frame) => seen.push(self.normal.frame(&frame, None)),
                Err(e) => return seen.push(failure(&e)),
            }
            if let Some(Observed::Reply(Reply { body: Body::Event(2, _, gone), .. })) = seen.last()
                && gone == path
            {
                return;
            }
        }
    }

    /// Reads the events every connection has got: when a ping is answered, they all have come.
    fn fence(&mut self, outcome: &mut Outcome) {
        let ping = [Op::ping()];
        let sent: Vec<_> = self.slots.iter_mut().map(|slot| slot.send(&ping)).collect();
        for (slot, (sent, seen)) in sent.into_iter().zip(outcome).enumerate() {
            if let Err(e) = sent.and_then(|_| self.read_until_ping(slot, seen)) {
                seen.push(failure(&e));
                self.reattach(slot, None, seen);
            }
        }
    }

    fn read_until_ping(&mut self, slot: usize, seen: &mut Vec<Observed>) -> io::Result<()> {
        loop {
            let frame = self.slots[slot].read_frame()?;
            seen.push(self.normal.frame(&frame, None));
            if frame.xid == Xid::PING.0 {
                return Ok(());
            }
        }
    }
}

fn connect(addr: SocketAddr, session: &Session, last_zxid: i64) -> io::Result<Connection> {
    let mut connection = Connection::open(addr)?;
    connection.attach(session, last_zxid)?;
    Ok(connection)
}

fn failure(error: &io::Error) -> Observed {
    if wire::is_closed(error) { Observed::Closed } else { Observed::Failed(error.to_string()) }
}

/// Turns what differs between any two servers into what must not.
#[derive(Default)]
struct Normaliser {
    /// Session ids in order of creation.
    sessions: HashMap<SessionId, usize>,
    /// The time of each transaction seen so far.
    times: HashMap<i64, i64>,
}

impl Normaliser {
    fn session_number(&mut self, id: SessionId) -> usize {
        let next = self.sessions.len() + 1;
        *self.sessions.entry(id).or_insert(next)
    }

    fn frame(&mut self, frame: &Frame, op: Option<&Op>) -> Observed {
        let mut reply = Reply::parse(frame, op.map_or(0, Op::code));
        for stat in reply.stats_mut() {
            if let Err(wrong) = self.stat(stat) {
                return Observed::Failed(wrong);
            }
        }
        match &mut reply.body {
            // Both keep them in hash tables.
            Body::Names(names, _) => names.sort(),
            Body::Ids(ids) => ids.sort(),
            Body::Acl(entries, _) => sort_expanded_identities(entries),
            Body::Results(results) => {
                for (_, _, body) in results {
                    if let Body::Names(names, _) = body {
                        names.sort();
                    }
                }
            }
            _ => {}
        }
        Observed::Reply(reply)
    }

    /// Replaces the owner by its session's number, and the times by zeros once they are found to
    /// be those of their transactions.
    fn stat(&mut self, stat: &mut Stat) -> Result<(), String> {
        let times = [(stat.czxid, &mut stat.ctime), (stat.mzxid, &mut stat.mtime)];
        for (zxid, time) in times {
            let known = *self.times.entry(zxid.0).or_insert(*time);
            if known != *time {
                return Err(format!("transaction {zxid} has the times {known} and {time}"));
            }
            *time = 0;
        }
        if stat.ephemeral_owner != SessionId::NONE {
            let number = self.session_number(stat.ephemeral_owner);
            stat.ephemeral_owner = SessionId(i64::try_from(number).expect("few sessions"));
        }
        Ok(())
    }
}

/// A session's ephemeral nodes go in no particular order.
fn sort_events_of_one_transaction(seen: &mut [Observed]) {
    let same = |a: &Observed, b: &Observed| match (a, b) {
        (Observed::Reply(a), Observed::Reply(b)) => a.xid == -1 && b.xid == -1 && a.zxid == b.zxid,
        _ => false,
    };
    for events in seen.chunk_by_mut(same) {
        events.sort_by_key(|event| format!("{event:?}"));
    }
}

/// The scheme `auth` expands to the identities of the connection, which are kept in a hash set.
fn sort_expanded_identities(entries: &mut [(i32, String, String)]) {
    for group in entries.chunk_by_mut(|a, b| a.0 == b.0 && a.1 == "digest" && b.1 == "digest") {
        group.sort();
    }
}
