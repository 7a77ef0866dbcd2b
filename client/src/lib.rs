//! A client for Quorate and Apache ZooKeeper.
//!
//! This is a start: one session on one connection, with the calls that read and write nodes. It
//! does not reconnect (when the connection ends every call says so, and the session with its
//! ephemeral nodes stays until its timeout), sets no watches, and has no chroot, TLS or SASL.
//!
//! # Order
//! A call is on its way when the method returns, before its future is first polled: calls take
//! effect, and are answered, in the order in which the methods of a client and its clones were
//! called. So a batch is pipelined by making all calls before awaiting the first. How many are
//! outstanding is up to the caller.
//!
//! # Cancelling
//! Dropping a future gives up the answer, not the call.

#![deny(missing_docs)]

mod connection;
mod error;
mod multi;
#[cfg(feature = "testing")]
pub mod testing;

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
pub use error::Error;
pub use multi::{Multi, MultiOutcome};
use quorate_protocol::{
    AclList, Decode, Encode, OpCode, path,
    record::{
        ChildrenResponse, Create2Response, CreateRequest, DeleteRequest, GetDataResponse,
        PathWatchRequest, SetDataRequest,
    },
};
pub use quorate_protocol::{
    ErrorCode, SessionId, Stat,
    acl::{Acl, Id, Perms},
    record::CreateMode,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{mpsc, oneshot},
};

use crate::connection::{Call, Session};

/// Any version of a node, where a version is asked for.
pub const ANY_VERSION: i32 = -1;

/// A handle on a session. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    calls: mpsc::UnboundedSender<Call>,
    session: Session,
}

/// A node's data and what else is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its data; null is not the same as empty.
    pub data: Option<Vec<u8>>,
    /// The rest.
    pub stat: Stat,
}

/// A node just created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its path, with the number of a sequential one.
    pub path: String,
    /// What is known of it.
    pub stat: Stat,
}

impl Client {
    /// Opens a session with the first of `hosts` (`host:port,host:port`) that gives one. The
    /// server may move `timeout` into its own bounds, see [`Self::session_timeout`].
    ///
    /// # Errors
    /// When none of them does: the last one's reason.
    pub async fn connect(hosts: &str, timeout: Duration) -> Result<Self, Error> {
        if hosts.contains('/') {
            return Err(Error::BadArgument("a chroot behind the hosts"));
        }
        let count = u32::try_from(hosts.split(',').count()).unwrap_or(u32::MAX);
        let mut last = Error::BadArgument("no hosts");
        for host in hosts.split(',') {
            let attempt = async {
                let stream = TcpStream::connect(host.trim()).await?;
                stream.set_nodelay(true)?;
                Self::over(stream, timeout).await
            };
            match tokio::time::timeout(timeout / count, attempt).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
            tracing::debug!(host, %last, "no session");
        }
        Err(last)
    }

    /// Opens a session over a stream that is connected to a server.
    ///
    /// # Errors
    /// When the stream breaks or the server does not open a session.
    pub async fn over<S>(mut stream: S, timeout: Duration) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let session = connection::open(&mut stream, timeout).await?;
        let (calls, queue) = mpsc::unbounded_channel();
        tokio::spawn(connection::run(stream, session, queue));
        Ok(Self { calls, session })
    }

    /// The session's id.
    pub fn session_id(&self) -> SessionId {
        self.session.id
    }

    /// How long the session outlives its connection, as the server decided.
    pub fn session_timeout(&self) -> Duration {
        self.session.timeout
    }

    /// Creates a node. Modes with a time to live are not offered yet.
    pub fn create(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        acl: &[Acl],
    ) -> impl Future<Output = Result<Created, Error>> + use<> {
        let call = self.try_call(create_op(mode), || {
            // The number is appended before the server looks at the path, so `/` may end it.
            if !mode.is_sequential() {
                path::validate(path)?;
            }
            Ok(create_request(path, data, mode, &acl.to_bytes())?.to_bytes())
        });
        answered(call, |body| {
            let created = Create2Response::from_bytes(body)?;
            Ok(Created { path: created.path.into_owned(), stat: created.stat })
        })
    }

    /// Reads a node.
    pub fn get(&self, path: &str) -> impl Future<Output = Result<Node, Error>> + use<> {
        answered(self.read(OpCode::GetData, path), |body| {
            let node = GetDataResponse::from_bytes(body)?;
            Ok(Node { data: node.data.map(<[u8]>::to_vec), stat: node.stat })
        })
    }

    /// Replaces a node's data if its version is `version` or that is [`ANY_VERSION`].
    pub fn set(
        &self,
        path: &str,
        data: &[u8],
        version: i32,
    ) -> impl Future<Output = Result<Stat, Error>> + use<> {
        let call = self.try_call(OpCode::SetData, || {
            path::validate(path)?;
            Ok(SetDataRequest { path: path.into(), data: Some(data), version }.to_bytes())
        });
        answered(call, |body| Ok(Stat::from_bytes(body)?))
    }

    /// Deletes a node if its version is `version` or that is [`ANY_VERSION`].
    pub fn delete(
        &self,
        path: &str,
        version: i32,
    ) -> impl Future<Output = Result<(), Error>> + use<> {
        let call = self.try_call(OpCode::Delete, || {
            path::validate(path)?;
            Ok(DeleteRequest { path: path.into(), version }.to_bytes())
        });
        answered(call, |_| Ok(()))
    }

    /// What is known of a node; `None` when it is not there.
    pub fn exists(&self, path: &str) -> impl Future<Output = Result<Option<Stat>, Error>> + use<> {
        let found = answered(self.read(OpCode::Exists, path), |body| Ok(Stat::from_bytes(body)?));
        async move {
            match found.await {
                Ok(stat) => Ok(Some(stat)),
                Err(Error::Refused(ErrorCode::NoNode)) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }

    /// The names of a node's children, in no particular order.
    pub fn get_children(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<Vec<String>, Error>> + use<> {
        answered(self.read(OpCode::GetChildren, path), |body| {
            let children = ChildrenResponse::from_bytes(body)?.children;
            Ok(children.into_iter().map(Into::into).collect())
        })
    }

    /// Does all of a multi or, on [`Error::MultiFailed`], nothing.
    pub fn multi(
        &self,
        multi: Multi,
    ) -> impl Future<Output = Result<Vec<MultiOutcome>, Error>> + use<> {
        answered(self.try_call(OpCode::Multi, || multi.into_body()), multi::outcomes)
    }

    /// Ends the session: its ephemeral nodes are gone when this returns. Calls made later, through
    /// clones, are not carried out.
    pub fn close(self) -> impl Future<Output = Result<(), Error>> + use<> {
        answered(self.try_call(OpCode::CloseSession, || Ok(BytesMut::new())), |_| Ok(()))
    }

    fn read(&self, op: OpCode, path: &str) -> Answer {
        self.try_call(op, || {
            path::validate(path)?;
            Ok(PathWatchRequest { path: path.into(), watch: false }.to_bytes())
        })
    }

    /// Sends a call, unless its body cannot be made.
    fn try_call(&self, op: OpCode, body: impl FnOnce() -> Result<BytesMut, Error>) -> Answer {
        let (answer, awaited) = oneshot::channel();
        let call = Call { op, body: body()?, answer };
        self.calls.send(call).map_err(|_| Error::NotConnected)?;
        Ok(awaited)
    }
}

/// Where a call's answer will be, if it was sent.
type Answer = Result<oneshot::Receiver<Result<Bytes, Error>>, Error>;

async fn answered<T>(
    answer: Answer,
    decode: impl FnOnce(&[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    // Without a word of the connection's task nobody knows how far the call came.
    let body = answer?.await.unwrap_or(Err(Error::ConnectionLost))?;
    decode(&body)
}

/// The request that answers a `Stat` too.
fn create_op(mode: CreateMode) -> OpCode {
    if mode == CreateMode::Container { OpCode::CreateContainer } else { OpCode::Create2 }
}

fn create_request<'a>(
    path: &'a str,
    data: &'a [u8],
    mode: CreateMode,
    acl: &'a [u8],
) -> Result<CreateRequest<'a>, Error> {
    if mode.has_ttl() {
        return Err(Error::BadArgument("a mode with a time to live"));
    }
    let acl = AclList::from_bytes(acl)?;
    Ok(CreateRequest { path: path.into(), data: Some(data), acl, flags: mode.wire() })
}

#[cfg(test)]
mod tests;
