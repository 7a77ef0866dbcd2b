//! Several changes under one zxid.

use bytes::BytesMut;
use quorate_protocol::{Decode, DecodeError, Decoder, Encode, OpCode, codec::PutJute};

use super::{Txn, decode_kind};

/// The changes of a multi as their encoded `vector`, walked through once so that every one is
/// known to decode.
///
/// A multi that failed still stands in the log: from the failing operation on every entry is
/// [`Txn::Error`], the ones before it are what they would have been, and none is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiTxn<'a> {
    raw: &'a [u8],
    error: Option<i32>,
}

impl<'a> MultiTxn<'a> {
    /// The error code of the failing operation, if there is one: then nothing is applied.
    pub fn error(&self) -> Option<i32> {
        self.error
    }

    /// The operations in order, each with the kind that decides how it is answered.
    pub fn ops(&self) -> impl Iterator<Item = (OpCode, Txn<'a>)> + use<'a> {
        let mut input = Decoder::new(self.raw);
        let count = input.int().unwrap_or(0).max(0);
        (0..count).map(move |_| decode_op(&mut input).expect("checked by decode"))
    }
}

fn decode_op<'a>(input: &mut Decoder<'a>) -> Result<(OpCode, Txn<'a>), DecodeError> {
    let kind = decode_kind(input)?;
    if matches!(kind, OpCode::Multi | OpCode::CreateSession | OpCode::CloseSession) {
        let value = kind.wire().into();
        return Err(DecodeError::BadValue { field: "transaction type in a multi", value });
    }
    let record = input.buffer()?.ok_or(DecodeError::Null { field: "record" })?;
    Ok((kind, Txn::decode(kind, &mut Decoder::new(record))?))
}

impl<'a> Decode<'a> for MultiTxn<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let start = input.offset();
        let mut error = None;
        for _ in 0..input.vector_len(8)?.unwrap_or(0) {
            if let (_, Txn::Error { code }) = decode_op(input)? {
                error = error.or(Some(code));
            }
        }
        Ok(Self { raw: input.since(start), error })
    }
}

impl Encode for MultiTxn<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.raw);
    }
}

/// Writes a multi's record operation by operation.
#[derive(Debug)]
pub struct MultiWriter {
    /// Offset of the vector's count, which is not known before the end.
    start: usize,
    count: usize,
}

impl MultiWriter {
    /// Begins the record at the end of `out`.
    #[must_use]
    pub fn begin(out: &mut BytesMut) -> Self {
        let start = out.len();
        out.put_int(0);
        Self { start, count: 0 }
    }

    /// Appends an operation.
    pub fn push(&mut self, out: &mut BytesMut, kind: OpCode, txn: &Txn<'_>) {
        out.put_int(kind.wire());
        let length = out.len();
        out.put_int(0);
        txn.encode(out);
        let written = out.len() - length - 4;
        put_length_at(out, length, written);
        self.count += 1;
    }

    /// Ends the record.
    pub fn finish(self, out: &mut BytesMut) {
        put_length_at(out, self.start, self.count);
    }
}

fn put_length_at(out: &mut BytesMut, offset: usize, length: usize) {
    (&mut out[offset..offset + 4]).put_len(length);
}
