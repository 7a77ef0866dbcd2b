//! One client connection with a session: its socket.

use std::{io, sync::Arc};

use bytes::{Buf, BytesMut};
use quorate_protocol::{SessionId, frame::FrameError};
use tokio::net::TcpStream;

use super::{Conn, End, load::TooMuch, outbox::BUFFER_KEPT, requests::Requests};
use crate::runtime::Shared;

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
pub struct Connection {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    requests: Requests,
}

impl Connection {
    /// Takes over behind the handshake; `input` holds what came behind the connect record.
    pub fn new(shared: Arc<Shared>, conn: Arc<Conn>, session: SessionId, input: BytesMut) -> Self {
        let requests = Requests::new(shared.clone(), conn.clone(), session, input);
        Self { shared, conn, requests }
    }

    /// Serves the connection until it ends; returns why.
    ///
    /// # Errors
    /// Always: there is no other way out.
    pub async fn serve(&mut self, stream: &Arc<TcpStream>) -> Result<(), Ended> {
        self.conn.outbox.connect(stream.clone());
        loop {
            let end = self.requests.collect();
            if end == Some(End::Now) {
                return Err(Ended::ByServer);
            }
            let out = &mut self.requests.out;
            let taken = send(stream, out)?;
            self.conn.blocked(!out.is_empty(), taken > 0, || self.shared.clock.now_ms());
            if end.is_some() && out.is_empty() {
                return Err(Ended::ByServer);
            }
            // Behind an end nothing is answered any more, else it might never come.
            let has_room = end.is_none() && self.requests.has_room_for_replies();
            let may_read = has_room && self.requests.may_go_on();
            if may_read && self.requests.has_more() {
                self.requests.turn(0)?;
                continue;
            }
            let has_sent_all = self.requests.out.is_empty();
            if may_read && has_sent_all && !self.conn.outbox.rest() {
                continue;
            }
            tokio::select! {
                biased;
                () = self.conn.outbox.woken() => {}
                ready = stream.writable(), if !has_sent_all => ready?,
                ready = stream.readable(), if may_read => {
                    ready?;
                    if self.receive(stream)? {
                        self.requests.turn(0)?;
                    }
                }
                granted = self.shared.load.turn(), if has_room && self.requests.is_in_line() => {
                    self.requests.turn(granted)?;
                    if !self.requests.has_more() && self.receive(stream)? {
                        self.requests.turn(0)?;
                    }
                }
            }
        }
    }

    /// Takes what has come; false when it was a false alarm.
    fn receive(&mut self, stream: &TcpStream) -> Result<bool, Ended> {
        let input = self.requests.new_input();
        input.reserve(READ_SIZE);
        if input.is_empty() && input.capacity() > BUFFER_KEPT {
            *input = BytesMut::with_capacity(READ_SIZE);
        }
        match stream.try_read_buf(input) {
            Ok(0) => Err(Ended::ByClient),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
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
