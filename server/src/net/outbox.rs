//! What waits to be sent to one client.
//!
//! The pipeline appends replies and events here; the connection's task takes all of it at once and
//! writes it to the socket. Events are appended while the tree is locked for writing, so a task
//! that holds the tree's read lock finds every event of what it is about to read already here.
//!
//! While a task rests, which is while it has nothing to send or to do, the pipeline may send for
//! it: that spares waking the task, which takes longer than the sending.

use std::sync::{Arc, OnceLock};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::Notify};

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
}

/// The queue from the pipeline to a connection's task.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Where the frames go, once there is a session.
    socket: OnceLock<Arc<TcpStream>>,
}

impl Outbox {
    /// Appends frames by `write`. True when the task has to be told by [`Self::wake`]: the caller
    /// does so after it has appended what else belongs to the same batch.
    #[must_use]
    pub fn append(&self, write: impl FnOnce(&mut BytesMut)) -> bool {
        let mut waiting = self.waiting.lock();
        write(&mut waiting.frames);
        !std::mem::replace(&mut waiting.told, true)
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.waiting.lock().frames.len()
    }

    /// Ends the connection; the task is told.
    pub fn end(&self, end: End) {
        let mut waiting = self.waiting.lock();
        if waiting.end != Some(End::Now) {
            waiting.end = Some(end);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Tells the task that there is something to take.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sends what is here for a task that rests; otherwise tells it.
    pub fn send_or_wake(&self) {
        let mut waiting = self.waiting.lock();
        if waiting.resting
            && let Some(socket) = self.socket.get()
            // Never waits: what the socket does not take now, or any failure, is the task's.
            && let Ok(sent) = socket.try_write(&waiting.frames)
        {
            waiting.frames.advance(sent);
            if waiting.frames.is_empty() {
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
    fn an_end_at_once_is_not_softened() {
        let outbox = Outbox::default();
        outbox.end(End::Now);
        outbox.end(End::AfterFlush);
        assert_eq!(outbox.take(&mut BytesMut::new()), Some(End::Now));
    }
}
