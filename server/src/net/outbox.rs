//! What waits to be sent to one client.
//!
//! The pipeline appends replies and events here; the connection's task takes all of it at once and
//! writes it to the socket. Events are appended while the tree is locked for writing, so a task
//! that holds the tree's read lock finds every event of what it is about to read already here.

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;

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
    end: Option<End>,
}

/// The queue from the pipeline to a connection's task.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
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
    pub fn len(&self) -> usize {
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

    /// Waits until there is something to take. Cancel safe: a wake-up is not lost.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Moves everything that waits behind what is in `out` already.
    pub fn take(&self, out: &mut BytesMut) -> Option<End> {
        let mut waiting = self.waiting.lock();
        waiting.told = false;
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
