//! Appending to the log, making it durable, and letting its oldest part go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use quorate_protocol::Zxid;

use super::record::{self, Kind, Mark};
use super::segment::{self, Folder, Header, Preparation, Spare};
use super::{Batch, LogError, Options, Promises};
use crate::storage::fs::{self, File, Fs, FsError};

/// The log, open for appending. One thread drives it: [`append`](Self::append), then
/// [`sync`](Self::sync), then whatever waited for the batch may happen.
#[derive(Debug)]
pub struct Log {
    folder: Folder,
    /// The sealed segments, oldest first.
    sealed: Vec<Zxid>,
    active: Active,
    /// The last transaction appended.
    last: Zxid,
    /// The last transaction at the time of the last sync.
    durable: Zxid,
    promises: Promises,
    spare: Option<Spare>,
    /// A spare to follow the active segment was asked for.
    is_spare_asked: bool,
    /// How many spares were begun, for their names.
    spares: u64,
    /// The disk failed.
    has_failed: bool,
}

/// The segment that is written to. Invariant:
/// `marked <= synced <= end` and `batch_end <= end <= size`, with room for a seal behind `end`.
#[derive(Debug)]
pub(super) struct Active {
    file: Box<dyn File>,
    first: Zxid,
    size: u64,
    /// Where the next record goes.
    end: u64,
    /// Where the last batch ends; only marks are behind it.
    batch_end: u64,
    /// What the next record is chained to.
    chain: u32,
    pub(super) transactions: u64,
    /// The file is durable up to here.
    synced: u64,
    /// The newest mark says that it is durable up to here.
    marked: u64,
}

impl Active {
    /// A segment that is durable up to `end` and zero behind it.
    pub(super) fn new(file: Box<dyn File>, first: Zxid, size: u64, end: u64, chain: u32) -> Self {
        // Marks that are in it are not remembered; to say it again does no harm.
        let marked = 0;
        Self { file, first, size, end, batch_end: end, chain, transactions: 0, synced: end, marked }
    }

    fn has_room_for(&self, length: u64) -> bool {
        self.end + length + record::SEAL as u64 <= self.size
    }

    fn mark(&self, database: u64) -> Mark {
        Mark { database, offset: self.end, synced: self.synced }
    }

    /// Writes records that begin with `mark` and leave the chain at `chain`.
    fn write(&mut self, bytes: &[u8], chain: u32, mark: Mark) -> Result<(), LogError> {
        let end = self.end + bytes.len() as u64;
        if let Err(error) = self.file.write_at(self.end, bytes) {
            if error.is_full() {
                // The room was taken beforehand, but a copying file system wants it anew. What
                // was written must not come back behind a shorter batch.
                segment::write_zeros(&*self.file, self.end, end)?;
            }
            return Err(LogError::no_room(error));
        }
        self.end = end;
        self.chain = chain;
        self.marked = mark.synced;
        Ok(())
    }
}

impl Log {
    /// Creates the log in a folder that has none, to be continued by what follows `previous`.
    /// `database` is a number drawn at random that tells this log from all others.
    pub fn create(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        database: u64,
        previous: Zxid,
    ) -> Result<Self, LogError> {
        fs.create_dir(dir)?;
        let folder = Folder { fs, dir: dir.to_owned(), options, database };
        let promises = Promises::default();
        let header = Header {
            database,
            first: Zxid(previous.0.saturating_add(1)),
            previous,
            chain: 0,
            promises: promises.clone(),
        };
        let spare = folder.preparation(0, options.segment_bytes).run();
        let active = folder.install(spare.map_err(LogError::no_room)?, &header)?;
        Ok(Self::resume(folder, Vec::new(), active, previous, promises))
    }

    /// The log whose active segment is durable and ends behind `last`.
    pub(super) fn resume(
        folder: Folder,
        sealed: Vec<Zxid>,
        active: Active,
        last: Zxid,
        promises: Promises,
    ) -> Self {
        Self {
            folder,
            sealed,
            active,
            last,
            durable: last,
            promises,
            spare: None,
            is_spare_asked: false,
            spares: 1,
            has_failed: false,
        }
    }

    /// The number drawn at random when the log was created.
    pub fn database(&self) -> u64 {
        self.folder.database
    }

    /// The last transaction appended.
    pub fn last_zxid(&self) -> Zxid {
        self.last
    }

    /// The last transaction that a crash cannot take.
    pub fn durable_zxid(&self) -> Zxid {
        self.durable
    }

    /// The newest promises appended.
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// How many files the log has.
    pub fn segment_count(&self) -> usize {
        self.sealed.len() + 1
    }

    /// Writes the batch behind the last one, with one write, into a further segment if need be.
    /// Nothing of it is durable before [`sync`](Self::sync).
    ///
    /// # Errors
    /// After [`LogError::Full`] and [`LogError::OutOfOrder`] the log is as before. After any
    /// other error the process has to end.
    pub fn append(&mut self, batch: &mut Batch) -> Result<(), LogError> {
        self.unless_failed(|log| log.try_append(batch))
    }

    /// Makes durable what was appended.
    ///
    /// # Errors
    /// Any error means that the process has to end: after a failed sync the system may have
    /// dropped what it could not write, and a second one would succeed without it.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.unless_failed(Self::try_sync)
    }

    /// Notes in the log how far it is durable, unless the next batch is going to: to be called
    /// when there is none. Until then damage to the last batch cannot be told from a torn end.
    /// Where there is no room for it, the next batch says it.
    ///
    /// # Errors
    /// Any error means that the process has to end.
    pub fn mark(&mut self) -> Result<(), LogError> {
        match self.unless_failed(Self::try_mark) {
            Err(LogError::Full(_)) => Ok(()),
            done => done,
        }
    }

    /// Ends the use of the log: all of it is durable and says so.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.sync()?;
        self.mark()?;
        self.sync()
    }

    /// The job of making the next segment ahead of its use, once for each segment. It may run on
    /// another thread; its outcome goes to [`supply`](Self::supply). Without it, appending waits
    /// for a segment to be made.
    pub fn preparation(&mut self) -> Option<Preparation> {
        if self.is_spare_asked || self.spare.is_some() || self.has_failed {
            return None;
        }
        self.is_spare_asked = true;
        Some(self.next_preparation(self.folder.options.segment_bytes))
    }

    /// Lets [`preparation`](Self::preparation) give the job again, though it was given before and
    /// came to nothing.
    pub fn prepare_again(&mut self) {
        self.is_spare_asked = false;
    }

    /// Whether the next segment is made already.
    pub fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    /// Takes the outcome of a [`Preparation`]. A failure is not one of the log: it tries again
    /// when the segment is needed.
    pub fn supply(&mut self, spare: fs::Result<Spare>) {
        if let Ok(spare) = spare {
            self.spare = Some(spare);
        }
    }

    /// Lets go of the segments that hold nothing behind `zxid`, but for the newest `keep` of them.
    /// `zxid` must be in a durable checkpoint. The files go when the job runs, which may be on
    /// another thread.
    pub fn retire(&mut self, zxid: Zxid, keep: usize) -> Option<Retirement> {
        let followers = self.sealed.iter().skip(1).chain([&self.active.first]);
        let passed = followers.take(self.sealed.len());
        let passed = passed.take_while(|first| first.0 <= zxid.0.saturating_add(1)).count();
        let count = passed.saturating_sub(keep);
        self.sealed.drain(..count);
        let Folder { fs, dir, .. } = self.folder.clone();
        let first_kept = *self.sealed.first().unwrap_or(&self.active.first);
        (count > 0).then_some(Retirement { fs, dir, first_kept })
    }

    fn unless_failed(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        if self.has_failed {
            return Err(LogError::Failed);
        }
        let done = run(self);
        self.has_failed = matches!(done, Err(LogError::Io(_)));
        done
    }

    fn try_append(&mut self, batch: &mut Batch) -> Result<(), LogError> {
        if batch.is_empty() {
            return Ok(());
        }
        let last = batch.check_order(self.last)?;
        if !self.active.has_room_for(batch.size() as u64) {
            self.make_room(batch)?;
        }
        let mark = self.active.mark(self.folder.database);
        let chain = batch.link(mark, self.last, self.active.chain);
        self.active.write(batch.bytes(), chain, mark)?;
        self.active.batch_end = self.active.end;
        self.active.transactions += batch.transaction_count();
        self.last = last;
        batch.note_promises(&mut self.promises);
        Ok(())
    }

    fn try_sync(&mut self) -> Result<(), LogError> {
        self.active.file.sync_data()?;
        self.active.synced = self.active.end;
        self.durable = self.last;
        Ok(())
    }

    fn try_mark(&mut self) -> Result<(), LogError> {
        let is_news = self.active.marked < self.active.batch_end
            && self.active.batch_end <= self.active.synced;
        if !is_news || !self.active.has_room_for(record::MARK as u64) {
            return Ok(());
        }
        let mark = self.active.mark(self.folder.database);
        let mut bytes = [0; record::MARK];
        mark.write(&mut bytes, self.last);
        let chain = record::link(&mut bytes, self.active.chain);
        self.active.write(&bytes, chain, mark)
    }

    /// Makes the active segment one that has room for the batch.
    fn make_room(&mut self, batch: &Batch) -> Result<(), LogError> {
        let first = batch.transactions().next().map(|(zxid, _)| zxid);
        let first = first.unwrap_or(Zxid(self.last.0.saturating_add(1)));
        // A segment has its name from its first transaction: without one, or behind a truncation,
        // there is no name for another.
        if self.active.transactions == 0 || first <= self.active.first {
            return self.grow(batch.size() as u64);
        }
        self.roll(batch, first)
    }

    /// Enlarges the active segment for a batch of `length` bytes.
    fn grow(&mut self, length: u64) -> Result<(), LogError> {
        // When growing fails, nothing that counts is to be in doubt.
        self.try_sync()?;
        let Active { file, size, end, .. } = &self.active;
        let larger = segment::round_up(end + length + record::SEAL as u64);
        if let Err(error) = segment::write_zeros(&**file, *size, larger) {
            // To give the room back is a kindness; zeros do no harm.
            let _ = file.set_size(*size);
            return Err(LogError::no_room(error));
        }
        self.active.size = larger;
        Ok(())
    }

    /// Seals the active segment and begins the next, `first` being its name.
    fn roll(&mut self, batch: &Batch, first: Zxid) -> Result<(), LogError> {
        let (seal, chain) = self.seal();
        let header = Header {
            database: self.folder.database,
            first,
            previous: self.last,
            chain,
            promises: self.promises.clone(),
        };
        let needed = (header.encode().0.len() + batch.size() + record::SEAL) as u64;
        let spare = match self.spare.take_if(|spare| spare.size >= needed) {
            Some(spare) => spare,
            None => self.prepare_now(batch, needed).map_err(LogError::no_room)?,
        };
        // The next segment gets its name before this one is sealed: a sealed segment without one
        // behind it means that files are missing. Nothing goes into it before the seal is durable.
        let next = self.folder.install(spare, &header)?;
        self.active.file.write_at(self.active.end, &seal)?;
        self.active.file.sync_data()?;
        self.durable = self.last;
        self.sealed.push(self.active.first);
        self.active = next;
        self.is_spare_asked = false;
        Ok(())
    }

    /// The record that ends the active segment, and the chain behind it.
    fn seal(&self) -> (BytesMut, u32) {
        let mut seal = BytesMut::with_capacity(record::SEAL);
        let start = record::begin(&mut seal);
        seal.put_u64_le(self.active.transactions);
        record::end(&mut seal, start, Kind::Seal, self.last);
        let chain = record::link(&mut seal, self.active.chain);
        (seal, chain)
    }

    fn prepare_now(&mut self, batch: &Batch, needed: u64) -> fs::Result<Spare> {
        let size = self.folder.options.segment_bytes.max(needed);
        let spare = self.next_preparation(size).run();
        // A promise must be kept on a disk that is too full for a whole segment, too.
        if batch.transaction_count() == 0 && spare.as_ref().is_err_and(FsError::is_full) {
            return self.next_preparation(needed).run();
        }
        spare
    }

    fn next_preparation(&mut self, size: u64) -> Preparation {
        self.spares += 1;
        self.folder.preparation(self.spares, size)
    }
}

/// The removal of files that the log has let go: a job that may run beside it, on another thread.
/// Two of them must not run at once.
#[derive(Debug)]
pub struct Retirement {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    first_kept: Zxid,
}

impl Retirement {
    /// Removes the files, those that an earlier job could not remove included, and gives their
    /// number. Oldest first and one by one, so that no failure and no crash leaves a hole.
    pub fn run(self) -> fs::Result<usize> {
        let Self { fs, dir, first_kept } = self;
        fs.sync_dir(&dir)?;
        let names = fs.list(&dir)?;
        let names = names.iter().filter_map(|name| segment::parse_name(name));
        let mut count = 0;
        for name in names.filter(|name| *name < first_kept) {
            fs.remove(&segment::path(&dir, name))?;
            fs.sync_dir(&dir)?;
            count += 1;
        }
        Ok(count)
    }
}
