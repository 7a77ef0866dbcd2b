//! Batches on their way to the log, in the order in which they are to be written.

use std::collections::VecDeque;

use quorate_protocol::Zxid;

use super::super::batch::{LogChange, LoggedBatch};
use crate::zab::Position;

/// The batch being built, and those in front of it.
pub(in crate::runtime) struct Outgoing {
    building: LoggedBatch,
    /// Batches that are complete and were not handed over yet.
    queued: VecDeque<LoggedBatch>,
    /// Batches given to be logged that have not come back.
    under_way: usize,
    /// Batches that came back for lack of room; they are to be tried again in an ensemble.
    returned: VecDeque<LoggedBatch>,
    /// A batch was refused, and those behind it are still to come back: what is being built will
    /// be refused, too. Only of a server alone.
    is_void: bool,
    /// Records appended so far.
    position: Position,
    /// The last transaction appended so far.
    last: Zxid,
    /// How often this server has become something else; batches know when they were built.
    term: u64,
}

impl Outgoing {
    pub(super) fn new(last: Zxid) -> Self {
        Self {
            building: LoggedBatch::default(),
            queued: VecDeque::new(),
            under_way: 0,
            returned: VecDeque::new(),
            is_void: false,
            position: Position::default(),
            last,
            term: 0,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn last_zxid(&self) -> Zxid {
        self.last
    }

    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// What is built from now on belongs to another duty than what was built so far.
    pub(super) fn begin_term(&mut self) {
        self.finish_building();
        self.term += 1;
    }

    /// The batch being built, to add records to; told by [`Self::added`].
    pub(super) fn building(&mut self, now_us: impl FnOnce() -> i64) -> &mut LoggedBatch {
        if self.building.is_empty() {
            self.building.begun_us = now_us();
            self.building.term = self.term;
            self.building.after = self.last;
        }
        &mut self.building
    }

    /// A record was added, a transaction with this zxid or a promise.
    pub(super) fn added(&mut self, transaction: Option<Zxid>) {
        self.position.0 += 1;
        self.building.position = self.position;
        if let Some(zxid) = transaction {
            self.last = zxid;
        }
    }

    /// The log changes behind everything added so far; `last` is its last transaction then.
    pub(super) fn change(&mut self, change: LogChange, last: Zxid, now_us: i64) {
        self.finish_building();
        self.last = last;
        let position = self.position;
        let building = self.building(|| now_us);
        building.before = Some(change);
        building.position = position;
        self.finish_building();
    }

    fn finish_building(&mut self) {
        if !self.building.is_empty() {
            self.queued.push_back(std::mem::take(&mut self.building));
        }
    }

    /// Whether one small batch is all there is to log.
    pub(in crate::runtime) fn is_lone(&self) -> bool {
        self.under_way == 0 && self.queued.is_empty() && self.building.is_lone()
    }

    /// Whether there is nothing to hand over, or nothing that may be.
    pub(in crate::runtime) fn is_empty(&self) -> bool {
        self.is_void || (self.queued.is_empty() && self.building.is_empty())
    }

    /// The next batch to be logged; `spare` takes the place of one being built.
    pub(in crate::runtime) fn hand_over(
        &mut self,
        spare: impl FnOnce() -> LoggedBatch,
    ) -> LoggedBatch {
        self.under_way += 1;
        match self.queued.pop_front() {
            Some(batch) => batch,
            None => std::mem::replace(&mut self.building, spare()),
        }
    }

    pub(super) fn came_back(&mut self) {
        self.under_way -= 1;
    }

    /// A batch came back unwritten, to be tried again in front of all others.
    pub(super) fn try_again(&mut self, batch: LoggedBatch) {
        self.returned.push_back(batch);
        if self.under_way == 0 {
            while let Some(batch) = self.returned.pop_back() {
                self.queued.push_front(batch);
            }
        }
    }

    /// A batch was refused for good. What was built behind it is to be refused with it, and is
    /// returned once nothing is under way any more; the log's last transaction is `last` then.
    pub(super) fn refuse(&mut self, last: Zxid) -> Option<LoggedBatch> {
        self.is_void = self.under_way > 0;
        if self.is_void {
            return None;
        }
        self.last = last;
        Some(std::mem::take(&mut self.building))
    }
}
