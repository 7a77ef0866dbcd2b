//! The handle, and the view of the tree it gives.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use quorate_protocol::{SessionId, record::WatcherType};
use tokio::{runtime, sync::watch, task::JoinHandle, time::Instant};

use crate::{
    builder::ClientBuilder,
    call::Call,
    error::{Disconnect, Error, ErrorKind},
    hosts::{ConnectString, chroot_of},
    payload::Payload,
    queue::{Identity, Queue},
    request,
    retry::RetryPolicy,
    state::{SessionDeadline, SessionTicket, State, States, Status},
    watch::{Event, Watch},
};

/// A client: a session, and the connection it is on at the moment.
///
/// Cheap to clone; clones share the session. When the last clone goes, and all streams and answers
/// with it, the session is closed behind all calls that were sent; [`close`](Self::close) does it
/// now and tells when it is done.
#[derive(Clone)]
pub struct Client {
    view: View,
}

/// The number of no session: whoever is bound to it makes no calls.
pub(crate) const NO_SESSION: u64 = u64::MAX;

/// The tree as a client sees it: below a chroot, perhaps in one session only.
#[derive(Clone)]
pub(crate) struct View(Arc<ViewInner>);

struct ViewInner {
    handle: Arc<Handle>,
    chroot: Box<str>,
    /// The number of the session all calls must be made in; 0 for any.
    session: u64,
}

/// Its drop tells that no client is left.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

/// What all calls go by.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) retry: RetryPolicy,
    pub(crate) deadline: Option<Duration>,
    /// The ACL of nodes created without one, encoded.
    pub(crate) acl: Bytes,
}

/// What handles and the connection's task have in common.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) status: watch::Sender<Status>,
    /// Where the connection's task runs, and all that goes on in the background.
    pub(crate) runtime: runtime::Handle,
    pub(crate) options: Options,
    pub(crate) start: Instant,
    /// Nanoseconds since the start: when the last request was sent that was answered, and when the
    /// server was last heard.
    pub(crate) confirmed: AtomicU64,
    pub(crate) heard: AtomicU64,
    /// Streams are made of one-shot watches.
    pub(crate) emulate_streams: AtomicBool,
    /// The session; none before there is one.
    pub(crate) ticket: parking_lot::Mutex<Option<SessionTicket>>,
    /// Which servers there are, as it was said.
    pub(crate) hosts: ConnectString,
    /// Why there is no connection, or why the last one ended.
    pub(crate) cause: parking_lot::Mutex<Option<Arc<Disconnect>>>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("chroot", &self.0.chroot).finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("status", &*self.view.shared().status.borrow())
            .field("chroot", &self.view.0.chroot)
            .finish_non_exhaustive()
    }
}

impl View {
    pub(crate) fn new(shared: Arc<Shared>, chroot: String) -> Self {
        let handle = Arc::new(Handle(shared));
        Self(Arc::new(ViewInner { handle, chroot: chroot.into(), session: 0 }))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.handle.0
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.shared().queue
    }

    pub(crate) fn cause(&self) -> Option<Arc<Disconnect>> {
        self.shared().cause.lock().clone()
    }

    /// Whether the servers are known to have no persistent watches.
    pub(crate) fn emulates_streams(&self) -> bool {
        self.shared().emulate_streams.load(Ordering::Relaxed)
    }

    /// The servers have no persistent watches.
    pub(crate) fn emulate_streams(&self) {
        self.shared().emulate_streams.store(true, Ordering::Relaxed);
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared().options
    }

    pub(crate) fn session(&self) -> u64 {
        self.0.session
    }

    /// The server's path of a path.
    pub(crate) fn path_in<'p>(&self, path: &'p str) -> std::borrow::Cow<'p, str> {
        match (&*self.0.chroot, path) {
            ("", path) => path.into(),
            (chroot, "/") => chroot.to_owned().into(),
            (chroot, path) => format!("{chroot}{path}").into(),
        }
    }

    /// The path of a server's path; as it is if it is not below the chroot.
    pub(crate) fn path_out<'p>(&self, path: &'p str) -> &'p str {
        self.below(path).unwrap_or(path)
    }

    /// The path of a server's path, if it is below the chroot.
    pub(crate) fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        match path.strip_prefix(&*self.0.chroot)? {
            "" => Some("/"),
            below => below.starts_with('/').then_some(below),
        }
    }

    /// Empty, or a path that is not the root.
    pub(crate) fn chroot(&self) -> &str {
        &self.0.chroot
    }

    pub(crate) fn event_out(&self, mut event: Event) -> Event {
        if !self.0.chroot.is_empty() {
            event.path = self.path_out(&event.path).to_owned();
        }
        event
    }
}

impl Client {
    /// A client of these servers: `host:port,host:port/chroot`. The port may be left out (2181),
    /// an IPv6 address stands in brackets. Or, with the feature `srv`, of a service:
    /// `zk+srv://name/chroot`.
    pub fn builder(connect_string: &str) -> ClientBuilder {
        ClientBuilder::new(connect_string)
    }

    /// A client of these servers with the defaults of [`ClientBuilder`].
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect(connect_string: &str) -> Result<Self, Error> {
        Self::builder(connect_string).connect().await
    }

    pub(crate) fn new(view: View) -> Self {
        Self { view }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Runs something in the background, where the connection's task runs: from any thread, also
    /// one that knows no runtime.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.view.shared().runtime.spawn(task)
    }

    // ---- views

    /// The same client below `path`: all paths of calls, answers and events are relative to it.
    /// The node need not be there, but somebody must create it before anything below it.
    ///
    /// # Errors
    /// When `path` is not one.
    pub fn chroot(&self, path: &str) -> Result<Self, Error> {
        let below = chroot_of(path)?;
        let ViewInner { handle, chroot, session } = &*self.view.0;
        let (handle, session) = (Arc::clone(handle), *session);
        let chroot = format!("{chroot}{below}").into();
        Ok(Self { view: View(Arc::new(ViewInner { handle, chroot, session })) })
    }

    /// The same client without its chroot.
    pub(crate) fn at_server_root(&self) -> Self {
        let ViewInner { handle, session, .. } = &*self.view.0;
        let (handle, session) = (Arc::clone(handle), *session);
        Self { view: View(Arc::new(ViewInner { handle, chroot: "".into(), session })) }
    }

    /// The chroot: empty, or a path.
    pub fn chroot_path(&self) -> &str {
        &self.view.0.chroot
    }

    /// The same client, bound to the present session: once that is lost all its calls fail with
    /// [`ErrorKind::SessionLost`], even if the client has a new one. For those who rely on
    /// ephemeral nodes.
    #[must_use]
    pub fn in_this_session(&self) -> Self {
        let ViewInner { handle, session, .. } = &*self.view.0;
        self.in_session(match *session {
            // Without a session there is none to be bound to, and no call may pass.
            0 => match handle.0.queue.session() {
                0 => NO_SESSION,
                number => number,
            },
            bound => bound,
        })
    }

    /// The same client, bound to the session of this number.
    pub(crate) fn in_session(&self, session: u64) -> Self {
        let ViewInner { handle, chroot, .. } = &*self.view.0;
        let (handle, chroot) = (Arc::clone(handle), chroot.clone());
        Self { view: View(Arc::new(ViewInner { handle, chroot, session })) }
    }

    // ---- states

    /// The state and the session as they are, and their changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.view.shared().status.subscribe()
    }

    /// The state as it is.
    pub fn state(&self) -> State {
        self.view.shared().status.borrow().state
    }

    /// The state, then each change, as a stream.
    pub fn states(&self) -> States {
        States::new(self.status())
    }

    /// The servers and the chroot of the connect string, as they were understood.
    pub fn hosts(&self) -> &ConnectString {
        &self.view.shared().hosts
    }

    /// What it takes to carry on with the session elsewhere, or to end it; `None` before there is
    /// one. When the session is lost, it is told until the next is open.
    pub fn session(&self) -> Option<SessionTicket> {
        *self.view.shared().ticket.lock()
    }

    /// The session's id; none before there is one.
    pub fn session_id(&self) -> SessionId {
        self.view.shared().status.borrow().session
    }

    /// The session's timeout as the server granted it.
    pub fn session_timeout(&self) -> Duration {
        self.view.shared().status.borrow().session_timeout
    }

    /// When the session ends if nothing is heard from now on.
    pub fn session_deadline(&self) -> SessionDeadline {
        let shared = self.view.shared();
        let timeout = self.session_timeout();
        let at = |nanos: &AtomicU64| {
            shared.start + Duration::from_nanos(nanos.load(Ordering::Relaxed)) + timeout
        };
        SessionDeadline { earliest: at(&shared.confirmed), latest: at(&shared.heard) }
    }

    /// Waits until calls can be answered.
    ///
    /// # Errors
    /// When the client is closed.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn wait_connected(&self) -> Result<Status, Error> {
        let mut status = self.status();
        let there = |status: &Status| status.state.is_connected() || status.state == State::Closed;
        let found = status.wait_for(there).await.map(|status| *status);
        match found {
            Ok(status) if status.state.is_connected() => Ok(status),
            _ => Err(self.view.queue().ended().unwrap_or(ErrorKind::Closed).into()),
        }
    }

    /// Waits until there is room in the budget of bytes. A loop that [`send`](Call::send)s calls
    /// without awaiting them awaits this before each, or it is held back by nothing.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn ready(&self) {
        self.view.queue().room().await;
    }

    // ---- reads

    /// Reads a node's data.
    pub fn get<'a>(&'a self, path: &'a str) -> Call<'a, request::Get<'a>> {
        Call::new(&self.view, request::Get { path })
    }

    /// Reads a node's `Stat`; `None` when it is not there.
    pub fn exists<'a>(&'a self, path: &'a str) -> Call<'a, request::Exists<'a>> {
        Call::new(&self.view, request::Exists { path })
    }

    /// Reads the names of a node's children, in no particular order, and its `Stat`.
    pub fn children<'a>(&'a self, path: &'a str) -> Call<'a, request::GetChildren<'a>> {
        Call::new(&self.view, request::GetChildren { path })
    }

    /// Reads a node's ACL.
    pub fn acl<'a>(&'a self, path: &'a str) -> Call<'a, request::GetAcl<'a>> {
        Call::new(&self.view, request::GetAcl { path })
    }

    /// Several reads in one request, each with its own outcome. Servers know it since ZooKeeper 3.6.
    pub fn multi_read(&self) -> Call<'_, request::MultiRead> {
        Call::new(&self.view, request::MultiRead::default())
    }

    /// Lists this session's ephemeral nodes whose path begins with `prefix`, which need not be a
    /// whole name. Servers know it since ZooKeeper 3.6.
    pub fn ephemerals<'a>(&'a self, prefix: &'a str) -> Call<'a, request::Ephemerals<'a>> {
        Call::new(&self.view, request::Ephemerals { prefix })
    }

    /// Counts all nodes below a node. Servers know it since ZooKeeper 3.6.
    pub fn count_below<'a>(&'a self, path: &'a str) -> Call<'a, request::CountBelow<'a>> {
        Call::new(&self.view, request::CountBelow { path })
    }

    /// The identities the connection has. Servers know it since ZooKeeper 3.7.
    pub fn whoami(&self) -> Call<'_, request::WhoAmI> {
        Call::new(&self.view, request::WhoAmI)
    }

    /// Reads the ensemble's configuration. The chroot does not apply.
    pub fn config(&self) -> Call<'_, request::GetConfig> {
        Call::new(&self.view, request::GetConfig)
    }

    /// Waits until the server has seen all that was committed before. A read sent behind it is
    /// linearizable; [`linearizable`](Call::linearizable) does both in one flight.
    pub fn sync<'a>(&'a self, path: &'a str) -> Call<'a, request::Sync<'a>> {
        Call::new(&self.view, request::Sync { path })
    }

    // ---- writes

    /// Creates a node: persistent, unless the call is told otherwise.
    pub fn create<'a>(
        &'a self,
        path: &'a str,
        data: impl Into<Payload<'a>>,
    ) -> Call<'a, request::Create<'a>> {
        Call::new(&self.view, request::Create::new(path, data.into()))
    }

    /// Replaces a node's data: of any version, unless the call is told otherwise.
    pub fn set<'a>(
        &'a self,
        path: &'a str,
        data: impl Into<Payload<'a>>,
    ) -> Call<'a, request::Set<'a>> {
        Call::new(&self.view, request::Set { path, data: data.into(), version: request::ANY })
    }

    /// Deletes a node without children: of any version, unless the call is told otherwise.
    pub fn delete<'a>(&'a self, path: &'a str) -> Call<'a, request::Delete<'a>> {
        Call::new(&self.view, request::Delete { path, version: request::ANY })
    }

    /// Deletes a node and everything below it, in transactions of some hundred nodes. A node that
    /// is not there is no error. Not atomic: others see parts of it gone.
    ///
    /// # Errors
    /// As for a simple delete; nodes below may be deleted by then.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown how much was deleted.
    pub async fn delete_recursive(&self, path: &str) -> Result<(), Error> {
        crate::delete::delete_recursive(self, path).await
    }

    /// Replaces a node's ACL: of any version, unless the call is told otherwise.
    pub fn set_acl<'a>(
        &'a self,
        path: &'a str,
        acl: &'a [quorate_protocol::Acl],
    ) -> Call<'a, request::SetAcl<'a>> {
        Call::new(&self.view, request::SetAcl { path, acl, version: request::ANY })
    }

    /// Several writes that are done together or not at all.
    pub fn multi(&self) -> Call<'_, request::Multi> {
        Call::new(&self.view, request::Multi::default())
    }

    /// Changes the ensemble's membership.
    pub fn reconfig(&self) -> Call<'_, request::Reconfig<'_>> {
        Call::new(&self.view, request::Reconfig::default())
    }

    // ---- watches

    /// Watches a node: its creation, deletion and data, as a stream. The call is told whether also
    /// the list of children or all nodes below; awaiting it starts the stream.
    ///
    /// For one event only, add `watch()` to [`get`](Self::get), [`exists`](Self::exists) or
    /// [`children`](Self::children).
    pub fn watch(&self, path: &str) -> Watch {
        Watch::new(self.clone(), path)
    }

    /// Removes watches of this client at a path from the server, without telling those who wait for
    /// them. Dropping a watch does this by itself where it is needed; this is for tools.
    pub fn remove_watches<'a>(
        &'a self,
        path: &'a str,
        kind: WatcherType,
    ) -> Call<'a, request::RemoveWatches<'a>> {
        Call::new(&self.view, request::RemoveWatches { path, kind })
    }

    // ---- the session

    /// Adds an identity: to this connection, and to all that come after it. A server that refuses
    /// it ends the client ([`ErrorKind::AuthFailed`]).
    pub fn add_auth<'a>(
        &'a self,
        scheme: &'a str,
        proof: impl Into<Bytes>,
    ) -> Call<'a, request::AddAuth> {
        let identity = Identity { scheme: scheme.into(), proof: proof.into() };
        self.view.queue().add_identity(identity.clone());
        Call::new(&self.view, request::AddAuth { identity })
    }

    /// Closes the session behind all calls that were sent, and with it its ephemeral nodes. All
    /// clones of the client are closed with it.
    ///
    /// # Errors
    /// When the connection is lost first and there is no other in time; the session then ends with
    /// its timeout.
    pub fn close(&self) -> Call<'_, request::Close> {
        Call::new(&self.view, request::Close)
    }

    /// Ends the client and leaves the session alive, for another client to carry on with
    /// ([`ClientBuilder::session`]) within its timeout. Calls that are not answered yet fail. `None`
    /// when there was no session yet.
    pub fn leave(self) -> Option<SessionTicket> {
        let left = self.session();
        self.view.queue().leave();
        left
    }
}
