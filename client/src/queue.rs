//! Calls on their way from those who make them to the task that owns the connection.
//!
//! Whoever makes a call encodes its frame right behind those made before, under a short lock; the
//! task takes all that has gathered at once. So the order of calls is the order of taking the
//! lock, and a call costs no allocation but the slot of its answer.
//!
//! Bytes count against the budget from the call until its answer.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use quorate_protocol::{
    Encode, OpCode, Xid, Zxid,
    frame::{LENGTH_SIZE, put_frame},
    record::{RequestHeader, SyncRequest},
};
use tokio::sync::{Notify, oneshot};

use crate::{
    error::{Disconnect, ErrorKind},
    watch::{Registration, Unwatch},
};

/// A server's answer to a call.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) zxid: Zxid,
    pub(crate) body: Bytes,
    /// An earlier attempt may have been done: the refusal of a multi is in its body.
    pub(crate) maybe_done: bool,
}

/// Why there is no such answer. The frame of the request tells the path, if anybody asks.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) maybe_done: bool,
    pub(crate) frame: Bytes,
    /// Of the server's answer, if there is one.
    pub(crate) zxid: Zxid,
}

pub(crate) type Outcome = Result<Reply, Failure>;

/// Who awaits the answer of a call.
#[derive(Debug)]
pub(crate) enum Recipient {
    /// A caller.
    Caller(oneshot::Sender<Outcome>),
    /// A caller whose call sets a watch.
    Watcher(oneshot::Sender<Outcome>, Registration),
    /// The call behind this one, a read that this `sync` makes linearizable.
    Next,
    /// The connection itself: `setWatches`, or the watches removed that nobody wants any more.
    Connection,
}

/// How a call is to be dealt with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// It can be made twice without harm.
    pub(crate) repeatable: bool,
    /// The number of the session it must be made in; 0 for any.
    pub(crate) session: u64,
    /// Behind a `sync`.
    pub(crate) linearizable: bool,
}

/// A call made. Its frame is empty until the task cuts it out.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) xid: Xid,
    pub(crate) op: OpCode,
    pub(crate) manner: Manner,
    pub(crate) recipient: Recipient,
    pub(crate) length: usize,
    pub(crate) frame: Bytes,
    /// On how many connections it was.
    pub(crate) attempts: u32,
    /// It was sent on one of them, and the answer did not arrive.
    pub(crate) maybe_done: bool,
}

impl Call {
    pub(crate) fn fail(self, kind: ErrorKind) {
        let Self { maybe_done, frame, .. } = self;
        if let Recipient::Caller(slot) | Recipient::Watcher(slot, _) = self.recipient {
            // Whoever asked may have stopped waiting.
            let zxid = Zxid::ZERO;
            let _ = slot.send(Err(Failure { kind, maybe_done, frame, zxid }));
        }
    }
}

/// Whether calls are taken on.
#[derive(Debug, Clone)]
enum Gate {
    Open,
    /// There has been no connection for too long.
    Shut(Option<Arc<Disconnect>>),
    /// There will be none again.
    Ended(ErrorKind),
}

#[derive(Debug)]
struct Inner {
    output: BytesMut,
    calls: Vec<Call>,
    unwatches: Vec<Unwatch>,
    identities: Vec<Identity>,
    last_xid: Xid,
    gate: Gate,
    /// The number of the session; 0 while there is none.
    session: u64,
    /// No handle is left.
    abandoned: bool,
    /// The client ends, its session does not.
    left: bool,
    waker: Option<Waker>,
}

/// A proof of identity: given to each connection.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) scheme: Arc<str>,
    pub(crate) proof: Bytes,
}

impl std::fmt::Debug for Identity {
    /// Without the proof.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// What the task takes at once.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) output: BytesMut,
    pub(crate) calls: Vec<Call>,
    pub(crate) unwatches: Vec<Unwatch>,
    pub(crate) abandoned: bool,
    pub(crate) left: bool,
}

/// The queue. Shared by all handles and the task.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Bytes from calls to answers.
    held: AtomicUsize,
    room: Notify,
    budget: usize,
    request_limit: usize,
}

impl Queue {
    pub(crate) fn new(budget: usize, request_limit: usize) -> Self {
        let inner = Inner {
            output: BytesMut::new(),
            calls: Vec::new(),
            unwatches: Vec::new(),
            identities: Vec::new(),
            last_xid: Xid(0),
            gate: Gate::Open,
            session: 0,
            abandoned: false,
            left: false,
            waker: None,
        };
        let (inner, held) = (Mutex::new(inner), AtomicUsize::new(0));
        Self { inner, held, room: Notify::new(), budget, request_limit }
    }

    /// Makes a call: from here on it has its place among all others.
    pub(crate) fn submit(
        &self,
        op: OpCode,
        manner: Manner,
        recipient: Recipient,
        encode: impl FnOnce(&mut BytesMut),
    ) -> Result<(), ErrorKind> {
        let waker = {
            let mut inner = self.inner.lock();
            inner.admit(manner)?;
            let start = inner.output.len();
            if manner.linearizable {
                let sync = |out: &mut BytesMut| SyncRequest { path: Some("/".into()) }.encode(out);
                let manner = Manner { linearizable: false, ..manner };
                inner.push(OpCode::Sync, manner, Recipient::Next, sync);
            }
            let length = inner.push(op, manner, recipient, encode);
            if length - LENGTH_SIZE > self.request_limit {
                inner.output.truncate(start);
                let first = inner.calls.len() - 1 - usize::from(manner.linearizable);
                inner.calls.truncate(first);
                let length = length - LENGTH_SIZE;
                return Err(ErrorKind::TooLarge { length, limit: self.request_limit });
            }
            self.held.fetch_add(inner.output.len() - start, Ordering::Relaxed);
            inner.waker.take()
        };
        wake(waker);
        Ok(())
    }

    /// Whether a call that is awaited may be made now.
    pub(crate) fn has_room(&self) -> bool {
        self.held.load(Ordering::Relaxed) < self.budget
    }

    /// Waits until there is room in the budget.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.room.notified();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }

    /// Ends interest in a watch.
    pub(crate) fn unwatch(&self, unwatch: Unwatch) {
        let waker = {
            let mut inner = self.inner.lock();
            if matches!(inner.gate, Gate::Ended(_)) {
                return;
            }
            inner.unwatches.push(unwatch);
            inner.waker.take()
        };
        wake(waker);
    }

    /// No handle is left: the task closes the session behind all calls that were made.
    pub(crate) fn abandon(&self) {
        let waker = {
            let mut inner = self.inner.lock();
            inner.abandoned = true;
            inner.waker.take()
        };
        wake(waker);
    }

    /// The client is to end, and its session is not.
    pub(crate) fn leave(&self) {
        let waker = {
            let mut inner = self.inner.lock();
            inner.left = true;
            inner.waker.take()
        };
        wake(waker);
    }

    /// Takes all that has gathered, or leaves the waker behind. `calls` of `taken` are empty.
    pub(crate) fn take(&self, taken: &mut Taken, with_calls: bool, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        mem::swap(&mut taken.unwatches, &mut inner.unwatches);
        taken.abandoned = mem::take(&mut inner.abandoned);
        if with_calls && !inner.calls.is_empty() {
            mem::swap(&mut taken.calls, &mut inner.calls);
            taken.output = inner.output.split();
        }
        taken.left = mem::take(&mut inner.left);
        let any =
            taken.abandoned || taken.left || !taken.calls.is_empty() || !taken.unwatches.is_empty();
        if !any && !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
        any
    }

    /// Bytes of calls that were answered or failed.
    pub(crate) fn release(&self, bytes: usize) {
        let held = self.held.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(held >= bytes, "what is released was held");
        if held >= self.budget && held - bytes < self.budget {
            self.room.notify_waiters();
        }
    }

    /// Calls are taken on again, or still.
    pub(crate) fn open(&self) {
        let mut inner = self.inner.lock();
        if matches!(inner.gate, Gate::Shut(_)) {
            inner.gate = Gate::Open;
        }
    }

    /// Calls fail at once until the next [`open`](Self::open).
    pub(crate) fn shut(&self, cause: Option<Arc<Disconnect>>) {
        let mut inner = self.inner.lock();
        if matches!(inner.gate, Gate::Open) {
            inner.gate = Gate::Shut(cause);
        }
    }

    /// Calls fail at once for ever.
    pub(crate) fn end(&self, kind: ErrorKind) {
        self.inner.lock().gate = Gate::Ended(kind);
    }

    /// Why there will be no call again, if there will be none.
    pub(crate) fn ended(&self) -> Option<ErrorKind> {
        if let Gate::Ended(kind) = &self.inner.lock().gate { Some(kind.clone()) } else { None }
    }

    pub(crate) fn set_session(&self, number: u64) {
        self.inner.lock().session = number;
    }

    pub(crate) fn session(&self) -> u64 {
        self.inner.lock().session
    }

    /// An identity to give to all connections to come, beginning with the present one.
    pub(crate) fn add_identity(&self, identity: Identity) {
        self.inner.lock().identities.push(identity);
    }

    pub(crate) fn identities(&self) -> Vec<Identity> {
        self.inner.lock().identities.clone()
    }
}

impl Inner {
    fn admit(&self, manner: Manner) -> Result<(), ErrorKind> {
        match &self.gate {
            Gate::Ended(kind) => Err(kind.clone()),
            _ if manner.session != 0 && manner.session != self.session => {
                Err(ErrorKind::SessionLost)
            }
            Gate::Shut(cause) => Err(ErrorKind::NotConnected(cause.clone())),
            Gate::Open => Ok(()),
        }
    }

    fn push(
        &mut self,
        op: OpCode,
        manner: Manner,
        recipient: Recipient,
        encode: impl FnOnce(&mut BytesMut),
    ) -> usize {
        let xid = if op == OpCode::Auth { Xid::AUTH } else { self.next_xid() };
        let start = self.output.len();
        put_frame(&mut self.output, |out| {
            RequestHeader { xid, op: op.wire() }.encode(out);
            encode(out);
        });
        let length = self.output.len() - start;
        self.calls.push(Call {
            xid,
            op,
            manner,
            recipient,
            length,
            frame: Bytes::new(),
            attempts: 0,
            maybe_done: false,
        });
        length
    }

    /// As in Java, xids run from 1 to the largest and begin again; the others are special.
    fn next_xid(&mut self) -> Xid {
        self.last_xid = Xid(self.last_xid.0.checked_add(1).unwrap_or(1));
        self.last_xid
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(queue: &Queue, length: usize, manner: Manner) -> Result<(), ErrorKind> {
        queue.submit(OpCode::GetData, manner, Recipient::Connection, |out| {
            out.extend_from_slice(&vec![0; length]);
        })
    }

    fn taken(queue: &Queue) -> Vec<(Xid, OpCode, usize)> {
        let mut taken = Taken::default();
        queue.take(&mut taken, true, Waker::noop());
        let calls = taken.calls.iter();
        let calls: Vec<_> = calls.map(|call| (call.xid, call.op, call.length)).collect();
        assert_eq!(calls.iter().map(|call| call.2).sum::<usize>(), taken.output.len());
        calls
    }

    #[test]
    fn a_request_above_the_limit_leaves_nothing_behind() {
        let queue = Queue::new(1000, 100);
        let linearizable = Manner { linearizable: true, ..Manner::default() };
        submit(&queue, 10, Manner::default()).unwrap();
        let error = submit(&queue, 93, linearizable).unwrap_err();
        assert!(matches!(error, ErrorKind::TooLarge { length: 101, limit: 100 }));
        submit(&queue, 92, linearizable).unwrap();
        let ops: Vec<_> = taken(&queue).into_iter().map(|(_, op, length)| (op, length)).collect();
        let expected = [(OpCode::GetData, 22), (OpCode::Sync, 17), (OpCode::GetData, 104)];
        assert_eq!(ops, expected);
    }

    #[tokio::test]
    async fn the_budget_is_held_until_calls_are_answered() {
        let queue = Queue::new(50, 100);
        submit(&queue, 88, Manner::default()).unwrap();
        assert!(!queue.has_room());
        let mut room = std::pin::pin!(queue.room());
        let waiting =
            std::future::poll_fn(|cx| std::task::Poll::Ready(room.as_mut().poll(cx).is_pending()));
        assert!(waiting.await);
        queue.release(51);
        room.await;
    }

    #[test]
    fn calls_bound_to_a_session_are_not_taken_on_in_another() {
        let queue = Queue::new(1000, 100);
        let bound = Manner { session: 1, ..Manner::default() };
        assert!(matches!(submit(&queue, 1, bound), Err(ErrorKind::SessionLost)));
        queue.set_session(1);
        submit(&queue, 1, bound).unwrap();
        queue.set_session(2);
        assert!(matches!(submit(&queue, 1, bound), Err(ErrorKind::SessionLost)));
    }

    #[test]
    fn a_gate_that_ended_stays_so() {
        let queue = Queue::new(1000, 100);
        queue.shut(None);
        assert!(matches!(submit(&queue, 1, Manner::default()), Err(ErrorKind::NotConnected(_))));
        queue.open();
        submit(&queue, 1, Manner::default()).unwrap();
        queue.end(ErrorKind::Closed);
        queue.open();
        assert!(matches!(submit(&queue, 1, Manner::default()), Err(ErrorKind::Closed)));
    }
}
