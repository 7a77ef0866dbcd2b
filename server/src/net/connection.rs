//! One client connection with a session: its socket and its requests.
//!
//! The task of a connection answers reads itself, from the shared tree, as long as none of its
//! requests is in the pipeline. With one there, everything behind it goes through the pipeline
//! too, so that replies leave in the order of requests and a read sees the session's own earlier
//! writes and none of its later ones.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::RwLockReadGuard;
use quorate_protocol::{
    Decode, Decoder, Id, OpCode, SessionId, Xid, Zxid,
    frame::{self, FrameError, LENGTH_SIZE},
    record::RequestHeader,
};
use tokio::net::TcpStream;

use super::{Conn, End};
use crate::{
    admin::{Answer, Tally},
    request::{
        self, Class, Request, auth,
        read::{self, Read},
    },
    runtime::{Behind, Input, Shared},
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
    /// The client has seen more than this server has.
    #[error("the client has seen {seen}, this server only {applied}")]
    AheadOfServer {
        /// What the client says it has seen.
        seen: Zxid,
        /// What this server has applied.
        applied: Zxid,
    },
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
}

/// The handling of requests that came together.
struct Turn<'s> {
    received_us: i64,
    tally: Tally<'s>,
    /// Held from the first read of the turn on.
    tree: Option<RwLockReadGuard<'s, Tree>>,
}

impl Connection {
    /// Takes over behind the handshake; `input` holds what came behind the connect record.
    pub fn new(shared: Arc<Shared>, conn: Arc<Conn>, session: SessionId, input: BytesMut) -> Self {
        let auth = conn.auth();
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
        }
    }

    /// Serves the connection until it ends; returns why.
    ///
    /// # Errors
    /// Always: there is no other way out.
    pub async fn serve(&mut self, stream: &Arc<TcpStream>) -> Result<(), Ended> {
        self.conn.outbox.connect(stream.clone());
        loop {
            let end = self.conn.outbox.take(&mut self.out);
            if end == Some(End::Now) {
                return Err(Ended::ByServer);
            }
            send(stream, &mut self.out)?;
            self.conn.blocked(!self.out.is_empty(), || self.shared.clock.now_ms());
            if end.is_some() && self.out.is_empty() {
                return Err(Ended::ByServer);
            }
            let may_read = !self.last_request_seen && self.has_room();
            if may_read && self.has_more {
                self.requests()?;
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
                        self.requests()?;
                    }
                }
            }
        }
    }

    /// Takes what has come; false when it was a false alarm.
    fn receive(&mut self, stream: &TcpStream) -> Result<bool, Ended> {
        self.input.reserve(READ_SIZE);
        match stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(Ended::ByClient),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether another request may be handled before replies have left.
    fn has_room(&self) -> bool {
        self.out.len() < OUTPUT_HIGH && self.conn.in_flight() + self.batch.len() < IN_FLIGHT_MAX
    }

    /// Handles the whole requests that have come, as far as there is room for their replies.
    fn requests(&mut self) -> Result<(), Ended> {
        let shared = self.shared.clone();
        let conn = self.conn.clone();
        let received_us = shared.clock.now_us();
        let mut turn = Turn { received_us, tally: shared.stats.tally(&conn.stats), tree: None };
        self.has_more = true;
        let mut handled = Ok(true);
        while matches!(handled, Ok(true)) && !self.last_request_seen && self.has_room() {
            handled = self.next_request(&shared, &mut turn);
            self.has_more = matches!(handled, Ok(true));
            if self.has_more {
                // Only a whole request counts: a client that sends byte by byte is silent.
                conn.heard(received_us / 1000);
            }
        }
        drop(turn);
        if !self.batch.is_empty() {
            conn.hand_over(self.batch.len());
            shared.pipeline.submit(&shared, &mut self.batch);
        }
        handled.map(|_| ())
    }

    /// Handles the next request; false when it has not come whole.
    fn next_request<'s>(&mut self, shared: &'s Shared, turn: &mut Turn<'s>) -> Result<bool, Ended> {
        let Some(payload) = frame::peek_frame(&self.input, shared.settings.limits.request_bytes)?
        else {
            return Ok(false);
        };
        let length = payload.len();
        let mut decoder = Decoder::new(payload);
        let header = RequestHeader::decode(&mut decoder).map_err(|_| Ended::NoHeader(length))?;
        let xid = header.xid;
        match request::classify(header.op) {
            Class::Read(op) => {
                turn.tally.request(op, LENGTH_SIZE + length);
                if self.is_alone() {
                    self.answer_read(shared, turn, xid, op, length);
                } else {
                    let request = self.take_request(length, xid, op);
                    self.behind(Behind::Read(request), turn.received_us);
                }
            }
            Class::Write(op) => {
                turn.tally.request(op, LENGTH_SIZE + length);
                let request = self.take_request(length, xid, op);
                self.last_request_seen = op == OpCode::CloseSession;
                let (conn, received_us) = (self.conn.clone(), turn.received_us);
                self.batch.push(Input::Write { conn, request, received_us });
            }
            Class::Auth => {
                let body = self.take_body(length);
                turn.tally.request(OpCode::Auth, LENGTH_SIZE + length);
                let mut reply = BytesMut::new();
                let ids =
                    auth::authenticate(&shared.settings.auth, &self.auth, xid, &body, &mut reply)
                        .map_err(|_| Ended::BadAuth)?;
                if let Some(ids) = ids {
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
                turn.tally.request(OpCode::Sasl, LENGTH_SIZE + length);
                let mut reply = BytesMut::new();
                auth::put_sasl_reply(xid, &body, &mut reply).map_err(|_| Ended::BadAuth)?;
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
        read::execute(tree, &shared.watches, &request, &mut self.out);
        let now_us = shared.clock.now_us();
        turn.tally.answer(&Answer {
            op,
            xid,
            zxid,
            bytes: self.out.len() - before,
            latency: micros(now_us - turn.received_us),
            at_ms: now_us / 1000,
        });
        self.input.advance(LENGTH_SIZE + length);
    }

    /// Sends a reply that is ready, in its turn. Behind the last request, the end follows it.
    fn reply(&mut self, op: OpCode, xid: Xid, reply: BytesMut, turn: &mut Turn<'_>) {
        let end = self.last_request_seen;
        if !self.is_alone() {
            self.behind(Behind::Reply { op, xid, reply, end }, turn.received_us);
            return;
        }
        let now_us = self.shared.clock.now_us();
        turn.tally.answer(&Answer {
            op,
            xid,
            zxid: Zxid::ZERO,
            bytes: reply.len(),
            latency: micros(now_us - turn.received_us),
            at_ms: now_us / 1000,
        });
        self.conn.outbox.take(&mut self.out);
        self.out.extend_from_slice(&reply);
        if end {
            self.conn.outbox.end(End::AfterFlush);
        }
    }

    fn behind(&mut self, item: Behind, received_us: i64) {
        self.batch.push(Input::Behind { conn: self.conn.clone(), item, received_us });
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

fn micros(us: i64) -> Duration {
    Duration::from_micros(us.unsigned_abs())
}

/// Sends as much as the socket takes now.
fn send(sender: &TcpStream, out: &mut BytesMut) -> io::Result<()> {
    while !out.is_empty() {
        match sender.try_write(out) {
            Ok(sent) => out.advance(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
