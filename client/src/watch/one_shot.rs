//! One-shot watches: one event, then nothing.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::{Event, Kind, Unwatch};
use crate::{
    client::View,
    error::{Error, ErrorKind},
};

/// A watch that tells of the next change: a future of one event.
///
/// It outlives connections and sessions: after a reconnect it is set again, and what happened
/// meanwhile is told at once (as one event, whatever it was that happened last). Fails with
/// [`ErrorKind::Closed`] when the client ends.
///
/// # Cancel safety
/// It may be polled again after a pause; nothing is lost. Dropping it removes the watch at the
/// server if nobody else of this client needs it.
#[derive(Debug)]
#[must_use = "a watch that is dropped tells nothing"]
pub struct OneShot {
    event: oneshot::Receiver<Event>,
    view: View,
    kind: Kind,
    path: Arc<str>,
    fired: bool,
}

/// The other end.
#[derive(Debug)]
pub(crate) struct OneShotSlot(oneshot::Sender<Event>);

impl OneShotSlot {
    /// A slot, and where its event arrives.
    pub(crate) fn pair() -> (Self, oneshot::Receiver<Event>) {
        let (slot, event) = oneshot::channel();
        (Self(slot), event)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub(crate) fn fire(self, event: &Event) {
        // Whoever listened may have gone just now.
        let _ = self.0.send(event.clone());
    }
}

impl OneShot {
    /// A watch at a path of the server, and its other end.
    pub(crate) fn new(view: View, kind: Kind, path: Arc<str>) -> (Self, OneShotSlot) {
        let (slot, event) = OneShotSlot::pair();
        (Self { event, view, kind, path, fired: false }, slot)
    }
}

impl Future for OneShot {
    type Output = Result<Event, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(event) = Pin::new(&mut self.event).poll(cx) else {
            return Poll::Pending;
        };
        self.fired = true;
        Poll::Ready(match event {
            Ok(event) => Ok(self.view.event_out(event)),
            Err(_) => Err(ErrorKind::Closed.into()),
        })
    }
}

impl Drop for OneShot {
    fn drop(&mut self) {
        if !self.fired {
            self.event.close();
            let unwatch = Unwatch { path: (&*self.path).into(), kind: self.kind };
            self.view.queue().unwatch(unwatch);
        }
    }
}
