//! Turns requests into transactions or answers.
//!
//! A write becomes the bytes of an idempotent transaction, checked against the tree and all that
//! is proposed but not applied yet. It is logged, applied, and then answered; a refused write is
//! logged too and uses up its zxid. No I/O, clock or thread: whoever drives this module says what
//! time it is and when a transaction was applied.

pub mod auth;
mod class;
mod create;
mod ephemeral;
pub mod frame;
mod multi;
mod order;
mod outstanding;
mod prepare;
pub mod read;
mod reconfig;
pub mod reply;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quorate_protocol::{Id, OpCode, SessionId, Xid, codec::PutJute};

pub use class::{Class, classify};
pub use ephemeral::makes_ephemeral;
pub use order::{Order, Released};
pub use prepare::{Prepared, Preparer, Settings};
pub use reconfig::Ensemble;

use crate::watch::ConnId;

/// A request as a connection received it, able to outlive the connection's buffer; or one that
/// the server makes itself.
#[derive(Debug, Clone)]
pub struct Request {
    /// The session it belongs to; none when the server removes an outdated node.
    pub session: SessionId,
    /// The connection it came by.
    pub conn: ConnId,
    /// The client's number for it, echoed in the reply.
    pub xid: Xid,
    /// What it asks for.
    pub op: OpCode,
    /// The request's record: what follows the 8 bytes of the header.
    pub body: Bytes,
    /// Who the connection was when the request arrived: an identity added later does not count.
    pub auth: Arc<[Id]>,
    /// The session is a local one of this server: no transaction has opened it, so it may write,
    /// and own nothing.
    pub is_local: bool,
}

impl Request {
    /// A new session for the client at `conn`.
    pub fn create_session(session: SessionId, conn: ConnId, timeout_ms: i32) -> Self {
        let body = Bytes::copy_from_slice(&timeout_ms.to_be_bytes());
        Self::internal(OpCode::CreateSession, session, conn, body)
    }

    /// The end of a session that was not heard of for too long.
    pub fn expire_session(session: SessionId) -> Self {
        Self::internal(OpCode::CloseSession, session, ConnId::NONE, Bytes::new())
    }

    /// The removal of an empty container or an outdated TTL node.
    pub fn delete_container(path: &str) -> Self {
        let mut body = BytesMut::with_capacity(4 + path.len());
        body.put_ustring(path);
        Self::internal(OpCode::DeleteContainer, SessionId::NONE, ConnId::NONE, body.freeze())
    }

    fn internal(op: OpCode, session: SessionId, conn: ConnId, body: Bytes) -> Self {
        Self { session, conn, xid: Xid(0), op, body, auth: Arc::from([]), is_local: false }
    }
}
