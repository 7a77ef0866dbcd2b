//! Turns requests into transactions or answers.

use std::sync::Arc;

use bytes::Bytes;
use quorate_protocol::{Id, OpCode, SessionId, Xid};

use crate::watch::ConnId;

/// A request as a connection received it, able to outlive the connection's buffer.
#[derive(Debug, Clone)]
pub struct Request {
    /// The session it belongs to.
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
}
