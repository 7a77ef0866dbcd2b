//! What becomes of calls when their connection, their session or the client ends.
//!
//! At the end of a connection:
//!
//! | call | becomes |
//! |---|---|
//! | not wholly written | goes out first on the next connection, in the same order |
//! | written, repeatable (a read, or declared so) | likewise |
//! | written, not repeatable | fails: its outcome is unknown |
//!
//! When the session is lost, calls fail that wait for a connection, but reads that are not bound
//! to the session; when an outage lasts too long, all of them.

use std::{collections::VecDeque, error::Error, fmt, sync::Arc};

use bytes::Bytes;
use quorate_protocol::{OpCode, Zxid, record::ReplyHeader};

use super::{Driver, Stage};
use crate::{
    error::{Disconnect, ErrorKind, refusal},
    queue::{Call, Recipient},
    session::Input,
};

impl Driver {
    pub(super) fn disconnect(&mut self, cause: &Arc<Disconnect>) {
        tracing::debug!(cause = %Chain(&**cause), "connection ended");
        self.connecting = None;
        self.probing = None;
        self.stage = Stage::Shut;
        (self.ping_sent, self.restoring, self.proof) = (None, None, None);
        let Some(wire) = self.wire.take() else { return };
        let mut refused = self.sync_refused.take();
        for (mut call, written) in wire.into_calls() {
            let waits = matches!(call.recipient, Recipient::Caller(_) | Recipient::Watcher(..));
            if let Some(error) = refused.take_if(|_| waits) {
                self.fail(call, refusal(error));
                continue;
            }
            if matches!(call.recipient, Recipient::Connection) && call.length == 0 {
                continue;
            }
            let again = call.attempts < self.parts.attempts;
            if !written && again {
                self.kept.push_back(call);
            } else if !written {
                self.fail(call, ErrorKind::NotConnected(Some(Arc::clone(cause))));
            } else if call.manner.repeatable && again {
                call.maybe_done |= call.op.is_write();
                self.kept.push_back(call);
            } else {
                self.fail(call, ErrorKind::ConnectionLost(Arc::clone(cause)));
            }
        }
    }

    fn fail(&mut self, call: Call, kind: ErrorKind) {
        self.released += call.length;
        call.fail(kind);
    }

    pub(super) fn give_up_calls(&mut self) {
        let cause = self.parts.session.cause().cloned();
        self.parts.shared.queue.shut(cause.clone());
        self.keep_queue();
        for call in std::mem::take(&mut self.kept) {
            self.fail(call, ErrorKind::NotConnected(cause.clone()));
        }
        self.end_if_abandoned();
    }

    pub(super) fn lose_session(&mut self) {
        self.parts.shared.queue.set_session(0);
        self.keep_queue();
        let (kept, lost): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.kept).into_iter().partition(|call| {
                let closes = call.op == OpCode::CloseSession;
                call.manner.repeatable && call.manner.session == 0 && !closes
            });
        self.kept = kept;
        let mut closed = false;
        for call in lost {
            if call.op == OpCode::CloseSession {
                closed = true;
                self.released += call.length;
                let header = ReplyHeader { xid: call.xid, zxid: Zxid::ZERO, error: 0 };
                self.deliver(call, header, Bytes::new());
            } else {
                self.fail(call, ErrorKind::SessionLost);
            }
        }
        if closed {
            self.step(Input::Close);
        }
        self.end_if_abandoned();
    }

    fn end_if_abandoned(&mut self) {
        if self.abandoned {
            self.step(Input::Close);
        }
    }

    pub(super) fn end(&mut self, cause: &Arc<Disconnect>) {
        let kind = match **cause {
            Disconnect::AuthFailed => ErrorKind::AuthFailed,
            Disconnect::Expired => ErrorKind::SessionLost,
            _ => ErrorKind::Closed,
        };
        // Whoever sees a call fail because of the end sees the last state as well, and whoever sees
        // that state knows why.
        self.parts.shared.queue.announce_end(kind.clone());
        self.publish(self.parts.session.status());
        self.parts.shared.queue.end(kind.clone());
        self.disconnect(cause);
        self.keep_queue();
        for call in std::mem::take(&mut self.kept) {
            self.fail(call, kind.clone());
        }
        self.watches.end();
        self.resolving = None;
        self.ended = true;
    }
}

/// An error with its causes, for logs.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
