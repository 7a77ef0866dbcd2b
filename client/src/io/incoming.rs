//! What comes in: frames, and what is handed on of them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use quorate_protocol::{
    Decode, ErrorCode, OpCode, Xid, Zxid,
    record::{ConnectResponse, ReplyHeader, WatcherEvent},
};

use super::{Driver, Stage};
use crate::{
    error::{Disconnect, refusal},
    queue::{Call, Failure, Outcome, Recipient, Reply},
    session::{Input, Time},
    watch::{Event, Kind, Registration},
};

impl Driver {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(wire) = &mut self.wire else { return false };
        let Poll::Ready(read) = wire.poll_read(cx) else { return false };
        let now = self.now();
        match read {
            Ok(()) => {
                self.parts.session.heard(now);
                store(&self.parts.shared.heard, now);
                self.take_frames();
            }
            Err(cause) => self.step(Input::Failed(cause)),
        }
        true
    }

    fn take_frames(&mut self) {
        while let Some(wire) = &mut self.wire {
            let taken = match wire.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.take_frame(frame),
                Err(cause) => Err(cause),
            };
            if let Err(cause) = taken {
                self.step(Input::Failed(cause));
                return;
            }
        }
    }

    fn take_frame(&mut self, mut frame: Bytes) -> Result<(), Disconnect> {
        if self.stage == Stage::Greeting {
            let response = ConnectResponse::from_bytes(&frame)?;
            self.stage = Stage::Shut;
            self.step(Input::Answered(response));
            return Ok(());
        }
        let header = ReplyHeader::from_bytes(&frame)?;
        frame.advance(ReplyHeader::SIZE);
        if self.stage == Stage::Proving {
            return self.take_token(header, &frame);
        }
        match header.xid {
            Xid::EVENT => self.take_event(header.zxid, &frame),
            Xid::PING => {
                if let Some(sent) = self.ping_sent.take() {
                    self.confirm(sent);
                }
                Ok(())
            }
            _ => self.take_answer(header, frame),
        }
    }

    fn take_event(&mut self, zxid: Zxid, body: &[u8]) -> Result<(), Disconnect> {
        let event = WatcherEvent::from_bytes(body)?;
        // `Compat:` -1 from servers before 3.9, and for what happened while the client was away.
        let zxid = (zxid > Zxid::ZERO).then_some(zxid);
        let event = Event { kind: event.kind, path: event.path.into_owned(), zxid };
        tracing::trace!(?event, "event");
        self.watches.dispatch(&event, self.parts.session.last_zxid());
        Ok(())
    }

    fn take_answer(&mut self, header: ReplyHeader, body: Bytes) -> Result<(), Disconnect> {
        let wire = self.wire.as_mut().expect("a frame came from it");
        let (call, reached) = wire.answered(header.xid).ok_or(Disconnect::OutOfTurn(header.xid))?;
        if let Some(reached) = reached {
            self.confirm(reached);
        }
        if header.zxid > Zxid::ZERO {
            self.parts.session.seen(header.zxid);
        }
        self.released += call.length;
        let (op, error) = (call.op, header.error);
        let restores = matches!(op, OpCode::SetWatches | OpCode::SetWatches2);
        self.deliver(call, header, body);
        match (op, error) {
            (_, error) if restores && error != 0 => return Err(Disconnect::WatchesRefused(error)),
            (OpCode::CloseSession, _) => self.step(Input::Close),
            (OpCode::Auth, error) if error != 0 => return Err(Disconnect::AuthFailed),
            _ => {}
        }
        Ok(())
    }

    /// Hands an answer to whoever waits for it.
    pub(super) fn deliver(&mut self, call: Call, header: ReplyHeader, body: Bytes) {
        let Call { op, recipient, frame, maybe_done, .. } = call;
        let error = match &recipient {
            Recipient::Caller(_) | Recipient::Watcher(..) => {
                self.sync_refused.take().unwrap_or(header.error)
            }
            _ => header.error,
        };
        let outcome = || -> Outcome {
            if error == 0 {
                return Ok(Reply { zxid: header.zxid, body, maybe_done });
            }
            Err(Failure { kind: refusal(error), maybe_done, frame, zxid: header.zxid })
        };
        match recipient {
            Recipient::Caller(slot) => {
                // Whoever asked may have stopped waiting.
                let _ = slot.send(outcome());
            }
            Recipient::Watcher(slot, registration) => {
                self.register(registration, op, error, header.zxid);
                let _ = slot.send(outcome());
            }
            Recipient::Next => self.sync_refused = (error != 0).then_some(error),
            Recipient::Connection => self.answered_itself(op, header),
        }
    }

    /// A call that sets a watch was answered.
    fn register(&mut self, registration: Registration, op: OpCode, error: i32, zxid: Zxid) {
        match registration {
            Registration::OneShot { kind, path, slot } => {
                let missing = error == ErrorCode::NoNode.wire();
                match (op, error) {
                    (_, 0) => self.watches.add_one_shot(kind, path, slot),
                    (OpCode::Exists, _) if missing => {
                        self.watches.add_one_shot(Kind::Exist, path, slot);
                    }
                    _ => {}
                }
            }
            Registration::Stream { sink, .. } if error == 0 => sink.started(zxid),
            Registration::Stream { path, recursive, sink } => {
                self.watches.remove_stream(&path, recursive, &sink);
            }
        }
    }

    /// A request of the connection itself was answered.
    fn answered_itself(&mut self, op: OpCode, header: ReplyHeader) {
        if !matches!(op, OpCode::SetWatches | OpCode::SetWatches2) || header.error != 0 {
            return;
        }
        let Some(restoring) = &mut self.restoring else { return };
        restoring.zxid = restoring.zxid.max(header.zxid);
        restoring.requests -= 1;
        if restoring.requests == 0 {
            for sink in &restoring.sinks {
                sink.resume(restoring.zxid);
            }
            self.restoring = None;
        }
    }

    /// The server was reached at this time or later.
    pub(super) fn confirm(&self, at: Time) {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.parts.shared.confirmed.fetch_max(nanos, Ordering::Relaxed);
    }
}

fn store(cell: &AtomicU64, time: Time) {
    cell.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}
