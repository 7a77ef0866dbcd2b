//! ZooKeeper's client protocol: every byte a client or an operator's tool can see.
//!
//! This crate turns bytes into checked values and back. It knows no sockets, no clock and no
//! server state. Decoding borrows from the caller's buffer: nothing is copied or allocated that
//! the bytes received do not pay for, so a length announced on the wire costs nothing by itself.
//!
//! Start with [`frame`] (how a stream is cut), [`codec`] (jute, the encoding inside a frame),
//! [`op_code`] (which request is which) and [`record`] (the requests and replies themselves).

#![deny(missing_docs)]

pub mod acl;
pub mod codec;
pub mod error_code;
pub mod four_letter;
pub mod frame;
pub mod id;
pub mod op_code;
pub mod path;
pub mod record;
pub mod stat;

pub use acl::{Acl, AclList, Id, Perms};
pub use codec::{Decode, DecodeError, Decoder, Encode};
pub use error_code::ErrorCode;
pub use four_letter::FourLetterWord;
pub use id::{SessionId, Xid, Zxid};
pub use op_code::OpCode;
pub use stat::Stat;
