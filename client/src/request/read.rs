//! Reads of nodes.

use bytes::{Bytes, BytesMut};
use quorate_protocol::{
    Encode, ErrorCode, Id, OpCode, Stat,
    acl::{Acl, Perms},
    record::{
        AllChildrenNumberResponse, Children2Response, EphemeralsRequest, EphemeralsResponse,
        GetAclResponse, GetDataResponse, PathRequest, PathWatchRequest, SyncRequest,
    },
};

use super::{decoded, done};
use crate::{
    call::{Call, Exchange, Request},
    client::View,
    error::ErrorKind,
    queue::Reply,
    watch::{Kind, OneShot},
};

/// A node's data and what else is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its data; null reads as empty. Shares the memory of the buffer it was received in: copy it
    /// to keep a little for long.
    pub data: Bytes,
    /// Whether its data is null, which is not the same as empty to ZooKeeper.
    pub is_null: bool,
    /// The rest.
    pub stat: Stat,
}

/// The names of a node's children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Children {
    /// The names, in no particular order.
    pub names: Vec<String>,
    /// Of the node.
    pub stat: Stat,
}

/// A node's ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAcl {
    /// Who may do what. Hashes of passwords are hidden from those who may not write it.
    pub acl: Vec<Acl>,
    /// Of the node.
    pub stat: Stat,
}

/// See [`Client::get`](crate::Client::get).
#[derive(Debug)]
pub struct Get<'a> {
    pub(crate) path: &'a str,
}

/// See [`Client::exists`](crate::Client::exists).
#[derive(Debug)]
pub struct Exists<'a> {
    pub(crate) path: &'a str,
}

/// See [`Client::children`](crate::Client::children).
#[derive(Debug)]
pub struct GetChildren<'a> {
    pub(crate) path: &'a str,
}

/// See [`Client::acl`](crate::Client::acl).
#[derive(Debug)]
pub struct GetAcl<'a> {
    pub(crate) path: &'a str,
}

/// See [`Client::ephemerals`](crate::Client::ephemerals).
#[derive(Debug)]
pub struct Ephemerals<'a> {
    pub(crate) prefix: &'a str,
}

/// See [`Client::count_below`](crate::Client::count_below).
#[derive(Debug)]
pub struct CountBelow<'a> {
    pub(crate) path: &'a str,
}

/// See [`Client::sync`](crate::Client::sync).
#[derive(Debug)]
pub struct Sync<'a> {
    pub(crate) path: &'a str,
}

/// A read that sets a one-shot watch.
#[derive(Debug)]
pub struct Watched<R>(R);

/// A read of the state at a path, which can set a watch on what it reads.
pub(crate) trait Watchable: Exchange {
    const KIND: Kind;

    fn encode_watching(&self, watch: bool, view: &View, out: &mut BytesMut);
}

macro_rules! linearizable {
    ($($name:ident)*) => {$(
        impl Call<'_, $name<'_>> {
            /// Shows everything committed anywhere before the call was made: a `sync` goes out
            /// right before the read, in the same flight. Without it a read shows at least what
            /// this client has seen before, and its own writes.
            ///
            /// ZooKeeper's own `sync` does not prove that its leader still leads, so there this is
            /// linearizable only while the leader is not deposed; Quorate's is always.
            pub fn linearizable(mut self) -> Self {
                self.manner.linearizable = true;
                self
            }
        }
    )*};
}

linearizable!(Get Exists GetChildren GetAcl CountBelow);

impl<R> Call<'_, Watched<R>> {
    /// As for the read without the watch.
    pub fn linearizable(mut self) -> Self {
        self.manner.linearizable = true;
        self
    }
}

macro_rules! watchable {
    ($($name:ident $kind:ident, $of:literal;)*) => {$(
        impl<'a> Call<'a, $name<'a>> {
            #[doc = concat!("Also sets a one-shot watch on ", $of, ". It tells of the first")]
            /// change after what the read shows. No watch is set when the read fails.
            pub fn watch(self) -> Call<'a, Watched<$name<'a>>> {
                self.map(Watched)
            }
        }

        impl Watchable for $name<'_> {
            const KIND: Kind = Kind::$kind;

            fn encode_watching(&self, watch: bool, view: &View, out: &mut BytesMut) {
                PathWatchRequest { path: view.path_in(self.path), watch }.encode(out);
            }
        }
    )*};
}

watchable! {
    Get Data, "the node: its data and its deletion";
    Exists Data, "the node, also if it is not there: its creation, data and deletion";
    GetChildren Child, "the list of children, and on the node's deletion";
}

impl<R: Watchable> Request for Watched<R> {
    type Answer = (R::Answer, OneShot);
}

impl<R: Watchable> Exchange for Watched<R> {
    fn op(&self) -> OpCode {
        self.0.op()
    }

    fn path(&self) -> Option<&str> {
        self.0.path()
    }

    fn encode(&self, view: &View, out: &mut BytesMut) {
        self.0.encode_watching(true, view, out);
    }

    fn is_read(&self) -> bool {
        true
    }

    fn watch(&self) -> Option<Kind> {
        Some(R::KIND)
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        view: &View,
        watch: Option<OneShot>,
    ) -> Result<Self::Answer, ErrorKind> {
        let answer = R::finish(reply, view, None)?;
        Ok((answer, watch.ok_or(ErrorKind::Unexpected("absence of the watch"))?))
    }
}

macro_rules! reads {
    ($(
        $name:ident($field:ident) -> $answer:ty: $op:ident,
        |$request:ident, $view:ident, $out:ident| $encode:expr,
        |$reply:ident| $finish:expr;
    )*) => {$(
        impl Request for $name<'_> {
            type Answer = $answer;
        }

        impl Exchange for $name<'_> {
            fn op(&self) -> OpCode {
                OpCode::$op
            }

            fn path(&self) -> Option<&str> {
                Some(self.$field)
            }

            fn encode(&self, $view: &View, $out: &mut BytesMut) {
                let $request = self;
                $encode;
            }

            fn is_read(&self) -> bool {
                true
            }

            fn finish(
                $reply: Result<Reply, ErrorCode>,
                _: &View,
                _: Option<OneShot>,
            ) -> Result<Self::Answer, ErrorKind> {
                $finish
            }
        }
    )*};
}

reads! {
    Get(path) -> Node: GetData,
        |request, view, out| request.encode_watching(false, view, out),
        |reply| {
            let GetDataResponse { data, stat } = decoded(&reply)?;
            let is_null = data.is_none();
            let data = data.unwrap_or_default();
            // Decoded from there.
            let data = reply.as_ref().map(|reply| reply.body.slice_ref(data)).unwrap_or_default();
            Ok(Node { data, is_null, stat })
        };
    Exists(path) -> Option<Stat>: Exists,
        |request, view, out| request.encode_watching(false, view, out),
        |reply| match reply {
            Err(ErrorCode::NoNode) => Ok(None),
            reply => decoded(&reply).map(Some),
        };
    GetChildren(path) -> Children: GetChildren2,
        |request, view, out| request.encode_watching(false, view, out),
        |reply| {
            let Children2Response { children, stat } = decoded(&reply)?;
            let names = children.into_iter().map(std::borrow::Cow::into_owned).collect();
            Ok(Children { names, stat })
        };
    GetAcl(path) -> NodeAcl: GetAcl,
        |request, view, out| PathRequest { path: view.path_in(request.path) }.encode(out),
        |reply| {
            let GetAclResponse { acl, stat } = decoded(&reply)?;
            let text = |text: Option<std::borrow::Cow<'_, str>>| text.unwrap_or_default().into_owned();
            let acl = acl.iter().map(|entry| Acl {
                perms: Perms(entry.perms.0),
                id: Id { scheme: text(entry.scheme), id: text(entry.id) },
            });
            Ok(NodeAcl { acl: acl.collect(), stat })
        };
    CountBelow(path) -> u32: GetAllChildrenNumber,
        |request, view, out| PathRequest { path: view.path_in(request.path) }.encode(out),
        |reply| {
            let AllChildrenNumberResponse { total } = decoded(&reply)?;
            u32::try_from(total).map_err(|_| ErrorKind::Unexpected("negative number of nodes"))
        };
    Sync(path) -> (): Sync,
        |request, view, out| SyncRequest { path: Some(view.path_in(request.path)) }.encode(out),
        |reply| done(&reply);
}

impl Request for Ephemerals<'_> {
    type Answer = Vec<String>;
}

impl Exchange for Ephemerals<'_> {
    fn op(&self) -> OpCode {
        OpCode::GetEphemerals
    }

    fn path(&self) -> Option<&str> {
        Some(self.prefix)
    }

    /// A prefix need not be a path.
    fn check(&self) -> Result<(), ErrorKind> {
        Ok(())
    }

    fn encode(&self, view: &View, out: &mut BytesMut) {
        // Everything below the chroot, rather than the chroot and its namesakes.
        let prefix = if self.prefix.is_empty() { "/" } else { self.prefix };
        let root = prefix == "/";
        let prefix = if root { view.path_in("/") } else { view.path_in(prefix) };
        EphemeralsRequest { prefix: Some(prefix) }.encode(out);
    }

    fn is_read(&self) -> bool {
        true
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        view: &View,
        _: Option<OneShot>,
    ) -> Result<Vec<String>, ErrorKind> {
        let EphemeralsResponse { ephemerals } = decoded(&reply)?;
        Ok(ephemerals.iter().filter_map(|path| view.below(path)).map(str::to_owned).collect())
    }
}
