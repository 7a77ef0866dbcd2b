//! Files of the log: their names, their headers, and how they come to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use quorate_protocol::Zxid;

use super::cursor::Place;
use super::record::{self, u32_at, u64_at, zxid_at};
use super::{Epochs, LogError, Options, Promises, State};
use crate::storage::fs::{self, File, Fs};

const MAGIC: &[u8; 8] = b"quor-log";
const VERSION: u32 = 3;
/// Where the epoch table begins in a header.
const FIXED: usize = 104;
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
    /// Counts the segments; the file's name.
    pub(super) number: u64,
    /// Where in an earlier segment it goes on; `None` when it goes on behind a checkpoint.
    pub(super) base: Option<Base>,
    /// What everything before adds up to, which may be removed.
    pub(super) state: State,
}

/// A place in an earlier segment. What is behind it there does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    /// The segment's number.
    pub(super) segment: u64,
    /// Where the last record ends that counts.
    pub(super) offset: u64,
    /// The chain there.
    pub(super) chain: u32,
}

/// Why bytes are not a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// They are not what was written.
    Damaged(&'static str),
    /// They are what was written, by a server with another format.
    OtherVersion(u32),
}

impl From<&'static str> for BadHeader {
    fn from(what: &'static str) -> Self {
        Self::Damaged(what)
    }
}

impl Header {
    /// The last transaction before the segment.
    pub(super) fn previous(&self) -> Zxid {
        self.state.epochs.last()
    }

    /// The bytes, and the chain that the first record continues.
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        let State { epochs, promises, committed, generation } = &self.state;
        let configuration = &promises.configuration;
        let base = self.base.unwrap_or(Base { segment: 0, offset: 0, chain: 0 });
        let ends = epochs.ends();
        let length = (FIXED + ends.len() * 8 + configuration.len()).next_multiple_of(sector());
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&small(length).to_le_bytes());
        bytes.extend_from_slice(&base.chain.to_le_bytes());
        bytes.extend_from_slice(&self.database.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&base.segment.to_le_bytes());
        bytes.extend_from_slice(&base.offset.to_le_bytes());
        bytes.extend_from_slice(&committed.0.to_le_bytes());
        bytes.extend_from_slice(&generation.to_le_bytes());
        bytes.extend_from_slice(&promises.accepted_epoch.to_le_bytes());
        bytes.extend_from_slice(&promises.current_epoch.to_le_bytes());
        bytes.extend_from_slice(&small(configuration.len()).to_le_bytes());
        bytes.extend_from_slice(&small(ends.len()).to_le_bytes());
        bytes.extend_from_slice(&epochs.floor().0.to_le_bytes());
        bytes.extend_from_slice(&u64::from(promises.incomplete).to_le_bytes());
        for end in ends {
            bytes.extend_from_slice(&end.0.to_le_bytes());
        }
        bytes.extend_from_slice(configuration);
        bytes.resize(length, 0);
        let checksum = checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// Reads the header at the beginning of a file: itself, and where the first record goes.
    pub(super) fn read(file: &dyn File) -> fs::Result<Result<(Self, Place), BadHeader>> {
        let size = file.size()?;
        if size < SECTOR {
            return Ok(Err("too short for a segment".into()));
        }
        let mut bytes = vec![0; sector()];
        file.read_at(0, &mut bytes)?;
        if &bytes[0..8] != MAGIC {
            return Ok(Err("not a segment of a log".into()));
        }
        let length = u32_at(&bytes, 16) as usize;
        if length as u64 > size || length < sector() || !length.is_multiple_of(sector()) {
            return Ok(Err("impossible length of the header".into()));
        }
        bytes.resize(length, 0);
        file.read_at(0, &mut bytes)?;
        Ok(Self::decode(&bytes))
    }

    fn decode(bytes: &[u8]) -> Result<(Self, Place), BadHeader> {
        let checksum = checksum(bytes);
        if u32_at(bytes, 12) != checksum {
            return Err("wrong checksum of the header".into());
        }
        // All versions have the checksum, and what is before it, at the same place.
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(BadHeader::OtherVersion(version));
        }
        let (configuration, epochs) = (u32_at(bytes, 80) as usize, u32_at(bytes, 84) as usize);
        let tables = &bytes[FIXED..];
        if epochs.saturating_mul(8).saturating_add(configuration) > tables.len() {
            return Err("impossible length of the epoch table or the configuration".into());
        }
        let (ends, rest) = tables.split_at(epochs * 8);
        let ends = ends.chunks_exact(8).map(|end| zxid_at(end, 0)).collect();
        let Some(epochs) = Epochs::from_ends(zxid_at(bytes, 88), ends) else {
            return Err("impossible epoch table".into());
        };
        let number = u64_at(bytes, 32);
        let base = Base {
            segment: u64_at(bytes, 40),
            offset: u64_at(bytes, 48),
            chain: u32_at(bytes, 20),
        };
        if number == 0 || base.segment >= number {
            return Err("impossible number of the segment or of the one it continues".into());
        }
        let promises = Promises {
            accepted_epoch: u32_at(bytes, 72),
            current_epoch: u32_at(bytes, 76),
            configuration: rest[..configuration].to_vec(),
            incomplete: u64_at(bytes, 96) != 0,
        };
        let (committed, generation) = (zxid_at(bytes, 56), u64_at(bytes, 64));
        let start = Place { offset: bytes.len() as u64, chain: checksum, last: epochs.last() };
        let header = Self {
            database: u64_at(bytes, 24),
            number,
            base: Some(base).filter(|base| base.segment > 0),
            state: State { epochs, promises, committed, generation },
        };
        Ok((header, start))
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

/// The path of the segment with this number.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.log"))
}

/// The number in a segment's file name; `None` for files that are not segments.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let is_ours =
        digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(digits, 16).ok().filter(|_| is_ours)
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
    /// Held while segments are removed.
    pub(super) removal: Arc<Mutex<()>>,
}

impl Folder {
    /// The folder of a log with this id.
    pub(super) fn new(fs: Arc<dyn Fs>, dir: &Path, options: Options, database: u64) -> Self {
        Self { fs, dir: dir.to_owned(), options, database, removal: Arc::default() }
    }

    /// The path of a segment.
    pub(super) fn path(&self, number: u64) -> PathBuf {
        path(&self.dir, number)
    }

    /// The job of making a segment of `size` bytes.
    pub(super) fn preparation(&self, number: u64, size: u64) -> Preparation {
        let path = self.dir.join(format!("{number}.tmp"));
        Preparation { fs: self.fs.clone(), path, size: round_up(size) }
    }

    /// Gives a prepared segment its header and its name, durably; says where its records begin.
    /// What it continues must be durable, since from then on it counts.
    pub(super) fn install(
        &self,
        spare: Spare,
        header: &Header,
    ) -> Result<(Box<dyn File>, Place), LogError> {
        let (bytes, chain) = header.encode();
        let done = spare.file.write_at(0, &bytes).and_then(|()| spare.file.sync_data());
        let done = done.and_then(|()| self.fs.rename(&spare.path, &self.path(header.number)));
        if let Err(error) = done {
            // What is left of it is removed at the next start if it cannot be now.
            let _ = self.fs.remove(&spare.path);
            return Err(LogError::no_room(error));
        }
        // From here on it is not known whether the name is there: no way back from an error.
        self.fs.sync_dir(&self.dir)?;
        let start = Place { offset: bytes.len() as u64, chain, last: header.previous() };
        Ok((spare.file, start))
    }
}

/// Ends a segment at `place`, durably: the log goes on in the segment `next`, which is there. So it
/// is noticed when that one is lost.
pub(super) fn seal(file: &dyn File, place: Place, next: u64) -> fs::Result<()> {
    file.write_at(place.offset, &record::seal(next, place.last, place.chain))?;
    file.sync_data()
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
fn round_up(size: u64) -> u64 {
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
        assert_eq!(path(Path::new("/l"), 0xab), Path::new("/l/00000000000000ab.log"));
        assert_eq!(parse_name("00000000000000ab.log"), Some(0xab));
        for other in ["1.log", "00000000000000AB.log", "+0000000000000ab.log", "0.tmp", "LOCK"] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_header_carries_what_was_before_and_every_bit_of_it_counts() {
        let ends = vec![Zxid::new(1, 4), Zxid::new(3, 8)];
        let header = Header {
            database: 7,
            number: 12,
            base: Some(Base { segment: 11, offset: 4000, chain: 5 }),
            state: State {
                epochs: Epochs::from_ends(Zxid(9), ends).unwrap(),
                promises: Promises {
                    accepted_epoch: 4,
                    current_epoch: 3,
                    configuration: vec![b'c'; 600],
                    incomplete: true,
                },
                committed: Zxid::new(3, 7),
                generation: 2,
            },
        };
        let (bytes, chain) = header.encode();
        let fs = MemoryFs::new();
        fs.create_dir(Path::new("/l")).unwrap();
        let file = fs.create(Path::new("/l/f")).unwrap();
        file.write_at(0, &bytes).unwrap();
        let start = Place { offset: 1024, chain, last: Zxid::new(3, 8) };
        assert_eq!(Header::read(&*file).unwrap(), Ok((header, start)));
        for (offset, &byte) in (0..).zip(&bytes) {
            file.write_at(offset, &[byte ^ 1]).unwrap();
            assert!(Header::read(&*file).unwrap().is_err(), "byte {offset}");
            file.write_at(offset, &[byte]).unwrap();
        }
    }
}
