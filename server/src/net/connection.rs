//! One client connection with a session: its socket and its requests.
//!
//! The task of a connection answers reads itself, from the shared tree, as long as none of its
//! requests is in the pipeline. With one there, everything behind it goes through the pipeline
//! too, so that replies leave in the order of requests and a read sees the session's own earlier
//! writes and none of its later ones.

use std::{io, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::RwLockReadGuard;
use quorate_protocol::{
    Decode, Decoder, ErrorCode, Id, OpCode, SessionId, Xid, Zxid,
    frame::{FrameError, LENGTH_SIZE, peek_frame},
    record::RequestHeader,
};
use tokio::net::TcpStream;

use super::{Conn, End, load::TooMuch, outbox::BUFFER_KEPT};
use crate::{
    admin::{Answer, Tally},
    request::{
        self, Class, Request, auth, frame,
        read::{self, Read},
    },
    runtime::{Arrival, Behind, Input, Shared, between_us},
    tree::Tree,
};

/// Bytes waiting for the client above which its requests are left unread.
const OUTPUT_HIGH: usize = 256 << 10;
/// Requests of one connection in the pipeline above which further ones are left unread.
const IN_FLIGHT_MAX: usize = 1024;
/// Room made for the next bytes from the socket.
const READ_SIZE: usize = 8 << 10;

/// Why a connection ended, for the log.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The client closed it.
    #[error("closed by the client")]
    ByClient,
    /// The server closed it: after its last reply, or because its session went elsewhere or
    /// nothing was heard of it.
    #[error("closed by the server")]
    ByServer,
    /// The stream cannot be cut into frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first frame is no connect record.
    #[error("unreadable connect record")]
    BadConnect,
    /// Too many new connections at a time.
    #[error("the throttle of new connections has no token left")]
    Throttled,
    /// A large request while there are too many others.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    /// A frame too short for a request.
    #[error("a request of {0} bytes has no header")]
    NoHeader(usize),
    /// A request about the connection itself that cannot be decoded.
    #[error("unreadable auth or sasl request")]
    BadAuth,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A connection with a session.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct Connection {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    session: SessionId,
    auth: Arc<[Id]>,
    input: BytesMut,
    out: BytesMut,
    /// Requests of this turn that go to the pipeline together.
    batch: Vec<Input>,
    /// Nothing is read any more; the connection ends when its last reply has left.
    last_request_seen: bool,
    /// Whole requests may be in `input` for which there was no room.
    has_more: bool,
    /// When the last bytes of `input` came; none while they are new.
    arrived_us: Option<i64>,
    /// The client has authenticated as it must, or need not.
    admitted: bool,
    /// The last look found that there are too many requests in progress,
    held_up: bool,
    /// and that this connection has to stand in line.
    in_line: bool,
}

/// The handling of requests that came together.
struct Turn<'s> {
    /// When they came.
    received_us: i64,
    /// How many of them may go to the pipeline.
    room: usize,
    tally: Tally<'s>,
    /// Held from the first read of the turn on.
    tree: Option<RwLockReadGuard<'s, Tree>>,
}

impl Connection {
    /// Takes over behind the handshake; `input` holds what came behind the connect record.
    pub fn new(shared: Arc<Shared>, conn: Arc<Conn>, session: SessionId, input: BytesMut) -> Self {
        let auth = conn.auth();
        let admitted = auth::is_admitted(&shared.settings.required_schemes, &auth);
        Self {
            shared,
            conn,
            session,
            auth,
            input,
            out: BytesMut::new(),
            batch: Vec::new(),
            last_request_seen: false,
            has_more: true,
            arrived_us: None,
            admitted,
            held_up: false,
            in_line: false,
        }
    }

    /// Serves the connection until it ends; returns why.
    ///
    /// # Errors
    /// Always: there is no other way out.
    pub async fn serve(&mut self, stream: &Arc<TcpStream>) -> Result<(), Ended> {
        self.conn.outbox.connect(stream.clone());
        loop {
            // What the client does not take stays in the outbox, which is bounded.
            let end = if self.out.len() < OUTPUT_HIGH {
                self.conn.outbox.take(&mut self.out)
            } else {
                self.conn.outbox.ended()
            };
            if end == Some(End::Now) {
                return Err(Ended::ByServer);
            }
            let taken = send(stream, &mut self.out)?;
            self.conn.blocked(!self.out.is_empty(), taken > 0, || self.shared.clock.now_ms());
            if end.is_some() && self.out.is_empty() {
                return Err(Ended::ByServer);
            }
            // Behind an end nothing is answered any more, else it might never come.
            let has_room = end.is_none() && !self.last_request_seen && self.out.len() < OUTPUT_HIGH;
            let may_read = has_room && self.room() > 0;
            if may_read && self.has_more {
                self.requests(0)?;
                continue;
            }
            if may_read && self.out.is_empty() && !self.conn.outbox.rest() {
                continue;
            }
            tokio::select! {
                biased;
                () = self.conn.outbox.woken() => {}
                ready = stream.writable(), if !self.out.is_empty() => ready?,
                ready = stream.readable(), if may_read => {
                    ready?;
                    if self.receive(stream)? {
                        self.requests(0)?;
                    }
                }
                granted = self.shared.load.turn(), if has_room && self.in_line => {
                    self.requests(granted)?;
                    if !self.has_more && self.receive(stream)? {
                        self.requests(0)?;
                    }
                }
            }
        }
    }

    /// Takes what has come; false when it was a false alarm.
    fn receive(&mut self, stream: &TcpStream) -> Result<bool, Ended> {
        self.input.reserve(READ_SIZE);
        if self.input.is_empty() && self.input.capacity() > BUFFER_KEPT {
            self.input = BytesMut::with_capacity(READ_SIZE);
        }
        self.arrived_us = None;
        match stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(Ended::ByClient),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How many requests may go to the pipeline before replies have left. If none, then either
    /// replies are to come, or this connection has to wait for its turn.
    fn room(&mut self) -> usize {
        let own = self.conn.in_flight();
        let load = &self.shared.load;
        let room = load.room(own).min(IN_FLIGHT_MAX.saturating_sub(own));
        self.in_line = room > 0 && load.is_full();
        let room = if self.in_line { 0 } else { room };
        let was = std::mem::replace(&mut self.held_up, room == 0);
        if self.held_up && !was {
            self.shared.stats.request_throttle_wait_count.add(1);
        }
        room
    }

    /// Handles the whole requests that have come, as far as there is room for them and for their
    /// replies; so many are granted already.
    fn requests(&mut self, granted: usize) -> Result<(), Ended> {
        let shared = self.shared.clone();
        let conn = self.conn.clone();
        let now_us = shared.clock.now_us();
        let received_us = *self.arrived_us.get_or_insert(now_us);
        let room = shared.load.grant(granted, self.room());
        let tally = shared.stats.tally(&conn.stats);
        let mut turn = Turn { received_us, room, tally, tree: None };
        self.has_more = true;
        let mut handled = Ok(true);
        while matches!(handled, Ok(true)) && !self.last_request_seen && self.has_room(&turn) {
            handled = self.next_request(&shared, &mut turn);
            self.has_more = matches!(handled, Ok(true));
            if self.has_more {
                // Only a whole request counts: a client that sends byte by byte is silent.
                conn.heard(now_us / 1000);
            }
        }
        drop(turn);
        shared.load.give_back(room - self.batch.len());
        if !self.batch.is_empty() {
            conn.hand_over(self.batch.len());
            shared.load.begin(self.batch.len());
            shared.pipeline.submit(&shared, &mut self.batch);
        }
        handled.map(|_| ())
    }

    /// Whether another request may be handled in this turn.
    fn has_room(&self, turn: &Turn<'_>) -> bool {
        self.out.len() < OUTPUT_HIGH && self.batch.len() < turn.room
    }

    /// Handles the next request; false when it has not come whole.
    fn next_request<'s>(&mut self, shared: &'s Shared, turn: &mut Turn<'s>) -> Result<bool, Ended> {
        let Some(payload) = peek_frame(&self.input, shared.settings.limits.request_bytes)? else {
            if let Some(&length) = self.input.first_chunk::<LENGTH_SIZE>() {
                // It is not waited for if there will be no room for it.
                shared.load.admit(u32::from_be_bytes(length) as usize)?;
            }
            return Ok(false);
        };
        let length = payload.len();
        let mut decoder = Decoder::new(payload);
        let header = RequestHeader::decode(&mut decoder).map_err(|_| Ended::NoHeader(length))?;
        let xid = header.xid;
        let class = request::classify(header.op);
        if !self.admitted && !matches!(class, Class::Auth | Class::Sasl) {
            self.take_body(length);
            turn.tally.request(OpCode::Error, LENGTH_SIZE + length);
            let mut reply = BytesMut::new();
            auth::put_unauthenticated_reply(xid, &mut reply);
            self.last_request_seen = true;
            self.reply(OpCode::Error, xid, reply, turn);
            return Ok(true);
        }
        let large = shared.load.admit(length)?;
        match class {
            Class::Read(OpCode::Sync) if shared.settings.ensemble.is_some() => {
                turn.tally.request(OpCode::Sync, LENGTH_SIZE + length);
                let request = self.take_request(length, xid, OpCode::Sync);
                let arrival = Arrival { at_us: turn.received_us, large };
                self.batch.push(Input::Sync { conn: self.conn.clone(), request, arrival });
            }
            Class::Read(op) => {
                turn.tally.request(op, LENGTH_SIZE + length);
                if self.is_alone() {
                    self.answer_read(shared, turn, xid, op, length);
                } else {
                    let request = self.take_request(length, xid, op);
                    let arrival = Arrival { at_us: turn.received_us, large };
                    self.behind(Behind::Read(request), arrival);
                }
            }
            Class::Write(op) => {
                turn.tally.request(op, LENGTH_SIZE + length);
                let request = self.take_request(length, xid, op);
                self.last_request_seen = op == OpCode::CloseSession;
                let arrival = Arrival { at_us: turn.received_us, large };
                self.batch.push(Input::Write { conn: self.conn.clone(), request, arrival });
            }
            Class::Auth => {
                let body = self.take_body(length);
                let mut reply = BytesMut::new();
                let ids =
                    auth::authenticate(&shared.settings.auth, &self.auth, xid, &body, &mut reply)
                        .map_err(|_| Ended::BadAuth)?;
                turn.tally.request(OpCode::Auth, LENGTH_SIZE + length);
                if let Some(ids) = ids {
                    self.admitted = auth::is_admitted(&shared.settings.required_schemes, &ids);
                    self.auth = ids.clone();
                    self.conn.set_auth(ids);
                } else {
                    shared.stats.auth_failed_count.add(1);
                    self.last_request_seen = true;
                }
                self.reply(OpCode::Auth, xid, reply, turn);
            }
            Class::Sasl => {
                let body = self.take_body(length);
                let mut reply = BytesMut::new();
                auth::put_sasl_reply(xid, &body, &mut reply).map_err(|_| Ended::BadAuth)?;
                turn.tally.request(OpCode::Sasl, LENGTH_SIZE + length);
                self.reply(OpCode::Sasl, xid, reply, turn);
            }
            Class::Unknown => {
                self.take_body(length);
                turn.tally.request(OpCode::Error, LENGTH_SIZE + length);
                let mut reply = BytesMut::new();
                auth::put_unknown_reply(xid, &mut reply);
                self.last_request_seen = true;
                self.reply(OpCode::Error, xid, reply, turn);
            }
        }
        Ok(true)
    }

    /// Whether nothing of this connection is in the pipeline or about to go there.
    fn is_alone(&self) -> bool {
        self.batch.is_empty() && self.conn.in_flight() == 0
    }

    /// Answers the read at the front of the input from the shared tree.
    fn answer_read<'s>(
        &mut self,
        shared: &'s Shared,
        turn: &mut Turn<'s>,
        xid: Xid,
        op: OpCode,
        length: usize,
    ) {
        let tree = turn.tree.get_or_insert_with(|| {
            let tree = shared.tree.read();
            // Whoever changes the tree puts the events into the outbox before readers see it. So
            // these come first, and no more can come while the tree is locked.
            self.conn.outbox.take(&mut self.out);
            tree
        });
        let body = &self.input[LENGTH_SIZE + RequestHeader::SIZE..LENGTH_SIZE + length];
        let request =
            Read { session: self.session, conn: self.conn.id, xid, op, body, ids: &self.auth };
        let before = self.out.len();
        let zxid = tree.last_zxid();
        if shared.waited_too_long(op, turn.received_us) {
            frame::put_empty_reply(&mut self.out, xid, zxid, ErrorCode::ThrottledOp);
        } else {
            read::execute(tree, &shared.watches, &request, &mut self.out);
        }
        let now_us = shared.clock.now_us();
        turn.tally.answer(&Answer {
            op,
            xid,
            zxid,
            bytes: self.out.len() - before,
            latency: between_us(turn.received_us, now_us),
            at_ms: now_us / 1000,
        });
        self.input.advance(LENGTH_SIZE + length);
    }

    /// Sends a reply that is ready, in its turn. Behind the last request, the end follows it.
    fn reply(&mut self, op: OpCode, xid: Xid, reply: BytesMut, turn: &mut Turn<'_>) {
        let end = self.last_request_seen;
        if !self.is_alone() {
            let arrival = Arrival::at(turn.received_us);
            self.behind(Behind::Reply { op, xid, reply, end }, arrival);
            return;
        }
        let now_us = self.shared.clock.now_us();
        turn.tally.answer(&Answer {
            op,
            xid,
            zxid: Zxid::ZERO,
            bytes: reply.len(),
            latency: between_us(turn.received_us, now_us),
            at_ms: now_us / 1000,
        });
        self.conn.outbox.take(&mut self.out);
        self.out.extend_from_slice(&reply);
        if end {
            self.conn.outbox.end(End::AfterFlush);
        }
    }

    fn behind(&mut self, item: Behind, arrival: Arrival) {
        self.batch.push(Input::Behind { conn: self.conn.clone(), item, arrival });
    }

    /// Takes the request at the front of the input for the pipeline; its bytes are shared.
    fn take_request(&mut self, length: usize, xid: Xid, op: OpCode) -> Request {
        Request {
            session: self.session,
            conn: self.conn.id,
            xid,
            op,
            body: self.take_body(length),
            auth: self.auth.clone(),
        }
    }

    fn take_body(&mut self, length: usize) -> Bytes {
        let mut frame = self.input.split_to(LENGTH_SIZE + length);
        frame.advance(LENGTH_SIZE + RequestHeader::SIZE);
        frame.freeze()
    }
}

/// Sends as much as the socket takes now, and tells how much that was.
pub(super) fn send(sender: &TcpStream, out: &mut BytesMut) -> io::Result<usize> {
    let (before, capacity) = (out.len(), out.capacity());
    while !out.is_empty() {
        match sender.try_write(out) {
            Ok(sent) => out.advance(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    let sent = before - out.len();
    if out.is_empty() && capacity > BUFFER_KEPT {
        *out = BytesMut::new();
    }
    Ok(sent)
}
