//! What stands in front of every request and reply but the connect records.

use super::field::records;
use crate::id::{Xid, Zxid};

records! {
    /// In front of a request's body.
    #[derive(Copy)]
    pub struct RequestHeader {
        /// The client's number for the request.
        xid: Xid,
        /// What it asks for: an [`OpCode`](crate::OpCode)'s number, if it is one.
        op: i32,
    }

    /// In front of a reply's body, which is there only if `error` is 0.
    #[derive(Copy)]
    pub struct ReplyHeader {
        /// The request's xid, or [`Xid::EVENT`].
        xid: Xid,
        /// A write's own zxid; for a read, the last one applied when it was executed.
        zxid: Zxid,
        /// An [`ErrorCode`](crate::ErrorCode)'s number.
        error: i32,
    }
}

impl RequestHeader {
    /// Bytes on the wire.
    pub const SIZE: usize = 8;
}

impl ReplyHeader {
    /// Bytes on the wire.
    pub const SIZE: usize = 16;
}
