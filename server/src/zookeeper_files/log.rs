//! `log.<zxid>`: transactions.
//!
//! ```text
//! "ZKLG" | int version 2 | long 0
//! each: long Adler-32 of the transaction | int length | transaction | 'B'
//! zeros
//! ```
//!
//! A file ends where ZooKeeper ends it: at the end, at zeros, or at a record that is not all there.
//! ZooKeeper looks no further; here a good record behind such an end shows that it is none.

use std::ops::Range;
use std::path::{Path, PathBuf};

use quorate_protocol::Zxid;

use super::{Damage, FileError, HEADER, check_header, header};
use crate::storage::fs::{self, File, Fs};
use crate::txn::TxnHeader;

const MAGIC: [u8; 4] = *b"ZKLG";
/// Bytes in front of a transaction.
const PREFIX: usize = 12;
/// The byte behind one.
const END: u8 = b'B';
const CHUNK: usize = 1 << 20;
/// Shorter ones, without their frame, are no transactions.
const SHORTEST: usize = TxnHeader::SIZE;
/// The longest record that is looked for behind an end, in bytes; what a client sends is shorter.
const SOUGHT: usize = 16 << 20;

/// Reads a log from its beginning.
#[derive(Debug)]
pub struct LogReader {
    file: Box<dyn File>,
    path: PathBuf,
    size: u64,
    /// Where the next record begins.
    offset: u64,
    last: Option<Zxid>,
    end: Option<End>,
    /// A part of the file, and where it begins.
    buffer: Vec<u8>,
    start: u64,
    /// Where the transaction is in the buffer that was read last.
    bytes: Range<usize>,
}

/// A transaction in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where its record begins.
    pub offset: u64,
    /// Its zxid.
    pub zxid: Zxid,
}

/// How a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a whole record.
    Whole,
    /// With a part of a record, or of the header, at this offset.
    Torn(u64),
}

/// Where a record ends, or why there is none.
enum Found {
    /// A good one of this length.
    Record(usize),
    /// What ZooKeeper takes for the end.
    End(&'static str),
    Damaged(&'static str),
}

impl LogReader {
    /// Opens a log.
    ///
    /// # Errors
    /// When the disk fails, or it does not begin as a log.
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Self, FileError> {
        let file = fs.open_to_read(path)?;
        let size = file.size()?;
        let mut reader = Self {
            file,
            path: path.to_owned(),
            size,
            offset: 0,
            last: None,
            end: None,
            buffer: Vec::new(),
            start: 0,
            bytes: 0..0,
        };
        if size < HEADER as u64 {
            // The power went when it was created. That there is something behind it is for the
            // next one's zxids to say.
            reader.end = Some(End::Torn(0));
            return Ok(reader);
        }
        let header = reader.window(HEADER)?.first_chunk().expect("it is there");
        check_header(header, MAGIC).map_err(|what| reader.damage(what))?;
        reader.offset = HEADER as u64;
        Ok(reader)
    }

    /// The next transaction; `None` at the end.
    ///
    /// # Errors
    /// When the disk fails or a record is damaged; there is nothing more to read then.
    pub fn read(&mut self) -> Result<Option<Entry>, FileError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let length = match self.look()? {
            Found::Record(length) => length,
            Found::End(what) => {
                self.end = Some(self.judge(what)?);
                return Ok(None);
            }
            Found::Damaged(what) => return Err(self.damage(what)),
        };
        let offset = self.offset;
        let at = index(offset - self.start) + PREFIX;
        let zxid = zxid_of(&self.buffer[at..]);
        if self.last.is_some_and(|last| zxid <= last) {
            return Err(self.damage(format!("transaction {zxid} is out of order")));
        }
        self.bytes = at..at + length;
        self.offset += (PREFIX + length + 1) as u64;
        self.last = Some(zxid);
        Ok(Some(Entry { offset, zxid }))
    }

    /// Header, transaction and digest of the entry read last.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.bytes.clone()]
    }

    /// How it ended, when it has.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at what stands at the offset.
    fn look(&mut self) -> fs::Result<Found> {
        let left = self.size - self.offset;
        if left == 0 {
            return Ok(Found::End("nothing"));
        }
        if left < PREFIX as u64 {
            return Ok(Found::End("a part of a record"));
        }
        let prefix: [u8; PREFIX] = *self.window(PREFIX)?.first_chunk().expect("it is there");
        let (sum, length) = prefix.split_at(8);
        let length = i32::from_be_bytes(length.try_into().expect("4 bytes"));
        let Ok(length) = usize::try_from(length) else {
            return Ok(Found::Damaged("a negative length"));
        };
        if length == 0 {
            return Ok(Found::End("a record without a transaction"));
        }
        if (PREFIX + length + 1) as u64 > left {
            return Ok(Found::End("a record that is longer than the file"));
        }
        let record = self.window(PREFIX + length + 1)?;
        let bytes = &record[PREFIX..PREFIX + length];
        if record[PREFIX + length] != END {
            return Ok(Found::End("a record without its last byte"));
        }
        if i64::from_be_bytes(sum.try_into().expect("8 bytes")) != i64::from(adler(bytes)) {
            return Ok(Found::Damaged("a record with a wrong checksum"));
        }
        if length < SHORTEST {
            return Ok(Found::Damaged("a record too short for a transaction"));
        }
        Ok(Found::Record(length))
    }

    /// Whether what looks like an end is one.
    fn judge(&mut self, what: &'static str) -> Result<End, FileError> {
        self.bytes = 0..0;
        let Some(rest) = self.first_not_zero(self.offset)? else {
            return Ok(End::Whole);
        };
        // A record begins with four zeros at least.
        if self.has_record_behind(rest.saturating_sub(8).max(self.offset))? {
            return Err(self.damage(format!("{what} in front of good ones")));
        }
        Ok(End::Torn(self.offset))
    }

    /// The first byte from there on that is not zero.
    fn first_not_zero(&mut self, from: u64) -> fs::Result<Option<u64>> {
        let mut at = from;
        while at < self.size {
            let length = index((self.size - at).min(CHUNK as u64));
            self.load(at, length)?;
            if let Some(found) = self.buffer[..length].iter().position(|&byte| byte != 0) {
                return Ok(Some(at + found as u64));
            }
            at += length as u64;
        }
        Ok(None)
    }

    /// Whether a good record of a later transaction begins anywhere behind there.
    fn has_record_behind(&mut self, from: u64) -> Result<bool, FileError> {
        let (last, here) = (self.last.unwrap_or_default(), self.offset);
        let mut at = from;
        while at + (PREFIX + SHORTEST) as u64 <= self.size {
            let length = index((self.size - at).min(CHUNK as u64));
            self.load(at, length)?;
            let found = {
                let bytes = &self.buffer[..length];
                let starts = 0..=length - (PREFIX + SHORTEST);
                starts.filter(|&start| is_plausible(&bytes[start..], last)).collect::<Vec<_>>()
            };
            for start in found {
                self.offset = at + start as u64;
                // The one at the end itself is the one that is not all there.
                let is_record = self.offset > here && matches!(self.look()?, Found::Record(_));
                if is_record {
                    self.offset = here;
                    return Ok(true);
                }
            }
            self.offset = here;
            at += (length - (PREFIX + SHORTEST)) as u64 + 1;
        }
        Ok(false)
    }

    /// The bytes at the offset, which are there.
    fn window(&mut self, length: usize) -> fs::Result<&[u8]> {
        let at = self.offset.checked_sub(self.start).map_or(usize::MAX, index);
        if at.checked_add(length).is_none_or(|end| end > self.buffer.len()) {
            let chunk = index((self.size - self.offset).min(CHUNK as u64));
            self.load(self.offset, chunk.max(length))?;
        }
        let at = index(self.offset - self.start);
        Ok(&self.buffer[at..at + length])
    }

    fn load(&mut self, start: u64, length: usize) -> fs::Result<()> {
        // Should the read fail, the buffer holds nothing.
        self.buffer.clear();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(length, 0);
        self.file.read_at(start, &mut buffer)?;
        (self.buffer, self.start) = (buffer, start);
        Ok(())
    }

    fn damage(&self, what: impl Into<String>) -> FileError {
        let (file, what) = (self.path.clone(), what.into());
        Damage { file, offset: self.offset, what, last: self.last }.into()
    }
}

/// Whether bytes could begin a record of a transaction behind `last`, which the checksum then says.
fn is_plausible(bytes: &[u8], last: Zxid) -> bool {
    let length = i32::from_be_bytes(bytes[8..PREFIX].try_into().expect("4 bytes"));
    let length = usize::try_from(length).unwrap_or(0);
    // The upper half of a checksum's long is zero.
    let is_framed = bytes[..4] == [0; 4] && (SHORTEST..=SOUGHT).contains(&length);
    is_framed && zxid_of(&bytes[PREFIX..]) > last
}

/// The zxid in a transaction's header.
fn zxid_of(bytes: &[u8]) -> Zxid {
    Zxid(i64::from_be_bytes(bytes[12..20].try_into().expect("8 bytes")))
}

fn adler(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("files are smaller than memory")
}

/// Writes a log.
#[derive(Debug)]
pub struct LogWriter {
    file: Box<dyn File>,
    offset: u64,
    buffer: Vec<u8>,
}

impl LogWriter {
    /// Begins in an empty file.
    pub fn new(file: Box<dyn File>) -> Self {
        Self { file, offset: 0, buffer: header(MAGIC, 0).to_vec() }
    }

    /// Appends a transaction.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn push(&mut self, bytes: &[u8]) -> fs::Result<()> {
        let length = i32::try_from(bytes.len()).expect("a transaction is shorter than 2 GiB");
        self.buffer.extend_from_slice(&i64::from(adler(bytes)).to_be_bytes());
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(bytes);
        self.buffer.push(END);
        if self.buffer.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Ends it, durably.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(mut self) -> fs::Result<()> {
        self.flush()?;
        self.file.sync_data()
    }

    fn flush(&mut self) -> fs::Result<()> {
        self.file.write_at(self.offset, &self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// The name of the log that begins with this transaction.
pub fn name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}
