//! Data of a node on its way to the server.

use bytes::Bytes;

/// Data to write: anything that is bytes, borrowed or owned. It is copied once, into the buffer
/// that is sent.
#[derive(Debug, Clone)]
pub struct Payload<'a>(Kind<'a>);

#[derive(Debug, Clone)]
enum Kind<'a> {
    Null,
    Borrowed(&'a [u8]),
    Owned(Bytes),
}

impl Payload<'_> {
    /// No data, which is not the same as empty data to ZooKeeper.
    pub const NULL: Self = Self(Kind::Null);

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Null => None,
            Kind::Borrowed(bytes) => Some(bytes),
            Kind::Owned(bytes) => Some(bytes),
        }
    }
}

macro_rules! payloads {
    ($($type:ty: $value:ident => $kind:expr;)*) => {$(
        impl<'a> From<$type> for Payload<'a> {
            fn from($value: $type) -> Self {
                Self($kind)
            }
        }
    )*};
}

payloads! {
    &'a [u8]: bytes => Kind::Borrowed(bytes);
    &'a Vec<u8>: bytes => Kind::Borrowed(bytes);
    &'a Bytes: bytes => Kind::Borrowed(bytes);
    &'a str: text => Kind::Borrowed(text.as_bytes());
    &'a String: text => Kind::Borrowed(text.as_bytes());
    Vec<u8>: bytes => Kind::Owned(bytes.into());
    Bytes: bytes => Kind::Owned(bytes);
    String: text => Kind::Owned(text.into());
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self(Kind::Borrowed(bytes))
    }
}

impl<'a, T: Into<Payload<'a>>> From<Option<T>> for Payload<'a> {
    fn from(data: Option<T>) -> Self {
        data.map_or(Self::NULL, Into::into)
    }
}
