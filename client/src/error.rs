//! What can go wrong, and what a caller may conclude from it.

use std::{fmt, io, sync::Arc};

use quorate_protocol::{DecodeError, ErrorCode, OpCode, Xid, frame::FrameError, path::PathError};

use crate::sasl::SaslError;

/// Why a call failed, with the call's operation and path.
///
/// Ask [`is_retryable`](Self::is_retryable) whether to make it again,
/// [`surely_not_done`](Self::surely_not_done) whether it may have happened all the same, and
/// [`is_session_lost`](Self::is_session_lost) whether the session's ephemeral nodes are gone.
#[derive(Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    op: Option<OpCode>,
    path: Option<Box<str>>,
    maybe_done: bool,
}

/// What happened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server's answer: it did not do it.
    #[error("refused: {0}")]
    Refused(ErrorCode),
    /// As [`Refused`](Self::Refused), with a code this client does not know.
    #[error("refused with unknown code {0}")]
    RefusedUnknown(i32),
    /// An operation of a multi failed, and with it the whole.
    #[error("operation {index} of the multi failed: {code}")]
    MultiFailed {
        /// Which operation, counted from 0.
        index: usize,
        /// Why it failed.
        code: ErrorCode,
    },
    /// The call is wrong in itself and was not sent.
    #[error("bad argument: {0}")]
    BadArgument(&'static str),
    /// The path is not one a node can have; the call was not sent.
    #[error("bad path: {0}")]
    BadPath(#[from] PathError),
    /// The request is longer than [`max_request`](crate::ClientBuilder::max_request) allows; it
    /// was not sent.
    #[error("request of {length} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The connect string cannot be understood.
    #[error("bad connect string {0}")]
    BadConnectString(String),
    /// There was no connection for longer than the retry policy allows; the reason the last one
    /// ended, or the last attempt failed.
    #[error("not connected")]
    NotConnected(#[source] Option<Arc<Disconnect>>),
    /// The connection ended after the call was sent and before its answer arrived.
    #[error("connection lost")]
    ConnectionLost(#[source] Arc<Disconnect>),
    /// The session has ended, or must be taken for ended.
    #[error("session lost")]
    SessionLost,
    /// A server refused the client's identity; the client is of no use any more.
    #[error("authentication failed")]
    AuthFailed,
    /// The client was closed.
    #[error("client is closed")]
    Closed,
    /// No answer within the call's time.
    #[error("no answer in time")]
    Timeout,
    /// The answer is not what the protocol promises.
    #[error("undecodable answer")]
    Undecodable(#[from] DecodeError),
    /// The answer holds something that the call cannot have brought about.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    /// What the connection needs besides a socket cannot be had: certificates, names.
    #[error("{0}")]
    Setup(Arc<str>),
}

/// Why a connection ended, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// No host has an address; the last one's reason.
    #[error("no server's name could be resolved")]
    Unresolved(#[source] Option<io::Error>),
    /// The server cannot be reached.
    #[error("connect to {server}")]
    Unreachable {
        /// Which server.
        server: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection could not be encrypted, or the server cannot be trusted.
    #[cfg(feature = "tls")]
    #[error("no encrypted connection to {server}")]
    Tls {
        /// Which server.
        server: String,
        /// Why not.
        #[source]
        source: crate::tls::TlsError,
    },
    /// The server took too long to open the connection or to answer the first record.
    #[error("{0} did not open a session in time")]
    Slow(String),
    /// The stream broke, or the server closed it.
    #[error("stream broke")]
    Broken(#[from] io::Error),
    /// Nothing was heard for two thirds of the session's timeout.
    #[error("nothing was heard for too long")]
    Silent,
    /// A frame with an impossible length.
    #[error("bad frame")]
    BadFrame(#[from] FrameError),
    /// A record that is not what the protocol promises.
    #[error("bad record")]
    BadRecord(#[from] DecodeError),
    /// An answer to another request than the oldest.
    #[error("answer to request {0} is out of turn")]
    OutOfTurn(Xid),
    /// The server refused to open a new session.
    #[error("server refused a new session")]
    Refused,
    /// The server does not know the session any more.
    #[error("server says the session has expired")]
    Expired,
    /// The server does not accept the client's identity.
    #[error("server refused the identity")]
    AuthFailed,
    /// The identity could not be proved to this server, which said nothing against it.
    #[error("identity could not be proved")]
    Sasl(#[from] SaslError),
    /// The server did not set the watches again, so events would be lost.
    #[error("server refused to set watches again with code {0}")]
    WatchesRefused(i32),
    /// Another server can write as well.
    #[error("a server that can write was found")]
    FoundReadWrite,
    /// The client closed the session.
    #[error("session closed as asked")]
    Closed,
}

impl Disconnect {
    /// No transport to a server could be made.
    pub(crate) fn unreachable(server: String, source: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(source) = crate::tls::TlsError::of(&source) {
            return Self::Tls { server, source };
        }
        Self::Unreachable { server, source }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { inner: Box::new(Inner { kind, op: None, path: None, maybe_done: false }) }
    }

    /// The same, of a call.
    pub(crate) fn of(mut self, op: OpCode, path: Option<&str>) -> Self {
        self.inner.op.get_or_insert(op);
        if self.inner.path.is_none() {
            self.inner.path = path.map(Into::into);
        }
        self
    }

    /// The same, of a call of which an earlier attempt may have been done.
    pub(crate) fn after_unknown(mut self, unknown: bool) -> Self {
        self.inner.maybe_done |= unknown;
        self
    }

    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// The server's reason, if it refused: also that of the operation a multi failed with.
    pub fn code(&self) -> Option<ErrorCode> {
        match self.inner.kind {
            ErrorKind::Refused(code) | ErrorKind::MultiFailed { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The operation that failed, if it was one.
    pub fn operation(&self) -> Option<OpCode> {
        self.inner.op
    }

    /// The path of the call, if it has one, as the caller named it.
    pub fn path(&self) -> Option<&str> {
        self.inner.path.as_deref()
    }

    /// Whether the same call can succeed when nothing but time has passed. Before repeating a
    /// write see [`surely_not_done`](Self::surely_not_done).
    pub fn is_retryable(&self) -> bool {
        match &self.inner.kind {
            ErrorKind::NotConnected(_)
            | ErrorKind::ConnectionLost(_)
            | ErrorKind::SessionLost
            | ErrorKind::Timeout => true,
            ErrorKind::Refused(code) | ErrorKind::MultiFailed { code, .. } => matches!(
                code,
                ErrorCode::ConnectionLoss
                    | ErrorCode::OperationTimeout
                    | ErrorCode::RequestTimeout
                    | ErrorCode::SessionExpired
                    | ErrorCode::SessionMoved
                    | ErrorCode::NotReadOnly
                    | ErrorCode::NewConfigNoQuorum
                    | ErrorCode::ReconfigInProgress
                    | ErrorCode::ThrottledOp
            ),
            _ => false,
        }
    }

    /// Whether the call certainly had no effect. When this is false it may have had, or may yet:
    /// a server carries out what it has read even if the connection breaks.
    pub fn surely_not_done(&self) -> bool {
        if self.inner.maybe_done {
            return false;
        }
        match &self.inner.kind {
            ErrorKind::ConnectionLost(_)
            | ErrorKind::RefusedUnknown(_)
            | ErrorKind::Undecodable(_)
            | ErrorKind::Unexpected(_) => false,
            ErrorKind::Refused(code) | ErrorKind::MultiFailed { code, .. } => !matches!(
                code,
                ErrorCode::SystemError
                    | ErrorCode::ConnectionLoss
                    | ErrorCode::OperationTimeout
                    | ErrorCode::RequestTimeout
            ),
            _ => true,
        }
    }

    /// Whether the session is gone, and with it its ephemeral nodes (or soon to be).
    pub fn is_session_lost(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::SessionLost
                | ErrorKind::AuthFailed
                | ErrorKind::Closed
                | ErrorKind::Refused(ErrorCode::SessionExpired | ErrorCode::UnknownSession)
        )
    }

    /// Whether the server did not do it because the node, or its parent, is not there.
    pub fn is_no_node(&self) -> bool {
        self.code() == Some(ErrorCode::NoNode)
    }

    /// Whether the server did not create it because it is there already.
    pub fn is_node_exists(&self) -> bool {
        self.code() == Some(ErrorCode::NodeExists)
    }

    /// Whether the server did not do it because the node has another version.
    pub fn is_bad_version(&self) -> bool {
        self.code() == Some(ErrorCode::BadVersion)
    }
}

impl<K: Into<ErrorKind>> From<K> for Error {
    fn from(kind: K) -> Self {
        Self::new(kind.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, op, path, .. } = &*self.inner;
        if let Some(op) = op {
            write!(f, "{op}")?;
            if let Some(path) = path {
                write!(f, " {path:?}")?;
            }
            f.write_str(": ")?;
        }
        kind.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, op, path, maybe_done } = &*self.inner;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("operation", op)
            .field("path", path)
            .field("maybe_done", maybe_done)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.inner.kind)
    }
}

/// The error a refusal's number stands for.
pub(crate) fn refusal(number: i32) -> ErrorKind {
    ErrorCode::from_wire(number).map_or(ErrorKind::RefusedUnknown(number), ErrorKind::Refused)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_three_questions_have_answers() {
        let broken = || Arc::new(Disconnect::Silent);
        for (kind, retryable, not_done, session_lost) in [
            (ErrorKind::NotConnected(None), true, true, false),
            (ErrorKind::ConnectionLost(broken()), true, false, false),
            (ErrorKind::Timeout, true, true, false),
            (ErrorKind::SessionLost, true, true, true),
            (ErrorKind::Closed, false, true, true),
            (ErrorKind::Refused(ErrorCode::NoNode), false, true, false),
            (ErrorKind::Refused(ErrorCode::ThrottledOp), true, true, false),
            (ErrorKind::Refused(ErrorCode::SystemError), false, false, false),
            (ErrorKind::RefusedUnknown(-7777), false, false, false),
            (ErrorKind::MultiFailed { index: 1, code: ErrorCode::BadVersion }, false, true, false),
        ] {
            let error = Error::new(kind);
            let answers = (error.is_retryable(), error.surely_not_done(), error.is_session_lost());
            assert_eq!(answers, (retryable, not_done, session_lost), "{error}");
            assert!(!error.after_unknown(true).surely_not_done());
        }
    }

    #[test]
    fn operation_path_and_cause_are_kept() {
        let cause = Arc::new(Disconnect::Broken(io::ErrorKind::ConnectionReset.into()));
        let error = Error::new(ErrorKind::ConnectionLost(cause)).of(OpCode::SetData, Some("/a"));
        assert_eq!(error.to_string(), "setData \"/a\": connection lost");
        let broken = error.source().unwrap();
        assert_eq!(broken.to_string(), "stream broke");
        assert!(broken.source().is_some());
    }
}
