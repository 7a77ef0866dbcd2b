//! What calls ask for: the types behind [`Call`](crate::Call), which its methods are for.

mod ensemble;
mod multi;
mod read;
mod session;
mod write;

pub use ensemble::{GetConfig, Reconfig};
pub use multi::{Multi, MultiOutcome, MultiPart, MultiRead, ReadOutcome};
pub use read::{
    Children, CountBelow, Ephemerals, Exists, Get, GetAcl, GetChildren, Node, NodeAcl, Sync,
    Watched,
};
pub use session::{AddAuth, Close, RemoveWatches, WhoAmI};
pub use write::{Create, Created, Delete, Set, SetAcl};

use quorate_protocol::{Decode, ErrorCode};

pub use crate::call::Request;
use crate::{error::ErrorKind, queue::Reply};

/// Any version, where one is asked for.
pub(crate) const ANY: i32 = -1;

/// The record in the body of a reply.
fn decoded<'a, T: Decode<'a>>(reply: &'a Result<Reply, ErrorCode>) -> Result<T, ErrorKind> {
    match reply {
        Ok(reply) => Ok(T::from_bytes(&reply.body)?),
        Err(code) => Err(ErrorKind::Refused(*code)),
    }
}

/// That there is no error.
fn done(reply: &Result<Reply, ErrorCode>) -> Result<(), ErrorKind> {
    reply.as_ref().map(|_| ()).map_err(|code| ErrorKind::Refused(*code))
}
