//! How a stream of bytes is cut into frames: an `int` length, then that many bytes.
//!
//! The caller reads from wherever into a buffer of its own; these functions look at what is
//! there. A length is judged as soon as its four bytes have arrived and is never allocated for, so
//! a buffer grows with the bytes received, not with those announced. Whether a frame is a request,
//! a reply or a connect record is not known here.
//!
//! A server asks [`peek_word`] first on a fresh connection, since a tool may have sent a
//! four-letter word instead of a length; after that only frames follow.

use bytes::{Buf, Bytes, BytesMut};

use crate::four_letter::FourLetterWord;

/// Bytes of the length in front of a frame.
pub const LENGTH_SIZE: usize = 4;

/// ZooKeeper's default of `jute.maxbuffer`, the limit on a request's length.
pub const DEFAULT_LIMIT: usize = 0xf_ffff;

/// A stream that cannot be cut further: nothing behind the length can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frame length {length} is outside 0..={limit}")]
pub struct FrameError {
    /// The length as sent.
    pub length: i32,
    /// The largest length accepted.
    pub limit: usize,
}

/// The four-letter word that a fresh connection begins with, if it does. `None` also while fewer
/// than four bytes have arrived.
pub fn peek_word(bytes: &[u8]) -> Option<FourLetterWord> {
    bytes.first_chunk().copied().and_then(FourLetterWord::from_bytes)
}

/// Lends the first frame, without its length, if all of it is there. The caller takes it out of
/// its buffer afterwards by advancing [`LENGTH_SIZE`] and the frame's own length.
///
/// # Errors
/// When the length is negative or above `limit`, whether or not more has arrived.
pub fn peek_frame(bytes: &[u8], limit: usize) -> Result<Option<&[u8]>, FrameError> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    match usize::try_from(length) {
        Ok(n) if n <= limit => Ok(rest.get(..n)),
        _ => Err(FrameError { length, limit }),
    }
}

/// Takes the first frame out of `buffer`, without its length, if all of it is there. The frame
/// shares the buffer's memory: nothing is copied.
///
/// # Errors
/// As [`peek_frame`]; the buffer is left as it is.
pub fn next_frame(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = peek_frame(buffer, limit)?.map(<[u8]>::len) else { return Ok(None) };
    buffer.advance(LENGTH_SIZE);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Appends a frame whose body is what `body` appends.
///
/// # Panics
/// When the body is 2 GiB or longer.
pub fn put_frame<R>(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut) -> R) -> R {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_SIZE]);
    let result = body(out);
    let length = i32::try_from(out.len() - start - LENGTH_SIZE).expect("a frame is below 2 GiB");
    out[start..start + LENGTH_SIZE].copy_from_slice(&length.to_be_bytes());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut stream = BytesMut::new();
        let bodies: [&[u8]; 4] = [b"", b"a", &[7; 300], b"end"];
        for body in bodies {
            put_frame(&mut stream, |out| out.extend_from_slice(body));
        }
        for step in 1..=stream.len() {
            let (mut taken, mut lent) = (Vec::new(), Vec::new());
            let (mut for_take, mut for_peek) = (BytesMut::new(), BytesMut::new());
            for part in stream.chunks(step) {
                for_take.extend_from_slice(part);
                while let Some(frame) = next_frame(&mut for_take, 300).unwrap() {
                    taken.push(frame);
                }
                for_peek.extend_from_slice(part);
                while let Some(frame) = peek_frame(&for_peek, 300).unwrap() {
                    lent.push(frame.to_vec());
                    let length = frame.len();
                    for_peek.advance(LENGTH_SIZE + length);
                }
            }
            assert_eq!(taken, bodies);
            assert_eq!(lent, bodies);
            assert!(for_take.is_empty() && for_peek.is_empty());
        }
    }

    #[test]
    fn a_bad_length_is_refused_at_once_and_costs_nothing() {
        for (length, limit) in [(-1, 100), (101, 100), (i32::MIN, 0), (i32::MAX, DEFAULT_LIMIT)] {
            let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
            assert_eq!(next_frame(&mut buffer, limit), Err(FrameError { length, limit }));
            assert_eq!(buffer.len(), 4);
        }
        let mut buffer = BytesMut::from(&[0, 0, 0, 100][..]);
        let before = buffer.capacity();
        assert_eq!(next_frame(&mut buffer, 100), Ok(None));
        assert_eq!(buffer.capacity(), before);
    }

    #[test]
    fn a_frame_shares_the_memory_it_arrived_in() {
        let mut buffer = BytesMut::new();
        put_frame(&mut buffer, |out| out.extend_from_slice(b"body"));
        let arrived_at = buffer[LENGTH_SIZE..].as_ptr();
        let frame = next_frame(&mut buffer, 4).unwrap().unwrap();
        assert_eq!(frame.as_ptr(), arrived_at);
    }

    #[test]
    fn words_are_found_in_place_of_a_length_and_are_never_one() {
        assert_eq!(peek_word(b"ruo"), None);
        assert_eq!(peek_word(b"ruok"), Some(FourLetterWord::Ruok));
        assert_eq!(peek_word(b"stmk\0\0\0\0"), Some(FourLetterWord::Stmk));
        assert_eq!(peek_word(&[0, 0, 0, 45, 0]), None);
        for word in FourLetterWord::ALL {
            let largest_limit = 0x6000_0000;
            assert!(peek_frame(&word.bytes(), largest_limit).is_err(), "{word}");
        }
    }
}
