//! Appending to the log and making it durable.

use std::path::Path;
use std::sync::Arc;

use quorate_protocol::Zxid;

use super::cursor::Place;
use super::live::{Live, Segment, Waypoints};
use super::record::{self, Mark};
use super::retirement::Retirement;
use super::segment::{self, Base, Folder, Header, Preparation, Spare};
use super::{Batch, Epochs, LogError, LogSource, Options, Promises, State};
use crate::storage::fs::{self, File, Fs, FsError};

/// The log, open for appending. One thread drives it: [`append`](Self::append), then
/// [`sync`](Self::sync), then whatever waited for the batch may happen.
#[derive(Debug)]
pub struct Log {
    pub(super) folder: Folder,
    /// The segments, as those see them who read beside the writer.
    pub(super) live: Arc<Live>,
    pub(super) active: Active,
    /// What everything appended adds up to.
    pub(super) state: State,
    /// The last transaction at the time of the last sync.
    pub(super) durable: Zxid,
    /// The last transaction that the log itself says is committed.
    pub(super) noted: Zxid,
    spare: Option<Spare>,
    /// A spare to follow the active segment was asked for.
    is_spare_asked: bool,
    /// How many spares were begun, for their names.
    spares: u64,
    /// There may be files of segments that do not count any more.
    pub(super) has_leftovers: bool,
    /// The disk failed.
    has_failed: bool,
}

/// The segment that is written to. Invariant:
/// `marked <= synced <= end` and `batch_end <= end <= size`, with room for a seal behind `end`.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) file: Box<dyn File>,
    segment: Arc<Segment>,
    size: u64,
    /// Where the next record goes.
    end: u64,
    /// Where the last batch ends; only marks are behind it.
    batch_end: u64,
    /// What the next record is chained to.
    chain: u32,
    /// The file is durable up to here.
    synced: u64,
    /// The newest mark says that it is durable up to here.
    marked: u64,
}

impl Active {
    /// A segment that is durable up to `place` and zero behind it.
    pub(super) fn new(file: Box<dyn File>, segment: Arc<Segment>, size: u64, place: Place) -> Self {
        let Place { offset: end, chain, .. } = place;
        // Marks that are in it are not remembered; to say it again does no harm.
        let marked = 0;
        Self { file, segment, size, end, batch_end: end, chain, synced: end, marked }
    }

    fn has_room_for(&self, length: u64) -> bool {
        self.end + length + record::SEAL as u64 <= self.size
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
    /// `database` is a number drawn at random that tells this log from all others, `generation`
    /// that of the checkpoint it stands on.
    pub fn create(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        database: u64,
        generation: u64,
        previous: Zxid,
    ) -> Result<Self, LogError> {
        let state = State {
            epochs: Epochs::new(previous),
            promises: Promises::default(),
            committed: previous,
            generation,
        };
        Self::create_with(fs, dir, options, database, state)
    }

    /// As [`create`](Self::create), in the place of a log that was lost: it is empty, and its
    /// promises are [incomplete](Promises::incomplete).
    pub fn create_after_loss(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        database: u64,
        generation: u64,
    ) -> Result<Self, LogError> {
        let state = State {
            epochs: Epochs::default(),
            promises: Promises { incomplete: true, ..Promises::default() },
            committed: Zxid::ZERO,
            generation,
        };
        Self::create_with(fs, dir, options, database, state)
    }

    fn create_with(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        database: u64,
        state: State,
    ) -> Result<Self, LogError> {
        fs.create_dir(dir)?;
        let folder = Folder::new(fs, dir, options, database);
        let header = Header { database, number: 1, base: None, state };
        let spare = folder.preparation(0, options.segment_bytes).run();
        let active = Active::install(&folder, spare.map_err(LogError::no_room)?, &header)?;
        let live = Live::new(vec![active.segment.clone()]);
        Ok(Self::resume(folder, live, active, header.state, false))
    }

    /// The log whose active segment is durable and adds up to `state`.
    pub(super) fn resume(
        folder: Folder,
        live: Live,
        active: Active,
        state: State,
        has_leftovers: bool,
    ) -> Self {
        Self {
            folder,
            live: Arc::new(live),
            active,
            durable: state.epochs.last(),
            noted: state.committed,
            state,
            spare: None,
            is_spare_asked: false,
            spares: 1,
            has_leftovers,
            has_failed: false,
        }
    }

    /// The number drawn at random when the log was created.
    pub fn database(&self) -> u64 {
        self.folder.database
    }

    /// The generation of the checkpoint that the log stands on.
    pub fn generation(&self) -> u64 {
        self.state.generation
    }

    /// Exactly which transactions are in the log.
    pub fn epochs(&self) -> &Epochs {
        &self.state.epochs
    }

    /// The last transaction before the log.
    pub fn floor(&self) -> Zxid {
        self.state.epochs.floor()
    }

    /// The last transaction appended.
    pub fn last_zxid(&self) -> Zxid {
        self.state.epochs.last()
    }

    /// The last transaction that a crash cannot take.
    pub fn durable_zxid(&self) -> Zxid {
        self.durable
    }

    /// The last transaction known to be committed.
    pub fn committed(&self) -> Zxid {
        self.state.committed
    }

    /// Has the log note, with the next batch or when it is idle, that everything up to `zxid` is
    /// committed. From now on none of that can be cut off.
    pub fn set_committed(&mut self, zxid: Zxid) {
        self.state.committed = self.state.committed.max(zxid);
    }

    /// The newest promises appended.
    pub fn promises(&self) -> &Promises {
        &self.state.promises
    }

    /// How many files the log has.
    pub fn segment_count(&self) -> usize {
        self.live.count()
    }

    /// Where other threads can read what is in the log.
    pub fn source(&self) -> LogSource {
        LogSource::new(self.folder.clone(), self.live.clone())
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

    /// Notes in the log how far it is durable and what is committed, unless the next batch is
    /// going to: to be called when there is none. Until then damage to the last batch cannot be
    /// told from a torn end. Where there is no room for it, the next batch says it.
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
        let (count, floor) = self.live.retire(zxid, keep);
        self.state.epochs.raise_floor(floor);
        let is_needed = count > 0 || std::mem::take(&mut self.has_leftovers);
        is_needed.then(|| self.retirement())
    }

    /// The removal of all files that do not count any more.
    pub(super) fn retirement(&self) -> Retirement {
        Retirement::new(self.folder.clone(), self.live.numbers())
    }

    pub(super) fn unless_failed<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        if self.has_failed {
            return Err(LogError::Failed);
        }
        let done = run(self);
        self.has_failed = matches!(done, Err(LogError::Io(_)));
        done
    }

    fn try_append(&mut self, batch: &mut Batch) -> Result<(), LogError> {
        if let Some(committed) = batch.committed() {
            self.set_committed(committed);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let before = self.last_zxid();
        let last = batch.check_order(before)?;
        if !self.active.has_room_for(batch.size() as u64) {
            self.roll(batch)?;
        }
        let mark = self.next_mark(last);
        let chain = batch.link(mark, before, self.active.chain);
        self.active.write(batch.bytes(), chain, mark)?;
        self.active.batch_end = self.active.end;
        self.noted = mark.committed;
        batch.note(&mut self.state);
        self.active.segment.publish(self.end());
        Ok(())
    }

    pub(super) fn try_sync(&mut self) -> Result<(), LogError> {
        self.active.file.sync_data()?;
        self.active.synced = self.active.end;
        self.durable = self.last_zxid();
        Ok(())
    }

    fn try_mark(&mut self) -> Result<(), LogError> {
        let Active { marked, batch_end, synced, .. } = self.active;
        let last = self.last_zxid();
        let mark = self.next_mark(last);
        let is_news = (marked < batch_end && batch_end <= synced) || mark.committed > self.noted;
        if !is_news || !self.active.has_room_for(record::MARK as u64) {
            return Ok(());
        }
        let mut bytes = [0; record::MARK];
        mark.write(&mut bytes, last);
        let chain = record::link(&mut bytes, self.active.chain);
        self.active.write(&bytes, chain, mark)?;
        self.noted = mark.committed;
        self.active.segment.publish(self.end());
        Ok(())
    }

    /// What is to be noted with records behind which `last` is the last transaction.
    fn next_mark(&self, last: Zxid) -> Mark {
        let Active { end, synced, .. } = self.active;
        let committed = self.state.committed.min(last);
        Mark { database: self.folder.database, offset: end, synced, committed }
    }

    /// Where the next record goes.
    pub(super) fn end(&self) -> Place {
        let Active { end, chain, .. } = self.active;
        Place { offset: end, chain, last: self.last_zxid() }
    }

    /// Begins the next segment, with room for the batch.
    fn roll(&mut self, batch: &Batch) -> Result<(), LogError> {
        // What a segment continues is durable before the segment is there: whatever is missing
        // before it later on was lost by damage.
        if self.active.synced < self.active.end {
            self.try_sync()?;
        }
        let end = self.end();
        let base = Base { segment: self.number(), offset: end.offset, chain: end.chain };
        let next = self.next_header(Some(base), self.state.clone());
        let needed = batch.size() as u64;
        let spare = self.take_spare(&next, needed, batch.transaction_count() == 0)?;
        let active = Active::install(&self.folder, spare, &next)?;
        self.live.push(active.segment.clone());
        let full = self.enter(active, &next);
        segment::seal(&*full, end, next.number)?;
        Ok(())
    }

    /// The number of the active segment.
    pub(super) fn number(&self) -> u64 {
        self.active.segment.number
    }

    /// The header of the next segment.
    pub(super) fn next_header(&self, base: Option<Base>, mut state: State) -> Header {
        state.committed = state.committed.min(state.epochs.last());
        Header { database: self.folder.database, number: self.number() + 1, base, state }
    }

    /// Makes a segment the active one; gives the file of the one before.
    pub(super) fn enter(&mut self, active: Active, header: &Header) -> Box<dyn File> {
        self.noted = header.state.committed;
        self.is_spare_asked = false;
        std::mem::replace(&mut self.active, active).file
    }

    /// An empty segment with room for `length` bytes behind the header. If there is no room for a
    /// whole one, a `modest` need is content with a small one.
    pub(super) fn take_spare(
        &mut self,
        header: &Header,
        length: u64,
        modest: bool,
    ) -> Result<Spare, LogError> {
        let needed = header.encode().0.len() as u64 + length + record::SEAL as u64;
        if let Some(spare) = self.spare.take_if(|spare| spare.size >= needed) {
            return Ok(spare);
        }
        let size = self.folder.options.segment_bytes.max(needed);
        let mut spare = self.next_preparation(size).run();
        if modest && spare.as_ref().is_err_and(FsError::is_full) {
            spare = self.next_preparation(needed).run();
        }
        spare.map_err(LogError::no_room)
    }

    fn next_preparation(&mut self, size: u64) -> Preparation {
        self.spares += 1;
        self.folder.preparation(self.spares, size)
    }
}

impl Active {
    /// Makes an empty segment the one with this header.
    pub(super) fn install(
        folder: &Folder,
        spare: Spare,
        header: &Header,
    ) -> Result<Self, LogError> {
        let size = spare.size;
        let (file, start) = folder.install(spare, header)?;
        let Header { number, base, .. } = *header;
        let segment = Segment::new(number, base, start, start.offset, Waypoints::default());
        Ok(Self::new(file, Arc::new(segment), size, start))
    }

    /// As others see it.
    pub(super) fn segment(&self) -> Arc<Segment> {
        self.segment.clone()
    }
}
