//! What is known of a node besides its data.

use bytes::BytesMut;

use crate::{
    codec::{Decode, DecodeError, Decoder, Encode, PutJute},
    id::{SessionId, Zxid},
};

/// A node's `Stat`: 68 bytes on the wire, in the order of these fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// The transaction that created the node.
    pub czxid: Zxid,
    /// The transaction that last wrote its data.
    pub mzxid: Zxid,
    /// When it was created, in milliseconds since 1970 by the leader's clock.
    pub ctime: i64,
    /// When its data was last written, likewise.
    pub mtime: i64,
    /// How often its data was written since.
    pub version: i32,
    /// How often a child was created or deleted.
    pub cversion: i32,
    /// How often its ACL was written.
    pub aversion: i32,
    /// The session an ephemeral node belongs to; none for every other kind of node.
    pub ephemeral_owner: SessionId,
    /// Bytes of data; null counts as 0.
    pub data_length: i32,
    /// How many children it has now.
    pub num_children: i32,
    /// The transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Bytes on the wire.
    pub const SIZE: usize = 68;
}

impl Decode<'_> for Stat {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(input.long()?),
            mzxid: Zxid(input.long()?),
            ctime: input.long()?,
            mtime: input.long()?,
            version: input.int()?,
            cversion: input.int()?,
            aversion: input.int()?,
            ephemeral_owner: SessionId(input.long()?),
            data_length: input.int()?,
            num_children: input.int()?,
            pzxid: Zxid(input.long()?),
        })
    }
}

impl Encode for Stat {
    fn encode(&self, out: &mut BytesMut) {
        out.reserve(Self::SIZE);
        out.put_long(self.czxid.0);
        out.put_long(self.mzxid.0);
        out.put_long(self.ctime);
        out.put_long(self.mtime);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner.0);
        out.put_int(self.data_length);
        out.put_int(self.num_children);
        out.put_long(self.pzxid.0);
    }
}
