//! Calls: how they are made, awaited and repeated.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use quorate_protocol::{
    Decoder, ErrorCode, OpCode, Zxid, frame::LENGTH_SIZE, path, record::RequestHeader,
};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep, sleep_until},
};

use crate::{
    client::View,
    error::{Error, ErrorKind},
    queue::{Failure, Manner, Outcome, Recipient, Reply},
    retry::RetryPolicy,
    watch::{Kind, OneShot, Registration},
};

/// What a call asks for, and what it is answered. The types of [`request`](crate::request).
pub trait Request {
    /// What comes of it.
    type Answer;
}

/// A request on its way to the server and back.
pub(crate) trait Exchange: Request {
    fn op(&self) -> OpCode;

    /// As the caller knows it.
    fn path(&self) -> Option<&str>;

    /// Whether it can be right.
    fn check(&self) -> Result<(), ErrorKind> {
        self.path().map_or(Ok(()), path::validate).map_err(Into::into)
    }

    fn encode(&self, view: &View, out: &mut BytesMut);

    /// Whether making it twice is the same as making it once.
    fn is_read(&self) -> bool;

    /// The one-shot watch it sets, if it does.
    fn watch(&self) -> Option<Kind> {
        None
    }

    /// The answer, from what the server said.
    fn finish(
        reply: Result<Reply, ErrorCode>,
        view: &View,
        watch: Option<OneShot>,
    ) -> Result<Self::Answer, ErrorKind>;
}

/// A call to be made. Nothing happens before it is sent: with [`send`](Self::send), or by awaiting
/// it.
///
/// # Ordering
/// The calls of a client and all its clones are carried out in the order in which they were sent,
/// across reconnects too. [`send`](Self::send) sends at once. A call that is awaited is sent when
/// it is first polled; but when the client's budget of bytes is used up, it waits for room first.
/// A call that the server refused for now, and that is made again after a pause (see
/// [`RetryPolicy`]), is sent anew then.
///
/// # Cancel safety
/// A future that is dropped before it was polled has sent nothing. One that is dropped later has
/// given up the answer, not the call: the request still goes out in its turn, and whether it was
/// done is unknown.
#[must_use = "a call that is neither sent nor awaited does nothing"]
pub struct Call<'a, R> {
    pub(crate) view: &'a View,
    pub(crate) request: R,
    pub(crate) manner: Manner,
    timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
}

impl<R: fmt::Debug> fmt::Debug for Call<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.request).finish()
    }
}

impl<'a, R> Call<'a, R> {
    pub(crate) fn new(view: &'a View, request: R) -> Self {
        let manner = Manner { session: view.session(), ..Manner::default() };
        Self { view, request, manner, timeout: view.options().deadline, retry: None }
    }

    /// How long to wait for the answer, from when the call is first polled. Has no effect on
    /// [`send`](Call::send). In place of the client's
    /// [`default_timeout`](crate::ClientBuilder::default_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// In place of the client's policy, for refusals.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Declares that the call may be made twice: it is then sent again when the connection is lost
    /// before its answer. The answer is that of the last attempt, so a call that depends on a
    /// version, or that creates or deletes, can be refused because of its own success;
    /// [`Error::surely_not_done`] is false then.
    pub fn repeatable(mut self) -> Self {
        self.manner.repeatable = true;
        self
    }
}

impl<'a, R> Call<'a, R> {
    /// The same for another request.
    pub(crate) fn map<S>(self, request: impl FnOnce(R) -> S) -> Call<'a, S> {
        let Self { view, request: before, manner, timeout, retry } = self;
        Call { view, request: request(before), manner, timeout, retry }
    }

    /// One like it, of another request.
    pub(crate) fn with<'b, S>(&self, request: S) -> Call<'b, S>
    where
        'a: 'b,
    {
        let Self { view, manner, timeout, retry, .. } = self;
        Call { view, request, manner: *manner, timeout: *timeout, retry: retry.clone() }
    }
}

#[expect(private_bounds, reason = "requests are made by the client's methods")]
impl<R: Exchange> Call<'_, R> {
    /// Sends the call now, also when the budget is used up (see
    /// [`Client::ready`](crate::Client::ready)), and returns the future of its answer. To pipeline,
    /// send all calls before awaiting the first answer.
    ///
    /// The answer may be dropped: the call is carried out all the same.
    pub fn send(self) -> Answer<R::Answer> {
        self.submit()
    }

    fn submit(&self) -> Answer<R::Answer> {
        let Self { view, request, manner, .. } = self;
        let (slot, receiver) = oneshot::channel();
        let op = request.op();
        let mut answer = Answer {
            receiver,
            failed: None,
            view: (*view).clone(),
            op,
            finish: R::finish,
            watch: None,
            zxid: Zxid::ZERO,
        };
        let recipient = match request.watch() {
            None => Recipient::Caller(slot),
            Some(kind) => {
                let path: Arc<str> = view.path_in(request.path().unwrap_or("/")).into();
                let registered = (&*path).into();
                let (watch, watch_slot) = OneShot::new((*view).clone(), kind, path);
                answer.watch = Some(watch);
                let registration =
                    Registration::OneShot { kind, path: registered, slot: watch_slot };
                Recipient::Watcher(slot, registration)
            }
        };
        let manner = Manner { repeatable: manner.repeatable || request.is_read(), ..*manner };
        let sent = request.check().and_then(|()| {
            view.queue().submit(op, manner, recipient, |out| request.encode(view, out))
        });
        if let Err(kind) = sent {
            answer.failed = Some(Error::new(kind).of(op, request.path()));
        }
        answer
    }
}

impl<'a, R: Exchange + Unpin> IntoFuture for Call<'a, R> {
    type Output = Result<R::Answer, Error>;
    type IntoFuture = Calling<'a, R>;

    fn into_future(self) -> Calling<'a, R> {
        Calling { call: self, step: Step::Begin, begun: None, attempts: 0, deadline: None }
    }
}

/// Makes the answer of what the server said.
type Finish<T> = fn(Result<Reply, ErrorCode>, &View, Option<OneShot>) -> Result<T, ErrorKind>;

/// The answer of a call that was sent: see [`Call::send`].
///
/// # Cancel safety
/// Dropping it gives up the answer, not the call.
#[must_use = "the answer tells whether it was done; to ignore it, drop it"]
pub struct Answer<T> {
    receiver: oneshot::Receiver<Outcome>,
    /// Why it was not even sent.
    failed: Option<Error>,
    view: View,
    op: OpCode,
    finish: Finish<T>,
    watch: Option<OneShot>,
    zxid: Zxid,
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("op", &self.op).finish_non_exhaustive()
    }
}

impl<T> Answer<T> {
    /// The answer with the zxid of the server's reply: that of the write, or for a read the last
    /// transaction the server had applied.
    ///
    /// # Errors
    /// As without.
    pub async fn with_zxid(mut self) -> Result<(T, Zxid), Error> {
        let answer = (&mut self).await?;
        Ok((answer, self.zxid))
    }

    fn finished(&mut self, outcome: Outcome) -> Result<T, Error> {
        let watch = self.watch.take();
        let Self { view, op, finish, .. } = self;
        let result = match outcome {
            Ok(reply) => {
                self.zxid = reply.zxid;
                let unknown = reply.maybe_done;
                let failed = |kind| Error::new(kind).after_unknown(unknown);
                finish(Ok(reply), view, watch).map_err(failed)
            }
            Err(Failure { kind: ErrorKind::Refused(code), maybe_done, frame, zxid }) => {
                self.zxid = zxid;
                finish(Err(code), view, watch).map_err(|kind| {
                    Error::new(kind).of(*op, path_of(&frame, view)).after_unknown(maybe_done)
                })
            }
            Err(Failure { kind, maybe_done, frame, .. }) => {
                Err(Error::new(kind).of(*op, path_of(&frame, view)).after_unknown(maybe_done))
            }
        };
        match &result {
            Ok(_) => tracing::trace!(%op, zxid = %self.zxid, "answered"),
            Err(error) => tracing::debug!(%error, "call failed"),
        }
        result.map_err(|error| error.of(*op, None))
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Err(error));
        }
        let outcome = ready!(Pin::new(&mut this.receiver).poll(cx));
        // Without a word of the connection's task nobody knows how far the call came.
        let outcome = outcome.unwrap_or_else(|_| {
            let frame = bytes::Bytes::new();
            let zxid = Zxid::ZERO;
            Err(Failure { kind: ErrorKind::Closed, maybe_done: true, frame, zxid })
        });
        Poll::Ready(this.finished(outcome))
    }
}

/// A call being made: the future of [`Call`].
#[must_use = "futures do nothing unless polled"]
pub struct Calling<'a, R: Request> {
    call: Call<'a, R>,
    step: Step<R::Answer>,
    begun: Option<Instant>,
    attempts: u32,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<R: Request + fmt::Debug> fmt::Debug for Calling<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}

enum Step<T> {
    Begin,
    /// Until there is room in the budget.
    Room(Pin<Box<dyn Future<Output = ()> + Send>>),
    Answer(Answer<T>),
    Pause(Pin<Box<Sleep>>),
}

#[expect(private_bounds, reason = "requests are made by the client's methods")]
impl<R: Exchange> Calling<'_, R> {
    /// The pause before the call is made again, if it is.
    fn pause_after(&mut self, error: &Error) -> Option<Duration> {
        let refused = error.code().is_some();
        if !refused || !error.is_retryable() || error.is_session_lost() || !error.surely_not_done()
        {
            return None;
        }
        let policy = self.call.retry.as_ref().unwrap_or(&self.call.view.options().retry);
        let elapsed = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        policy.pause(self.attempts, elapsed, &mut fastrand::Rng::new())
    }

    fn too_late(&self) -> Error {
        let request = &self.call.request;
        let sent = matches!(self.step, Step::Answer(_));
        let unknown = sent && !request.is_read();
        Error::new(ErrorKind::Timeout).of(request.op(), request.path()).after_unknown(unknown)
    }
}

impl<R: Exchange + Unpin> Future for Calling<'_, R> {
    type Output = Result<R::Answer, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.attempts == 0
            && this.deadline.is_none()
            && let Some(timeout) = this.call.timeout
        {
            this.deadline = Some(Box::pin(sleep(timeout)));
        }
        loop {
            match &mut this.step {
                Step::Begin => {
                    let queue = this.call.view.queue();
                    if !queue.has_room() {
                        let view = this.call.view.clone();
                        this.step = Step::Room(Box::pin(async move { view.queue().room().await }));
                        continue;
                    }
                    this.attempts += 1;
                    this.step = Step::Answer(this.call.submit());
                }
                Step::Room(room) => {
                    if room.as_mut().poll(cx).is_pending() {
                        break;
                    }
                    this.step = Step::Begin;
                }
                Step::Answer(answer) => {
                    let Poll::Ready(result) = Pin::new(answer).poll(cx) else { break };
                    let Err(error) = &result else { return Poll::Ready(result) };
                    let Some(pause) = this.pause_after(error) else { return Poll::Ready(result) };
                    tracing::debug!(%error, ?pause, "call is made again");
                    let now = Instant::now();
                    this.begun.get_or_insert(now);
                    this.step = Step::Pause(Box::pin(sleep_until(now + pause)));
                }
                Step::Pause(pause) => {
                    if pause.as_mut().poll(cx).is_pending() {
                        break;
                    }
                    this.step = Step::Begin;
                }
            }
        }
        if let Some(deadline) = &mut this.deadline {
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(this.too_late()));
        }
        Poll::Pending
    }
}

/// The path of a request, as the caller knows it. Most bodies begin with one.
fn path_of<'a>(frame: &'a [u8], view: &View) -> Option<&'a str> {
    let (header, body) = frame.split_at_checked(LENGTH_SIZE + RequestHeader::SIZE)?;
    let op = i32::from_be_bytes(*header.last_chunk()?);
    match OpCode::from_wire(op)? {
        OpCode::Multi | OpCode::MultiRead | OpCode::Auth | OpCode::Reconfig => None,
        _ => {
            let path = Decoder::new(body).buffer().ok()??;
            Some(view.path_out(std::str::from_utf8(path).ok()?))
        }
    }
}
