//! What goes out: calls from the queue, and the end of the client behind them.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use quorate_protocol::{
    Encode, OpCode, Xid,
    record::{RemoveWatchesRequest, WatcherType},
};

use super::{Driver, Stage, wire::Wire};
use crate::{
    queue::{Call, Manner, Recipient, Taken},
    session::Input,
    watch::{Registration, Unwatch},
};

impl Driver {
    pub(super) fn poll_queue(&mut self, cx: &mut Context<'_>) -> bool {
        let mut taken = std::mem::take(&mut self.taken);
        let any = self.parts.shared.queue.take(&mut taken, self.stage == Stage::Open, cx.waker());
        if any {
            self.take_calls(&mut taken);
            for unwatch in taken.unwatches.drain(..) {
                self.unwatch(&unwatch);
            }
            if std::mem::take(&mut taken.abandoned) {
                self.abandoned();
            }
            if std::mem::take(&mut taken.left) {
                self.step(Input::Close);
            }
        }
        self.taken = taken;
        any
    }

    /// Puts calls from the queue on the wire.
    fn take_calls(&mut self, taken: &mut Taken) {
        if taken.calls.is_empty() {
            return;
        }
        for call in &taken.calls {
            self.listen_early(call);
        }
        let wire = self.wire.as_mut().expect("calls pass only with a wire");
        wire.put_calls(&mut taken.calls, std::mem::take(&mut taken.output));
    }

    /// Events of a persistent watch may come ahead of the answer to what sets it.
    fn listen_early(&mut self, call: &Call) {
        if let Recipient::Watcher(_, Registration::Stream { path, recursive, sink }) =
            &call.recipient
        {
            self.watches.add_stream(path.clone(), *recursive, Arc::clone(sink));
        }
    }

    /// Takes what is in the queue behind what waits already.
    pub(super) fn keep_queue(&mut self) {
        let mut taken = Taken::default();
        self.parts.shared.queue.take(&mut taken, true, Waker::noop());
        let mut frames = taken.output.freeze();
        for mut call in taken.calls {
            self.listen_early(&call);
            call.frame = frames.split_to(call.length);
            self.kept.push_back(call);
        }
        for unwatch in &taken.unwatches {
            self.unwatch(unwatch);
        }
        self.abandoned |= taken.abandoned;
    }

    /// Removes the server's watch that nobody wants any more, unless a call on its way sets it.
    fn unwatch(&mut self, unwatch: &Unwatch) {
        let Some(kind) = self.watches.unwatch(unwatch) else { return };
        let Some(wire) = self.wire.as_mut().filter(|_| self.stage == Stage::Open) else { return };
        if wire.pending().any(|call| sets_watch_at(call, &unwatch.path)) {
            return;
        }
        put_removal(wire, &unwatch.path, kind);
    }

    /// No handle is left: the session is closed behind all calls.
    fn abandoned(&mut self) {
        self.abandoned = true;
        let manner = Manner { repeatable: true, ..Manner::default() };
        let queue = &self.parts.shared.queue;
        let closed = queue.submit(OpCode::CloseSession, manner, Recipient::Connection, |_| {});
        let no_session = self.parts.session.status().session_number == 0;
        if closed.is_err() || no_session {
            self.step(Input::Close);
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.wire.as_ref().is_some_and(Wire::has_output) {
            return false;
        }
        let now = self.now();
        let Some(wire) = &mut self.wire else { return false };
        match wire.poll_write(cx, now) {
            Poll::Pending => false,
            Poll::Ready(Ok(any)) => {
                if any {
                    self.parts.session.sent(now);
                }
                any
            }
            Poll::Ready(Err(cause)) => {
                self.step(Input::Failed(cause));
                true
            }
        }
    }
}

/// A request of the connection itself. It is not counted against the budget.
pub(super) fn own_call(xid: Xid, op: OpCode) -> Call {
    Call {
        xid,
        op,
        manner: Manner::default(),
        recipient: Recipient::Connection,
        length: 0,
        frame: Bytes::new(),
        attempts: 0,
        maybe_done: false,
    }
}

fn put_removal(wire: &mut Wire, path: &str, kind: WatcherType) {
    let request = RemoveWatchesRequest { path: path.into(), kind: kind.wire() };
    wire.put_call(own_call(Xid::SET_WATCHES, OpCode::RemoveWatches), |out: &mut BytesMut| {
        request.encode(out);
    });
}

fn sets_watch_at(call: &Call, at: &str) -> bool {
    match &call.recipient {
        Recipient::Watcher(
            _,
            Registration::OneShot { path, .. } | Registration::Stream { path, .. },
        ) => &**path == at,
        _ => false,
    }
}
