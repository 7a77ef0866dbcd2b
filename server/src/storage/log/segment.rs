//! Files of the log: their names, their headers, and how they come to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_protocol::Zxid;

use super::record::{u32_at, u64_at};
use super::writer::Active;
use super::{LogError, Options, Promises};
use crate::storage::fs::{self, File, Fs};

const MAGIC: &[u8; 8] = b"quor-log";
const VERSION: u32 = 1;
/// Where the configuration begins in a header.
const FIXED: usize = 64;
/// A header is a multiple of this, so that no record shares a sector with it.
pub(super) const SECTOR: u64 = 512;
/// Sizes of segments are multiples of this.
const PAGE: u64 = 4096;
/// How much of a new segment is written between two syncs: little enough that the log's own
/// syncs do not queue behind it.
const PIECE: u64 = 1 << 20;

/// What a segment says about itself and about the log before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Drawn at random when the log was created.
    pub(super) database: u64,
    /// No transaction in the segment has a lower zxid; the file's name.
    pub(super) first: Zxid,
    /// The last transaction before the segment.
    pub(super) previous: Zxid,
    /// The chain at the end of the segment before; 0 in the first.
    pub(super) chain: u32,
    /// Promises made in segments before, which may be removed.
    pub(super) promises: Promises,
}

/// Why bytes are not a segment's header.
pub(super) type BadHeader = &'static str;

impl Header {
    /// The bytes, and the chain that the first record continues.
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        let configuration = &self.promises.configuration;
        let length = (FIXED + configuration.len()).next_multiple_of(sector());
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&small(length).to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        bytes.extend_from_slice(&self.database.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.previous.0.to_le_bytes());
        bytes.extend_from_slice(&self.promises.accepted_epoch.to_le_bytes());
        bytes.extend_from_slice(&self.promises.current_epoch.to_le_bytes());
        bytes.extend_from_slice(&small(configuration.len()).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(configuration);
        bytes.resize(length, 0);
        let checksum = checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// Reads the header at the beginning of a file: itself, its length, and its chain.
    pub(super) fn read(file: &dyn File) -> fs::Result<Result<(Self, u64, u32), BadHeader>> {
        let size = file.size()?;
        if size < SECTOR {
            return Ok(Err("too short for a segment"));
        }
        let mut bytes = vec![0; sector()];
        file.read_at(0, &mut bytes)?;
        if &bytes[0..8] != MAGIC {
            return Ok(Err("not a segment of a log"));
        }
        if u32_at(&bytes, 8) != VERSION {
            return Ok(Err("written in a format of another version"));
        }
        let length = u32_at(&bytes, 16) as usize;
        if length as u64 > size || length < sector() || !length.is_multiple_of(sector()) {
            return Ok(Err("impossible length of the header"));
        }
        bytes.resize(length, 0);
        file.read_at(0, &mut bytes)?;
        Ok(Self::decode(&bytes).map(|(header, chain)| (header, length as u64, chain)))
    }

    fn decode(bytes: &[u8]) -> Result<(Self, u32), BadHeader> {
        let checksum = checksum(bytes);
        if u32_at(bytes, 12) != checksum {
            return Err("wrong checksum of the header");
        }
        let length = u32_at(bytes, 56) as usize;
        let Some(configuration) = bytes[FIXED..].get(..length) else {
            return Err("impossible length of the configuration");
        };
        let header = Self {
            chain: u32_at(bytes, 20),
            database: u64_at(bytes, 24),
            first: Zxid(u64_at(bytes, 32).cast_signed()),
            previous: Zxid(u64_at(bytes, 40).cast_signed()),
            promises: Promises {
                accepted_epoch: u32_at(bytes, 48),
                current_epoch: u32_at(bytes, 52),
                configuration: configuration.to_vec(),
            },
        };
        Ok((header, checksum))
    }
}

/// Over everything but the checksum's own field.
fn checksum(header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..])
}

fn small(length: usize) -> u32 {
    u32::try_from(length).expect("a header is smaller than 4 GiB")
}

fn sector() -> usize {
    usize::try_from(SECTOR).expect("512 fits")
}

/// The path of the segment whose first zxid this is.
pub(super) fn path(dir: &Path, first: Zxid) -> PathBuf {
    dir.join(format!("{:016x}.log", first.0))
}

/// The first zxid in a segment's file name; `None` for files that are not segments.
pub(super) fn parse_name(name: &str) -> Option<Zxid> {
    let digits = name.strip_suffix(".log")?;
    let is_ours =
        digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let number = u64::from_str_radix(digits, 16).ok().filter(|_| is_ours)?;
    Some(Zxid(number.cast_signed()))
}

/// Whether a file is left over from a segment that was being prepared.
pub(super) fn is_leftover(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some()
}

/// The folder that holds one log.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    /// Drawn at random when the log was created.
    pub(super) database: u64,
}

impl Folder {
    /// The job of making a segment of `size` bytes.
    pub(super) fn preparation(&self, number: u64, size: u64) -> Preparation {
        let path = self.dir.join(format!("{number}.tmp"));
        Preparation { fs: self.fs.clone(), path, size: round_up(size) }
    }

    /// Gives a prepared segment its header and its name, durably.
    pub(super) fn install(&self, spare: Spare, header: &Header) -> Result<Active, LogError> {
        let (bytes, chain) = header.encode();
        let done = spare.file.write_at(0, &bytes).and_then(|()| spare.file.sync_data());
        let done = done.and_then(|()| self.fs.rename(&spare.path, &path(&self.dir, header.first)));
        if let Err(error) = done {
            // What is left of it is removed at the next start if it cannot be now.
            let _ = self.fs.remove(&spare.path);
            return Err(LogError::no_room(error));
        }
        // From here on it is not known whether the name is there: no way back from an error.
        self.fs.sync_dir(&self.dir)?;
        let start = bytes.len() as u64;
        Ok(Active::new(spare.file, header.first, spare.size, start, chain))
    }
}

/// The making of an empty segment: a job that may run beside the log, on another thread.
#[derive(Debug)]
pub struct Preparation {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    size: u64,
}

/// A segment made ahead, all zeros on the disk, waiting for its name.
#[derive(Debug)]
pub struct Spare {
    file: Box<dyn File>,
    path: PathBuf,
    pub(super) size: u64,
}

impl Preparation {
    /// Writes the zeros. Not merely reserved: a sync of records written over zeros has no
    /// metadata to commit. When there is no room, nothing of the file stays behind.
    pub fn run(self) -> fs::Result<Spare> {
        let file = self.fs.create(&self.path)?;
        if let Err(error) = write_zeros(&*file, 0, self.size) {
            // What is left of it is removed at the next start if it cannot be now.
            let _ = self.fs.remove(&self.path);
            return Err(error);
        }
        Ok(Spare { file, path: self.path, size: self.size })
    }
}

/// The size of a segment that has `size` bytes to hold.
pub(super) fn round_up(size: u64) -> u64 {
    size.next_multiple_of(PAGE)
}

/// Writes zeros from `start` to `end`, durably.
pub(in crate::storage) fn write_zeros(file: &dyn File, start: u64, end: u64) -> fs::Result<()> {
    let zeros = vec![0; usize::try_from(PIECE.min(end - start)).expect("a piece fits")];
    let mut offset = start;
    while offset < end {
        let length = PIECE.min(end - offset);
        file.write_at(offset, &zeros[..usize::try_from(length).expect("a piece fits")])?;
        file.sync_data()?;
        offset += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fs::MemoryFs;

    #[test]
    fn names_are_sixteen_digits() {
        let zxid = Zxid::new(0xffff_ffff, 0xab);
        assert_eq!(path(Path::new("/l"), zxid), Path::new("/l/ffffffff000000ab.log"));
        assert_eq!(parse_name("ffffffff000000ab.log"), Some(zxid));
        for other in ["1.log", "00000000000000AB.log", "+0000000000000ab.log", "0.tmp", "LOCK"] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_header_carries_the_promises_and_every_bit_of_it_counts() {
        let header = Header {
            database: 7,
            first: Zxid::new(3, 9),
            previous: Zxid::new(3, 8),
            chain: 5,
            promises: Promises {
                accepted_epoch: 4,
                current_epoch: 3,
                configuration: vec![b'c'; 600],
            },
        };
        let (bytes, chain) = header.encode();
        let fs = MemoryFs::new();
        fs.create_dir(Path::new("/l")).unwrap();
        let file = fs.create(Path::new("/l/f")).unwrap();
        file.write_at(0, &bytes).unwrap();
        assert_eq!(Header::read(&*file).unwrap(), Ok((header, 1024, chain)));
        for (offset, &byte) in (0..).zip(&bytes) {
            file.write_at(offset, &[byte ^ 1]).unwrap();
            assert!(Header::read(&*file).unwrap().is_err(), "byte {offset}");
            file.write_at(offset, &[byte]).unwrap();
        }
    }
}
