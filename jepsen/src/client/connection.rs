//! A TCP connection to a server with a session attached.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use quorate_protocol::{
    Decode, Encode,
    frame::{next_frame, put_frame},
    record::{ConnectRequest, ConnectResponse},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::wire;
use crate::history::{Op, Outcome, SessionId, Zxid};

/// The longest reply taken: lists of children are long.
const FRAME_LIMIT: usize = 64 << 20;

/// What a client needs to have its session on another connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credentials {
    pub(super) id: SessionId,
    pub(super) passwd: [u8; 16],
    pub(super) timeout_ms: i32,
}

impl Credentials {
    /// Those of a session to be opened.
    pub(super) fn new(timeout: Duration) -> Self {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        Self { id: SessionId(0), passwd: [0; 16], timeout_ms }
    }
}

/// A server's answer to the wish for a session.
#[derive(Debug)]
pub(super) enum Granted {
    /// The session, with the timeout agreed on.
    Yes(Credentials),
    /// There is no such session (any more).
    No,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    stream: TcpStream,
    input: BytesMut,
    /// The xid sent last, and the one answered last.
    sent: i32,
    answered: i32,
}

impl Connection {
    /// Connects and asks for a session.
    pub(super) async fn open(
        id: u64,
        addr: SocketAddr,
        wanted: &Credentials,
        last_zxid: Zxid,
    ) -> io::Result<(Self, Granted)> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self { id, stream, input: BytesMut::new(), sent: 0, answered: 0 };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: quorate_protocol::Zxid(last_zxid.0),
            timeout_ms: wanted.timeout_ms,
            session_id: quorate_protocol::SessionId(wanted.id.0),
            passwd: &wanted.passwd,
            read_only: Some(false),
        };
        let mut frame = BytesMut::new();
        put_frame(&mut frame, |out| request.encode(out));
        connection.stream.write_all(&frame).await?;
        let answer = connection.frame().await?;
        let answer = ConnectResponse::from_bytes(&answer).map_err(io::Error::other)?;
        let granted = if answer.timeout_ms > 0 {
            Granted::Yes(Credentials {
                id: SessionId(answer.session_id.0),
                passwd: answer.passwd,
                timeout_ms: answer.timeout_ms,
            })
        } else {
            Granted::No
        };
        Ok((connection, granted))
    }

    /// Sends requests in one write.
    pub(super) async fn send(&mut self, ops: impl Iterator<Item = &Op>) -> io::Result<()> {
        let mut out = BytesMut::new();
        for op in ops {
            self.sent += 1;
            put_frame(&mut out, |out| wire::put_request(out, self.sent, op));
        }
        self.stream.write_all(&out).await
    }

    /// The outcome of the oldest request that is not answered, which is `op`.
    pub(super) async fn receive(&mut self, op: &Op) -> io::Result<Outcome> {
        let reply = self.frame().await?;
        self.answered += 1;
        wire::outcome(&reply, self.answered, op).map_err(io::Error::other)
    }

    async fn frame(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(frame) =
                next_frame(&mut self.input, FRAME_LIMIT).map_err(io::Error::other)?
            {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
