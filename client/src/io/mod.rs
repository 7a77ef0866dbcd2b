//! The task that owns the connection: feeds the session's state machine and performs its effects.
//!
//! It is the only one to touch the transport. It takes calls from the queue while the session
//! lets calls pass, hands answers to those who wait and events to those who listen, and decides at
//! the end of a connection what becomes of each call:
//!
//! | call | becomes |
//! |---|---|
//! | not wholly written | goes out first on the next connection, in the same order |
//! | written, repeatable (a read, or declared so) | likewise |
//! | written, not repeatable | fails: its outcome is unknown |
//!
//! When the session is lost, calls fail that wait for a connection, but reads that are not bound
//! to the session; when an outage lasts too long, all of them.

pub(crate) mod connector;
mod proof;
pub(crate) mod resolve;
#[cfg(feature = "srv")]
pub(crate) mod srv;
mod wire;

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use quorate_protocol::{
    Decode, Encode, ErrorCode, OpCode, Xid, Zxid,
    record::{
        ConnectRequest, ConnectResponse, RemoveWatchesRequest, ReplyHeader, WatcherEvent,
        WatcherType,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, Sleep, sleep_until, timeout},
};

use self::{
    connector::{Connecting, Connector, Transport},
    proof::Proof,
    resolve::{Directory, find_servers},
    wire::Wire,
};
use crate::{
    client::Shared,
    error::{Disconnect, ErrorKind, refusal},
    queue::{Call, Failure, Manner, Outcome, Recipient, Reply, Taken},
    sasl::Mechanism,
    session::{Effect, Endpoint, Greeting, Input, Session, Time},
    state::Status,
    watch::{Event, Kind, Registration, Registry, Sink, Unwatch},
};

/// How long a server may take to say whether it can write.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// The longest frame of a server before calls may pass.
const GREETING_LIMIT: usize = 64 * 1024;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the task is given.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Session,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) directory: Arc<Directory>,
    /// How the identity is proved, if it is by SASL.
    pub(crate) mechanism: Option<Arc<dyn Mechanism>>,
    pub(crate) answer_limit: usize,
    /// On how many connections a call may be.
    pub(crate) attempts: u32,
}

/// The task.
pub(crate) struct Driver {
    parts: Parts,
    watches: Registry,
    wire: Option<Wire>,
    stage: Stage,
    greeted: Time,
    /// Calls that wait for a connection, ahead of those in the queue.
    kept: VecDeque<Call>,
    resolving: Option<Boxed<Result<Vec<Endpoint>, Disconnect>>>,
    connecting: Option<(String, Connecting<Box<dyn Transport>>)>,
    probing: Option<Boxed<(Endpoint, bool)>>,
    timer: Pin<Box<Sleep>>,
    inputs: VecDeque<Input>,
    effects: Vec<Effect>,
    /// Effects are being performed.
    stepping: bool,
    taken: Taken,
    /// Bytes of calls that are done, to be given back to the budget.
    released: usize,
    /// A `sync` was refused: so is the read behind it.
    sync_refused: Option<i32>,
    restoring: Option<Restoring>,
    /// There in [`Stage::Proving`].
    proof: Option<Proof>,
    ping_sent: Option<Time>,
    abandoned: bool,
    ended: bool,
}

/// What the wire is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing, or there is none.
    Shut,
    /// The server's first record has not come.
    Greeting,
    /// The identity is being proved.
    Proving,
    /// Calls may pass.
    Open,
}

/// Watches that are being set again.
struct Restoring {
    sinks: Vec<Arc<Sink>>,
    requests: usize,
    zxid: Zxid,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let timer = Box::pin(sleep_until(parts.shared.start));
        Self {
            parts,
            watches: Registry::default(),
            wire: None,
            greeted: Time::ZERO,
            stage: Stage::Shut,
            kept: VecDeque::new(),
            resolving: None,
            connecting: None,
            probing: None,
            timer,
            inputs: VecDeque::new(),
            effects: Vec::new(),
            stepping: false,
            taken: Taken::default(),
            released: 0,
            sync_refused: None,
            restoring: None,
            proof: None,
            ping_sent: None,
            abandoned: false,
            ended: false,
        }
    }

    /// Drives the client to its end.
    pub(crate) async fn run(mut self) {
        self.step(Input::Start);
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut progress = self.poll_setup(cx);
            progress |= self.poll_read(cx);
            progress |= self.poll_queue(cx);
            progress |= self.poll_write(cx);
            progress |= self.poll_timer(cx);
            if self.released > 0 {
                self.parts.shared.queue.release(std::mem::take(&mut self.released));
            }
            if self.ended {
                return Poll::Ready(());
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    fn now(&self) -> Time {
        Instant::now() - self.parts.shared.start
    }

    // ---- what comes in

    fn poll_setup(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Some(resolving) = &mut self.resolving
            && let Poll::Ready(resolved) = resolving.as_mut().poll(cx)
        {
            self.resolving = None;
            progress = true;
            self.step(match resolved {
                Ok(endpoints) => Input::Resolved(endpoints),
                Err(cause) => Input::Unresolved(cause),
            });
        }
        if let Some((server, connecting)) = &mut self.connecting
            && let Poll::Ready(connected) = connecting.as_mut().poll(cx)
        {
            let server = std::mem::take(server);
            self.connecting = None;
            progress = true;
            match connected {
                Ok(transport) => {
                    self.wire = Some(Wire::new(transport, GREETING_LIMIT));
                    self.step(Input::Connected);
                }
                Err(source) => {
                    self.step(Input::Failed(Disconnect::unreachable(server, source)));
                }
            }
        }
        if let Some(probing) = &mut self.probing
            && let Poll::Ready((endpoint, writes)) = probing.as_mut().poll(cx)
        {
            self.probing = None;
            progress = true;
            self.step(Input::Probed { endpoint, writes });
        }
        progress
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
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
    fn deliver(&mut self, call: Call, header: ReplyHeader, body: Bytes) {
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
    fn confirm(&self, at: Time) {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.parts.shared.confirmed.fetch_max(nanos, Ordering::Relaxed);
    }

    // ---- what goes out

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> bool {
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
    fn keep_queue(&mut self) {
        let mut taken = Taken::default();
        self.parts.shared.queue.take(&mut taken, true, std::task::Waker::noop());
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

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
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

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.parts.session.deadline() else { return false };
        let at = self.parts.shared.start + deadline;
        // Most deadlines move away with every byte; the timer follows when it has fired.
        if self.timer.deadline() > at || self.timer.is_elapsed() {
            if self.now() >= deadline {
                self.step(Input::Timer);
                return true;
            }
            self.timer.as_mut().reset(at);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    // ---- effects

    /// Inputs that effects bring about wait until all effects before them are performed.
    fn step(&mut self, input: Input) {
        self.inputs.push_back(input);
        if self.stepping {
            return;
        }
        self.stepping = true;
        let mut effects = std::mem::take(&mut self.effects);
        while let Some(input) = self.inputs.pop_front() {
            let now = self.now();
            self.parts.session.step(now, input, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect, now);
            }
        }
        self.effects = effects;
        self.stepping = false;
        self.parts.shared.cause.lock().clone_from(&self.parts.session.cause().cloned());
    }

    fn perform(&mut self, effect: Effect, now: Time) {
        tracing::trace!(?effect);
        match effect {
            Effect::Resolve => self.resolving = Some(self.resolve()),
            Effect::Connect(endpoint) => {
                let connecting = self.parts.connector.connect(endpoint.name.clone(), endpoint.addr);
                self.connecting = Some((endpoint.to_string(), connecting));
            }
            Effect::Greet(greeting) => self.greet(greeting, now),
            Effect::Prove => self.prove(),
            Effect::Restore => self.restore(),
            Effect::Open => self.open(),
            Effect::Ping => {
                if let Some(wire) = &mut self.wire {
                    wire.put_request(Xid::PING, OpCode::Ping, |_| {});
                    self.ping_sent.get_or_insert(now);
                }
            }
            Effect::Probe(endpoint) => self.probing = Some(self.probe(endpoint)),
            Effect::Disconnect(cause) => self.disconnect(&cause),
            Effect::GiveUpCalls => self.give_up_calls(),
            Effect::LoseSession => self.lose_session(),
            Effect::NewSession(number) => self.parts.shared.queue.set_session(number),
            Effect::Publish(status) => self.publish(status),
            Effect::End(cause) => self.end(&cause),
        }
    }

    fn resolve(&self) -> Boxed<Result<Vec<Endpoint>, Disconnect>> {
        let connector = Arc::clone(&self.parts.connector);
        let directory = Arc::clone(&self.parts.directory);
        Box::pin(async move { find_servers(&*connector, &directory).await })
    }

    fn greet(&mut self, greeting: Greeting, now: Time) {
        let Some(wire) = &mut self.wire else { return };
        let Greeting { last_zxid, timeout, session, password, read_only } = greeting;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: last_zxid,
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            session_id: session,
            passwd: password.as_ref(),
            read_only: Some(read_only),
        };
        wire.put(|out| request.encode(out));
        (self.stage, self.greeted) = (Stage::Greeting, now);
    }

    /// Sends identities and watches, ahead of all calls.
    fn restore(&mut self) {
        self.confirm(self.greeted);
        *self.parts.shared.ticket.lock() = Some(self.parts.session.ticket());
        let Some(wire) = &mut self.wire else { return };
        for identity in self.parts.shared.queue.identities() {
            let call = own_call(Xid::AUTH, OpCode::Auth);
            wire.put_call(call, |out| identity.encode(out));
        }
        let relative = self.parts.session.last_zxid();
        let requests = self.watches.restore(relative);
        if requests.is_empty() {
            return;
        }
        let sinks: Vec<_> = self.watches.sinks().cloned().collect();
        for sink in &sinks {
            sink.interrupt(relative);
        }
        self.restoring = Some(Restoring { sinks, requests: requests.len(), zxid: Zxid::ZERO });
        for (op, body) in requests {
            wire.put_call(own_call(Xid::SET_WATCHES, op), |out| out.extend_from_slice(&body));
        }
    }

    /// Lets calls pass, those first that wait already.
    fn open(&mut self) {
        self.stage = Stage::Open;
        self.parts.shared.queue.open();
        let Some(wire) = &mut self.wire else { return };
        wire.set_answer_limit(self.parts.answer_limit);
        for call in self.kept.drain(..) {
            wire.put_again(call);
        }
    }

    fn disconnect(&mut self, cause: &Arc<Disconnect>) {
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

    fn give_up_calls(&mut self) {
        let cause = self.parts.session.cause().cloned();
        self.parts.shared.queue.shut(cause.clone());
        self.keep_queue();
        for call in std::mem::take(&mut self.kept) {
            self.fail(call, ErrorKind::NotConnected(cause.clone()));
        }
        self.end_if_abandoned();
    }

    fn lose_session(&mut self) {
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

    fn publish(&mut self, status: Status) {
        let Status { state, session, server, .. } = status;
        tracing::info!(?state, %session, ?server, "client state");
        self.parts.shared.status.send_replace(status);
    }

    fn end(&mut self, cause: &Arc<Disconnect>) {
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

    fn probe(&self, endpoint: Endpoint) -> Boxed<(Endpoint, bool)> {
        let connecting = self.parts.connector.connect(endpoint.name.clone(), endpoint.addr);
        Box::pin(async move {
            let writes = timeout(PROBE_PATIENCE, can_write(connecting)).await;
            let writes = writes.is_ok_and(|writes| writes.unwrap_or(false));
            (endpoint, writes)
        })
    }
}

/// Asks a server whether it can write. `Compat:` the answer is exactly `rw`, then it closes.
async fn can_write(connecting: Connecting<Box<dyn Transport>>) -> io::Result<bool> {
    let mut transport = connecting.await?;
    transport.write_all(b"isro").await?;
    let mut answer = [0; 2];
    transport.read_exact(&mut answer).await?;
    Ok(answer == *b"rw")
}

/// A request of the connection itself. It is not counted against the budget.
fn own_call(xid: Xid, op: OpCode) -> Call {
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

fn store(cell: &std::sync::atomic::AtomicU64, time: Time) {
    cell.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// An error with its causes, for logs.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
