//! How the types of record fields look on the wire, and the macro that makes records of them.

use std::borrow::Cow;

use bytes::BytesMut;

use crate::{
    acl::AclList,
    codec::{Decode, DecodeError, Decoder, Encode, PutJute},
    id::{SessionId, Xid, Zxid},
    stat::Stat,
};

/// A type that can be a record's field.
pub(super) trait Field<'a>: Sized {
    /// Reads the field; `None` if it is null and must not be.
    fn read(input: &mut Decoder<'a>) -> Result<Option<Self>, DecodeError>;
    fn write(&self, out: &mut BytesMut);
}

macro_rules! primitive_fields {
    ($($type:ty: $self:ident, $value:expr, $read:ident => $wrap:expr, $write:ident;)*) => {$(
        impl Field<'_> for $type {
            fn read(input: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
                input.$read().map($wrap).map(Some)
            }

            fn write(&$self, out: &mut BytesMut) {
                out.$write($value);
            }
        }
    )*};
}

primitive_fields! {
    bool: self, *self, boolean => std::convert::identity, put_boolean;
    i32: self, *self, int => std::convert::identity, put_int;
    i64: self, *self, long => std::convert::identity, put_long;
    Xid: self, self.0, int => Xid, put_int;
    Zxid: self, self.0, long => Zxid, put_long;
    SessionId: self, self.0, long => SessionId, put_long;
}

/// A `buffer` that may be null.
impl<'a> Field<'a> for Option<&'a [u8]> {
    fn read(input: &mut Decoder<'a>) -> Result<Option<Self>, DecodeError> {
        input.buffer().map(Some)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_buffer(*self);
    }
}

/// A `ustring` that must not be null.
impl<'a> Field<'a> for Cow<'a, str> {
    fn read(input: &mut Decoder<'a>) -> Result<Option<Self>, DecodeError> {
        input.ustring()
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_ustring(self);
    }
}

/// A `ustring` that may be null.
impl<'a> Field<'a> for Option<Cow<'a, str>> {
    fn read(input: &mut Decoder<'a>) -> Result<Option<Self>, DecodeError> {
        input.ustring().map(Some)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_buffer(self.as_deref().map(str::as_bytes));
    }
}

/// A `vector` of ustrings; neither it nor any of them may be null.
impl<'a> Field<'a> for Vec<Cow<'a, str>> {
    fn read(input: &mut Decoder<'a>) -> Result<Option<Self>, DecodeError> {
        let Some(count) = input.vector_len(4)? else { return Ok(None) };
        let all = (0..count).map(|_| input.ustring()).collect::<Result<Vec<_>, _>>()?;
        Ok(all.into_iter().collect())
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_ustrings(self.iter().map(AsRef::as_ref));
    }
}

impl Field<'_> for Stat {
    fn read(input: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        Self::decode(input).map(Some)
    }

    fn write(&self, out: &mut BytesMut) {
        self.encode(out);
    }
}

impl<'a> Field<'a> for AclList<'a> {
    fn read(input: &mut Decoder<'a>) -> Result<Option<Self>, DecodeError> {
        Self::decode(input).map(Some)
    }

    fn write(&self, out: &mut BytesMut) {
        self.encode(out);
    }
}

/// Structs that are read and written field by field. A record that borrows names its lifetime `'a`.
///
/// `Compat:` a null field is complained of only when all fields could be read: Java's decoders let
/// it pass, and then the answer is another than to bytes that are no record. The decoder is then
/// behind the record.
macro_rules! records {
    ($(
        $(#[$attribute:meta])*
        pub struct $name:ident $(<$lifetime:lifetime>)? {
            $($(#[$field_attribute:meta])* $field:ident: $type:ty,)*
        }
    )*) => {$(
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name $(<$lifetime>)? {
            $($(#[$field_attribute])* pub $field: $type,)*
        }

        impl<'a> $crate::codec::Decode<'a> for $name $(<$lifetime>)? {
            fn decode(
                input: &mut $crate::codec::Decoder<'a>,
            ) -> Result<Self, $crate::codec::DecodeError> {
                $(let $field = $crate::record::field::Field::read(input)?;)*
                let null = |field| $crate::codec::DecodeError::Null { field };
                Ok(Self { $($field: $field.ok_or_else(|| null(stringify!($field)))?,)* })
            }
        }

        impl $(<$lifetime>)? $crate::codec::Encode for $name $(<$lifetime>)? {
            fn encode(&self, out: &mut bytes::BytesMut) {
                $($crate::record::field::Field::write(&self.$field, out);)*
            }
        }
    )*};
}

/// Enums of numbers on the wire.
macro_rules! wire_enums {
    ($(
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($(#[$variant_attribute:meta])* $variant:ident = $number:literal,)*
        }
    )*) => {$(
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum $name {
            $($(#[$variant_attribute])* $variant = $number,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The one with this number on the wire, if there is one.
            pub const fn from_wire(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The number on the wire.
            pub const fn wire(self) -> i32 {
                self as i32
            }
        }
    )*};
}

pub(super) use {records, wire_enums};
