//! The requests of one client with a session: from bytes that came to bytes to be sent.
//!
//! Reads are answered here, from the shared tree, as long as none of the client's
//! requests is in the pipeline. With one there, everything behind it goes through the pipeline
//! too, so that replies leave in the order of requests and a read sees the session's own earlier
//! writes and none of its later ones.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::RwLockReadGuard;
use quorate_protocol::{
    Decode, Decoder, ErrorCode, Id, OpCode, SessionId, Xid, Zxid,
    frame::{LENGTH_SIZE, peek_frame},
    record::RequestHeader,
};

use super::{Conn, End, Ended};
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

/// A connection with a session, but for its socket.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct Requests {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    session: SessionId,
    auth: Arc<[Id]>,
    input: BytesMut,
    /// What is to be sent, for others to take.
    pub out: BytesMut,
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

impl Requests {
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

    /// Moves what the pipeline has answered to the output, unless much waits there: what the client
    /// does not take stays in the outbox, which is bounded. Says how the connection ends, if it
    /// does.
    pub fn collect(&mut self) -> Option<End> {
        if self.out.len() < OUTPUT_HIGH {
            self.conn.outbox.take(&mut self.out)
        } else {
            self.conn.outbox.ended()
        }
    }

    /// Whether requests are read at all: replies are still taken, and no request was the last.
    pub(super) fn has_room_for_replies(&self) -> bool {
        !self.last_request_seen && self.out.len() < OUTPUT_HIGH
    }

    /// Whether there is room for a request, but for one that the load grants.
    pub(super) fn may_go_on(&mut self) -> bool {
        self.has_room_for_replies() && self.room() > 0
    }

    /// Whether whole requests may be there for which there was no room.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Whether the connection has to wait until the load lets it go on.
    pub(super) fn is_in_line(&self) -> bool {
        self.in_line
    }

    /// Where bytes that come are to be appended.
    pub(super) fn new_input(&mut self) -> &mut BytesMut {
        self.arrived_us = None;
        &mut self.input
    }

    /// Appends bytes that have come.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.new_input().extend_from_slice(bytes);
        self.has_more = true;
    }

    /// Handles what has come, as far as there is room for it, until there is nothing more to be
    /// done without the pipeline. What is to be sent is in the output then.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub fn handle(&mut self) -> Result<(), Ended> {
        while self.has_more && self.may_go_on() {
            self.turn(0)?;
        }
        Ok(())
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
    pub(super) fn turn(&mut self, granted: usize) -> Result<(), Ended> {
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
            is_local: false,
        }
    }

    fn take_body(&mut self, length: usize) -> Bytes {
        let mut frame = self.input.split_to(LENGTH_SIZE + length);
        frame.advance(LENGTH_SIZE + RequestHeader::SIZE);
        frame.freeze()
    }
}
