//! The task that owns the connection: feeds the session's state machine and performs its effects.
//!
//! It is the only one to touch the transport. It takes calls from the queue while the session
//! lets calls pass, hands answers to those who wait and events to those who listen, and decides at
//! the end of a connection what becomes of each call.

pub(crate) mod connector;
mod effects;
mod ending;
mod incoming;
mod outgoing;
mod proof;
pub(crate) mod resolve;
#[cfg(feature = "srv")]
pub(crate) mod srv;
mod wire;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use quorate_protocol::Zxid;
use tokio::time::{Instant, Sleep, sleep_until};

use self::{
    connector::{Connecting, Connector, Transport},
    proof::Proof,
    resolve::Directory,
    wire::Wire,
};
use crate::{
    client::Shared,
    error::Disconnect,
    queue::{Call, Taken},
    sasl::Mechanism,
    session::{Effect, Endpoint, Input, Session, Time},
    watch::{Registry, Sink},
};

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
}
