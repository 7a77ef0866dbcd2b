//! Jute, the encoding of every record on ZooKeeper's wires and in its files.
//!
//! Integers are big-endian two's complement; buffers, strings and vectors carry an `int` length
//! in front of them, where -1 means null. A record is its fields in order and nothing else.
//! See `org.apache.jute.BinaryInputArchive` for the peer of this module.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record ends before its fields do.
    #[error("record ends early: {needed} more bytes needed at offset {offset}")]
    Truncated {
        /// Offset from the beginning of the record.
        offset: usize,
        /// How many bytes are missing.
        needed: usize,
    },
    /// A length that is neither null (-1) nor within the record's limit.
    #[error("length {length} at offset {offset} is outside 0..={limit}")]
    BadLength {
        /// Offset of the length from the beginning of the record.
        offset: usize,
        /// The length as sent.
        length: i32,
        /// The largest length accepted.
        limit: usize,
    },
    /// A field that must be there is null.
    #[error("{field} is null")]
    Null {
        /// Name of the field.
        field: &'static str,
    },
    /// A number that has no meaning in its field.
    #[error("{field} has no meaning {value}")]
    BadValue {
        /// Name of the field.
        field: &'static str,
        /// The number as sent.
        value: i64,
    },
}

/// A value that can be read from jute.
pub trait Decode<'a>: Sized {
    /// Reads the value at the decoder's position and moves behind it.
    ///
    /// # Errors
    /// When the bytes are not such a value; the decoder's position is then unspecified.
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError>;

    /// Reads a value that begins at the first byte. Bytes left over behind it are ignored, as
    /// ZooKeeper ignores them.
    ///
    /// # Errors
    /// When the bytes do not begin with such a value.
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut Decoder::new(bytes))
    }
}

/// A value that can be written as jute.
pub trait Encode {
    /// Appends the value.
    fn encode(&self, out: &mut BytesMut);

    /// The value as bytes of its own.
    fn to_bytes(&self) -> BytesMut {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out
    }
}

/// Reads jute values from a slice and lends out its parts.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder at the beginning of `bytes`. The length of `bytes` is the limit on everything
    /// inside them; the frame layer has already checked it against `jute.maxbuffer`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// How many bytes are not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Offset of the next byte from the beginning.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// All bytes that are not read yet; the decoder stays where it is.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    /// The bytes read since the decoder stood at `offset`.
    ///
    /// # Panics
    /// When `offset` is past the present position.
    pub fn since(&self, offset: usize) -> &'a [u8] {
        &self.bytes[offset..self.offset]
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.offset.checked_add(n).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            return Err(DecodeError::Truncated {
                offset: self.offset,
                needed: n - self.remaining(),
            });
        };
        let taken = &self.bytes[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("take returns the length asked for"))
    }

    /// One byte, where anything but 0 is true.
    ///
    /// # Errors
    /// When no byte is left.
    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        Ok(self.array::<1>()?[0] != 0)
    }

    /// An `int`.
    ///
    /// # Errors
    /// When fewer than 4 bytes are left.
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A `long`.
    ///
    /// # Errors
    /// When fewer than 8 bytes are left.
    pub fn long(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A `buffer`: `None` is null, which is not the same as empty.
    ///
    /// # Errors
    /// On a length below -1 or past the end.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let offset = self.offset;
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        let limit = self.remaining();
        let Some(n) = usize::try_from(length).ok().filter(|&n| n <= limit) else {
            return Err(DecodeError::BadLength { offset, length, limit });
        };
        self.take(n).map(Some)
    }

    /// A `ustring`. Malformed UTF-8 becomes U+FFFD, as in Java's decoder; path validation then
    /// refuses it with the right error code. So does what Java's encoder makes of a character
    /// outside the basic plane: two surrogates of three bytes each, which are not UTF-8.
    ///
    /// # Errors
    /// As [`Self::buffer`].
    pub fn ustring(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        Ok(self.buffer()?.map(String::from_utf8_lossy))
    }

    /// A `ustring` that must not be null.
    ///
    /// # Errors
    /// As [`Self::ustring`], and [`DecodeError::Null`] naming `field`.
    pub fn required_ustring(&mut self, field: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        self.ustring()?.ok_or(DecodeError::Null { field })
    }

    /// The count in front of a `vector`: `None` is null. Other negative counts mean an empty
    /// vector, as in Java's decoder. The count is not trusted further than the bytes that are
    /// there: an element takes at least `element_min` bytes.
    ///
    /// # Errors
    /// When the elements announced cannot fit into the bytes left.
    pub fn vector_len(&mut self, element_min: usize) -> Result<Option<usize>, DecodeError> {
        let offset = self.offset;
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        let count = usize::try_from(length).unwrap_or(0);
        let limit = self.remaining() / element_min.max(1);
        if count > limit {
            return Err(DecodeError::BadLength { offset, length, limit });
        }
        Ok(Some(count))
    }
}

/// Writers of jute's primitive types, for any byte sink of the `bytes` crate.
pub trait PutJute: BufMut {
    /// One byte, 0 or 1.
    fn put_boolean(&mut self, value: bool) {
        self.put_u8(u8::from(value));
    }

    /// An `int`.
    fn put_int(&mut self, value: i32) {
        self.put_i32(value);
    }

    /// A `long`.
    fn put_long(&mut self, value: i64) {
        self.put_i64(value);
    }

    /// A `buffer`; `None` is null.
    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_i32(-1),
            Some(bytes) => {
                self.put_len(bytes.len());
                self.put_slice(bytes);
            }
        }
    }

    /// A `ustring`.
    fn put_ustring(&mut self, value: &str) {
        self.put_buffer(Some(value.as_bytes()));
    }

    /// A `vector` of ustrings, straight from wherever they are kept.
    fn put_ustrings<'s>(&mut self, values: impl ExactSizeIterator<Item = &'s str>) {
        self.put_len(values.len());
        values.for_each(|value| self.put_ustring(value));
    }

    /// A length or count.
    ///
    /// # Panics
    /// When it does not fit into an `int`: no record this project builds comes near that.
    fn put_len(&mut self, length: usize) {
        self.put_i32(i32::try_from(length).expect("a jute length fits into 31 bits"));
    }
}

impl<T: BufMut + ?Sized> PutJute for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_stay_distinct() {
        let mut out = BytesMut::new();
        out.put_buffer(None);
        out.put_buffer(Some(b""));
        let mut input = Decoder::new(&out);
        assert_eq!(input.buffer(), Ok(None));
        assert_eq!(input.buffer(), Ok(Some(&b""[..])));
        assert_eq!(input.remaining(), 0);
    }

    #[test]
    fn a_length_past_the_end_is_refused_before_anything_is_taken() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 1];
        assert_eq!(
            Decoder::new(&bytes).buffer(),
            Err(DecodeError::BadLength { offset: 0, length: i32::MAX, limit: 1 })
        );
        assert!(Decoder::new(&bytes).vector_len(4).is_err());
        assert!(Decoder::new(&[0xff, 0xff, 0xff, 0xfe]).buffer().is_err());
    }

    #[test]
    fn other_negative_counts_are_empty_vectors() {
        assert_eq!(Decoder::new(&[0xff, 0xff, 0xff, 0xfe]).vector_len(4), Ok(Some(0)));
        assert_eq!(Decoder::new(&[0xff, 0xff, 0xff, 0xff]).vector_len(4), Ok(None));
    }

    #[test]
    fn malformed_text_is_replaced_and_then_not_a_path() {
        let bytes = [0, 0, 0, 2, b'a', 0xff];
        assert_eq!(Decoder::new(&bytes).ustring(), Ok(Some("a\u{fffd}".into())));

        let surrogates = b"\0\0\0\x07/\xed\xa0\xbd\xed\xb8\x80";
        let path = Decoder::new(surrogates).required_ustring("path").unwrap();
        assert!(path.contains('\u{fffd}'));
        assert!(crate::path::validate(&path).is_err());
    }
}
