//! The client for programs without an asynchronous runtime.
//!
//! ```no_run
//! # fn example() -> Result<(), quorate_client::Error> {
//! use quorate_client::blocking::Client;
//!
//! let client = Client::connect("127.0.0.1:2181")?;
//! client.wait(client.create("/a", "1"))?;
//! let node = client.wait(client.get("/a").linearizable())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Recipes
//! All [`recipes`](crate::recipes) work with it as they are: made with this client, and waited for
//! where asynchronous programs await. What is dropped is given up in the background, as there.
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use quorate_client::{
//!     blocking::Client,
//!     recipes::{
//!         barrier::DoubleBarrier,
//!         lock::{Mutex, ReadWriteLock, Semaphore},
//!         queue::LockingQueue,
//!         shared::{Counter, SharedValue},
//!     },
//! };
//!
//! let client = Client::connect("127.0.0.1:2181")?;
//!
//! let mutex = Mutex::new(&client, "/locks/report")?;
//! let guard = client.wait(mutex.acquire().timeout(Duration::from_secs(10)))?;
//! client.wait(guard.multi().set("/report/state", "running", -1))?;
//! // Between two pieces of work: is it to be stopped?
//! if let Some(loss) = client.wait_at_most(Duration::ZERO, guard.lost()) {
//!     println!("the lock may be lost: {loss:?}");
//! }
//! client.wait(guard.release())?;
//!
//! let locks = ReadWriteLock::new(&client, "/locks/config")?;
//! let reader = client.wait(locks.read())?;
//! let places = Semaphore::new(&client, "/places", 3)?;
//! let lease = client.wait(places.try_acquire())?;
//!
//! let round = DoubleBarrier::new(&client, "/rounds", 2)?;
//! client.wait(client.wait(round.enter())?.leave())?;
//!
//! let counter = Counter::new(&client, "/counter")?;
//! println!("{}", client.wait(counter.add(1))?.after);
//!
//! let value = client.wait(SharedValue::start(&client, "/value", b"first"))?;
//! for value in client.iter(value.values()).flatten() {
//!     println!("{:?}", value.data);
//! }
//!
//! let queue = LockingQueue::kazoo(&client, "/jobs")?;
//! let taken = client.wait(queue.take())?;
//! println!("{:?}", taken.element().item()?);
//! client.wait(taken.done())?;
//! # Ok(())
//! # }
//! ```
//!
//! A leader's work blocks, too:
//!
//! ```no_run
//! # fn example(client: quorate_client::blocking::Client) -> Result<(), quorate_client::Error> {
//! use std::time::Duration;
//!
//! use quorate_client::recipes::leader::LeaderElection;
//!
//! let election = LeaderElection::new(&client, "/leader")?.id("host-1");
//! client.lead(&election, |leadership| {
//!     while client.wait_at_most(Duration::ZERO, leadership.lost()).is_none() {
//!         client.wait(leadership.multi().set("/config", "chosen by the leader", -1))?;
//!     }
//!     Ok::<_, quorate_client::Error>(())
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! # Watches and caches
//! ```no_run
//! # fn example(client: quorate_client::blocking::Client) -> Result<(), quorate_client::Error> {
//! use std::time::Duration;
//!
//! use quorate_client::cache::TreeCache;
//!
//! let mut events = client.wait(client.watch("/config").recursive())?;
//! if let Some(event) = client.wait_at_most(Duration::from_secs(1), events.next()) {
//!     println!("{event:?}");
//! }
//! for event in client.iter(events).take(10) {
//!     println!("{event:?}");
//! }
//!
//! let cache = client.wait(TreeCache::start(&client, "/config"))?;
//! for change in client.iter(cache.changes()) {
//!     println!("{change:?}");
//! }
//! # Ok(())
//! # }
//! ```

use std::{fmt, future::poll_fn, io, ops::Deref, pin::Pin, sync::Arc, time::Duration};

use futures_core::Stream;
use tokio::{
    runtime::{Builder, Runtime},
    task::block_in_place,
    time::timeout,
};

use crate::{
    ClientBuilder,
    error::{Error, ErrorKind},
    recipes::leader::{LeaderElection, Leadership, Term},
};

/// A [`Client`](crate::Client) with a thread of its own that drives it. It has the same calls;
/// [`wait`](Self::wait) waits for their answers. Clones share the session and the thread.
///
/// Not to be used inside an asynchronous runtime: waiting would block it, so it panics there.
#[derive(Debug, Clone)]
pub struct Client {
    client: crate::Client,
    runtime: Arc<Runtime>,
}

impl Client {
    /// Connects with the defaults of [`ClientBuilder`].
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect(connect_string: &str) -> Result<Self, Error> {
        Self::connect_with(crate::Client::builder(connect_string))
    }

    /// Connects with these settings.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`], and when the thread cannot be started.
    pub fn connect_with(builder: ClientBuilder) -> Result<Self, Error> {
        let failed = |error: io::Error| ErrorKind::Setup(error.to_string().into());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("quorate-client")
            .enable_all()
            .build()
            .map_err(failed)?;
        let client = runtime.block_on(builder.connect())?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// Waits for the answer of a call, or for anything else the client offers: a stream to start,
    /// its next item, a one-shot watch.
    ///
    /// # Panics
    /// Inside an asynchronous runtime.
    pub fn wait<T>(&self, call: impl IntoFuture<Output = T>) -> T {
        self.runtime.block_on(async { call.await })
    }

    /// As [`wait`](Self::wait), but no longer than this; `None` when it was not done by then, which
    /// is as if its future had been dropped. With no time at all it is only looked whether it is
    /// done without waiting.
    ///
    /// # Panics
    /// Inside an asynchronous runtime.
    pub fn wait_at_most<T>(&self, limit: Duration, call: impl IntoFuture<Output = T>) -> Option<T> {
        self.runtime.block_on(async { timeout(limit, call).await.ok() })
    }

    /// The items of a stream, each waited for: the events of a [`watch`](crate::Client::watch), the
    /// changes of a [`cache`](crate::cache), the values of a
    /// [`SharedValue`](crate::recipes::shared::SharedValue), the client's
    /// [`states`](crate::Client::states).
    pub fn iter<S: Stream + Unpin>(&self, stream: S) -> Items<S> {
        Items { client: self.clone(), stream }
    }

    /// Waits until it leads, does `work`, and steps down: as [`LeaderElection::lead`], but that the
    /// work, which blocks, cannot be dropped when the leadership may be lost. It looks for itself,
    /// see [`Leadership::lost`], and what it writes is to be fenced.
    ///
    /// # Errors
    /// As acquiring a lock.
    ///
    /// # Panics
    /// Inside an asynchronous runtime.
    pub fn lead<T>(
        &self,
        election: &LeaderElection,
        work: impl FnOnce(Leadership) -> T,
    ) -> Result<Term<T>, Error> {
        self.wait(election.lead(async |leadership| block_in_place(|| work(leadership))))
    }

    /// Closes the session: see [`Client::close`](crate::Client::close). Without it the session of
    /// a client that is dropped ends with its timeout.
    ///
    /// # Errors
    /// When the connection is lost first.
    pub fn close(self) -> Result<(), Error> {
        self.wait(self.client.close())
    }
}

impl Deref for Client {
    type Target = crate::Client;

    fn deref(&self) -> &crate::Client {
        &self.client
    }
}

/// The items of a stream, see [`Client::iter`]. It ends with the stream.
pub struct Items<S> {
    client: Client,
    stream: S,
}

impl<S> fmt::Debug for Items<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("client", &self.client).finish_non_exhaustive()
    }
}

impl<S: Stream + Unpin> Iterator for Items<S> {
    type Item = S::Item;

    fn next(&mut self) -> Option<S::Item> {
        let Self { client, stream } = self;
        client.wait(poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)))
    }
}
