//! Reading the log when the server starts.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_protocol::Zxid;

use super::record::{self, Kind, Mark, Record, UncheckedHeader};
use super::segment::{self, Folder, Header};
use super::tail::{self, Tail};
use super::writer::{Active, Log};
use super::{Corruption, LogError, Options, Promises, advance};
use crate::storage::fs::{self, File, Fs};

const CHUNK: u64 = 1 << 20;
const BEGINS_TOO_LATE: &str =
    "the segments before it are missing, and no checkpoint holds what was in them";

/// The records of a log behind a zxid, in order; afterwards the log itself.
///
/// Segments that end before that zxid are not opened. Everything read is verified: checksums and
/// their chain, the order of zxids, within segments and across them.
#[derive(Debug)]
pub struct Replay {
    folder: Folder,
    /// The segments before the one being read.
    behind: Vec<Zxid>,
    segment: Segment,
    /// The segments after it.
    ahead: VecDeque<Zxid>,
    /// Transactions up to here are passed over.
    after: Zxid,
    last: Zxid,
    promises: Promises,
    /// What follows the last record, once that has been reached.
    tail: Option<Tail>,
}

/// The segment being read.
#[derive(Debug)]
struct Segment {
    window: Window,
    path: PathBuf,
    first: Zxid,
    /// Where the next record begins.
    offset: u64,
    /// What the next record is chained to.
    chain: u32,
    transactions: u64,
}

/// What stands at a segment's offset.
enum Next {
    /// A good record, and where its body stands in the window.
    Record(Kind, Zxid, Range<usize>),
    /// No good record: why.
    End(&'static str),
}

impl Replay {
    /// Opens the log in `dir` to read what is behind `after`; `None` when there is no log.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        after: Zxid,
    ) -> Result<Option<Self>, LogError> {
        let mut names = clean_up(&*fs, dir)?;
        let Some(&newest) = names.last() else {
            return Ok(None);
        };
        // What is behind `after` has at least the zxid that follows it.
        let candidates = names.partition_point(|name| name.0 <= after.0.saturating_add(1));
        let mut index = candidates.saturating_sub(1);
        if index > 0 && index + 1 == names.len() {
            // The one before an unused segment may not be sealed: it decides what this one is.
            let (unused, header) = Segment::open(&*fs, dir, newest)?;
            index -= usize::from(unused.is_unused(header.database)?);
        }
        let ahead = names.split_off(index + 1).into();
        let first = names.pop().expect("the index is within the names");
        let (segment, header) = Segment::open(&*fs, dir, first)?;
        if header.previous > after {
            return Err(segment.corruption(after, BEGINS_TOO_LATE).into());
        }
        Ok(Some(Self {
            folder: Folder { fs, dir: dir.to_owned(), options, database: header.database },
            behind: names,
            segment,
            ahead,
            after,
            last: header.previous,
            promises: header.promises,
            tail: None,
        }))
    }

    /// The number drawn at random when the log was created.
    pub fn database(&self) -> u64 {
        self.folder.database
    }

    /// The last transaction read or passed over.
    pub fn last_zxid(&self) -> Zxid {
        self.last
    }

    /// The next record; the log's own (marks and seals) are not among them.
    #[expect(clippy::should_implement_trait, reason = "the record is lent")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, LogError> {
        let found = self.step()?;
        Ok(found.map(|(kind, zxid, body)| {
            let body = self.segment.window.slice(body);
            Record { kind, zxid, body }
        }))
    }

    /// Reads to the end, removes a torn tail, and gives the log, ready to be appended to.
    /// Everything read is durable then, what a killed process had left to the system included.
    pub fn finish(mut self) -> Result<Log, LogError> {
        while self.step()?.is_some() {}
        let tail = self.tail.expect("the end was reached");
        let segment = self.segment;
        if let Some(&before) = self.behind.last() {
            self.folder.fs.open(&segment::path(&self.folder.dir, before))?.sync_data()?;
        }
        let Window { file, size, .. } = segment.window;
        tail::erase(&*file, segment.offset, tail)?;
        file.sync_data()?;
        let mut active = Active::new(file, segment.first, size, segment.offset, segment.chain);
        active.transactions = segment.transactions;
        Ok(Log::resume(self.folder, self.behind, active, self.last, self.promises))
    }

    fn step(&mut self) -> Result<Option<(Kind, Zxid, Range<usize>)>, LogError> {
        while self.tail.is_none() {
            let (kind, zxid, body) = match self.segment.next()? {
                Next::Record(kind, zxid, body) => (kind, zxid, body),
                Next::End(why) => {
                    self.end(why)?;
                    continue;
                }
            };
            let record = Record { kind, zxid, body: self.segment.window.slice(body.clone()) };
            let in_place = kind == Kind::Transaction || zxid == self.last;
            let Some(last) = advance(self.last, &record).filter(|_| in_place) else {
                return Err(self.corruption("a record is out of order").into());
            };
            self.last = last;
            self.promises.note(&record);
            match kind {
                Kind::Seal => self.enter_next(record.body_u64())?,
                Kind::Mark => {}
                Kind::Transaction if zxid <= self.after => self.segment.transactions += 1,
                Kind::Transaction => {
                    self.segment.transactions += 1;
                    return Ok(Some((kind, zxid, body)));
                }
                _ => return Ok(Some((kind, zxid, body))),
            }
        }
        Ok(None)
    }

    /// Goes on behind a seal, which counts the transactions of its segment.
    fn enter_next(&mut self, count: Option<u64>) -> Result<(), LogError> {
        if count != Some(self.segment.transactions) {
            return Err(self.corruption("the seal counts other transactions").into());
        }
        let Some(name) = self.ahead.pop_front() else {
            return Err(self.corruption("the segment behind it is missing").into());
        };
        let (next, header) = Segment::open(&*self.folder.fs, &self.folder.dir, name)?;
        let expected = (self.folder.database, self.last, self.segment.chain);
        if (header.database, header.previous, header.chain) != expected {
            return Err(next.corruption(self.last, "it does not continue the one before").into());
        }
        self.behind.push(self.segment.first);
        self.segment = next;
        Ok(())
    }

    /// Decides what it means that there is no good record here.
    fn end(&mut self, why: &'static str) -> Result<(), LogError> {
        let unused = self.unused_ahead()?;
        let tail =
            tail::judge(&*self.segment.window.file, self.folder.database, self.segment.offset)?;
        if tail == Tail::Damaged || self.ahead.len() > usize::from(unused.is_some()) {
            return Err(self.corruption(why).into());
        }
        if let Some(next) = unused {
            // The power went before this segment was sealed; nothing was written to the next.
            self.folder.fs.remove(&next.path)?;
            self.folder.fs.sync_dir(&self.folder.dir)?;
            self.ahead.clear();
        }
        self.tail = Some(tail);
        Ok(())
    }

    /// The segment behind this one, if it is the last and nothing was ever written to it.
    fn unused_ahead(&self) -> Result<Option<Segment>, LogError> {
        let Some(&name) = self.ahead.front().filter(|_| self.ahead.len() == 1) else {
            return Ok(None);
        };
        let (next, header) = Segment::open(&*self.folder.fs, &self.folder.dir, name)?;
        let is_ours = header.database == self.folder.database;
        Ok(if is_ours && next.is_unused(header.database)? { Some(next) } else { None })
    }

    fn corruption(&self, what: &'static str) -> Corruption {
        self.segment.corruption(self.last, what)
    }
}

/// Removes what an interrupted preparation left, makes the names durable that are there, and
/// gives those of the segments in order.
fn clean_up(fs: &dyn Fs, dir: &Path) -> fs::Result<Vec<Zxid>> {
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

impl Segment {
    fn open(fs: &dyn Fs, dir: &Path, first: Zxid) -> Result<(Self, Header), LogError> {
        let path = segment::path(dir, first);
        let file = fs.open(&path)?;
        let read = Header::read(&*file)?;
        let damaged = |what| Corruption {
            file: path.clone(),
            offset: 0,
            last: Zxid(first.0.saturating_sub(1)),
            what,
        };
        let (header, offset, chain) = read.map_err(damaged)?;
        if header.first != first {
            return Err(damaged("the header has another zxid than the file's name").into());
        }
        let window = Window::new(file)?;
        Ok((Self { window, path, first, offset, chain, transactions: 0 }, header))
    }

    /// Whether nothing was ever written behind the header.
    fn is_unused(&self, database: u64) -> fs::Result<bool> {
        Ok(tail::judge(&*self.window.file, database, self.offset)? == Tail::Empty)
    }

    fn next(&mut self) -> fs::Result<Next> {
        let Some(at) = self.window.cover(self.offset, record::HEADER as u64)? else {
            return Ok(Next::End("the file ends without a seal"));
        };
        let header = UncheckedHeader::read(self.window.slice(at));
        let length = header.record_length();
        let Some(at) = self.window.cover(self.offset, length)? else {
            return Ok(Next::End("a record is longer than its file"));
        };
        let Some(record) = header.check(self.window.slice(at.clone())) else {
            return Ok(Next::End("no record with a right checksum"));
        };
        if header.previous != self.chain {
            return Ok(Next::End("a record that does not continue the one before"));
        }
        if let Some(mark) = Mark::read(record.body).filter(|_| record.kind == Kind::Mark)
            && (mark.offset != self.offset || mark.synced > self.offset)
        {
            return Ok(Next::End("a mark that does not belong here"));
        }
        let body = at.start + record::HEADER..at.start + record::HEADER + record.body.len();
        let next = Next::Record(record.kind, record.zxid, body);
        self.offset += length;
        self.chain = header.checksum;
        Ok(next)
    }

    fn corruption(&self, last: Zxid, what: &'static str) -> Corruption {
        Corruption { file: self.path.clone(), offset: self.offset, last, what }
    }
}

/// A file seen through a buffer that moves forward over it.
#[derive(Debug)]
struct Window {
    file: Box<dyn File>,
    size: u64,
    buffer: Vec<u8>,
    /// Where the buffer stands in the file.
    start: u64,
    /// How much of it is filled.
    filled: usize,
}

impl Window {
    fn new(file: Box<dyn File>) -> fs::Result<Self> {
        let size = file.size()?;
        Ok(Self { file, size, buffer: Vec::new(), start: 0, filled: 0 })
    }

    /// Brings `length` bytes at `offset` into the buffer and says where they stand in it; `None`
    /// when the file ends before. So no length makes it take more memory than the file has bytes.
    fn cover(&mut self, offset: u64, length: u64) -> fs::Result<Option<Range<usize>>> {
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Ok(None);
        }
        let length = usize::try_from(length).expect("files are smaller than memory");
        let behind = offset.checked_sub(self.start).and_then(|n| usize::try_from(n).ok());
        if let Some(at) = behind.filter(|at| at + length <= self.filled) {
            return Ok(Some(at..at + length));
        }
        let wanted = usize::try_from(CHUNK.min(self.size - offset)).expect("a chunk fits");
        self.filled = wanted.max(length);
        self.start = offset;
        if self.buffer.len() < self.filled {
            self.buffer.resize(self.filled, 0);
        }
        self.file.read_at(offset, &mut self.buffer[..self.filled])?;
        Ok(Some(0..length))
    }

    fn slice(&self, at: Range<usize>) -> &[u8] {
        &self.buffer[at]
    }
}
