//! One connection and the session opened on it: a task that owns the stream, writes calls in the
//! order they were made and hands each answer to the oldest call without one.
//!
//! It keeps the session alive with pings and gives the connection up when nothing was heard for
//! two thirds of the session's timeout. When it ends, every call learns whether it had been sent.
//! It does not connect again, and it knows nothing of paths or nodes.

use std::{collections::VecDeque, io, pin::pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use quorate_protocol::{
    Decode, DecodeError, Encode, ErrorCode, OpCode, SessionId, Xid, Zxid,
    frame::{FrameError, next_frame, put_frame},
    record::{ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use crate::error::Error;

/// Servers do not limit their answers, so any length is accepted; memory follows what arrives.
const ANSWER_LIMIT: usize = i32::MAX as usize;

/// Calls are taken over only while less than this waits to be written.
const OUTPUT_HIGH_WATER: usize = 256 * 1024;

/// How much room there is for each read.
const READ_SIZE: usize = 16 * 1024;

/// A request on its way, and where its answer's body goes.
pub(crate) struct Call {
    pub(crate) op: OpCode,
    pub(crate) body: BytesMut,
    pub(crate) answer: oneshot::Sender<Result<Bytes, Error>>,
}

/// What the server agreed to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) timeout: Duration,
}

/// Opens a session on a fresh stream.
pub(crate) async fn open<S>(stream: &mut S, timeout: Duration) -> Result<Session, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let timeout_ms = i32::try_from(timeout.as_millis())
        .map_err(|_| Error::BadArgument("a timeout of 25 days or more"))?;
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session_id: SessionId::NONE,
        passwd: &[0; 16],
        read_only: Some(false),
    };
    let mut output = BytesMut::new();
    put_frame(&mut output, |out| request.encode(out));
    stream.write_all(&output).await?;

    let mut input = BytesMut::new();
    let frame = loop {
        let frame = next_frame(&mut input, ANSWER_LIMIT).map_err(io::Error::other)?;
        if let Some(frame) = frame {
            break frame;
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    let response = ConnectResponse::from_bytes(&frame)?;
    match u64::try_from(response.timeout_ms) {
        Ok(ms) if ms > 0 => {
            Ok(Session { id: response.session_id, timeout: Duration::from_millis(ms) })
        }
        _ => Err(Error::SessionExpired),
    }
}

/// Drives an opened stream until the session is closed, the connection breaks, or nobody is left
/// to call.
pub(crate) async fn run<S>(stream: S, session: Session, mut calls: mpsc::UnboundedReceiver<Call>)
where
    S: AsyncRead + AsyncWrite,
{
    let mut flow = Flow::new();
    let end = drive(stream, session.timeout, &mut calls, &mut flow).await;
    tracing::debug!(session = %session.id, %end, "connection ended");

    // A call is either in the channel (not sent) or pending (perhaps sent), never in both.
    calls.close();
    while let Ok(call) = calls.try_recv() {
        let _ = call.answer.send(Err(Error::NotConnected));
    }
    for pending in flow.pending {
        let _ = pending.answer.send(Err(Error::ConnectionLost));
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("session closed as asked")]
    Closed,
    #[error("nobody is left to call")]
    Abandoned,
    #[error("nothing was heard for too long")]
    Silent,
    #[error("stream broke: {0}")]
    Broken(#[from] io::Error),
    #[error("{0}")]
    BadFrame(#[from] FrameError),
    #[error("bad reply header: {0}")]
    BadHeader(#[from] DecodeError),
    #[error("answer to request {0} is out of turn")]
    OutOfTurn(Xid),
}

async fn drive<S>(
    stream: S,
    timeout: Duration,
    calls: &mut mpsc::UnboundedReceiver<Call>,
    flow: &mut Flow,
) -> End
where
    S: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (ping_after, silence_allowed) = (timeout / 3, timeout * 2 / 3);
    let (mut sent, mut heard) = (Instant::now(), Instant::now());
    let mut timer = pin!(sleep_until(sent + ping_after));
    let mut abandoned = false;
    // Answers still owed are awaited by futures, which may outlive the last handle.
    while !(abandoned && flow.pending.is_empty()) {
        flow.input.reserve(READ_SIZE);
        tokio::select! {
            read = reader.read_buf(&mut flow.input) => {
                match read {
                    Ok(0) => return End::Broken(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) => heard = Instant::now(),
                    Err(error) => return End::Broken(error),
                }
                if let Err(end) = flow.take_answers() {
                    return end;
                }
            }
            call = calls.recv(), if !abandoned && flow.output.len() < OUTPUT_HIGH_WATER => {
                match call {
                    Some(call) => flow.send(call),
                    None => abandoned = true,
                }
            }
            written = writer.write_buf(&mut flow.output), if !flow.output.is_empty() => {
                match written {
                    Ok(_) => sent = Instant::now(),
                    Err(error) => return End::Broken(error),
                }
            }
            () = timer.as_mut() => {
                let now = Instant::now();
                if now >= heard + silence_allowed {
                    return End::Silent;
                }
                if now >= sent + ping_after {
                    flow.ping();
                    sent = now;
                }
                timer.as_mut().reset((sent + ping_after).min(heard + silence_allowed));
            }
        }
    }
    End::Abandoned
}

/// What is in flight in both directions.
///
/// Invariant: `pending` holds, in order, the calls in `output` or written to the stream whose
/// answers have not arrived.
struct Flow {
    input: BytesMut,
    output: BytesMut,
    pending: VecDeque<Pending>,
    last_xid: Xid,
}

/// A call whose answer has not arrived.
struct Pending {
    xid: Xid,
    op: OpCode,
    answer: oneshot::Sender<Result<Bytes, Error>>,
}

impl Flow {
    fn new() -> Self {
        Self {
            input: BytesMut::new(),
            output: BytesMut::new(),
            pending: VecDeque::new(),
            last_xid: Xid(0),
        }
    }

    fn send(&mut self, Call { op, body, answer }: Call) {
        // As in Java, xids run from 1 to the largest and begin again; the others are special.
        let xid = Xid(self.last_xid.0.checked_add(1).unwrap_or(1));
        self.last_xid = xid;
        self.put(RequestHeader { xid, op: op.wire() }, &body);
        self.pending.push_back(Pending { xid, op, answer });
    }

    fn ping(&mut self) {
        self.put(RequestHeader { xid: Xid::PING, op: OpCode::Ping.wire() }, &[]);
    }

    fn put(&mut self, header: RequestHeader, body: &[u8]) {
        put_frame(&mut self.output, |out| {
            header.encode(out);
            out.extend_from_slice(body);
        });
    }

    /// Hands every answer that has arrived to its call.
    fn take_answers(&mut self) -> Result<(), End> {
        loop {
            match next_frame(&mut self.input, ANSWER_LIMIT)? {
                Some(frame) => self.take_answer(frame)?,
                None => return Ok(()),
            }
        }
    }

    fn take_answer(&mut self, mut frame: Bytes) -> Result<(), End> {
        let header = ReplyHeader::from_bytes(&frame)?;
        // This client sets no watches, so an event can only be a leftover of nobody's interest.
        if header.xid == Xid::PING || header.xid == Xid::EVENT {
            return Ok(());
        }
        let oldest = self.pending.pop_front().filter(|oldest| oldest.xid == header.xid);
        let Some(Pending { op, answer, .. }) = oldest else {
            return Err(End::OutOfTurn(header.xid));
        };
        frame.advance(ReplyHeader::SIZE);
        // Whoever asked may have stopped waiting.
        let _ =
            answer.send(match header.error {
                0 => Ok(frame),
                error => Err(ErrorCode::from_wire(error)
                    .map_or(Error::RefusedUnknown(error), Error::Refused)),
            });
        if op == OpCode::CloseSession { Err(End::Closed) } else { Ok(()) }
    }
}
