//! Writes of one node.

use std::time::Duration;

use bytes::BytesMut;
use quorate_protocol::{
    AclList, Decode, Encode, ErrorCode, OpCode, Stat,
    acl::Acl,
    path,
    record::{
        Create2Response, CreateMode, CreateRequest, CreateTtlRequest, DeleteRequest, SetAclRequest,
        SetDataRequest,
    },
};

use super::{decoded, done};
use crate::{
    call::{Call, Exchange, Request},
    client::View,
    create::ComposedCreate,
    error::ErrorKind,
    payload::Payload,
    queue::Reply,
    watch::OneShot,
};

/// A node just created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its path, with its number if it has one.
    pub path: String,
    /// What else is known of it; `czxid` grows from node to node, which makes it a fencing token.
    pub stat: Stat,
}

/// See [`Client::create`](crate::Client::create).
#[derive(Debug, Clone)]
pub struct Create<'a> {
    pub(crate) path: &'a str,
    pub(crate) data: Payload<'a>,
    acl: Option<&'a [Acl]>,
    ephemeral: bool,
    sequential: bool,
    container: bool,
    ttl: Option<Duration>,
}

/// See [`Client::set`](crate::Client::set).
#[derive(Debug)]
pub struct Set<'a> {
    pub(crate) path: &'a str,
    pub(crate) data: Payload<'a>,
    pub(crate) version: i32,
}

/// See [`Client::delete`](crate::Client::delete).
#[derive(Debug)]
pub struct Delete<'a> {
    pub(crate) path: &'a str,
    pub(crate) version: i32,
}

/// See [`Client::set_acl`](crate::Client::set_acl).
#[derive(Debug)]
pub struct SetAcl<'a> {
    pub(crate) path: &'a str,
    pub(crate) acl: &'a [Acl],
    pub(crate) version: i32,
}

impl<'a> Create<'a> {
    pub(crate) fn new(path: &'a str, data: Payload<'a>) -> Self {
        Self {
            path,
            data,
            acl: None,
            ephemeral: false,
            sequential: false,
            container: false,
            ttl: None,
        }
    }

    /// The same at another path.
    pub(crate) fn at<'b>(&'b self, path: &'b str) -> Create<'b> {
        Create { path, ..self.clone() }
    }

    fn mode(&self) -> Result<CreateMode, ErrorKind> {
        Ok(match (self.ephemeral, self.sequential, self.container, self.ttl.is_some()) {
            (false, false, false, false) => CreateMode::Persistent,
            (true, false, false, false) => CreateMode::Ephemeral,
            (false, true, false, false) => CreateMode::PersistentSequential,
            (true, true, false, false) => CreateMode::EphemeralSequential,
            (false, false, true, false) => CreateMode::Container,
            (false, false, false, true) => CreateMode::PersistentWithTtl,
            (false, true, false, true) => CreateMode::PersistentSequentialWithTtl,
            _ => return Err(ErrorKind::BadArgument("these kinds of node exclude each other")),
        })
    }

    fn ttl_ms(&self) -> Result<i64, ErrorKind> {
        let ms = self.ttl.map_or(0, |ttl| ttl.as_millis());
        i64::try_from(ms).map_err(|_| ErrorKind::BadArgument("time to live is too long"))
    }

    /// The operation, which answers a `Stat` whatever the kind of node.
    pub(crate) fn op_of(&self) -> OpCode {
        match (self.ttl.is_some(), self.container) {
            (true, _) => OpCode::CreateTtl,
            (_, true) => OpCode::CreateContainer,
            _ => OpCode::Create2,
        }
    }

    pub(crate) fn checked(&self) -> Result<(), ErrorKind> {
        self.mode()?;
        self.ttl_ms()?;
        if self.sequential {
            // Its number may be the whole name, or the end of one that is `.` without it.
            path::validate(&format!("{}0", self.path))?;
        } else {
            path::validate(self.path)?;
        }
        Ok(())
    }

    pub(crate) fn encode_to(&self, view: &View, out: &mut BytesMut) {
        let own_acl = self.acl.map(Encode::to_bytes);
        let acl = own_acl.as_deref().unwrap_or(&view.options().acl);
        let acl = AclList::from_bytes(acl).expect("it was encoded here");
        let mode = self.mode().expect("checked before it is encoded");
        let (data, flags) = (self.data.bytes(), mode.wire());
        // A sequential node's path may end with `/`, also at the root of a chroot.
        let path = match self.path {
            "/" if self.sequential => format!("{}/", view.chroot()).into(),
            path => view.path_in(path),
        };
        if self.ttl.is_some() {
            let ttl = self.ttl_ms().expect("checked before it is encoded");
            CreateTtlRequest { path, data, acl, flags, ttl }.encode(out);
        } else {
            CreateRequest { path, data, acl, flags }.encode(out);
        }
    }
}

impl<'a> Call<'a, Create<'a>> {
    /// Gone with the session.
    pub fn ephemeral(mut self) -> Self {
        self.request.ephemeral = true;
        self
    }

    /// Its name gets a number at its end: ten digits, growing with each node below the parent.
    pub fn sequential(mut self) -> Self {
        self.request.sequential = true;
        self
    }

    /// Gone some time after its last child has gone.
    pub fn container(mut self) -> Self {
        self.request.container = true;
        self
    }

    /// Gone when it has no children and was not written to for this long. ZooKeeper needs
    /// `extendedTypesEnabled` for this.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.request.ttl = Some(ttl);
        self
    }

    /// Who may do what with it, in place of the client's default.
    pub fn acl(mut self, acl: &'a [Acl]) -> Self {
        self.request.acl = Some(acl);
        self
    }

    /// The kind of node by its number in the protocol. A time to live must be given besides, with
    /// [`ttl`](Self::ttl).
    pub fn mode(mut self, mode: CreateMode) -> Self {
        self.request.ephemeral = mode.is_ephemeral();
        self.request.sequential = mode.is_sequential();
        self.request.container = mode == CreateMode::Container;
        self
    }

    /// Creates the node exactly once even if the connection is lost before the answer: its name
    /// begins with `_c_` and a unique id, as Apache Curator does it, by which it is found again.
    pub fn protected(self) -> ComposedCreate<'a> {
        ComposedCreate::new(self).protected()
    }

    /// Creates the parents that are missing first, as containers.
    pub fn with_parents(self) -> ComposedCreate<'a> {
        ComposedCreate::new(self).with_parents()
    }
}

macro_rules! versioned {
    ($($name:ident $of:literal;)*) => {$(
        impl<'a> Call<'a, $name<'a>> {
            #[doc = concat!("Only if ", $of, " has this version; else it is refused with")]
            /// [`ErrorCode::BadVersion`].
            pub fn version(mut self, version: i32) -> Self {
                self.request.version = version;
                self
            }
        }
    )*};
}

versioned! {
    Set "the data";
    Delete "the data";
    SetAcl "the ACL (`aversion`)";
}

impl Request for Create<'_> {
    type Answer = Created;
}

impl Exchange for Create<'_> {
    fn op(&self) -> OpCode {
        self.op_of()
    }

    fn path(&self) -> Option<&str> {
        Some(self.path)
    }

    fn check(&self) -> Result<(), ErrorKind> {
        self.checked()
    }

    fn encode(&self, view: &View, out: &mut BytesMut) {
        self.encode_to(view, out);
    }

    fn is_read(&self) -> bool {
        false
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        view: &View,
        _: Option<OneShot>,
    ) -> Result<Created, ErrorKind> {
        let Create2Response { path, stat } = decoded(&reply)?;
        Ok(Created { path: view.path_out(&path).to_owned(), stat })
    }
}

impl Request for Set<'_> {
    type Answer = Stat;
}

impl Exchange for Set<'_> {
    fn op(&self) -> OpCode {
        OpCode::SetData
    }

    fn path(&self) -> Option<&str> {
        Some(self.path)
    }

    fn encode(&self, view: &View, out: &mut BytesMut) {
        let Self { path, data, version } = self;
        let path = view.path_in(path);
        SetDataRequest { path, data: data.bytes(), version: *version }.encode(out);
    }

    fn is_read(&self) -> bool {
        false
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        _: &View,
        _: Option<OneShot>,
    ) -> Result<Stat, ErrorKind> {
        decoded(&reply)
    }
}

impl Request for Delete<'_> {
    type Answer = ();
}

impl Exchange for Delete<'_> {
    fn op(&self) -> OpCode {
        OpCode::Delete
    }

    fn path(&self) -> Option<&str> {
        Some(self.path)
    }

    fn encode(&self, view: &View, out: &mut BytesMut) {
        DeleteRequest { path: view.path_in(self.path), version: self.version }.encode(out);
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

impl Request for SetAcl<'_> {
    type Answer = Stat;
}

impl Exchange for SetAcl<'_> {
    fn op(&self) -> OpCode {
        OpCode::SetAcl
    }

    fn path(&self) -> Option<&str> {
        Some(self.path)
    }

    fn encode(&self, view: &View, out: &mut BytesMut) {
        let acl = self.acl.to_bytes();
        let acl = AclList::from_bytes(&acl).expect("it was encoded here");
        let path = view.path_in(self.path);
        SetAclRequest { path, acl, version: self.version }.encode(out);
    }

    fn is_read(&self) -> bool {
        false
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        _: &View,
        _: Option<OneShot>,
    ) -> Result<Stat, ErrorKind> {
        decoded(&reply)
    }
}
