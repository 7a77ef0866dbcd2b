//! `acceptedEpoch` and `currentEpoch`: a number each, as text.

use std::io;
use std::path::Path;

use super::{Damage, FileError};
use crate::storage::fs::{self, Fs};

const ACCEPTED: &str = "acceptedEpoch";
const CURRENT: &str = "currentEpoch";
/// Left where the power went while [`CURRENT`] was replaced.
const CURRENT_TMP: &str = "currentEpoch.tmp";

/// What the files say. A server that was never in an ensemble has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epochs {
    /// The newest epoch whose leader it agreed to follow.
    pub accepted: Option<u32>,
    /// The newest epoch whose initial history it holds.
    pub current: Option<u32>,
    /// The current epoch was being replaced: the history of the next is there already.
    pub was_advancing: bool,
}

/// Reads them.
///
/// # Errors
/// When the disk fails, or one of them is no number.
pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Epochs, FileError> {
    Ok(Epochs {
        accepted: read_one(fs, &dir.join(ACCEPTED))?,
        current: read_one(fs, &dir.join(CURRENT))?,
        was_advancing: fs.list(dir)?.iter().any(|name| name == CURRENT_TMP),
    })
}

fn read_one(fs: &dyn Fs, path: &Path) -> Result<Option<u32>, FileError> {
    const LONGEST: u64 = 64;
    let file = match fs.open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = vec![0; usize::try_from(file.size()?.min(LONGEST)).expect("64 fits")];
    file.read_at(0, &mut bytes)?;
    let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
    if number.is_none() {
        let what = format!("\"{}\" is no epoch", bytes.escape_ascii());
        return Err(Damage { file: path.to_owned(), offset: 0, what, last: None }.into());
    }
    Ok(number)
}

/// Writes them, durably.
///
/// # Errors
/// When the disk fails.
pub fn write(fs: &dyn Fs, dir: &Path, accepted: u32, current: u32) -> fs::Result<()> {
    fs::replace_file(fs, &dir.join(ACCEPTED), accepted.to_string().as_bytes())?;
    fs::replace_file(fs, &dir.join(CURRENT), current.to_string().as_bytes())
}
