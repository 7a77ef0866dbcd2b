//! Who may do what with a node.

use std::{borrow::Cow, fmt};

use bytes::BytesMut;

use crate::codec::{Decode, DecodeError, Decoder, Encode, PutJute};

/// Permission bits. ZooKeeper stores whatever bits a client sends, so unknown ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data, children and `Stat`.
    pub const READ: Self = Self(1);
    /// Write data.
    pub const WRITE: Self = Self(2);
    /// Create children.
    pub const CREATE: Self = Self(4);
    /// Delete children.
    pub const DELETE: Self = Self(8);
    /// Write the ACL.
    pub const ADMIN: Self = Self(16);
    /// All of them.
    pub const ALL: Self = Self(31);

    /// Whether any bit of `wanted` is among these.
    pub const fn intersects(self, wanted: Self) -> bool {
        self.0 & wanted.0 != 0
    }

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Perms {
    /// As `zkCli` shows them: letters out of `cdrwa`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (Self::CREATE, "c"),
            (Self::DELETE, "d"),
            (Self::READ, "r"),
            (Self::WRITE, "w"),
            (Self::ADMIN, "a"),
        ];
        letters
            .iter()
            .filter(|(bit, _)| self.intersects(*bit))
            .try_for_each(|(_, l)| f.write_str(l))
    }
}

/// An identity: a scheme such as `digest` and a name within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The scheme that gives `id` its meaning.
    pub scheme: String,
    /// The name within the scheme.
    pub id: String,
}

impl Id {
    /// An identity of `scheme`.
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }
}

impl Encode for Id {
    fn encode(&self, out: &mut BytesMut) {
        out.put_ustring(&self.scheme);
        out.put_ustring(&self.id);
    }
}

impl Decode<'_> for Id {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            scheme: input.required_ustring("scheme")?.into_owned(),
            id: input.required_ustring("id")?.into_owned(),
        })
    }
}

/// An entry of an ACL: what an identity may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    /// What it may do.
    pub perms: Perms,
    /// Who.
    pub id: Id,
}

impl Acl {
    /// Everyone may do `perms`.
    pub fn world(perms: Perms) -> Self {
        Self { perms, id: Id::new("world", "anyone") }
    }
}

impl Encode for Acl {
    fn encode(&self, out: &mut BytesMut) {
        out.put_int(self.perms.0);
        self.id.encode(out);
    }
}

impl Encode for [Acl] {
    /// As a `vector`.
    fn encode(&self, out: &mut BytesMut) {
        out.put_len(self.len());
        for acl in self {
            acl.encode(out);
        }
    }
}

/// An entry of an [`AclList`] as sent: scheme and id may be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry<'a> {
    /// What it may do.
    pub perms: Perms,
    /// The scheme, if it is not null.
    pub scheme: Option<Cow<'a, str>>,
    /// The name within the scheme, if it is not null.
    pub id: Option<Cow<'a, str>>,
}

impl<'a> Decode<'a> for AclEntry<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(Self { perms: Perms(input.int()?), scheme: input.ustring()?, id: input.ustring()? })
    }
}

/// An ACL as its encoded `vector`, walked through once so that every entry is known to decode.
/// Keeping the bytes makes the common case free: a server compares, stores and logs an ACL
/// without taking it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclList<'a>(Option<&'a [u8]>);

impl<'a> AclList<'a> {
    /// The bytes of `[world:anyone:ALL]`, by far the most common list.
    pub const OPEN: &'static [u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

    /// The list `[world:anyone:ALL]`.
    pub const fn open() -> Self {
        Self(Some(Self::OPEN))
    }

    /// The encoded vector, its count included; `None` is null.
    pub fn raw(&self) -> Option<&'a [u8]> {
        self.0
    }

    /// Whether this is exactly `[world:anyone:ALL]`.
    pub fn is_open(&self) -> bool {
        self.0 == Some(Self::OPEN)
    }

    /// The entries in order; none for null.
    pub fn iter(&self) -> impl Iterator<Item = AclEntry<'a>> + use<'a> {
        let mut input = Decoder::new(self.0.unwrap_or(&[0; 4]));
        let count = input.int().unwrap_or(0).max(0);
        (0..count).map(move |_| AclEntry::decode(&mut input).expect("checked when it was decoded"))
    }
}

impl<'a> Decode<'a> for AclList<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let start = input.offset();
        let Some(count) = input.vector_len(12)? else { return Ok(Self(None)) };
        for _ in 0..count {
            input.int()?;
            input.buffer()?;
            input.buffer()?;
        }
        Ok(Self(Some(input.since(start))))
    }
}

impl Encode for AclList<'_> {
    fn encode(&self, out: &mut BytesMut) {
        match self.0 {
            None => out.put_int(-1),
            Some(raw) => out.extend_from_slice(raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_list_is_recognised_by_its_bytes() {
        let encoded = [Acl::world(Perms::ALL)].to_bytes();
        let list = AclList::from_bytes(&encoded).unwrap();
        assert!(list.is_open());
        let entries: Vec<_> = list.iter().collect();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].scheme.as_deref(), Some("world"));
    }

    #[test]
    fn null_and_empty_lists_have_no_entries() {
        assert_eq!(AclList::from_bytes(&[0xff; 4]).unwrap().raw(), None);
        let empty = AclList::from_bytes(&[0; 4]).unwrap();
        assert_eq!((empty.raw(), empty.iter().count()), (Some(&[0; 4][..]), 0));
    }

    #[test]
    fn permissions_read_as_in_zkcli() {
        assert_eq!(Perms::ALL.to_string(), "cdrwa");
        assert_eq!(Perms::READ.union(Perms::ADMIN).to_string(), "ra");
    }
}
