//! The requests and replies, a file per family.
//!
//! A record is a struct whose fields stand in wire order; reading and writing follow from the
//! field types alone, so the two directions cannot drift apart. Records borrow from the frame they
//! were decoded from. They say what was *sent*: a mode or version is checked by whoever acts on
//! it, because the wrong number has a different answer in each place.
//!
//! A path, scheme or vector that must not be null is refused when it is
//! ([`DecodeError::Null`](crate::DecodeError::Null)); data may be null, which is not the same as
//! empty. Replies of `exists`, `setData` and `setACL` are a bare [`Stat`](crate::Stat); replies of
//! `delete`, `ping`, `auth`, `setWatches`, `removeWatches`, `checkWatches` and `closeSession` have
//! no body.

mod auth;
mod connect;
mod field;
mod header;
mod multi;
mod node;
mod watch;

pub use auth::{AuthRequest, ClientInfo, SaslRequest, SaslResponse, WhoAmIResponse};
pub use connect::{ConnectRequest, ConnectResponse};
pub use header::{ReplyHeader, RequestHeader};
pub use multi::{MultiHeader, MultiOp, MultiOps, MultiResult, MultiResults};
pub use node::{
    AllChildrenNumberResponse, CheckRequest, Children2Response, ChildrenResponse, Create2Response,
    CreateMode, CreateRequest, CreateResponse, CreateTtlRequest, DeleteRequest, EphemeralsRequest,
    EphemeralsResponse, GetAclResponse, GetDataResponse, PathRequest, PathWatchRequest,
    ReconfigRequest, SetAclRequest, SetDataRequest, SyncRequest, SyncResponse,
};
pub use watch::{
    AddWatchMode, AddWatchRequest, AddWatchResponse, EventType, RemoveWatchesRequest,
    SetWatches2Request, SetWatchesRequest, WatcherEvent, WatcherType,
};
