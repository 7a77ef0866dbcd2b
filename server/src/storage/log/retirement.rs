//! The removal of segments that do not count any more.

use super::segment::{self, Folder};
use crate::storage::fs;

/// The removal of files that the log has let go: a job that may run beside it, on another thread.
#[derive(Debug)]
pub struct Retirement {
    folder: Folder,
    /// The segments that count, ascending; later ones are not touched.
    live: Vec<u64>,
}

impl Retirement {
    pub(super) fn new(folder: Folder, live: Vec<u64>) -> Self {
        Self { folder, live }
    }

    /// Removes the files, those that an earlier job could not remove included, and gives their
    /// number: one by one, each durably. First those that the log was cut behind, newest first,
    /// then the oldest ones, oldest first. So whatever a failure or a crash leaves of either is
    /// without a hole.
    pub fn run(self) -> fs::Result<usize> {
        let Self { folder, live } = self;
        let Folder { fs, dir, removal, .. } = &folder;
        let _one_at_a_time = removal.lock();
        fs.sync_dir(dir)?;
        let names = fs.list(dir)?;
        let numbers = names.iter().filter_map(|name| segment::parse_name(name));
        let passed: Vec<u64> =
            numbers.filter(|n| Some(n) < live.last() && live.binary_search(n).is_err()).collect();
        let (old, void) = passed.split_at(passed.partition_point(|n| Some(n) < live.first()));
        for number in void.iter().rev().chain(old) {
            fs.remove(&segment::path(dir, *number))?;
            fs.sync_dir(dir)?;
        }
        Ok(passed.len())
    }
}
