//! The bytes of a file one after the other, unpacked.

use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::storage::fs::{self, File, Fs, FsError};

/// How much is asked of a file at once.
const CHUNK: usize = 256 << 10;
/// The longest block of snappy that is unpacked; snappy-java makes them of 32 KiB.
const BLOCK: usize = 64 << 20;

/// How a snapshot is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, `.gz`.
    Gzip,
    /// The stream of snappy-java, `.snappy`.
    Snappy,
}

impl Compression {
    /// The one that a name's extension stands for.
    pub(super) fn of_extension(extension: &str) -> Option<Self> {
        match extension {
            "" => Some(Self::None),
            "gz" => Some(Self::Gzip),
            "snappy" => Some(Self::Snappy),
            _ => None,
        }
    }

    /// Opens a file that is compressed so.
    pub(super) fn open(self, fs: &dyn Fs, path: &Path) -> fs::Result<Box<dyn Read>> {
        let file = FileReader::new(fs.open_to_read(path)?)?;
        Ok(match self {
            Self::None => Box::new(file),
            Self::Gzip => Box::new(MultiGzDecoder::new(file)),
            Self::Snappy => Box::new(SnappyReader::new(file)),
        })
    }
}

/// What an error of one of these readers is: a failed disk, or else what is wrong with the bytes.
pub(super) fn explain(error: io::Error) -> Result<FsError, String> {
    let what = error.to_string();
    match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<FsError>) {
        Some(Ok(error)) => Ok(*error),
        _ => Err(what),
    }
}

/// A file of ours, for libraries that read.
struct FileReader {
    file: Box<dyn File>,
    /// What of the file is in the buffer, and how much of that was given away.
    buffer: Vec<u8>,
    used: usize,
    offset: u64,
    size: u64,
}

impl FileReader {
    fn new(file: Box<dyn File>) -> fs::Result<Self> {
        let size = file.size()?;
        Ok(Self { file, buffer: Vec::new(), used: 0, offset: 0, size })
    }
}

impl Read for FileReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.used == self.buffer.len() {
            let left = self.size - self.offset;
            self.buffer.resize(usize::try_from(left).unwrap_or(CHUNK).min(CHUNK), 0);
            self.used = 0;
            self.file.read_at(self.offset, &mut self.buffer)?;
            self.offset += self.buffer.len() as u64;
        }
        let count = out.len().min(self.buffer.len() - self.used);
        out[..count].copy_from_slice(&self.buffer[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}

/// Reads what snappy-java's `SnappyOutputStream` writes: a header, then blocks, each behind its
/// length, compressed without a frame. Where a stream was appended to another, the header comes
/// again.
struct SnappyReader<R> {
    input: R,
    block: Vec<u8>,
    used: usize,
    packed: Vec<u8>,
    has_begun: bool,
}

const SNAPPY_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";

impl<R: Read> SnappyReader<R> {
    fn new(input: R) -> Self {
        Self { input, block: Vec::new(), used: 0, packed: Vec::new(), has_begun: false }
    }

    /// Unpacks the next block; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut word = [0; 4];
        loop {
            if !read_or_end(&mut self.input, &mut word)? {
                return if self.has_begun { Ok(false) } else { Err(wrong("it is empty")) };
            }
            if word != SNAPPY_MAGIC[..4] {
                break;
            }
            let mut rest = [0; 12];
            self.input.read_exact(&mut rest)?;
            let compatible = i32::from_be_bytes(rest[8..].try_into().expect("4 bytes"));
            if rest[..4] != SNAPPY_MAGIC[4..] || compatible != 1 {
                return Err(wrong("the header is not that of a snappy stream"));
            }
            self.has_begun = true;
        }
        if !self.has_begun {
            return Err(wrong("it does not begin as a snappy stream does"));
        }
        let length = usize::try_from(i32::from_be_bytes(word)).unwrap_or(usize::MAX);
        if length > BLOCK {
            return Err(wrong("impossible length of a snappy block"));
        }
        self.packed.resize(length, 0);
        self.input.read_exact(&mut self.packed)?;
        let length = snap::raw::decompress_len(&self.packed).map_err(wrong)?;
        if length > BLOCK {
            return Err(wrong("impossible length of a snappy block"));
        }
        self.block.resize(length, 0);
        snap::raw::Decoder::new().decompress(&self.packed, &mut self.block).map_err(wrong)?;
        self.used = 0;
        Ok(true)
    }
}

fn wrong(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Fills the buffer; false when nothing is left.
fn read_or_end(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..])? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(true)
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.used == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let count = out.len().min(self.block.len() - self.used);
        out[..count].copy_from_slice(&self.block[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}
