//! Finding the log when the server starts, and telling a torn tail from damage.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use quorate_protocol::Zxid;

use super::cursor::{Cursor, Next, OUT_OF_ORDER, Place};
use super::live::{Live, Segment, Waypoints};
use super::record::{self, Kind};
use super::segment::{self, Base, Folder, Header};
use super::tail::{self, Tail};
use super::writer::{Active, Log};
use super::{Corruption, LogError, Options, State};
use crate::storage::fs::{self, Fs};

const MISSING: &str =
    "the segments before it are missing, and no checkpoint holds what was in them";

/// The files of a log: which segments count, and what they stand on, as their headers say.
#[derive(Debug)]
pub struct LogFiles {
    folder: Folder,
    /// Each continues the one before; the last is the newest. Never empty.
    headers: VecDeque<(Header, Place)>,
    /// Why there are none before the first, where that is not as it should be.
    gap: Option<Corruption>,
    /// Other segments are there.
    has_leftovers: bool,
}

/// A log that was read and verified from some transaction on to its end.
#[derive(Debug)]
pub struct Replay {
    files: LogFiles,
    /// The newest segment, read to its end.
    newest: Cursor,
    /// What follows the last record.
    tail: Tail,
    state: State,
    /// Places passed in each segment that was read.
    waypoints: Vec<Waypoints>,
}

impl LogFiles {
    /// Finds the log in `dir`; `None` when there is none.
    pub fn find(fs: Arc<dyn Fs>, dir: &Path, options: Options) -> Result<Option<Self>, LogError> {
        let numbers = clean_up(&*fs, dir)?;
        let Some(&newest) = numbers.last() else {
            return Ok(None);
        };
        let mut folder = Folder::new(fs, dir, options, 0);
        let (cursor, header) = Cursor::open(&folder, newest)?;
        folder.database = header.database;
        let headers = VecDeque::from([(header, cursor.place())]);
        let mut files = Self { folder, headers, gap: None, has_leftovers: false };
        while let Some(base) = files.headers[0].0.base {
            match files.before_first(base, &numbers) {
                Ok(Some(before)) => files.headers.push_front(before),
                Ok(None) => break,
                // It matters only if what is there is needed.
                Err(LogError::Corruption(gap)) => {
                    files.gap = Some(gap);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        files.has_leftovers = numbers.len() > files.headers.len();
        Ok(Some(files))
    }

    /// The header of the segment that the first one continues; `None` when it was removed.
    fn before_first(
        &self,
        base: Base,
        numbers: &[u64],
    ) -> Result<Option<(Header, Place)>, LogError> {
        let path = self.folder.path(base.segment);
        let damaged = |what| Corruption { file: path, offset: 0, last: Zxid::ZERO, what };
        if numbers.binary_search(&base.segment).is_err() {
            // The oldest are removed first.
            let has_older = numbers.iter().any(|number| *number < base.segment);
            return if has_older { Err(damaged("it is missing").into()) } else { Ok(None) };
        }
        let (cursor, header) = Cursor::open(&self.folder, base.segment)?;
        let start = cursor.place();
        let next = &self.headers[0].0;
        let is_continued = header.database == next.database
            && next.state.epochs.contains(header.previous())
            && start.offset <= base.offset;
        if !is_continued {
            return Err(damaged("it is not what the segment behind it continues").into());
        }
        Ok(Some((header, start)))
    }

    /// The number drawn at random when the log was created.
    pub fn database(&self) -> u64 {
        self.folder.database
    }

    /// The generation of the checkpoint that the log stands on.
    pub fn generation(&self) -> u64 {
        self.newest().state.generation
    }

    fn newest(&self) -> &Header {
        &self.headers.back().expect("there is a segment").0
    }

    /// Reads what is behind `after`, to the end. Segments that end before that are not read.
    /// Everything read is verified: checksums and their chain, the order of zxids, within segments
    /// and across them. Nothing is changed.
    pub fn replay(mut self, after: Zxid) -> Result<Replay, LogError> {
        let passed = self.headers.partition_point(|(header, _)| header.previous() <= after);
        let Some(first) = passed.checked_sub(1) else {
            return Err(self.begins_too_late(after).into());
        };
        let mut state = self.headers[first].0.state.clone();
        let mut waypoints = Vec::new();
        for index in first..self.headers.len() - 1 {
            waypoints.push(self.read_sealed(index, &mut state)?);
        }
        let mut newest = self.enter(self.headers.len() - 1, &mut state)?;
        let mut passed = Waypoints::default();
        let why = read(&mut newest, u64::MAX, &mut state, &mut passed)?;
        waypoints.push(passed);
        let tail = tail::judge(newest.file(), self.folder.database, newest.place().offset)?;
        if tail == Tail::Damaged {
            return Err(newest.corruption(why).into());
        }
        // A mark may speak of transactions that were written with it and then lost.
        state.committed = state.committed.min(state.epochs.last());
        self.forget_retired(&mut state);
        Ok(Replay { files: self, newest, tail, state, waypoints })
    }

    /// The beginning of a segment; its header adds to `state` what is not in the segments before
    /// any more.
    fn enter(&self, index: usize, state: &mut State) -> Result<Cursor, LogError> {
        let (header, start) = &self.headers[index];
        let path = self.folder.path(header.number);
        let cursor = Cursor::at(self.folder.fs.open(&path)?, path, *start)?;
        if state.epochs.last() != header.previous() {
            return Err(cursor.corruption("it does not continue the one before").into());
        }
        state.promises.clone_from(&header.state.promises);
        state.committed = state.committed.max(header.state.committed);
        state.generation = header.state.generation;
        Ok(cursor)
    }

    /// Reads a segment up to where the next one continues it.
    fn read_sealed(&self, index: usize, state: &mut State) -> Result<Waypoints, LogError> {
        let mut cursor = self.enter(index, state)?;
        let base = self.headers[index + 1].0.base.expect("it continues this one");
        let mut waypoints = Waypoints::default();
        let why = read(&mut cursor, base.offset, state, &mut waypoints)?;
        let place = cursor.place();
        if place.offset != base.offset {
            return Err(cursor.corruption(why).into());
        }
        if place.chain != base.chain {
            return Err(cursor.corruption("the one behind it does not continue it").into());
        }
        Ok(waypoints)
    }

    fn begins_too_late(self, after: Zxid) -> Corruption {
        let (header, start) = &self.headers[0];
        let file = self.folder.path(header.number);
        let missing = Corruption { file, offset: start.offset, last: after, what: MISSING };
        self.gap.map_or(missing, |gap| Corruption { last: after, ..gap })
    }

    /// Leaves out segments that the log had let go already.
    fn forget_retired(&mut self, state: &mut State) {
        while self.headers[0].0.previous() < state.epochs.floor() {
            self.headers.pop_front();
            self.has_leftovers = true;
        }
        state.epochs.raise_floor(self.headers[0].0.previous());
    }
}

/// Reads records up to `limit` into `state`, remembering places on the way; says why it ended.
fn read(
    cursor: &mut Cursor,
    limit: u64,
    state: &mut State,
    waypoints: &mut Waypoints,
) -> Result<&'static str, LogError> {
    loop {
        match cursor.peek(limit)? {
            Next::Record(found) if found.kind == Kind::Seal => {
                return Err(cursor.corruption("the segment behind it is missing").into());
            }
            Next::Record(found) => {
                state.note(&cursor.pass(found));
                waypoints.pass(cursor.place());
            }
            Next::End(why) => return Ok(why),
            Next::Disorder => return Err(cursor.corruption(OUT_OF_ORDER).into()),
        }
    }
}

impl Replay {
    /// The last transaction in the log.
    pub fn last_zxid(&self) -> Zxid {
        self.state.epochs.last()
    }

    /// Whether a history that ends with `zxid` can be continued from the log.
    pub fn contains(&self, zxid: Zxid) -> bool {
        self.state.epochs.contains(zxid)
    }

    /// Removes a torn tail and gives the log, ready to be appended to. Everything read is durable
    /// then, what a killed process had left to the system included, and says so: later damage to
    /// it is told from a torn tail whatever happens to marks that are written while the log is idle.
    pub fn finish(self) -> Result<Log, LogError> {
        let Self { files, newest, tail, state, mut waypoints } = self;
        files.seal_before_newest()?;
        let (place, size) = (newest.place(), newest.size());
        tail::erase(newest.file(), place.offset, tail)?;
        newest.file().sync_data()?;
        let mut segments = Vec::new();
        let mut next_base = None;
        for (header, start) in files.headers.iter().rev() {
            let end = next_base.map_or(place.offset, |base: Base| base.offset);
            let passed = waypoints.pop().unwrap_or_default();
            let segment = Segment::new(header.number, header.base, *start, end, passed);
            segments.push(Arc::new(segment));
            next_base = header.base;
        }
        segments.reverse();
        let live = Live::new(segments);
        let active = Active::new(newest.into_file(), live.newest(), size, place);
        let mut log = Log::resume(files.folder, live, active, state, files.has_leftovers);
        log.mark()?;
        log.sync()?;
        Ok(log)
    }
}

impl LogFiles {
    /// The power may have gone before the segment was sealed that the newest one continues.
    fn seal_before_newest(&self) -> Result<(), LogError> {
        let newest = self.newest();
        let Some(base) = newest.base.filter(|_| self.headers.len() > 1) else {
            return Ok(());
        };
        let place = Place { offset: base.offset, chain: base.chain, last: newest.previous() };
        let file = self.folder.fs.open(&self.folder.path(base.segment))?;
        let mut seal = [0; record::SEAL];
        if file.size()? < base.offset + seal.len() as u64 {
            // Damage that nothing needed was behind.
            return Ok(());
        }
        file.read_at(base.offset, &mut seal)?;
        if seal == record::seal(newest.number, place.last, place.chain) {
            file.sync_data()?;
        } else {
            segment::seal(&*file, place, newest.number)?;
        }
        Ok(())
    }
}

/// Removes what an interrupted preparation left, makes the names durable that are there, and
/// gives the numbers of the segments in order.
fn clean_up(fs: &dyn Fs, dir: &Path) -> fs::Result<Vec<u64>> {
    let names = fs.list(dir)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    for name in names.iter().filter(|name| segment::is_leftover(name)) {
        fs.remove(&dir.join(name))?;
    }
    fs.sync_dir(dir)?;
    Ok(names.iter().filter_map(|name| segment::parse_name(name)).collect())
}
