//! The history that is in ZooKeeper's files.
//!
//! The newest whole snapshot, and the transactions behind it, each the next of its epoch or the
//! first of a later one. ZooKeeper does not look for holes; here a history with a hole, or one that
//! does not add up to the digests in it, is none, unless the caller says otherwise.

use std::collections::VecDeque;
use std::path::PathBuf;

use quorate_protocol::{Decode, ErrorCode, Zxid};

use super::loss::{At, Loss};
use super::{MigrateError, Source};
use crate::storage::fs::Fs;
use crate::tree::{CheckpointHead, Outcome, Tree};
use crate::txn::{Txn, TxnRecord};
use crate::zookeeper_files::log::{End, Entry, LogReader};
use crate::zookeeper_files::snapshot::Snapshot;
use crate::zookeeper_files::{self, Damage, FileError, Named, epochs, snapshot};

/// So many of the newest transactions are kept as transactions. A leader can take back what was not
/// committed, and no more than a few thousand can be on their way in an ensemble.
const TAIL: usize = 10_000;
/// They are not kept beyond so many bytes.
const TAIL_BYTES: usize = 64 << 20;

/// How to read.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Take what is whole up to the first loss, and report the loss instead of failing.
    pub accept_loss: bool,
    /// See [`Tree::new`].
    pub seed: u64,
}

/// A history: a tree, and the newest transactions in it one by one.
#[derive(Debug)]
pub struct History {
    /// The tree behind the last transaction. A checkpoint of it behind the last one before the
    /// tail is under way.
    pub tree: Tree,
    /// That checkpoint's head.
    pub head: CheckpointHead,
    /// The newest transactions.
    pub tail: Vec<(Zxid, Box<[u8]>)>,
    /// The newest epoch whose leader the server agreed to follow.
    pub accepted_epoch: u32,
    /// The newest epoch whose initial history it has.
    pub current_epoch: u32,
    /// What was read.
    pub report: Report,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The snapshot.
    pub snapshot: Option<PathBuf>,
    /// The snapshots newer than that, which are not whole.
    pub skipped: Vec<Damage>,
    /// Logs that were read.
    pub logs: usize,
    /// Transactions behind the snapshot.
    pub replayed: u64,
    /// The last transaction.
    pub last_zxid: Zxid,
    /// Nodes.
    pub nodes: usize,
    /// Sessions.
    pub sessions: usize,
    /// Ephemeral nodes.
    pub ephemerals: usize,
    /// The tree's digest.
    pub digest: u64,
    /// How often the digest was compared with what ZooKeeper had noted.
    pub digests_compared: u64,
    /// Ends of logs that are not whole records: writes that were interrupted.
    pub torn: Vec<(PathBuf, u64)>,
    /// What is missing, where that was accepted.
    pub losses: Vec<Loss>,
    /// What else is worth to be known.
    pub notes: Vec<String>,
}

/// Reads the history in these folders.
///
/// # Errors
/// When there is none, when it is not whole, or when the disk fails.
pub fn read(fs: &dyn Fs, source: &Source, settings: Settings) -> Result<History, MigrateError> {
    let mut snapshots = zookeeper_files::snapshots(fs, &source.snapshots)?;
    let logs = zookeeper_files::logs(fs, &source.logs)?;
    if snapshots.is_empty() && logs.is_empty() {
        return Err(MigrateError::Nothing { folders: source.clone() });
    }
    let mut report = Report::default();
    loop {
        let base = newest_whole(fs, &mut snapshots, settings.seed, &mut report)?;
        let base = Base::new(base, settings.seed);
        let mut attempt = Attempt { fs, settings, logs: &logs, report: report.clone() };
        match attempt.run(base) {
            // An older one shows less.
            Err(MigrateError::Lost(loss))
                if settings.accept_loss
                    && matches!(*loss, Loss::Ahead { .. })
                    && !snapshots.is_empty() =>
            {
                report.losses.push(*loss);
            }
            Err(error) => return Err(error),
            Ok(mut history) => {
                history.read_epochs(fs, source, settings)?;
                return Ok(history);
            }
        }
    }
}

/// The newest snapshot that is whole, and what is behind it in the list.
fn newest_whole(
    fs: &dyn Fs,
    snapshots: &mut Vec<Named>,
    seed: u64,
    report: &mut Report,
) -> Result<Option<(Named, Snapshot)>, MigrateError> {
    while let Some(named) = snapshots.pop() {
        match snapshot::read(fs, &named, seed) {
            Ok(snapshot) => return Ok(Some((named, snapshot))),
            Err(FileError::Damaged(damage)) => report.skipped.push(damage),
            Err(FileError::Fs(error)) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// What the transactions are applied to.
struct Base {
    path: Option<PathBuf>,
    tree: Tree,
    /// From this transaction on the tree is exact.
    exact_from: Zxid,
    digest: Option<(Zxid, u64)>,
}

impl Base {
    /// A snapshot, or the empty tree.
    fn new(snapshot: Option<(Named, Snapshot)>, seed: u64) -> Self {
        if let Some((named, Snapshot { tree, exact_from, digest, .. })) = snapshot {
            return Self { path: Some(named.path), tree, exact_from, digest };
        }
        let mut tree = Tree::new(seed);
        tree.set_lenient(true);
        Self { path: None, tree, exact_from: Zxid::ZERO, digest: None }
    }
}

/// What the logs hold behind a snapshot.
struct Plan {
    /// The last transaction to apply.
    last: Zxid,
    /// The last one before those that are kept one by one.
    floor: Zxid,
}

/// The reading of a history that begins with one snapshot.
struct Attempt<'a> {
    fs: &'a dyn Fs,
    settings: Settings,
    logs: &'a [Named],
    report: Report,
}

impl Attempt<'_> {
    fn run(&mut self, base: Base) -> Result<History, MigrateError> {
        let Base { path, mut tree, exact_from, digest } = base;
        let after = tree.last_zxid();
        let plan = self.plan(after, exact_from, path.is_some())?;
        if path.is_none() && plan.last == Zxid::ZERO {
            let damage = std::mem::take(&mut self.report.skipped);
            return Err(Loss::NoSnapshot { damage }.into());
        }
        let snapshot = path.clone().unwrap_or_default();
        if plan.last < exact_from {
            return Err(Loss::Ahead { snapshot, shows: exact_from, end: plan.last }.into());
        }
        let mut checks = Checks { exact_from, snapshot: digest, path: snapshot, lost: Vec::new() };
        checks.snapshot_digest(&tree, &mut self.report);
        let mut head = (plan.floor == after).then(|| tree.checkpoint_begin_whole());
        let mut tail = Vec::new();
        let mut chain = Chain::new(self.fs, self.logs, after);
        while tree.last_zxid() < plan.last
            && let Some(entry) = chain.next()?
        {
            let record = match TxnRecord::from_bytes(chain.bytes()) {
                Ok(record) => record,
                Err(error) => {
                    let (at, what) = (chain.at(entry), error.to_string());
                    checks.lost.push(Loss::Undecodable { at, what });
                    break;
                }
            };
            let outcome = tree.apply(&record, &mut |_| {});
            checks.outcome(&tree, &record, &outcome, &mut self.report, || chain.at(entry));
            if entry.zxid > plan.floor {
                tail.push((entry.zxid, chain.bytes().into()));
            }
            if entry.zxid == plan.floor {
                head = Some(tree.checkpoint_begin_whole());
            }
            self.report.replayed += 1;
        }
        if tree.has_unknown_acls() {
            checks.lost.push(Loss::UnknownAcl { snapshot: checks.path.clone() });
        }
        for loss in checks.lost {
            self.accept(loss)?;
        }
        let head = head.unwrap_or_else(|| tree.checkpoint_begin_whole());
        self.report.snapshot = path;
        self.report.last_zxid = tree.last_zxid();
        self.report.nodes = tree.node_count();
        self.report.sessions = tree.sessions().len();
        self.report.ephemerals = tree.ephemeral_count();
        self.report.digest = tree.digest();
        let report = std::mem::take(&mut self.report);
        Ok(History { tree, head, tail, accepted_epoch: 0, current_epoch: 0, report })
    }

    /// Reads the logs once to know where they end.
    fn plan(
        &mut self,
        after: Zxid,
        exact_from: Zxid,
        has_snapshot: bool,
    ) -> Result<Plan, MigrateError> {
        let mut chain = Chain::new(self.fs, self.logs, after);
        let mut plan = Plan { last: after, floor: after };
        let (mut kept, mut bytes) = (VecDeque::new(), 0);
        loop {
            let entry = match chain.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(MigrateError::Lost(mut loss)) => {
                    if let Loss::Hole { skipped, .. } = &mut *loss {
                        skipped.clone_from(&self.report.skipped);
                    }
                    let is_nothing = !has_snapshot && plan.last == Zxid::ZERO;
                    if is_nothing && !self.report.skipped.is_empty() {
                        let damage = self.report.skipped.clone();
                        return Err(Loss::NoSnapshot { damage }.into());
                    }
                    self.accept(*loss)?;
                    break;
                }
                Err(error) => return Err(error),
            };
            plan.last = entry.zxid;
            kept.push_back((entry.zxid, chain.bytes().len()));
            bytes += chain.bytes().len();
            // A log of ours cannot hold a transaction of this number, nor may the checkpoint be
            // of a tree that is not exact.
            let is_unfit = entry.zxid.counter() == 0 || entry.zxid <= exact_from;
            while kept.len() > TAIL || bytes > TAIL_BYTES || (is_unfit && !kept.is_empty()) {
                let (zxid, length) = kept.pop_front().expect("there are some");
                plan.floor = zxid;
                bytes -= length;
            }
        }
        self.report.logs = chain.opened;
        self.report.torn = chain.torn;
        Ok(plan)
    }

    /// Notes a loss, unless none is accepted.
    fn accept(&mut self, loss: Loss) -> Result<(), MigrateError> {
        if !self.settings.accept_loss {
            return Err(loss.into());
        }
        self.report.losses.push(loss);
        Ok(())
    }
}

/// Compares the tree with what ZooKeeper has noted of it. Of each kind the first difference is
/// lost news; later ones follow from it.
struct Checks {
    exact_from: Zxid,
    snapshot: Option<(Zxid, u64)>,
    path: PathBuf,
    lost: Vec<Loss>,
}

impl Checks {
    fn outcome(
        &mut self,
        tree: &Tree,
        record: &TxnRecord<'_>,
        outcome: &Outcome,
        report: &mut Report,
        at: impl Fn() -> At,
    ) {
        self.snapshot_digest(tree, report);
        let zxid = record.header.zxid;
        if zxid > self.exact_from
            && let Some(error) = misfit(record, outcome)
            && !self.lost.iter().any(|loss| matches!(loss, Loss::Misfit { .. }))
        {
            self.lost.push(Loss::Misfit { at: at(), error });
        }
        if zxid < self.exact_from || record.digest.is_none() {
            return;
        }
        report.digests_compared += 1;
        if let Some(mismatch) = outcome.digest_mismatch
            && !self.lost.iter().any(|loss| matches!(loss, Loss::Digest { .. }))
        {
            let (expected, found) = (mismatch.expected, mismatch.found);
            self.lost.push(Loss::Digest { at: at(), expected, found });
        }
    }

    /// The snapshot's own digest, when the tree has come to its transaction.
    fn snapshot_digest(&mut self, tree: &Tree, report: &mut Report) {
        let due = |&(zxid, _): &(Zxid, u64)| zxid <= tree.last_zxid() && zxid >= self.exact_from;
        let Some((zxid, expected)) = self.snapshot.take_if(|digest| due(digest)) else { return };
        if zxid != tree.last_zxid() {
            return;
        }
        report.digests_compared += 1;
        if tree.digest() != expected {
            let (snapshot, found) = (self.path.clone(), tree.digest());
            self.lost.push(Loss::SnapshotDigest { snapshot, zxid, expected, found });
        }
    }
}

/// Why a transaction that was carried out does not fit here.
fn misfit(record: &TxnRecord<'_>, outcome: &Outcome) -> Option<ErrorCode> {
    let failed = |error: &ErrorCode| *error != ErrorCode::Ok;
    match &record.txn {
        Txn::Error { .. } => None,
        Txn::Multi(multi) if multi.error().is_some() => None,
        Txn::Multi(_) => outcome.multi.iter().map(|op| op.error).find(failed),
        _ => Some(outcome.error).filter(failed),
    }
}

impl History {
    /// `Compat:` as `QuorumPeer.loadDataBase`: an epoch that was not noted is that of the last
    /// transaction. Unlike there, a current epoch below it does not end the start: the server then
    /// votes with the lower one, which claims less.
    fn read_epochs(
        &mut self,
        fs: &dyn Fs,
        source: &Source,
        settings: Settings,
    ) -> Result<(), MigrateError> {
        let epochs::Epochs { accepted, current, was_advancing } =
            epochs::read(fs, &source.snapshots)?;
        let of_last = self.tree.last_zxid().epoch();
        self.current_epoch = match current {
            Some(current) if current < of_last && !was_advancing => {
                self.report.notes.push(format!(
                    "the current epoch is {current}, below that of the last transaction, {of_last}"
                ));
                current
            }
            Some(current) => current.max(of_last),
            None => of_last,
        };
        let accepted = accepted.unwrap_or(of_last.max(self.current_epoch));
        if accepted < self.current_epoch {
            let (folder, current) = (source.snapshots.clone(), self.current_epoch);
            let loss = Loss::Epochs { folder, accepted, current };
            if !settings.accept_loss {
                return Err(loss.into());
            }
            self.report.losses.push(loss);
        }
        self.accepted_epoch = accepted.max(self.current_epoch);
        Ok(())
    }
}

/// The transactions of several logs behind one, in order and without a hole.
struct Chain<'a> {
    fs: &'a dyn Fs,
    /// The logs that were not opened yet.
    logs: &'a [Named],
    reader: Option<LogReader>,
    after: Zxid,
    last: Zxid,
    opened: usize,
    torn: Vec<(PathBuf, u64)>,
}

impl<'a> Chain<'a> {
    fn new(fs: &'a dyn Fs, logs: &'a [Named], after: Zxid) -> Self {
        let before = logs.partition_point(|log| log.zxid <= after);
        let logs = &logs[before.saturating_sub(1)..];
        Self { fs, logs, reader: None, after, last: after, opened: 0, torn: Vec::new() }
    }

    fn next(&mut self) -> Result<Option<Entry>, MigrateError> {
        loop {
            let Some(reader) = &mut self.reader else {
                let Some((log, rest)) = self.logs.split_first() else { return Ok(None) };
                self.reader = Some(LogReader::open(self.fs, &log.path)?);
                self.logs = rest;
                self.opened += 1;
                continue;
            };
            let Some(entry) = reader.read()? else {
                if let Some(End::Torn(offset)) = reader.end() {
                    self.torn.push((reader.path().to_owned(), offset));
                }
                self.reader = None;
                continue;
            };
            if entry.zxid <= self.after {
                continue;
            }
            if let Some(next) = self.logs.first().filter(|next| next.zxid <= entry.zxid) {
                return Err(Loss::Twice { at: self.at(entry), next: next.path.clone() }.into());
            }
            if !follows(self.last, entry.zxid) {
                let (at, after) = (self.at(entry), self.last);
                return Err(Loss::Hole { at, after, skipped: Vec::new() }.into());
            }
            self.last = entry.zxid;
            return Ok(Some(entry));
        }
    }

    /// The transaction read last.
    fn bytes(&self) -> &[u8] {
        self.reader.as_ref().map_or(&[], LogReader::bytes)
    }

    fn at(&self, entry: Entry) -> At {
        let file = self.reader.as_ref().map(|reader| reader.path().to_owned());
        At { file: file.unwrap_or_default(), offset: entry.offset, zxid: entry.zxid }
    }
}

/// Whether nothing can have been between two transactions. `Compat:` a server alone counts on
/// beyond what an epoch has room for.
fn follows(last: Zxid, next: Zxid) -> bool {
    next.0 == last.0.wrapping_add(1) || (next.epoch() > last.epoch() && next.counter() == 1)
}
