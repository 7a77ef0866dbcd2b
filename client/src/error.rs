//! What can go wrong, and what a caller may conclude from it.

use std::{io, sync::Arc};

use quorate_protocol::{DecodeError, ErrorCode, path::PathError};

/// Why a call failed. Ask [`is_retryable`](Self::is_retryable) whether to make it again and
/// [`surely_not_done`](Self::surely_not_done) whether it may have happened all the same.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// No server could be reached or would open a session; the last one's reason.
    #[error("connect")]
    Connect(#[source] Arc<io::Error>),
    /// The connection had ended before the call was sent.
    #[error("not connected")]
    NotConnected,
    /// The connection ended after the call was sent and before its answer arrived.
    #[error("connection lost")]
    ConnectionLost,
    /// The server does not know the session any more, or never did.
    #[error("session expired")]
    SessionExpired,
    /// The answer is not what the protocol promises.
    #[error("undecodable answer")]
    Undecodable(#[from] DecodeError),
    /// The answer holds something that the call cannot have brought about.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
}

impl Error {
    /// Whether the same call can succeed when nothing but time has passed, on a new connection if
    /// this one has ended. Before repeating a write see [`surely_not_done`](Self::surely_not_done).
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::NotConnected | Self::ConnectionLost => true,
            Self::Refused(code) | Self::MultiFailed { code, .. } => matches!(
                code,
                ErrorCode::ConnectionLoss
                    | ErrorCode::OperationTimeout
                    | ErrorCode::RequestTimeout
                    | ErrorCode::SessionMoved
                    | ErrorCode::NotReadOnly
                    | ErrorCode::NewConfigNoQuorum
                    | ErrorCode::ReconfigInProgress
                    | ErrorCode::ThrottledOp
            ),
            Self::RefusedUnknown(_)
            | Self::BadArgument(_)
            | Self::BadPath(_)
            | Self::SessionExpired
            | Self::Undecodable(_)
            | Self::Unexpected(_) => false,
        }
    }

    /// Whether the call certainly had no effect. When this is false it may have had, or may yet:
    /// a server carries out what it has read even if the connection breaks.
    pub fn surely_not_done(&self) -> bool {
        match self {
            Self::ConnectionLost
            | Self::RefusedUnknown(_)
            | Self::Undecodable(_)
            | Self::Unexpected(_) => false,
            Self::Refused(code) | Self::MultiFailed { code, .. } => !matches!(
                code,
                ErrorCode::SystemError
                    | ErrorCode::ConnectionLoss
                    | ErrorCode::OperationTimeout
                    | ErrorCode::RequestTimeout
            ),
            Self::BadArgument(_)
            | Self::BadPath(_)
            | Self::Connect(_)
            | Self::NotConnected
            | Self::SessionExpired => true,
        }
    }
}

impl From<io::Error> for Error {
    /// I/O fails only while connecting; later it ends the connection.
    fn from(error: io::Error) -> Self {
        Self::Connect(Arc::new(error))
    }
}
