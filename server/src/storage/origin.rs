//! What a data folder remembers of ZooKeeper's files beside it.
//!
//! While they are imported, that it is not done: what is there of ours counts for nothing then.
//! Afterwards, and after an export into the folder beside, what ZooKeeper's files were, so that a
//! start notices that ZooKeeper has gone on with them. `docs/format.md` has the bytes.

use std::fmt::Write;
use std::path::PathBuf;

use quorate_protocol::{SessionId, Zxid};

use super::fs::{self, Fs};
use super::layout::Layout;
use crate::zookeeper_files::{self, FileError, Named, epochs};

const FIRST_LINE: &str = "quorate-origin 1";

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whether what is in the folder counts.
    pub is_complete: bool,
    /// What ZooKeeper's files were.
    pub files: Files,
    /// The sessions that were in them.
    pub sessions: Vec<SessionId>,
}

/// What can be seen of ZooKeeper's files without reading them.
///
/// `Compat:` ZooKeeper never appends to a log of before its start, but begins another one; so that
/// it was there shows in names, sizes and epochs. A snapshot of what was there already says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// The last transaction in them.
    pub last_zxid: Zxid,
    /// What `acceptedEpoch` says, 0 without it.
    pub accepted_epoch: u32,
    /// What `currentEpoch` says, 0 without it.
    pub current_epoch: u32,
    /// Names and sizes of the logs, in order.
    pub logs: Vec<(String, u64)>,
}

/// Why what is remembered cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// The disk failed.
    #[error(transparent)]
    Fs(#[from] fs::FsError),
    /// The file is not what was written.
    #[error(
        "{} is damaged: it cannot be told whether ZooKeeper has written to the folder beside it. \
         If it has not been started since Quorate was, remove that file",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Origin {
    /// What the folder remembers; `None` when it never had to do with ZooKeeper's files.
    ///
    /// # Errors
    /// When the disk fails or the file is damaged.
    pub fn read(fs: &dyn Fs, layout: &Layout) -> Result<Option<Self>, OriginError> {
        let path = layout.origin();
        let is_there = fs.list(&layout.data())?.iter().any(|name| path.ends_with(name));
        let Some(bytes) = is_there.then(|| fs::read_file(fs, &path)).transpose()?.flatten() else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes).ok();
        text.and_then(Self::parse).map(Some).ok_or(OriginError::Damaged { path })
    }

    /// Remembers it, durably.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, fs: &dyn Fs, layout: &Layout) -> fs::Result<()> {
        fs::replace_file(fs, &layout.origin(), self.to_text().as_bytes())
    }

    fn to_text(&self) -> String {
        let Files { last_zxid, accepted_epoch, current_epoch, logs } = &self.files;
        let mut text = format!(
            "{FIRST_LINE}\ncomplete={}\nzxid={:x}\naccepted={accepted_epoch}\n\
             current={current_epoch}\n",
            self.is_complete, last_zxid.0
        );
        for (name, size) in logs {
            writeln!(text, "log={name} {size}").expect("text grows");
        }
        for session in &self.sessions {
            writeln!(text, "session={:x}", session.0).expect("text grows");
        }
        let sum = crc32c::crc32c(text.as_bytes());
        writeln!(text, "crc32c={sum:08x}").expect("text grows");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (content, sum) = text.strip_suffix('\n')?.rsplit_once("crc32c=")?;
        if sum != format!("{:08x}", crc32c::crc32c(content.as_bytes())) {
            return None;
        }
        let mut lines = content.lines();
        lines.next().filter(|line| *line == FIRST_LINE)?;
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix('=');
        let is_complete = value("complete")?.parse().ok()?;
        let last_zxid = Zxid(i64::from_str_radix(value("zxid")?, 16).ok()?);
        let accepted_epoch = value("accepted")?.parse().ok()?;
        let current_epoch = value("current")?.parse().ok()?;
        let (mut logs, mut sessions) = (Vec::new(), Vec::new());
        for line in lines {
            match line.split_once('=')? {
                ("log", log) => {
                    let (name, size) = log.split_once(' ')?;
                    logs.push((name.to_owned(), size.parse().ok()?));
                }
                ("session", id) => {
                    let id = u64::from_str_radix(id, 16).ok()?;
                    sessions.push(SessionId(id.cast_signed()));
                }
                _ => return None,
            }
        }
        let files = Files { last_zxid, accepted_epoch, current_epoch, logs };
        Some(Self { is_complete, files, sessions })
    }
}

impl Files {
    /// Looks at ZooKeeper's files in the folders of `snapshots` and of `logs`, the last transaction
    /// in which is `last_zxid`.
    ///
    /// # Errors
    /// When the disk fails, or an epoch is none.
    pub fn look(
        fs: &dyn Fs,
        [snapshots, logs]: &[PathBuf; 2],
        last_zxid: Zxid,
    ) -> Result<Self, FileError> {
        let epochs = epochs::read(fs, snapshots)?;
        let logs = zookeeper_files::logs(fs, logs)?;
        Ok(Self {
            last_zxid,
            accepted_epoch: epochs.accepted.unwrap_or(0),
            current_epoch: epochs.current.unwrap_or(0),
            logs: logs.iter().map(|log| size(fs, log)).collect::<fs::Result<_>>()?,
        })
    }

    /// Says what ZooKeeper has written since these were its files; `None` when nothing.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn what_is_new(
        &self,
        fs: &dyn Fs,
        folders: &[PathBuf; 2],
    ) -> Result<Option<PathBuf>, FileError> {
        let [snapshots, _] = folders;
        let later = zookeeper_files::snapshots(fs, snapshots)?;
        if let Some(later) = later.into_iter().find(|snapshot| snapshot.zxid > self.last_zxid) {
            return Ok(Some(later.path));
        }
        let now = Self::look(fs, folders, self.last_zxid)?;
        if let Some((name, _)) = now.logs.iter().find(|log| !self.logs.contains(log)) {
            return Ok(Some(folders[1].join(name)));
        }
        Ok(if now.current_epoch > self.current_epoch {
            Some(snapshots.join("currentEpoch"))
        } else if now.accepted_epoch > self.accepted_epoch {
            Some(snapshots.join("acceptedEpoch"))
        } else {
            None
        })
    }
}

fn size(fs: &dyn Fs, log: &Named) -> fs::Result<(String, u64)> {
    let name = log.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok((name.to_owned(), fs.open_to_read(&log.path)?.size()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_byte_of_it_counts() {
        let files = Files {
            last_zxid: Zxid::new(5, 0x1a),
            accepted_epoch: 6,
            current_epoch: 5,
            logs: vec![("log.1".to_owned(), 67_108_880), ("log.500000001".to_owned(), 16)],
        };
        for is_complete in [true, false] {
            let sessions = vec![SessionId(5), SessionId(-1)];
            let origin = Origin { is_complete, files: files.clone(), sessions };
            let text = origin.to_text();
            assert_eq!(Origin::parse(&text), Some(origin));
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let text = String::from_utf8(bytes).unwrap();
                assert_eq!(Origin::parse(&text), None, "byte {at}");
            }
        }
    }
}
