//! Who makes a forwarded request.

use std::borrow::Cow;

use bytes::BytesMut;
use quorate_protocol::{Decode, DecodeError, Decoder, Encode, Id, codec::PutJute};

/// A packet's `authinfo`: the identities of the client whose request it is, as their encoded
/// `vector`, known to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids<'a>(Option<&'a [u8]>);

impl<'a> Ids<'a> {
    /// The encoded vector, its count included; `None` is null.
    pub fn raw(&self) -> Option<&'a [u8]> {
        self.0
    }

    /// Schemes and names in the client's order.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        let mut input = Decoder::new(self.0.unwrap_or(&[0; 4]));
        let count = input.int().unwrap_or(0).max(0);
        (0..count).map(move |_| read(&mut input).expect("checked when it was decoded"))
    }

    /// The identities as values of their own.
    pub fn to_vec(&self) -> Vec<Id> {
        self.iter().map(|(scheme, id)| Id::new(scheme, id)).collect()
    }

    /// Appends the vector of these identities. `Compat:` an empty one is not null, which
    /// ZooKeeper's leader cannot check rights with.
    pub(super) fn put(ids: &[Id], out: &mut BytesMut) {
        out.put_len(ids.len());
        for id in ids {
            id.encode(out);
        }
    }
}

fn read<'a>(input: &mut Decoder<'a>) -> Result<(Cow<'a, str>, Cow<'a, str>), DecodeError> {
    Ok((input.required_ustring("scheme")?, input.required_ustring("id")?))
}

impl<'a> Decode<'a> for Ids<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let start = input.offset();
        let Some(count) = input.vector_len(8)? else { return Ok(Self(None)) };
        for _ in 0..count {
            input.buffer()?.ok_or(DecodeError::Null { field: "scheme" })?;
            input.buffer()?.ok_or(DecodeError::Null { field: "id" })?;
        }
        Ok(Self(Some(input.since(start))))
    }
}

impl Encode for Ids<'_> {
    fn encode(&self, out: &mut BytesMut) {
        match self.0 {
            None => out.put_int(-1),
            Some(raw) => out.extend_from_slice(raw),
        }
    }
}
