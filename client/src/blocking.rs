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

use std::{io, ops::Deref, sync::Arc};

use tokio::runtime::{Builder, Runtime};

use crate::{
    ClientBuilder,
    error::{Error, ErrorKind},
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
