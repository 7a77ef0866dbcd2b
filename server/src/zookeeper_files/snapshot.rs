//! `snapshot.<zxid>`: a tree.
//!
//! ```text
//! "ZKSN" | int version 2 | long -1 | body (see peer::snapshot) | seal
//! optional: long zxid | int version | long digest | seal
//! optional: long zxid | seal
//! seal: long Adler-32 of all before it, unpacked | ustring "/"
//! ```
//!
//! `Compat:` the body is not of one moment. It has everything up to the zxid in the name, and can
//! show effects of later transactions, up to about the one in the first optional part.

use std::io::Read;
use std::path::Path;

use bytes::{Buf, BytesMut};
use quorate_protocol::{Zxid, codec::PutJute};
use simd_adler32::Adler32;

use super::source::{self, Compression};
use super::{Damage, FileError, HEADER, Named, check_header, header};
use crate::peer::snapshot::{Place, Received, SnapshotReceiver, SnapshotWriter};
use crate::storage::fs::{File, Fs};
use crate::tree::Tree;
use crate::txn::TxnDigest;

const MAGIC: [u8; 4] = *b"ZKSN";
/// What a snapshot is read and written in.
const CHUNK: usize = 1 << 20;
/// Bytes of a seal.
const SEAL: usize = 13;
/// Bytes of a digest with its zxid and version, and of its seal.
const DIGEST: usize = 20 + SEAL;
/// Bytes of the last transaction when the snapshot was finished, and of its seal.
const LAST: usize = 8 + SEAL;
/// A node was never larger than what a length can say. The checksum is only known at the end.
const LIMIT: usize = i32::MAX as usize;

/// A snapshot that is whole.
#[derive(Debug)]
pub struct Snapshot {
    /// What it shows, as of the zxid in its name; lenient, see [`Tree::set_lenient`].
    pub tree: Tree,
    /// The last transaction of which it shows an effect: from there on the tree is exact.
    pub exact_from: Zxid,
    /// The tree's digest behind a transaction, as the writer knew it.
    pub digest: Option<(Zxid, u64)>,
    /// How long it is, unpacked.
    pub bytes: u64,
}

/// Reads a snapshot. For `seed` see [`Tree::new`].
///
/// # Errors
/// When the disk fails, or the file is not whole.
pub fn read(fs: &dyn Fs, file: &Named, seed: u64) -> Result<Snapshot, FileError> {
    let input = file.compression.open(fs, &file.path)?;
    let mut reader = Reader {
        input,
        path: &file.path,
        buffer: BytesMut::new(),
        sum: Adler32::new(),
        offset: 0,
        at_end: false,
    };
    let tree = reader.body(file.zxid, seed)?;
    let digest = reader.trailer()?;
    let mut exact_from = digest.map_or(file.zxid, |(zxid, _)| zxid.max(file.zxid));
    for node in tree.nodes() {
        let stat = node.stat();
        exact_from = exact_from.max(stat.mzxid).max(stat.pzxid).max(stat.czxid);
    }
    Ok(Snapshot { tree: *tree, exact_from, digest, bytes: reader.offset })
}

struct Reader<'a> {
    input: Box<dyn Read>,
    path: &'a Path,
    /// Read and not used yet.
    buffer: BytesMut,
    /// Of everything used.
    sum: Adler32,
    /// How much was used.
    offset: u64,
    at_end: bool,
}

impl Reader<'_> {
    fn body(&mut self, zxid: Zxid, seed: u64) -> Result<Box<Tree>, FileError> {
        self.fill(HEADER)?;
        let Some(header) = self.buffer.first_chunk::<HEADER>() else {
            return Err(self.damage("it is too short for a snapshot"));
        };
        check_header(header, MAGIC).map_err(|what| self.damage(what))?;
        self.used(HEADER);
        let mut receiver = SnapshotReceiver::of(Place::File, zxid, LIMIT, seed);
        loop {
            let (taken, received) = receiver.take(&self.buffer);
            self.used(taken);
            match received {
                Ok(Received::Tree(tree)) => {
                    self.seal("body")?;
                    return Ok(tree);
                }
                Ok(Received::Incomplete) => {
                    let had = self.buffer.len();
                    self.fill(had + CHUNK)?;
                    if self.buffer.len() == had {
                        return Err(self.damage("it ends within the tree"));
                    }
                }
                Err(error) => return Err(self.damage(error.to_string())),
            }
        }
    }

    /// The optional parts. `Compat:` which of them are there depends on the writer's settings, and
    /// only their length says it.
    fn trailer(&mut self) -> Result<Option<(Zxid, u64)>, FileError> {
        self.fill(DIGEST + LAST + 1)?;
        let mut digest = None;
        let has_last = match self.buffer.len() {
            0 => false,
            LAST => true,
            DIGEST => {
                digest = self.digest()?;
                false
            }
            length if length == DIGEST + LAST => {
                digest = self.digest()?;
                true
            }
            _ => return Err(self.damage("what follows the tree is of no known kind")),
        };
        if has_last {
            self.used(LAST - SEAL);
            self.seal("last transaction")?;
        }
        Ok(digest)
    }

    /// A digest, unless it is of another kind than ours. `Compat:` zxid 0 stands for none.
    fn digest(&mut self) -> Result<Option<(Zxid, u64)>, FileError> {
        let mut bytes = &self.buffer[..DIGEST - SEAL];
        let (zxid, version, digest) = (bytes.get_i64(), bytes.get_i32(), bytes.get_u64());
        self.used(DIGEST - SEAL);
        self.seal("digest")?;
        Ok((version == TxnDigest::VERSION && zxid != 0).then_some((Zxid(zxid), digest)))
    }

    fn seal(&mut self, of: &str) -> Result<(), FileError> {
        let expected = self.sum.finish();
        self.fill(SEAL)?;
        let Some(seal) = self.buffer.first_chunk::<SEAL>() else {
            return Err(self.damage(format!("it ends before the checksum of its {of}")));
        };
        if *seal != sealed(expected) {
            return Err(self.damage(format!("the checksum of its {of} is wrong")));
        }
        self.used(SEAL);
        Ok(())
    }

    /// Reads on until so many bytes are there, or none are left.
    fn fill(&mut self, length: usize) -> Result<(), FileError> {
        while self.buffer.len() < length && !self.at_end {
            let had = self.buffer.len();
            self.buffer.resize(length.max(had + 4096), 0);
            let read = self.input.read(&mut self.buffer[had..]);
            self.buffer.truncate(had + read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(count) => self.at_end = count == 0,
                Err(error) => {
                    return Err(match source::explain(error) {
                        Ok(error) => error.into(),
                        Err(what) => self.damage(format!("it cannot be unpacked: {what}")),
                    });
                }
            }
        }
        Ok(())
    }

    fn used(&mut self, count: usize) {
        self.sum.write(&self.buffer[..count]);
        self.buffer.advance(count);
        self.offset += count as u64;
    }

    fn damage(&self, what: impl Into<String>) -> FileError {
        let (file, what) = (self.path.to_owned(), what.into());
        Damage { file, offset: self.offset, what, last: None }.into()
    }
}

/// A seal behind bytes with this checksum.
fn sealed(sum: u32) -> [u8; SEAL] {
    let mut seal = *b"\0\0\0\0\0\0\0\0\0\0\0\x01/";
    seal[4..8].copy_from_slice(&sum.to_be_bytes());
    seal
}

/// Writes a tree as a snapshot into an empty file, durably; gives its length. The tree is exact.
///
/// # Errors
/// When the disk fails.
pub fn write(file: &dyn File, tree: &Tree) -> Result<u64, FileError> {
    let mut out = Writer { file, offset: 0, sum: Adler32::new() };
    out.put(&header(MAGIC, -1))?;
    let mut body = SnapshotWriter::of(Place::File, tree);
    let mut bytes = BytesMut::new();
    let mut has_more = true;
    while has_more {
        has_more = body.write(&mut bytes, CHUNK);
        out.put(&bytes)?;
        bytes.clear();
    }
    out.seal()?;
    bytes.put_long(tree.last_zxid().0);
    bytes.put_int(TxnDigest::VERSION);
    bytes.put_long(tree.digest().cast_signed());
    out.put(&bytes)?;
    out.seal()?;
    out.put(&tree.last_zxid().0.to_be_bytes())?;
    out.seal()?;
    file.sync_data()?;
    Ok(out.offset)
}

struct Writer<'a> {
    file: &'a dyn File,
    offset: u64,
    sum: Adler32,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_at(self.offset, bytes)?;
        self.offset += bytes.len() as u64;
        self.sum.write(bytes);
        Ok(())
    }

    fn seal(&mut self) -> Result<(), FileError> {
        self.put(&sealed(self.sum.finish()))
    }
}

/// The name of a plain snapshot.
pub fn name(zxid: Zxid) -> String {
    format!("snapshot.{:x}", zxid.0)
}

impl Named {
    /// The snapshot of this name, when it is one.
    pub fn snapshot(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (zxid, compression) = super::parse_name(name, "snapshot.")?;
        Some(Self { path: path.to_owned(), zxid, compression })
    }

    /// The log of this name, when it is one.
    pub fn log(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (zxid, compression) = super::parse_name(name, "log.")?;
        (compression == Compression::None).then(|| Self {
            path: path.to_owned(),
            zxid,
            compression,
        })
    }
}
