//! Streams of events.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use quorate_protocol::{
    Encode, ErrorCode, OpCode, path,
    record::{AddWatchMode, AddWatchRequest},
};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::{Event, Kind, Registration, Sink, Unwatch, WatchItem, emulated::Emulation};
use crate::{
    client::{Client, View},
    error::{Error, ErrorKind},
    queue::{Manner, Recipient},
};

/// How many items a stream holds for its consumer unless told otherwise.
const CAPACITY: usize = 4096;

/// A stream of events to be started: see [`Client::watch`]. Awaiting it starts it.
#[derive(Debug)]
#[must_use = "nothing is watched before it is awaited"]
pub struct Watch {
    client: Client,
    path: String,
    scope: Scope,
    capacity: usize,
}

/// What of a node is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Node,
    Children,
    Recursive,
}

impl Scope {
    /// Whether an event of the server's watch at `path` is one of these.
    fn wants(self, event: &Event, path: &str) -> bool {
        use quorate_protocol::record::EventType::NodeChildrenChanged;
        match self {
            Self::Node => event.path == path && event.kind != NodeChildrenChanged,
            Self::Children | Self::Recursive => true,
        }
    }
}

impl Watch {
    pub(crate) fn new(client: Client, path: &str) -> Self {
        Self { client, path: path.to_owned(), scope: Scope::Node, capacity: CAPACITY }
    }

    /// Also when a child is created or deleted ([`EventType::NodeChildrenChanged`]).
    ///
    /// [`EventType::NodeChildrenChanged`]: quorate_protocol::record::EventType::NodeChildrenChanged
    pub fn children(mut self) -> Self {
        self.scope = Scope::Children;
        self
    }

    /// All nodes below as well. There are no events about lists of children then: each node tells
    /// of its own creation and deletion.
    pub fn recursive(mut self) -> Self {
        self.scope = Scope::Recursive;
        self
    }

    /// How many items wait for a consumer that is slow. Beyond that they are dropped, and a
    /// [`WatchItem::Resync`] takes their place.
    pub fn capacity(mut self, items: usize) -> Self {
        self.capacity = items;
        self
    }

    /// Starts the stream. The node need not be there.
    ///
    /// # Ordering
    /// The watch is set in the order of calls: a read made after this returned tells the state
    /// from which the events go on. An event comes before the answer of any call of this client
    /// that shows what it tells of.
    ///
    /// # Errors
    /// When the path is none, or the client or its session ends first.
    ///
    /// # Cancel safety
    /// Dropping the future ends the watch.
    pub async fn start(self) -> Result<WatchStream, Error> {
        let Self { client, path, scope, capacity } = self;
        let of_call = |error: Error| error.of(OpCode::AddWatch, Some(&path));
        path::validate(&path).map_err(|error| of_call(error.into()))?;
        let server_path = client.view().path_in(&path).into();
        let sink = Arc::new(Sink::new(capacity));
        // Made first: dropping it, also with this future, ends the watch.
        let path = path.clone();
        let mut stream = WatchStream { sink, client, path, server_path, scope, emulation: None };
        if !stream.client.view().emulates_streams() {
            match stream.add_watch().await {
                // `Compat:` an operation that a server before 3.6 does not know.
                Err(error) if error.code() == Some(ErrorCode::Unimplemented) => {
                    stream.client.view().emulate_streams();
                }
                set => return set.map(|()| stream),
            }
        }
        stream.emulate().await?;
        Ok(stream)
    }
}

impl IntoFuture for Watch {
    type Output = Result<WatchStream, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// A stream of events of a node, its children or all nodes below: see [`Client::watch`].
///
/// It outlives connections and sessions, and holds the client alive. Events are never lost in
/// silence: where some may be missing, there is a [`WatchItem::Resync`]. Ends when the client is
/// closed. Dropping it removes the watch at the server if nobody else of this client needs it.
#[derive(Debug)]
#[must_use = "a stream that is dropped tells nothing"]
pub struct WatchStream {
    sink: Arc<Sink>,
    client: Client,
    path: String,
    server_path: Arc<str>,
    scope: Scope,
    emulation: Option<AbortOnDropHandle<()>>,
}

impl WatchStream {
    async fn add_watch(&self) -> Result<(), Error> {
        let Self { sink, client, path, server_path, scope, .. } = self;
        let of_call = |kind: ErrorKind| Error::new(kind).of(OpCode::AddWatch, Some(path));
        let recursive = *scope == Scope::Recursive;
        let mode = match scope {
            Scope::Recursive => AddWatchMode::PersistentRecursive,
            Scope::Node | Scope::Children => AddWatchMode::Persistent,
        };
        let (slot, answer) = oneshot::channel();
        let sink = Arc::clone(sink);
        let registration = Registration::Stream { path: (&**server_path).into(), recursive, sink };
        let recipient = Recipient::Watcher(slot, registration);
        let view = client.view();
        let manner = Manner { repeatable: true, session: view.session(), linearizable: false };
        let request = AddWatchRequest { path: (&**server_path).into(), mode: mode.wire() };
        view.queue()
            .submit(OpCode::AddWatch, manner, recipient, |out| request.encode(out))
            .map_err(of_call)?;
        let outcome = answer.await.map_err(|_| of_call(ErrorKind::Closed))?;
        outcome.map(|_| ()).map_err(|failure| of_call(failure.kind))
    }

    async fn emulate(&mut self) -> Result<(), Error> {
        let client = self.client.at_server_root();
        let recursive = self.scope == Scope::Recursive;
        let sink = Arc::clone(&self.sink);
        let emulation = Emulation::start(client, &self.server_path, recursive, sink).await?;
        self.emulation = Some(AbortOnDropHandle::new(self.client.spawn(emulation.run())));
        Ok(())
    }

    /// The path watched.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The next item; `None` when the client is closed.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<WatchItem> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// The next item if it is there. When a call of this client has been answered, all events of
    /// what the answer shows are there.
    pub fn try_next(&mut self) -> Option<WatchItem> {
        loop {
            let item = self.sink.try_take()?;
            if let Some(item) = self.shown(item) {
                return Some(item);
            }
        }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        loop {
            match self.sink.poll_take(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(item)) => {
                    if let Some(item) = self.shown(item) {
                        return Poll::Ready(Some(item));
                    }
                }
            }
        }
    }

    /// The item as the caller knows paths, if it is of the kind asked for.
    fn shown(&self, item: WatchItem) -> Option<WatchItem> {
        let WatchItem::Event(event) = item else { return Some(item) };
        let view: &View = self.client.view();
        let wanted = self.scope.wants(&event, &self.server_path);
        wanted.then(|| WatchItem::Event(view.event_out(event)))
    }
}

impl Stream for WatchStream {
    type Item = WatchItem;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        self.get_mut().poll_item(cx)
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.sink.close();
        if self.emulation.is_some() {
            // Its one-shot watches go with it.
            return;
        }
        let recursive = self.scope == Scope::Recursive;
        let kind = if recursive { Kind::Recursive } else { Kind::Persistent };
        self.client.view().queue().unwatch(Unwatch { path: (&*self.server_path).into(), kind });
    }
}
