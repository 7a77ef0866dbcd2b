//! A small blocking client that speaks in raw frames: what it sends, and when, is the test's choice.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use quorate_protocol::{
    OpCode,
    codec::{Decoder, PutJute},
    id::{SessionId, Xid},
};

use crate::{Op, wait::PATIENCE};

/// What a client remembers of its session to attach to it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id; none when the server refused.
    pub id: SessionId,
    /// The password that proves it.
    pub passwd: Vec<u8>,
    /// The timeout negotiated; 0 when the server refused.
    pub timeout_ms: i32,
}

impl Session {
    /// Asks for a new session.
    pub fn new(timeout_ms: i32) -> Self {
        Self { id: SessionId::NONE, passwd: vec![0; 16], timeout_ms }
    }

    /// Whether the server accepted.
    pub fn is_accepted(&self) -> bool {
        self.timeout_ms > 0 && self.id != SessionId::NONE
    }
}

/// A reply or event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The request's number, or one of the special ones.
    pub xid: i32,
    /// The state it belongs to.
    pub zxid: i64,
    /// 0 or why there is no body.
    pub error: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Frame {
    /// Whether this is a watch event.
    pub fn is_event(&self) -> bool {
        self.xid == Xid::EVENT.0
    }
}

/// How long [`Connection::call_with_pings`] waits before it sends a ping.
const PING: Duration = Duration::from_secs(3);

/// A TCP connection to a server, with or without a session.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: BytesMut,
    next_xid: i32,
    /// The session attached to, once [`Connection::attach`] was answered.
    pub session: Session,
    /// The largest zxid of any reply.
    pub last_zxid: i64,
}

impl Connection {
    /// Connects and sends nothing.
    pub fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let session = Session::new(0);
        Ok(Self { stream, input: BytesMut::new(), next_xid: 0, session, last_zxid: 0 })
    }

    /// Connects with a new session.
    ///
    /// # Panics
    /// When the server refuses, which for a new session is a fault.
    pub fn with_new_session(addr: SocketAddr, timeout_ms: i32) -> io::Result<Self> {
        let mut connection = Self::open(addr)?;
        let session = connection.attach(&Session::new(timeout_ms), 0)?;
        assert!(session.is_accepted(), "a new session was refused");
        Ok(connection)
    }

    /// Sends a connect record and waits for the answer, which may be a refusal.
    pub fn attach(&mut self, wanted: &Session, last_zxid_seen: i64) -> io::Result<Session> {
        self.send_raw(&connect_frame(wanted, last_zxid_seen))?;
        self.session = self.read_connect_response()?;
        Ok(self.session.clone())
    }

    /// As [`Connection::attach`], content with a server that is read-only; says whether it is one.
    pub fn attach_read_only(
        &mut self,
        wanted: &Session,
        last_zxid_seen: i64,
    ) -> io::Result<(Session, bool)> {
        let mut frame = connect_frame(wanted, last_zxid_seen);
        // The flag is the last field.
        *frame.last_mut().expect("a frame is not empty") = 1;
        self.send_raw(&frame)?;
        let (session, is_read_only) = self.read_connect_answer()?;
        self.session = session.clone();
        Ok((session, is_read_only))
    }

    /// Reads the answer to a connect record.
    pub fn read_connect_response(&mut self) -> io::Result<Session> {
        Ok(self.read_connect_answer()?.0)
    }

    fn read_connect_answer(&mut self) -> io::Result<(Session, bool)> {
        let answer = self.read_payload()?;
        let mut input = Decoder::new(&answer);
        let mut parse = || {
            input.int().ok()?; // the protocol's version, always 0
            let timeout_ms = input.int().ok()?;
            let id = SessionId(input.long().ok()?);
            let passwd = input.buffer().ok()??.to_vec();
            let is_read_only = input.boolean().ok()?;
            Some((Session { id, passwd, timeout_ms }, is_read_only))
        };
        parse().ok_or_else(|| io::Error::other(format!("no connect response: {answer:02x?}")))
    }

    /// Limits how long a read waits.
    pub fn set_patience(&self, limit: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(limit))
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends requests in one go and answers their xids.
    pub fn send(&mut self, ops: &[Op]) -> io::Result<Vec<i32>> {
        let mut out = BytesMut::new();
        let xids = ops
            .iter()
            .map(|op| {
                let xid = op.special_xid().unwrap_or_else(|| self.take_xid());
                put_request(&mut out, xid, op);
                xid
            })
            .collect();
        self.stream.write_all(&out)?;
        Ok(xids)
    }

    /// Sends one request and waits for its reply; events that come before it are appended to
    /// `events`.
    pub fn call_collecting(&mut self, op: &Op, events: &mut Vec<Frame>) -> io::Result<Frame> {
        let xid = self.send(std::slice::from_ref(op))?[0];
        loop {
            let frame = self.read_frame()?;
            if frame.is_event() {
                events.push(frame);
            } else if frame.xid == xid {
                return Ok(frame);
            } else {
                return Err(io::Error::other(format!("reply to {} while {xid} is due", frame.xid)));
            }
        }
    }

    /// Sends one request and waits for its reply; events that come before it are dropped.
    pub fn call(&mut self, op: &Op) -> io::Result<Frame> {
        self.call_collecting(op, &mut Vec::new())
    }

    /// As [`Connection::call`], with pings as long as there is no answer, as clients send them.
    ///
    /// Compat: ZooKeeper's `CommitProcessor` looks whether there is anything to do before it takes the
    /// lock with which it waits. What comes in between waits there until something else comes, and a
    /// server that nobody else uses is never told.
    pub fn call_with_pings(&mut self, op: &Op) -> io::Result<Frame> {
        let xid = self.send(std::slice::from_ref(op))?[0];
        self.set_patience(PING)?;
        let answer = self.read_with_pings(xid);
        self.set_patience(PATIENCE)?;
        answer
    }

    /// The reply to a request, once those to all pings are there as well.
    fn read_with_pings(&mut self, xid: i32) -> io::Result<Frame> {
        let (mut answer, mut pings, mut waited) = (None, 0, Duration::ZERO);
        loop {
            match self.read_frame() {
                // It may be a ping that was asked for.
                Ok(frame) if frame.xid == xid && answer.is_none() => answer = Some(frame),
                Ok(frame) if frame.xid == Xid::PING.0 => pings -= 1,
                Ok(frame) if frame.is_event() => {}
                Ok(frame) => {
                    let text = format!("reply to {} while {xid} is due", frame.xid);
                    return Err(io::Error::other(text));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && waited < PATIENCE => {
                    waited += PING;
                    pings += 1;
                    self.send(&[Op::Plain(OpCode::Ping)])?;
                }
                Err(error) => return Err(error),
            }
            if pings == 0
                && let Some(answer) = answer.take()
            {
                return Ok(answer);
            }
        }
    }

    /// The next reply or event.
    pub fn read_frame(&mut self) -> io::Result<Frame> {
        let payload = self.read_payload()?;
        let mut input = Decoder::new(&payload);
        let mut header = || Some((input.int().ok()?, input.long().ok()?, input.int().ok()?));
        let (xid, zxid, error) = header()
            .ok_or_else(|| io::Error::other(format!("reply without header: {payload:02x?}")))?;
        if zxid > 0 && xid != Xid::EVENT.0 {
            self.last_zxid = self.last_zxid.max(zxid);
        }
        Ok(Frame { xid, zxid, error, body: input.rest().to_vec() })
    }

    /// The frames that still come before the server closes the connection.
    pub fn read_to_end(&mut self) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            match self.read_frame() {
                Ok(frame) => frames.push(frame),
                Err(e) if is_closed(&e) => return Ok(frames),
                Err(e) => return Err(e),
            }
        }
    }

    /// The payload of the next frame, without its length.
    pub fn read_payload(&mut self) -> io::Result<BytesMut> {
        loop {
            if let Some(&[a, b, c, d]) = self.input.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes([a, b, c, d]))
                    .map_err(|_| io::Error::other("a frame of negative length"))?;
                if self.input.len() >= 4 + length {
                    self.input.advance(4);
                    return Ok(self.input.split_to(length));
                }
            }
            let mut chunk = [0; 16 * 1024];
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&chunk[..n]);
        }
    }

    /// The stream itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn take_xid(&mut self) -> i32 {
        self.next_xid += 1;
        self.next_xid
    }
}

/// Whether an error says that the peer has closed the connection, in one of the kernel's ways.
pub fn is_closed(error: &io::Error) -> bool {
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    kinds.contains(&error.kind())
}

/// A whole frame with a connect record, as clients since 3.4 send it.
pub fn connect_frame(wanted: &Session, last_zxid_seen: i64) -> BytesMut {
    framed(|out| {
        out.put_int(0);
        out.put_long(last_zxid_seen);
        out.put_int(wanted.timeout_ms);
        out.put_long(wanted.id.0);
        out.put_buffer(Some(&wanted.passwd));
        out.put_boolean(false);
    })
}

/// Appends a whole request frame.
pub fn put_request(out: &mut BytesMut, xid: i32, op: &Op) {
    out.unsplit(framed(|out| {
        out.put_int(xid);
        out.put_int(op.code());
        op.encode(out);
    }));
}

/// A frame around what `write` appends.
pub fn framed(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::zeroed(4);
    write(&mut out);
    let length = i32::try_from(out.len() - 4).expect("a frame's length fits into 31 bits");
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}
