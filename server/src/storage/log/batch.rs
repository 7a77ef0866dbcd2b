//! Records on their way into the log, encoded once, in place, in one reusable buffer.

use std::convert::Infallible;

use bytes::{BufMut, BytesMut};
use quorate_protocol::Zxid;

use super::record::{self, Kind, Mark, Record, UncheckedHeader};
use super::{LogError, State, advance};

/// Records to be written together and made durable by one sync.
///
/// [`Log::append`](super::Log::append) completes them (chain, checksums, the mark in front); until
/// [`clear`](Self::clear) the batch then still lends its transactions, to be applied.
#[derive(Debug)]
pub struct Batch {
    /// Room for a mark, then the records.
    buffer: BytesMut,
    /// The zxid of the last transaction.
    last: Option<Zxid>,
    transactions: u64,
    has_promises: bool,
    /// The last transaction known to be committed.
    committed: Option<Zxid>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        let mut buffer = BytesMut::new();
        buffer.put_bytes(0, record::MARK);
        Self { buffer, last: None, transactions: 0, has_promises: false, committed: None }
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.buffer.truncate(record::MARK);
        self.last = None;
        self.transactions = 0;
        self.has_promises = false;
        self.committed = None;
    }

    /// Adds a transaction: `write` appends its bytes and touches none before them.
    pub fn push(&mut self, zxid: Zxid, write: impl FnOnce(&mut BytesMut)) {
        let Ok(()) = self.try_push(|out| {
            write(out);
            Ok::<_, Infallible>(zxid)
        });
    }

    /// As [`push`](Self::push), for a `write` that says which zxid the transaction has, or finds
    /// that there is none to add.
    ///
    /// # Errors
    /// What `write` says; the batch is as before.
    pub fn try_push<E>(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> Result<Zxid, E>,
    ) -> Result<(), E> {
        let start = record::begin(&mut self.buffer);
        match write(&mut self.buffer) {
            Ok(zxid) => {
                record::end(&mut self.buffer, start, Kind::Transaction, zxid);
                self.last = Some(zxid);
                self.transactions += 1;
                Ok(())
            }
            Err(nothing) => {
                self.buffer.truncate(start);
                Err(nothing)
            }
        }
    }

    /// Adds the promise to follow the leader of `epoch`.
    pub fn push_accepted_epoch(&mut self, epoch: u32) {
        self.push_promise(Kind::AcceptedEpoch, &epoch.to_le_bytes());
    }

    /// Adds that the initial history of `epoch` is here.
    pub fn push_current_epoch(&mut self, epoch: u32) {
        self.push_promise(Kind::CurrentEpoch, &epoch.to_le_bytes());
    }

    /// Adds the configuration last seen.
    pub fn push_configuration(&mut self, configuration: &[u8]) {
        self.push_promise(Kind::Configuration, configuration);
    }

    /// Has the log note with the batch that everything up to `zxid` is committed.
    pub fn set_committed(&mut self, zxid: Zxid) {
        self.committed = Some(zxid);
    }

    fn push_promise(&mut self, kind: Kind, body: &[u8]) {
        let start = record::begin(&mut self.buffer);
        self.buffer.put_slice(body);
        record::end(&mut self.buffer, start, kind, Zxid::ZERO);
        self.has_promises = true;
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == record::MARK
    }

    /// How many bytes the log takes for it.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// How many transactions are in it.
    pub fn transaction_count(&self) -> u64 {
        self.transactions
    }

    /// The zxid of its last transaction.
    pub fn last_zxid(&self) -> Option<Zxid> {
        self.last
    }

    /// The last transaction known to be committed, if that was said.
    pub(super) fn committed(&self) -> Option<Zxid> {
        self.committed
    }

    /// The transactions in order, each with its bytes.
    pub fn transactions(&self) -> impl Iterator<Item = (Zxid, &[u8])> {
        self.records()
            .filter(|record| record.kind == Kind::Transaction)
            .map(|record| (record.zxid, record.body))
    }

    pub(super) fn records(&self) -> Records<'_> {
        Records { rest: &self.buffer[record::MARK..] }
    }

    /// The whole batch, as the log writes it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Where the log stands behind the batch; an error when the batch does not continue `last`.
    pub(super) fn check_order(&self, last: Zxid) -> Result<Zxid, LogError> {
        self.records().try_fold(last, |last, record| {
            advance(last, &record).ok_or(LogError::OutOfOrder { last, found: record.zxid })
        })
    }

    /// Adds the batch's transactions and promises to what was before.
    pub(super) fn note(&self, state: &mut State) {
        let before = state.epochs.last();
        match self.last {
            Some(last) if last.epoch() == before.epoch() && !self.has_promises => {
                state.epochs.extend(last);
            }
            _ => self.records().for_each(|record| state.note(&record)),
        }
    }

    /// Chains the records, behind a mark, to what stands before them; gives the new chain.
    pub(super) fn link(&mut self, mark: Mark, mut last: Zxid, mut chain: u32) -> u32 {
        mark.write(&mut self.buffer[..record::MARK], last);
        let mut rest = &mut self.buffer[..];
        while !rest.is_empty() {
            let (record, behind) = rest.split_at_mut(UncheckedHeader::read(rest).length_in(rest));
            if record[12] == Kind::Transaction as u8 {
                last = record::zxid_at(record, 16);
            } else {
                record[16..24].copy_from_slice(&last.0.to_le_bytes());
            }
            chain = record::link(record, chain);
            rest = behind;
        }
        chain
    }
}

/// The records of a batch in order; their checksums may not be there yet.
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let header = UncheckedHeader::read(self.rest);
        let (record, rest) = self.rest.split_at(header.length_in(self.rest));
        self.rest = rest;
        Some(header.trust(record).expect("a batch holds what it was given"))
    }
}
