//! The files of a ZooKeeper server, as it writes and reads them.
//!
//! `version-2/snapshot.<zxid>`, plain or compressed ([`snapshot`]), `version-2/log.<zxid>`
//! ([`log`]), and the two epochs ([`epochs`]). Reading changes nothing, believes nothing that a
//! checksum does not vouch for, and says of everything that is wrong in which file and where.
//! What a folder of them adds up to is the business of [`crate::migrate`].

pub mod epochs;
pub mod log;
pub mod snapshot;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use quorate_protocol::Zxid;

use crate::storage::fs::{self, Fs, FsError};

pub use source::Compression;

/// The folder that ZooKeeper has below `dataDir` and `dataLogDir`.
pub const FOLDER: &str = "version-2";

/// Bytes of the header that snapshots and logs begin with: magic, version, database id.
const HEADER: usize = 16;
/// The only version there is.
const VERSION: i32 = 2;

/// Why a file cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The file is not what ZooKeeper has written.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// What is wrong in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where what is wrong begins; in a compressed file, among the bytes that it stands for.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// The last transaction before, in a log that has one.
    pub last: Option<Zxid>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, what, last } = self;
        write!(f, "{} is damaged at offset {offset}: {what}", file.display())?;
        match last {
            Some(last) => write!(f, " (the last transaction before is {last})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Damage {}

/// A snapshot or a log in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The file.
    pub path: PathBuf,
    /// The number in its name: a snapshot's last transaction, a log's first.
    pub zxid: Zxid,
    /// How a snapshot is compressed; logs never are.
    pub compression: Compression,
}

/// The snapshots of a folder, oldest first.
pub fn snapshots(fs: &dyn Fs, dir: &Path) -> fs::Result<Vec<Named>> {
    list(fs, dir, "snapshot.")
}

/// The logs of a folder, oldest first.
pub fn logs(fs: &dyn Fs, dir: &Path) -> fs::Result<Vec<Named>> {
    let mut logs = list(fs, dir, "log.")?;
    logs.retain(|log| log.compression == Compression::None);
    Ok(logs)
}

fn list(fs: &dyn Fs, dir: &Path, prefix: &str) -> fs::Result<Vec<Named>> {
    let names = fs.list(dir)?;
    let parse = |name: &String| {
        let (zxid, compression) = parse_name(name, prefix)?;
        Some(Named { path: dir.join(name), zxid, compression })
    };
    let mut files: Vec<_> = names.iter().filter_map(parse).collect();
    files.sort_by_key(|file| file.zxid);
    Ok(files)
}

/// The number and the compression in a name such as `snapshot.1a.gz`. Other names are not
/// ZooKeeper's, which passes them over, too.
fn parse_name(name: &str, prefix: &str) -> Option<(Zxid, Compression)> {
    let rest = name.strip_prefix(prefix)?;
    let (digits, extension) = rest.split_once('.').unwrap_or((rest, ""));
    let compression = Compression::of_extension(extension)?;
    let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let zxid = u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    Some((Zxid(zxid.cast_signed()), compression))
}

/// The header of a file with this magic number. `Compat:` the database id is -1 in a snapshot, and
/// 0 in a log.
fn header(magic: [u8; 4], database: i64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&magic);
    header[4..8].copy_from_slice(&VERSION.to_be_bytes());
    header[8..].copy_from_slice(&database.to_be_bytes());
    header
}

/// What is wrong with a header. `Compat:` ZooKeeper looks at the magic number only.
fn check_header(header: &[u8; HEADER], magic: [u8; 4]) -> Result<(), String> {
    if header[..4] == magic {
        return Ok(());
    }
    let (found, magic) = (header[..4].escape_ascii(), magic.escape_ascii());
    Err(format!("it begins with \"{found}\" instead of \"{magic}\""))
}

#[cfg(test)]
mod tests;
