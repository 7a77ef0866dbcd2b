//! The records of single changes, a struct where there is more than a path.

use std::borrow::Cow;

use bytes::BytesMut;
use quorate_protocol::{AclList, Decode, DecodeError, Decoder, Encode, OpCode, codec::PutJute};

use super::{MultiTxn, TxnDigest};

/// A change, without the header that says who made it and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Txn<'a> {
    /// A persistent or ephemeral node comes into being ([`OpCode::Create`], [`OpCode::Create2`]).
    Create(CreateTxn<'a>),
    /// A container comes into being; `ephemeral` is false.
    CreateContainer(CreateTxn<'a>),
    /// A node with a time to live comes into being.
    CreateTtl(CreateTtlTxn<'a>),
    /// A node goes.
    Delete {
        /// Its path.
        path: Cow<'a, str>,
    },
    /// A node goes because the reaper of containers and TTL nodes found it due.
    DeleteContainer {
        /// Its path.
        path: Cow<'a, str>,
    },
    /// A node gets data.
    SetData(SetDataTxn<'a>),
    /// The configuration node gets data.
    Reconfig(SetDataTxn<'a>),
    /// A node gets an ACL.
    SetAcl(SetAclTxn<'a>),
    /// A version was compared and found right; changes nothing.
    Check {
        /// Path of the node.
        path: Cow<'a, str>,
        /// The version it had to have.
        version: i32,
    },
    /// Several changes, or the refusal of them all.
    Multi(MultiTxn<'a>),
    /// A request was refused; uses up a zxid and changes nothing else.
    Error {
        /// An [`quorate_protocol::ErrorCode`] on the wire.
        code: i32,
    },
    /// The session in the header begins.
    CreateSession {
        /// The timeout agreed on.
        timeout_ms: i32,
    },
    /// The session in the header ends.
    CloseSession(CloseSessionTxn<'a>),
}

impl<'a> Txn<'a> {
    /// Reads the record of a transaction of this kind.
    ///
    /// # Errors
    /// When the bytes are no such record, or nothing of this kind is ever logged.
    pub fn decode(kind: OpCode, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(match kind {
            OpCode::Create | OpCode::Create2 => Self::Create(CreateTxn::decode(input)?),
            OpCode::CreateContainer => Self::CreateContainer(decode_container(input)?),
            OpCode::CreateTtl => Self::CreateTtl(CreateTtlTxn::decode(input)?),
            OpCode::Delete => Self::Delete { path: input.required_ustring("path")? },
            OpCode::DeleteContainer => {
                Self::DeleteContainer { path: input.required_ustring("path")? }
            }
            OpCode::SetData => Self::SetData(SetDataTxn::decode(input)?),
            OpCode::Reconfig => Self::Reconfig(SetDataTxn::decode(input)?),
            OpCode::SetAcl => Self::SetAcl(SetAclTxn::decode(input)?),
            OpCode::Check => {
                Self::Check { path: input.required_ustring("path")?, version: input.int()? }
            }
            OpCode::Multi => Self::Multi(MultiTxn::decode(input)?),
            OpCode::Error => Self::Error { code: input.int()? },
            OpCode::CreateSession => Self::CreateSession { timeout_ms: input.int()? },
            OpCode::CloseSession => Self::CloseSession(CloseSessionTxn::decode(input)?),
            _ => {
                let value = kind.wire().into();
                return Err(DecodeError::BadValue { field: "transaction type", value });
            }
        })
    }
}

impl Encode for Txn<'_> {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Create(create) => create.encode(out),
            Self::CreateContainer(create) => encode_container(create, out),
            Self::CreateTtl(create) => create.encode(out),
            Self::Delete { path } | Self::DeleteContainer { path } => out.put_ustring(path),
            Self::SetData(set) | Self::Reconfig(set) => set.encode(out),
            Self::SetAcl(set) => set.encode(out),
            Self::Check { path, version } => {
                out.put_ustring(path);
                out.put_int(*version);
            }
            Self::Multi(multi) => multi.encode(out),
            Self::Error { code } => out.put_int(*code),
            Self::CreateSession { timeout_ms } => out.put_int(*timeout_ms),
            Self::CloseSession(close) => close.encode(out),
        }
    }
}

/// A node to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTxn<'a> {
    /// Its path, the sequence number included.
    pub path: Cow<'a, str>,
    /// Its data; null is not empty.
    pub data: Option<&'a [u8]>,
    /// Its ACL.
    pub acl: AclList<'a>,
    /// Whether it belongs to the session in the header.
    pub ephemeral: bool,
    /// The parent's create counter afterwards. Records of before 3.4 do not have it; the parent
    /// then counts for itself. Always present in a container's record.
    pub parent_cversion: Option<i32>,
}

impl<'a> Decode<'a> for CreateTxn<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: input.required_ustring("path")?,
            data: input.buffer()?,
            acl: AclList::decode(input)?,
            ephemeral: input.boolean()?,
            // `Compat:` `CreateTxnV0`; Java tells it by the end of the bytes too.
            parent_cversion: if input.remaining() == 0 { None } else { Some(input.int()?) },
        })
    }
}

impl Encode for CreateTxn<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.put_ustring(&self.path);
        out.put_buffer(self.data);
        self.acl.encode(out);
        out.put_boolean(self.ephemeral);
        if let Some(version) = self.parent_cversion {
            out.put_int(version);
        }
    }
}

/// `CreateContainerTxn` is `CreateTxn` without the flag.
fn decode_container<'a>(input: &mut Decoder<'a>) -> Result<CreateTxn<'a>, DecodeError> {
    Ok(CreateTxn {
        path: input.required_ustring("path")?,
        data: input.buffer()?,
        acl: AclList::decode(input)?,
        ephemeral: false,
        parent_cversion: Some(input.int()?),
    })
}

fn encode_container(create: &CreateTxn<'_>, out: &mut BytesMut) {
    out.put_ustring(&create.path);
    out.put_buffer(create.data);
    create.acl.encode(out);
    out.put_int(create.parent_cversion.expect("a container's record has its parent's version"));
}

/// A node with a time to live to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTtlTxn<'a> {
    /// Its path, the sequence number included.
    pub path: Cow<'a, str>,
    /// Its data; null is not empty.
    pub data: Option<&'a [u8]>,
    /// Its ACL.
    pub acl: AclList<'a>,
    /// The parent's create counter afterwards.
    pub parent_cversion: i32,
    /// How long it stays without being written to.
    pub ttl_ms: i64,
}

impl<'a> Decode<'a> for CreateTtlTxn<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: input.required_ustring("path")?,
            data: input.buffer()?,
            acl: AclList::decode(input)?,
            parent_cversion: input.int()?,
            ttl_ms: input.long()?,
        })
    }
}

impl Encode for CreateTtlTxn<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.put_ustring(&self.path);
        out.put_buffer(self.data);
        self.acl.encode(out);
        out.put_int(self.parent_cversion);
        out.put_long(self.ttl_ms);
    }
}

/// New data of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDataTxn<'a> {
    /// Its path.
    pub path: Cow<'a, str>,
    /// The data; null is not empty.
    pub data: Option<&'a [u8]>,
    /// The version the node has afterwards.
    pub version: i32,
}

impl<'a> Decode<'a> for SetDataTxn<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: input.required_ustring("path")?,
            data: input.buffer()?,
            version: input.int()?,
        })
    }
}

impl Encode for SetDataTxn<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.put_ustring(&self.path);
        out.put_buffer(self.data);
        out.put_int(self.version);
    }
}

/// A new ACL of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAclTxn<'a> {
    /// Its path.
    pub path: Cow<'a, str>,
    /// The ACL.
    pub acl: AclList<'a>,
    /// The aversion the node has afterwards.
    pub version: i32,
}

impl<'a> Decode<'a> for SetAclTxn<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: input.required_ustring("path")?,
            acl: AclList::decode(input)?,
            version: input.int()?,
        })
    }
}

impl Encode for SetAclTxn<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.put_ustring(&self.path);
        self.acl.encode(out);
        out.put_int(self.version);
    }
}

/// The ephemeral nodes that go with a session, as its encoded `vector`, checked once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CloseSessionTxn<'a>(Option<&'a [u8]>);

impl<'a> CloseSessionTxn<'a> {
    /// Writes the record for these paths. It is encoded directly, since a session can own many.
    pub fn write<'p>(paths: impl ExactSizeIterator<Item = &'p str>, out: &mut BytesMut) {
        out.put_len(paths.len());
        for path in paths {
            out.put_ustring(path);
        }
    }

    /// The paths in the maker's order. None in records of before 3.6 or made with
    /// `closeSessionTxn.enabled=false`: whatever the session owns goes all the same.
    pub fn paths(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        let mut input = Decoder::new(self.0.unwrap_or(&[0; 4]));
        let count = input.int().unwrap_or(0).max(0);
        (0..count).map(move |_| input.required_ustring("path").expect("checked by decode"))
    }
}

impl<'a> Decode<'a> for CloseSessionTxn<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        // `Compat:` without a body, what follows is the digest or nothing. Java's decoder takes
        // that digest for a vector of `version` strings. No vector looks so: two empty paths.
        let no_body = match input.remaining() {
            0 => true,
            TxnDigest::SIZE => input.clone().int()? == TxnDigest::VERSION,
            _ => false,
        };
        if no_body {
            return Ok(Self(None));
        }
        let start = input.offset();
        for _ in 0..input.vector_len(4)?.unwrap_or(0) {
            input.buffer()?.ok_or(DecodeError::Null { field: "path" })?;
        }
        Ok(Self(Some(input.since(start))))
    }
}

impl Encode for CloseSessionTxn<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.0.unwrap_or_default());
    }
}
