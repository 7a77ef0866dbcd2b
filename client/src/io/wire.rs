//! One transport: frames in both directions, and the calls that are on it.
//!
//! Writes whatever has gathered in as few system calls as possible, cuts what comes into frames
//! without copying, and knows of each call whether its last byte has left.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use quorate_protocol::{
    Encode, OpCode, Xid,
    frame::{LENGTH_SIZE, next_frame, peek_frame, put_frame},
    record::RequestHeader,
};
use tokio_util::io::poll_read_buf;

use super::connector::Transport;
use crate::{error::Disconnect, queue::Call, session::Time};

/// How much room there is for each read.
const READ_SIZE: usize = 64 * 1024;

/// Of a frame that is on its way, no more memory than this is set aside ahead of its bytes.
const READ_AHEAD: usize = 1024 * 1024;

/// How many buffers go out in one system call.
const SLICES: usize = 16;

/// A transport with what is on its way.
///
/// Invariant: `pending` holds, in order, the calls in `output` or written whose answers have not
/// arrived, each with the position in the stream behind its frame.
pub(super) struct Wire {
    transport: Box<dyn Transport>,
    input: BytesMut,
    output: VecDeque<Bytes>,
    /// Frames of the connection itself that are not in `output` yet.
    control: BytesMut,
    /// Positions in the stream: behind all there is to write, and behind what was written.
    queued: u64,
    written: u64,
    pending: VecDeque<(u64, Call)>,
    answer_limit: usize,
    /// Something was written that the transport may hold back.
    unflushed: bool,
    /// A position that was written, and the time before that was done: once the answer of the call
    /// that ends there has come, the server was surely reached at that time or later.
    probe: Option<(u64, Time)>,
}

impl Wire {
    pub(super) fn new(transport: Box<dyn Transport>, answer_limit: usize) -> Self {
        Self {
            transport,
            input: BytesMut::new(),
            output: VecDeque::new(),
            control: BytesMut::new(),
            queued: 0,
            written: 0,
            pending: VecDeque::new(),
            answer_limit,
            unflushed: false,
            probe: None,
        }
    }

    /// The longest frame that may come.
    pub(super) fn set_answer_limit(&mut self, limit: usize) {
        self.answer_limit = limit;
    }

    /// Appends a frame of the connection itself.
    pub(super) fn put(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let before = self.control.len();
        put_frame(&mut self.control, encode);
        self.queued += (self.control.len() - before) as u64;
    }

    /// Appends a request of the connection itself whose answer is not in the order of calls.
    pub(super) fn put_request(&mut self, xid: Xid, op: OpCode, encode: impl FnOnce(&mut BytesMut)) {
        self.put(|out| {
            RequestHeader { xid, op: op.wire() }.encode(out);
            encode(out);
        });
    }

    /// Appends a call of the connection itself, answered in the order of calls.
    pub(super) fn put_call(&mut self, call: Call, encode: impl FnOnce(&mut BytesMut)) {
        self.put_request(call.xid, call.op, encode);
        self.pending.push_back((self.queued, call));
    }

    /// Appends calls whose frames stand in `frames` one behind the other.
    pub(super) fn put_calls(&mut self, calls: &mut Vec<Call>, frames: BytesMut) {
        self.flush_control();
        let mut frames = frames.freeze();
        self.output.push_back(frames.clone());
        for mut call in calls.drain(..) {
            call.frame = frames.split_to(call.length);
            self.queued += call.length as u64;
            self.push(call);
        }
        debug_assert!(frames.is_empty(), "each frame belongs to a call");
    }

    /// Appends a call that was on another connection.
    pub(super) fn put_again(&mut self, call: Call) {
        self.flush_control();
        self.output.push_back(call.frame.clone());
        self.queued += call.length as u64;
        self.push(call);
    }

    fn push(&mut self, mut call: Call) {
        call.attempts += 1;
        self.pending.push_back((self.queued, call));
    }

    fn flush_control(&mut self) {
        if !self.control.is_empty() {
            self.output.push_back(self.control.split().freeze());
        }
    }

    /// Takes the oldest call without an answer that is answered in order, if its xid is this; and
    /// the time at which the server was surely reached, if the answer tells.
    pub(super) fn answered(&mut self, xid: Xid) -> Option<(Call, Option<Time>)> {
        // `Compat:` an answer to `auth` may come ahead of those to older requests.
        let position = if xid == Xid::AUTH {
            self.pending.iter().position(|(_, call)| call.xid == Xid::AUTH)?
        } else {
            let skip = |(_, call): &(u64, Call)| call.xid != Xid::AUTH;
            self.pending.iter().position(skip)?
        };
        if self.pending[position].1.xid != xid {
            return None;
        }
        let (end, call) = self.pending.remove(position)?;
        let reached = self.probe.filter(|(position, _)| end >= *position).map(|(_, time)| time);
        if reached.is_some() {
            self.probe = None;
        }
        Some((call, reached))
    }

    /// Calls without an answer.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Call> {
        self.pending.iter().map(|(_, call)| call)
    }

    /// All calls without an answer in order, each with whether all of it was written.
    pub(super) fn into_calls(self) -> impl Iterator<Item = (Call, bool)> {
        let written = self.written;
        self.pending.into_iter().map(move |(end, call)| (call, end <= written))
    }

    /// Reads what has come; `Ready` when there may be frames.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnect>> {
        let missing = match peek_frame(&self.input, self.answer_limit) {
            Err(error) => return Poll::Ready(Err(error.into())),
            Ok(Some(_)) => 0,
            Ok(None) => self.missing(),
        };
        self.input.reserve(missing.clamp(READ_SIZE, READ_AHEAD));
        let read = ready!(poll_read_buf(Pin::new(&mut *self.transport), cx, &mut self.input));
        Poll::Ready(match read {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }

    /// How many bytes of a frame that has begun have not come.
    fn missing(&self) -> usize {
        let Some(length) = self.input.first_chunk::<LENGTH_SIZE>() else { return 0 };
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        (length + LENGTH_SIZE).saturating_sub(self.input.len())
    }

    /// The next frame that has come.
    pub(super) fn next_frame(&mut self) -> Result<Option<Bytes>, Disconnect> {
        Ok(next_frame(&mut self.input, self.answer_limit)?)
    }

    /// Whether there is anything to write.
    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty() || !self.control.is_empty() || self.unflushed
    }

    /// Writes what there is to write; `Ready` with whether anything was written once there is
    /// nothing left. `now` is read before.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        now: Time,
    ) -> Poll<Result<bool, Disconnect>> {
        self.flush_control();
        let mut any = false;
        while !self.output.is_empty() {
            let written = match self.poll_write_some(cx) {
                Poll::Ready(Ok(0)) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return Poll::Ready(Err(error.into()));
                }
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if any => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Pending,
            };
            any = true;
            self.unflushed = true;
            self.wrote(written);
            if self.probe.is_none() {
                self.probe = Some((self.written, now));
            }
        }
        if self.unflushed {
            match Pin::new(&mut *self.transport).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(any))
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let transport = Pin::new(&mut *self.transport);
        if self.output.len() == 1 || !transport.is_write_vectored() {
            return transport.poll_write(cx, &self.output[0]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.output.len().min(SLICES);
        for (slice, bytes) in slices.iter_mut().zip(&self.output) {
            *slice = IoSlice::new(bytes);
        }
        transport.poll_write_vectored(cx, &slices[..count])
    }

    fn wrote(&mut self, mut bytes: usize) {
        self.written += bytes as u64;
        while bytes > 0 {
            let first = self.output.front_mut().expect("no more was written than there was");
            let part = bytes.min(first.len());
            first.advance(part);
            bytes -= part;
            if first.is_empty() {
                drop(self.output.pop_front());
            }
        }
        debug_assert!(self.written <= self.queued, "no more was written than there was");
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn an_announced_frame_sets_little_memory_aside() {
        let (near, mut far) = duplex(64);
        let mut wire = Wire::new(Box::new(near), 256 * 1024 * 1024);
        far.write_all(&(200 * 1024 * 1024_i32).to_be_bytes()).await.unwrap();
        for _ in 0..100 {
            poll_fn(|cx| wire.poll_read(cx)).await.unwrap();
            assert_eq!(wire.next_frame().unwrap(), None);
            far.write_all(&[0; 10]).await.unwrap();
        }
        assert!(wire.input.capacity() < 3 * READ_AHEAD, "{}", wire.input.capacity());
    }
}
