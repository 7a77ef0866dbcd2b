//! Taking transactions back, and beginning anew behind a snapshot.
//!
//! Both are one new segment, which says in its header what it continues: an earlier place of the
//! log, or none. The moment it has its name, everything that it does not continue is void.

use quorate_protocol::Zxid;

use super::cursor::{Cursor, Place};
use super::retirement::Retirement;
use super::segment::{self, Base, Header};
use super::writer::{Active, Log};
use super::{Epochs, LogError, State};

impl Log {
    /// Takes back all transactions above `to`; promises stay. Durable when it returns: the next
    /// transaction follows `to`. The void files go when the job runs, which may be on another
    /// thread; `None` when nothing was above `to`.
    ///
    /// # Errors
    /// After [`LogError::NotThere`], [`LogError::Committed`], [`LogError::Full`] and
    /// [`LogError::Corruption`] the log is as before. After any other error the process has to
    /// end.
    pub fn truncate(&mut self, to: Zxid) -> Result<Option<Retirement>, LogError> {
        self.unless_failed(|log| log.try_truncate(to))
    }

    /// Begins anew behind a snapshot whose last transaction is `after` and that is durable as the
    /// checkpoint of this `generation`; promises stay, and are
    /// [incomplete](super::Promises::incomplete) if there was more. Durable when it returns. The void files go
    /// when the job runs, which may be on another thread.
    ///
    /// # Errors
    /// After [`LogError::Full`] the log is as before. After any other error the process has to
    /// end.
    pub fn begin_anew(&mut self, after: Zxid, generation: u64) -> Result<Retirement, LogError> {
        self.unless_failed(|log| log.try_begin_anew(after, generation))
    }

    fn try_truncate(&mut self, to: Zxid) -> Result<Option<Retirement>, LogError> {
        let (last, committed) = (self.last_zxid(), self.committed());
        if !self.epochs().contains(to) {
            return Err(LogError::NotThere { to, floor: self.floor(), last });
        }
        if to < last && to < committed {
            return Err(LogError::Committed { to, committed });
        }
        // What a segment continues is durable before the segment is there.
        self.try_sync()?;
        if to == last {
            return Ok(None);
        }
        let (segment, place) = self.find(to)?;
        let base = Base { segment, offset: place.offset, chain: place.chain };
        let mut state = self.state.clone();
        state.epochs.truncate(to);
        let next = self.next_header(Some(base), state);
        self.cut(next, segment, place).map(Some)
    }

    fn try_begin_anew(&mut self, after: Zxid, generation: u64) -> Result<Retirement, LogError> {
        let mut promises = self.state.promises.clone();
        promises.incomplete |= after < self.last_zxid();
        let state = State { epochs: Epochs::new(after), promises, committed: after, generation };
        let next = self.next_header(None, state);
        self.cut(next, self.number(), self.end())
    }

    /// The first place behind which `to` is the last transaction, and the number of its segment.
    fn find(&self, to: Zxid) -> Result<(u64, Place), LogError> {
        let segment = self.live.holding(to).expect("the log contains it");
        let path = self.folder.path(segment.number);
        let file = self.folder.fs.open(&path)?;
        let mut cursor = Cursor::at(file, path, segment.nearest(to))?;
        cursor.seek(to, segment.end())?;
        Ok((segment.number, cursor.place()))
    }

    /// Goes on in a segment with this header, and seals a segment before it at this place.
    fn cut(&mut self, next: Header, sealed: u64, place: Place) -> Result<Retirement, LogError> {
        let spare = self.take_spare(&next, 0, true)?;
        let active = Active::install(&self.folder, spare, &next)?;
        self.live.cut(active.segment());
        let is_active = sealed == self.number();
        let before = self.enter(active, &next);
        self.state = next.state;
        self.durable = self.last_zxid();
        let file =
            if is_active { before } else { self.folder.fs.open(&self.folder.path(sealed))? };
        segment::seal(&*file, place, next.number)?;
        Ok(self.retirement())
    }
}
