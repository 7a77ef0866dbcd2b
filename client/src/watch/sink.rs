//! The bounded queue between the connection's task and one stream of events.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use quorate_protocol::Zxid;

use super::{Event, WatchItem};

/// Where the events of one stream wait for their consumer.
#[derive(Debug)]
pub(crate) struct Sink {
    inner: Mutex<Inner>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<WatchItem>,
    /// All events up to this transaction were taken, or never belonged to this stream.
    taken: Zxid,
    /// The connection was lost when this had been seen, and the watch is not known to be set again.
    interrupted: Option<Zxid>,
    /// The watch was set once.
    started: bool,
    waker: Option<Waker>,
    /// Nothing will be added.
    ended: bool,
    /// Nobody will take anything.
    closed: bool,
}

impl Sink {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { inner: Mutex::default(), capacity: capacity.max(1) }
    }

    /// The watch is set as of this transaction.
    pub(crate) fn started(&self, zxid: Zxid) {
        let mut inner = self.inner.lock();
        inner.taken = inner.taken.max(zxid);
        inner.started = true;
    }

    /// Adds an event. `seen` is the highest zxid of an answer before it.
    pub(crate) fn event(&self, event: &Event, seen: Zxid) {
        let mut inner = self.inner.lock();
        if inner.items.len() < self.capacity {
            self.push(&mut inner, WatchItem::Event(event.clone()));
        } else {
            let from = inner.oldest_unseen();
            let to = event.zxid.map(|zxid| zxid.max(seen));
            inner.items.clear();
            self.push(&mut inner, WatchItem::Resync { from, to });
        }
    }

    /// The watch must be set again: `seen` is the highest zxid of an answer so far.
    pub(crate) fn interrupt(&self, seen: Zxid) {
        let mut inner = self.inner.lock();
        if inner.started {
            inner.interrupted.get_or_insert(seen);
        }
    }

    /// The watch is set again as of `zxid`. Without a transaction in between there is no gap.
    pub(crate) fn resume(&self, zxid: Zxid) {
        let mut inner = self.inner.lock();
        let Some(from) = inner.interrupted.take() else { return };
        if from != zxid {
            self.resync(&mut inner, from, Some(zxid));
        }
    }

    /// Events may be missing.
    fn resync(&self, inner: &mut Inner, from: Zxid, to: Option<Zxid>) {
        let mut from = from.max(inner.taken);
        if inner.items.len() >= self.capacity {
            from = inner.oldest_unseen();
            inner.items.clear();
        }
        self.push(inner, WatchItem::Resync { from, to });
    }

    fn push(&self, inner: &mut Inner, item: WatchItem) {
        debug_assert!(inner.items.len() < self.capacity, "the queue is bounded");
        if inner.closed || inner.ended {
            return;
        }
        inner.items.push_back(item);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// Nothing will be added.
    pub(crate) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.ended = true;
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// Nobody will take anything.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.items = VecDeque::new();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Takes the oldest item; `None` behind the last.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        let mut inner = self.inner.lock();
        if let Some(item) = inner.take() {
            return Poll::Ready(Some(item));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes the oldest item if there is one now.
    pub(crate) fn try_take(&self) -> Option<WatchItem> {
        self.inner.lock().take()
    }
}

impl Inner {
    fn take(&mut self) -> Option<WatchItem> {
        let item = self.items.pop_front()?;
        let up_to = match &item {
            // Others of the same transaction may follow.
            WatchItem::Event(Event { zxid, .. }) => zxid.map(|zxid| Zxid(zxid.0 - 1)),
            WatchItem::Resync { to, .. } => *to,
        };
        self.taken = self.taken.max(up_to.unwrap_or_default());
        Some(item)
    }

    /// Up to where a gap that swallows all items begins.
    fn oldest_unseen(&self) -> Zxid {
        match self.items.front() {
            Some(WatchItem::Resync { from, .. }) => *from,
            _ => self.taken,
        }
    }
}
