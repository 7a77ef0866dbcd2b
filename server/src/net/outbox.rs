//! What waits to be sent on one connection, to a client or to another server.
//!
//! The pipeline appends replies and events here; the connection's task takes all of it at once and
//! writes it to the socket. Events are appended while the tree is locked for writing, so a task
//! that holds the tree's read lock finds every event of what it is about to read already here.
//!
//! While a task rests, which is while it has nothing to send or to do, the pipeline may send for
//! it: that spares waking the task, which takes longer than the sending.

use std::sync::{Arc, OnceLock};

use bytes::{Buf, BytesMut};
use parking_lot::{Condvar, Mutex};
use tokio::{net::TcpStream, sync::Notify};

/// Bytes that may wait, unless set otherwise. Who lets more come, because it watches or asks for
/// more than it reads, is cut off. A single reply may be of any size.
const BYTES_MAX: usize = 64 << 20;
/// Bytes that may wait before a stream is held up.
const STREAM_MAX: usize = 256 << 10;
/// A buffer that has grown beyond this, for a large request or reply, is not kept once it is empty.
pub(super) const BUFFER_KEPT: usize = 512 << 10;

/// How a connection ends once the outbox says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After everything in the outbox has been sent.
    AfterFlush,
    /// At once.
    Now,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: BytesMut,
    /// Whether the task has been told of what is here.
    told: bool,
    /// Whether the task has nothing of its own to send before what is here.
    resting: bool,
    end: Option<End>,
    /// Nobody will take anything any more.
    closed: bool,
}

impl Waiting {
    fn close(&mut self) {
        self.closed = true;
        self.frames = BytesMut::new();
    }
}

/// The queue from the pipeline to a connection's task.
#[derive(Debug)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    bytes_max: usize,
    wake: Notify,
    /// Told when less waits.
    room: Condvar,
    /// Where the frames go, once there is a session.
    socket: OnceLock<Arc<TcpStream>>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new(BYTES_MAX)
    }
}

impl Outbox {
    /// An outbox that cuts off who lets more than this wait.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            bytes_max,
            wake: Notify::new(),
            room: Condvar::new(),
            socket: OnceLock::new(),
        }
    }

    /// Appends frames by `write`. True when the task has to be told by [`Self::wake`]: the caller
    /// does so after it has appended what else belongs to the same batch. `write` is not called
    /// once the connection is closed, or when so much waits that it is closed therefore.
    #[must_use]
    pub fn append(&self, write: impl FnOnce(&mut BytesMut)) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return false;
        }
        if waiting.frames.len() > self.bytes_max {
            waiting.close();
            waiting.end = Some(End::Now);
            self.room.notify_all();
            // The task may have been told long ago, and wait for the socket to take something.
            self.wake.notify_one();
        } else {
            write(&mut waiting.frames);
        }
        !std::mem::replace(&mut waiting.told, true)
    }

    /// Appends a part of a long stream and tells the task. Blocks the thread while much waits
    /// already, so a stream of any length is never cut off. False once the connection is to end.
    #[must_use]
    pub fn push(&self, part: &[u8]) -> bool {
        let mut waiting = self.waiting.lock();
        while waiting.frames.len() >= STREAM_MAX && !waiting.closed && waiting.end.is_none() {
            self.room.wait(&mut waiting);
        }
        if waiting.closed || waiting.end.is_some() {
            return false;
        }
        waiting.frames.extend_from_slice(part);
        let told = std::mem::replace(&mut waiting.told, true);
        drop(waiting);
        if !told {
            self.wake.notify_one();
        }
        true
    }

    /// Ends the connection; the task is told. True unless an end at once was decided before.
    pub fn end(&self, end: End) -> bool {
        let mut waiting = self.waiting.lock();
        let news = waiting.end != Some(End::Now);
        if news {
            waiting.end = Some(end);
        }
        drop(waiting);
        self.room.notify_all();
        self.wake.notify_one();
        news
    }

    /// How the connection is to end, if it is.
    pub fn ended(&self) -> Option<End> {
        self.waiting.lock().end
    }

    /// Drops what waits and what is to come: the connection is gone.
    pub fn close(&self) {
        self.waiting.lock().close();
        self.room.notify_all();
    }

    /// Tells the task that there is something to take.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sends what is here for a task that rests; otherwise tells it.
    pub fn send_or_wake(&self) {
        let mut waiting = self.waiting.lock();
        if waiting.resting && waiting.frames.is_empty() {
            waiting.told = false;
            return;
        }
        if waiting.resting
            && let Some(socket) = self.socket.get()
            // Never waits: what the socket does not take now, or any failure, is the task's.
            && let Ok(sent) = socket.try_write(&waiting.frames)
        {
            let capacity = waiting.frames.capacity();
            waiting.frames.advance(sent);
            self.room.notify_all();
            if waiting.frames.is_empty() {
                if capacity > BUFFER_KEPT {
                    waiting.frames = BytesMut::new();
                }
                waiting.told = false;
                return;
            }
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Lets the pipeline send to this socket while the task rests.
    pub fn connect(&self, socket: Arc<TcpStream>) {
        let _ = self.socket.set(socket);
    }

    /// Says that the task has nothing to send and nothing to do until it takes something or
    /// hands something over. False when there is something to take already.
    pub fn rest(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.resting = waiting.frames.is_empty() && waiting.end.is_none();
        waiting.resting
    }

    /// Waits until there is something to take. Cancel safe: a wake-up is not lost.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Moves everything that waits behind what is in `out` already, and ends the rest.
    pub fn take(&self, out: &mut BytesMut) -> Option<End> {
        let mut waiting = self.waiting.lock();
        waiting.told = false;
        waiting.resting = false;
        if out.is_empty() {
            // Both buffers stay allocated and change places with every batch.
            out.clear();
            std::mem::swap(out, &mut waiting.frames);
        } else {
            out.extend_from_slice(&waiting.frames);
            waiting.frames.clear();
        }
        self.room.notify_all();
        waiting.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wake_for_all_that_is_appended_between_two_takes() {
        let outbox = Outbox::default();
        assert!(outbox.append(|out| out.extend_from_slice(b"ab")));
        assert!(!outbox.append(|out| out.extend_from_slice(b"c")));
        let mut out = BytesMut::from(&b"x"[..]);
        assert_eq!(outbox.take(&mut out), None);
        assert_eq!(&out[..], b"xabc");
        assert!(outbox.append(|out| out.extend_from_slice(b"d")));
        outbox.end(End::AfterFlush);
        out.clear();
        assert_eq!(outbox.take(&mut out), Some(End::AfterFlush));
        assert_eq!(&out[..], b"d");
    }

    #[test]
    fn a_closed_connection_gets_nothing_more() {
        let outbox = Outbox::default();
        let _ = outbox.append(|out| out.extend_from_slice(b"ab"));
        outbox.close();
        assert!(!outbox.append(|_| panic!("called for a connection that is gone")));
        let mut out = BytesMut::new();
        assert_eq!(outbox.take(&mut out), None);
        assert!(out.is_empty());
    }

    #[test]
    fn who_lets_too_much_wait_is_cut_off() {
        let outbox = Outbox::default();
        let _ = outbox.append(|out| out.resize(BYTES_MAX, 0));
        let _ = outbox.append(|out| out.resize(2 * BYTES_MAX, 0));
        assert_eq!(outbox.ended(), None, "a single reply may be of any size");
        outbox.take(&mut BytesMut::from(&b"x"[..]));
        let _ = outbox.append(|out| out.resize(BYTES_MAX + 1, 0));
        assert!(!outbox.append(|_| panic!("called beyond the bound")), "told already");
        assert_eq!(outbox.ended(), Some(End::Now));
    }

    #[test]
    fn a_stream_waits_for_room_until_the_connection_ends() {
        let outbox = Outbox::new(1);
        assert!(outbox.push(&vec![0; STREAM_MAX]), "not cut off, however much it is");
        std::thread::scope(|scope| {
            let stream = scope.spawn(|| outbox.push(b"x"));
            let mut out = BytesMut::new();
            while out.last() != Some(&b'x') {
                outbox.take(&mut out);
            }
            assert!(stream.join().unwrap());
            assert_eq!(out.len(), STREAM_MAX + 1);
            assert!(outbox.push(&vec![0; STREAM_MAX]));
            let stream = scope.spawn(|| outbox.push(b"y"));
            outbox.close();
            assert!(!stream.join().unwrap(), "in vain");
        });
    }

    #[test]
    fn an_end_at_once_is_not_softened() {
        let outbox = Outbox::default();
        assert!(outbox.end(End::AfterFlush));
        assert!(outbox.end(End::Now));
        assert!(!outbox.end(End::AfterFlush));
        assert_eq!(outbox.take(&mut BytesMut::new()), Some(End::Now));
    }
}
