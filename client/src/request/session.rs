//! Calls about the session and the connection.

use bytes::BytesMut;
use quorate_protocol::{
    Encode, ErrorCode, Id, OpCode,
    record::{AuthRequest, RemoveWatchesRequest, WatcherType, WhoAmIResponse},
};

use super::{decoded, done};
use crate::{
    call::{Exchange, Request},
    client::View,
    error::ErrorKind,
    queue::{Identity, Reply},
    watch::OneShot,
};

/// See [`Client::whoami`](crate::Client::whoami).
#[derive(Debug)]
pub struct WhoAmI;

/// See [`Client::add_auth`](crate::Client::add_auth).
#[derive(Debug)]
pub struct AddAuth {
    pub(crate) identity: Identity,
}

/// See [`Client::close`](crate::Client::close).
#[derive(Debug)]
pub struct Close;

/// See [`Client::remove_watches`](crate::Client::remove_watches).
#[derive(Debug)]
pub struct RemoveWatches<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: WatcherType,
}

impl Request for WhoAmI {
    type Answer = Vec<Id>;
}

impl Exchange for WhoAmI {
    fn op(&self) -> OpCode {
        OpCode::WhoAmI
    }

    fn path(&self) -> Option<&str> {
        None
    }

    fn encode(&self, _: &View, _: &mut BytesMut) {}

    fn is_read(&self) -> bool {
        true
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        _: &View,
        _: Option<OneShot>,
    ) -> Result<Vec<Id>, ErrorKind> {
        let WhoAmIResponse { identities } = decoded(&reply)?;
        Ok(identities.into_iter().map(|id| Id::new(id.scheme, id.user)).collect())
    }
}

impl Identity {
    /// Appends the body of an `auth` request.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let (scheme, auth) = (Some((&*self.scheme).into()), Some(&self.proof[..]));
        AuthRequest { kind: 0, scheme, auth }.encode(out);
    }
}

impl Request for AddAuth {
    type Answer = ();
}

impl Exchange for AddAuth {
    fn op(&self) -> OpCode {
        OpCode::Auth
    }

    fn path(&self) -> Option<&str> {
        None
    }

    fn encode(&self, _: &View, out: &mut BytesMut) {
        self.identity.encode(out);
    }

    /// Adding an identity twice is adding it once.
    fn is_read(&self) -> bool {
        true
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        _: &View,
        _: Option<OneShot>,
    ) -> Result<(), ErrorKind> {
        done(&reply)
    }
}

impl Request for Close {
    type Answer = ();
}

impl Exchange for Close {
    fn op(&self) -> OpCode {
        OpCode::CloseSession
    }

    fn path(&self) -> Option<&str> {
        None
    }

    fn encode(&self, _: &View, _: &mut BytesMut) {}

    /// Closing it twice is closing it once.
    fn is_read(&self) -> bool {
        true
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        _: &View,
        _: Option<OneShot>,
    ) -> Result<(), ErrorKind> {
        done(&reply)
    }
}

impl Request for RemoveWatches<'_> {
    type Answer = ();
}

impl Exchange for RemoveWatches<'_> {
    fn op(&self) -> OpCode {
        OpCode::RemoveWatches
    }

    fn path(&self) -> Option<&str> {
        Some(self.path)
    }

    fn encode(&self, view: &View, out: &mut BytesMut) {
        RemoveWatchesRequest { path: view.path_in(self.path), kind: self.kind.wire() }.encode(out);
    }

    fn is_read(&self) -> bool {
        false
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        _: &View,
        _: Option<OneShot>,
    ) -> Result<(), ErrorKind> {
        done(&reply)
    }
}
