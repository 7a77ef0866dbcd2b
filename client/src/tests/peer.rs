//! A server played by a test.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use quorate_protocol::{
    Decode, Encode, OpCode, SessionId, Xid, Zxid,
    frame::{next_frame, put_frame},
    record::{
        ConnectRequest, ConnectResponse, EventType, ReplyHeader, RequestHeader, WatcherEvent,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
};

use crate::{Client, ClientBuilder, Connecting, Connector, Host, Transport};

/// Makes streams in memory; the test gets their other ends.
#[derive(Debug)]
pub(super) struct Memory {
    accepted: mpsc::UnboundedSender<DuplexStream>,
    buffer: usize,
}

impl Memory {
    pub(super) fn new(buffer: usize) -> (Self, Listener) {
        let (accepted, listener) = mpsc::unbounded_channel();
        (Self { accepted, buffer }, Listener(listener))
    }
}

impl Connector for Memory {
    fn resolve(&self, host: &Host) -> Connecting<Vec<SocketAddr>> {
        let addr = format!("127.0.0.1:{}", host.port()).parse().expect("an address");
        Box::pin(async move { Ok(vec![addr]) })
    }

    fn connect(&self, _: Arc<str>, _: SocketAddr) -> Connecting<Box<dyn Transport>> {
        let (near, far) = duplex(self.buffer);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let sent = self.accepted.send(far).map_err(|_| refused());
        Box::pin(async move { sent.map(|()| Box::new(near) as Box<dyn Transport>) })
    }
}

/// Where the client's connections arrive.
pub(super) struct Listener(mpsc::UnboundedReceiver<DuplexStream>);

/// A client to be, and its servers.
pub(super) fn builder(buffer: usize) -> (ClientBuilder, Listener) {
    let (memory, listener) = Memory::new(buffer);
    let builder =
        Client::builder("server:1").connector(memory).session_timeout(Duration::from_secs(9));
    (builder, listener)
}

impl Listener {
    pub(super) async fn accept(&mut self) -> Peer {
        Peer::on(self.stream().await)
    }

    /// As [`accept`](Self::accept); never, if the client has ended.
    pub(super) async fn accept_if_any(&mut self) -> Peer {
        match self.0.recv().await {
            Some(stream) => Peer::on(stream),
            None => std::future::pending().await,
        }
    }

    /// A connection on which nothing was said yet.
    pub(super) async fn stream(&mut self) -> DuplexStream {
        self.0.recv().await.expect("the client is alive")
    }

    /// Accepts a connection and opens or carries on session 0x77.
    pub(super) async fn open(&mut self) -> Peer {
        let mut peer = self.accept().await;
        peer.greet(SessionId(0x77), 6000).await;
        peer
    }
}

/// The server's end of a connection.
pub(super) struct Peer {
    pub(super) stream: Box<dyn Transport>,
    input: BytesMut,
}

/// A record without fields.
pub(super) struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &mut BytesMut) {}
}

impl Peer {
    pub(super) fn on(stream: impl Transport + 'static) -> Self {
        Self { stream: Box::new(stream), input: BytesMut::new() }
    }

    /// The next frame; `None` when the client has gone.
    pub(super) async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = next_frame(&mut self.input, 1 << 20).unwrap() {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Answers the client's first record, and says which session it asked for.
    pub(super) async fn greet(&mut self, session_id: SessionId, timeout_ms: i32) -> SessionId {
        let frame = self.frame().await.expect("the first record");
        let request = ConnectRequest::from_bytes(&frame).unwrap();
        let response = ConnectResponse {
            timeout_ms,
            session_id,
            ..ConnectResponse::refusal(request.read_only)
        };
        let asked = request.session_id;
        self.send(|out| response.encode(out)).await;
        asked
    }

    /// The next request that is no ping.
    pub(super) async fn request(&mut self) -> (Xid, OpCode, Bytes) {
        loop {
            let mut frame = self.frame().await.expect("a request");
            let header = RequestHeader::from_bytes(&frame).unwrap();
            let op = OpCode::from_wire(header.op).unwrap();
            if op == OpCode::Ping {
                self.answer(Xid::PING, 0, &Nothing).await;
                continue;
            }
            return (header.xid, op, frame.split_off(RequestHeader::SIZE));
        }
    }

    /// The next request, which must be this.
    pub(super) async fn expect(&mut self, expected: OpCode) -> (Xid, Bytes) {
        let (xid, op, body) = self.request().await;
        assert_eq!(op, expected);
        (xid, body)
    }

    pub(super) async fn send(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        put_frame(&mut out, encode);
        self.stream.write_all(&out).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(super) async fn answer(&mut self, xid: Xid, error: i32, body: &impl Encode) {
        self.answer_at(xid, 1, error, body).await;
    }

    pub(super) async fn answer_at(&mut self, xid: Xid, zxid: i64, error: i32, body: &impl Encode) {
        let header = ReplyHeader { xid, zxid: Zxid(zxid), error };
        let encode = |out: &mut BytesMut| {
            header.encode(out);
            body.encode(out);
        };
        self.send(encode).await;
    }

    pub(super) async fn event(&mut self, kind: EventType, path: &str, zxid: i64) {
        let event = WatcherEvent { kind, state: 3, path: path.into() };
        self.answer_at(Xid::EVENT, zxid, 0, &event).await;
    }
}
