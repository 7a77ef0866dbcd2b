//! The log of a server: what it has been told, and what of it a crash leaves.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use quorate_protocol::{Encode, OpCode, SessionId, Zxid};

use crate::{
    storage::log::Epochs,
    txn::{SetDataTxn, Txn, TxnHeader},
    zab::{Configs, Configuration, History, Position},
};

/// A transaction and what it does: something that no other transaction does.
pub(super) type Entry = (Zxid, u64);

/// Which transactions bring a configuration.
#[derive(Debug, Default)]
pub(super) struct Book(BTreeMap<u64, Configuration>);

impl Book {
    pub(super) fn enter(&mut self, value: u64, config: Configuration) {
        self.0.insert(value, config);
    }

    pub(super) fn configuration(&self, value: u64) -> Option<&Configuration> {
        self.0.get(&value)
    }

    /// The last configuration among these, if there is one.
    pub(super) fn last(&self, entries: &[Entry]) -> Option<&Configuration> {
        entries.iter().rev().find_map(|(_, value)| self.configuration(*value))
    }

    /// A transaction's bytes.
    pub(super) fn bytes(&self, (zxid, value): Entry) -> Vec<u8> {
        let Some(config) = self.configuration(value) else { return value.to_be_bytes().to_vec() };
        let mut bytes = BytesMut::new();
        let client_id = SessionId(value.cast_signed());
        let kind = OpCode::Reconfig;
        TxnHeader { client_id, cxid: 0, zxid, time_ms: 0, kind }.encode(&mut bytes);
        let text = config.to_string();
        let data = Some(text.as_bytes());
        Txn::Reconfig(SetDataTxn { path: "/zookeeper/config".into(), data, version: -1 })
            .encode(&mut bytes);
        bytes.to_vec()
    }
}

/// What a transaction does, from its bytes: a header begins with it, too.
pub(super) fn value_of(txn: &[u8]) -> u64 {
    u64::from_be_bytes(*txn.first_chunk().unwrap())
}

/// What a log and the checkpoint below it hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub(super) accepted: u32,
    pub(super) current: u32,
    /// Everything from the beginning; up to `floor` it is in the checkpoint and not in the log.
    pub(super) entries: Vec<Entry>,
    pub(super) floor: Zxid,
    pub(super) committed: Zxid,
    /// Some of what there was is known to be lost.
    pub(super) incomplete: bool,
    /// What is noted of configurations.
    pub(super) configuration: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Accepted(u32),
    Current(u32),
    Configuration(Vec<u8>),
    Txn(Entry),
    Truncate(Zxid),
    Install(Zxid, Vec<Entry>),
}

impl Image {
    fn perform(&mut self, op: Op) {
        match op {
            Op::Accepted(epoch) => self.accepted = epoch,
            Op::Current(epoch) => {
                self.current = epoch;
                self.incomplete = false;
            }
            Op::Configuration(bytes) => self.configuration = bytes,
            Op::Txn(entry) => self.entries.push(entry),
            Op::Truncate(to) => self.entries.retain(|(zxid, _)| *zxid <= to),
            Op::Install(zxid, entries) => {
                self.incomplete |= zxid < self.last();
                self.entries = entries;
                self.floor = zxid;
            }
        }
    }

    pub(super) fn last(&self) -> Zxid {
        self.entries.last().map_or(self.floor, |(zxid, _)| *zxid).max(self.floor)
    }

    /// The entries above `after` and up to `upto`.
    pub(super) fn between(&self, after: Zxid, upto: Zxid) -> &[Entry] {
        let from = self.entries.partition_point(|(zxid, _)| *zxid <= after);
        let to = self.entries.partition_point(|(zxid, _)| *zxid <= upto);
        &self.entries[from..to.max(from)]
    }

    pub(super) fn up_to(&self, upto: Zxid) -> &[Entry] {
        self.between(Zxid(-1), upto)
    }

    fn epochs(&self) -> Epochs {
        let mut epochs = Epochs::new(self.floor);
        for (zxid, _) in self.between(self.floor, Zxid(i64::MAX)) {
            epochs.extend(*zxid);
        }
        epochs
    }
}

/// The log of a running server, and what it will find after a crash.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// As everything that was asked for has left it.
    pub(super) memory: Image,
    /// As it is durable.
    pub(super) durable: Image,
    waiting: VecDeque<(Op, Position, i64)>,
    appended: Position,
    synced: Position,
    /// Nothing becomes durable as long as this is.
    pub(super) held: bool,
}

/// What a sync has brought.
pub(super) struct Synced {
    pub(super) position: Position,
    pub(super) installed: Option<Zxid>,
}

impl Disk {
    /// What recovery tells after a crash, of which `kept` operations that were under way remain.
    pub(super) fn recover(&mut self, kept: usize, file: &Configuration, book: &Book) -> History {
        let under_way = std::mem::take(&mut self.waiting);
        for (op, ..) in under_way.into_iter().take(kept) {
            self.durable.perform(op);
        }
        let image = &mut self.durable;
        image.committed = image.committed.max(image.floor).min(image.last());
        self.memory = image.clone();
        (self.appended, self.synced) = (Position(0), Position(0));
        let mut configs = Configs::new(file.clone(), true);
        assert!(image.configuration.is_empty() || configs.recover(&image.configuration));
        for entry in &image.entries {
            match book.configuration(entry.1) {
                Some(config) if entry.0 <= image.committed => {
                    configs.recover_applied(config.to_string().as_bytes());
                }
                Some(_) => configs.recover_logged(&book.bytes(*entry)),
                None => {}
            }
        }
        History::new(image.accepted, image.current, image.epochs(), image.committed, configs)
            .with_loss(image.incomplete)
    }

    pub(super) fn append(&mut self, op: Op, position: Position, now_ms: i64) {
        assert_eq!(position.0, self.appended.0 + 1, "positions count records");
        self.appended = position;
        self.memory.perform(op.clone());
        self.waiting.push_back((op, position, now_ms));
    }

    /// The leader's own transactions.
    pub(super) fn propose(&mut self, entry: Entry, now_ms: i64) {
        self.append(Op::Txn(entry), Position(self.appended.0 + 1), now_ms);
    }

    /// What is no record.
    pub(super) fn change(&mut self, op: Op, now_ms: i64) {
        self.memory.perform(op.clone());
        self.waiting.push_back((op, self.appended, now_ms));
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn waits_ms(&self, now_ms: i64) -> i64 {
        self.waiting.front().map_or(0, |(_, _, since_ms)| now_ms - since_ms)
    }

    /// Makes the next `count` operations durable.
    pub(super) fn sync(&mut self, count: usize, committed: Zxid) -> Option<Synced> {
        if self.waiting.is_empty() {
            return None;
        }
        let mut installed = None;
        for (op, position, _) in self.waiting.drain(..count.min(self.waiting.len())) {
            if let Op::Install(zxid, _) = &op {
                installed = Some(*zxid);
            }
            self.durable.perform(op);
            self.synced = position;
        }
        self.durable.committed = committed.min(self.durable.last());
        Some(Synced { position: self.synced, installed })
    }

    pub(super) fn synced(&self) -> Position {
        self.synced
    }

    /// The log forgets what a checkpoint at `floor` holds.
    pub(super) fn raise_floor(&mut self, floor: Zxid) {
        self.memory.floor = self.memory.floor.max(floor);
        self.durable.floor = self.durable.floor.max(floor);
    }
}
