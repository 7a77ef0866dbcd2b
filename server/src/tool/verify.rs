//! `quorate-server verify`: what a start would find, and everything that it would not look at.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quorate_protocol::{Decode, Zxid};
use serde_json::{Value, json};

use super::{Folders, Format, random};
use crate::storage::checkpoint::{self, Checkpoint};
use crate::storage::fs::{Fs, OverlayFs, RealFs};
use crate::storage::layout::Layout;
use crate::storage::log::inspect::{self, Entry, SegmentReader};
use crate::storage::log::{self, LogFiles};
use crate::storage::recovery::{self, Extent, OnLoss, RecoveryError};
use crate::tree::Tree;
use crate::txn::TxnRecord;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    folders: Folders,

    /// How to print the report
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let layout = self.folders.layout()?;
        let checked = check(&(Arc::new(RealFs) as _), &layout, random()?);
        let (report, code) = match checked {
            Ok(report) => {
                let code = u8::from(!report.problems.is_empty());
                (report, code)
            }
            Err(Unchecked(why)) => {
                writeln!(out, "{}", unchecked(&why, self.output))?;
                return Ok(ExitCode::from(2));
            }
        };
        match self.output {
            Format::Text => report.print(&layout, out)?,
            Format::Json => writeln!(out, "{}", report.to_json())?,
        }
        Ok(ExitCode::from(code))
    }
}

fn unchecked(why: &str, format: Format) -> String {
    match format {
        Format::Text => format!("cannot be checked: {why}"),
        Format::Json => json!({"result": "unchecked", "problems": [why]}).to_string(),
    }
}

/// Why nothing can be said about the data.
#[derive(Debug)]
pub struct Unchecked(pub String);

impl<E: Display> From<E> for Unchecked {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The segments of the log, in order.
    pub segments: Vec<Segment>,
    /// The checkpoint, when there is one that can be read.
    pub checkpoint: Option<CheckpointReport>,
    /// Transactions behind the checkpoint.
    pub replayed: u64,
    /// The last transaction.
    pub last_zxid: Zxid,
    /// The last transaction known to be committed.
    pub committed: Zxid,
    /// The newest epochs promised: accepted, current.
    pub epochs: (u32, u32),
    /// Nodes behind the last transaction.
    pub nodes: usize,
    /// Sessions then.
    pub sessions: usize,
    /// The tree's digest then.
    pub digest: u64,
    /// What is worth to be known and no damage.
    pub notes: Vec<String>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// A segment of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// The last transaction before it.
    pub previous: Zxid,
    /// The last transaction in it, or before it.
    pub last: Zxid,
    /// How many transactions.
    pub transactions: u64,
    /// How many marks.
    pub marks: u64,
    /// How many promises.
    pub promises: u64,
    /// Whether it says that the log goes on in another one.
    pub is_sealed: bool,
    /// Where a write that was never acknowledged was interrupted.
    pub torn: Option<u64>,
}

/// The checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Its generation.
    pub generation: u64,
    /// Its last transaction.
    pub zxid: Zxid,
    /// Its nodes.
    pub nodes: usize,
    /// Its digest, as recorded; the nodes add up to it.
    pub digest: u64,
}

/// Checks the data in these folders, of a server that does not run.
///
/// # Errors
/// When there is none, when a server runs on it, or when the disk fails.
pub fn check(base: &Arc<dyn Fs>, layout: &Layout, seed: u64) -> Result<Report, Unchecked> {
    let has_checkpoint = !checkpoint::generations(&**base, &layout.data())?.is_empty();
    if !has_checkpoint && base.list(&layout.log())?.is_empty() {
        return Err(format!("there is no data of Quorate in {}", layout.data().display()).into());
    }
    let mut report = Report::default();
    // Every check begins with what is on the disk.
    let overlay = || -> Arc<dyn Fs> { Arc::new(OverlayFs::new(base.clone())) };
    let locks = overlay();
    for lock in layout.locks() {
        if locks.lock(&lock)?.is_none() {
            return Err(format!("a server holds {}: stop it first", lock.display()).into());
        }
    }
    read_segments(&overlay(), layout, &mut report)?;
    read_chain(overlay(), layout, &mut report);
    replay(&overlay(), layout, seed, &mut report)?;
    Ok(report)
}

/// Reads every segment there is by itself.
fn read_segments(fs: &Arc<dyn Fs>, layout: &Layout, report: &mut Report) -> Result<(), Unchecked> {
    for number in inspect::segments(&**fs, &layout.log())? {
        let mut reader = match SegmentReader::open(fs.clone(), &layout.log(), number) {
            Ok(reader) => reader,
            Err(error) => {
                report.problems.push(error.to_string());
                continue;
            }
        };
        let previous = reader.info().previous;
        let mut segment = Segment { number, previous, ..Segment::default() };
        loop {
            match reader.read() {
                Ok(None) => break,
                Ok(Some((offset, Entry::Transaction { zxid, bytes }))) => {
                    segment.transactions += 1;
                    if let Err(error) = TxnRecord::from_bytes(bytes) {
                        report.problems.push(format!(
                            "transaction {zxid} at offset {offset} of segment {number} cannot be \
                             decoded: {error}"
                        ));
                    }
                }
                Ok(Some((_, Entry::Mark { .. }))) => segment.marks += 1,
                Ok(Some((_, Entry::Seal(_)))) => segment.is_sealed = true,
                Ok(Some(_)) => segment.promises += 1,
                Err(error) => {
                    report.problems.push(error.to_string());
                    break;
                }
            }
        }
        segment.last = reader.last_zxid();
        segment.torn = reader.torn();
        report.segments.push(segment);
    }
    Ok(())
}

/// Reads the segments as one log, from the oldest that is kept.
fn read_chain(fs: Arc<dyn Fs>, layout: &Layout, report: &mut Report) {
    let files = match LogFiles::find(fs, &layout.log(), log::Options::default()) {
        Ok(Some(files)) => files,
        // The replay says what to think of that.
        Ok(None) => return,
        Err(error) => return note_once(&mut report.problems, &error),
    };
    let floor = files.floor();
    if let Err(error) = files.replay(floor) {
        note_once(&mut report.problems, &error);
    }
}

/// Does what a start does, and goes on to the end of the log.
fn replay(
    fs: &Arc<dyn Fs>,
    layout: &Layout,
    seed: u64,
    report: &mut Report,
) -> Result<(), Unchecked> {
    let settings = recovery::Settings {
        layout: layout.clone(),
        log: log::Options::default(),
        database: 0,
        tree_seed: seed,
        replay: Extent::Committed,
        on_loss: OnLoss::Refuse,
    };
    let recovered = match recovery::open(fs, &settings) {
        Ok(recovered) => recovered,
        Err(error @ (RecoveryError::Fs(_) | RecoveryError::Locked { .. })) => {
            return Err(error.into());
        }
        Err(error) => {
            note_once(&mut report.problems, &error);
            return Ok(());
        }
    };
    if let Some(what) = &recovered.report.damaged_checkpoint {
        report.problems.push(format!("{what}; the log has everything that was in it"));
    }
    read_checkpoint(fs, layout, recovered.log.generation(), seed, report)?;
    let mut tree = recovered.tree;
    let mut mismatch = recovered.report.digest_mismatch;
    report.replayed = recovered.report.replayed;
    report.committed = recovered.committed;
    let mut reader = match recovered.log.source().open(tree.last_zxid()) {
        Ok(reader) => reader,
        Err(error) => {
            note_once(&mut report.problems, &error);
            return Ok(());
        }
    };
    while let Some((_, bytes)) = reader.next(Zxid(i64::MAX))? {
        let Ok(record) = TxnRecord::from_bytes(bytes) else { break };
        let outcome = tree.apply(&record, &mut |_| {});
        if outcome.digest_mismatch.is_some() {
            mismatch.get_or_insert(record.header.zxid);
        }
        report.replayed += 1;
    }
    if let Some(zxid) = mismatch {
        report.problems.push(format!("from {zxid} on the tree is not what its digest says"));
    }
    verify_nodes(&tree, "behind the last transaction", report);
    let promises = recovered.log.promises();
    if promises.incomplete {
        let what = "something was lost here before, and has not come back from the ensemble yet";
        report.notes.push(what.to_owned());
    }
    report.epochs = (promises.accepted_epoch, promises.current_epoch);
    report.last_zxid = tree.last_zxid();
    report.nodes = tree.node_count();
    report.sessions = tree.sessions().len();
    report.digest = tree.digest();
    Ok(())
}

/// Loads the checkpoint that counts, as it is on the disk, and compares every node with its digest.
fn read_checkpoint(
    fs: &Arc<dyn Fs>,
    layout: &Layout,
    generation: u64,
    seed: u64,
    report: &mut Report,
) -> Result<(), Unchecked> {
    let Some(checkpoint) = Checkpoint::open(fs.clone(), &layout.data(), generation)? else {
        return Ok(());
    };
    let Some(tree) = checkpoint.load(seed)? else {
        report.notes.push("there is no checkpoint yet: everything is in the log".to_owned());
        return Ok(());
    };
    verify_nodes(&tree, "in the checkpoint", report);
    let (zxid, nodes, digest) = (tree.last_zxid(), tree.node_count(), tree.digest());
    report.checkpoint = Some(CheckpointReport { generation, zxid, nodes, digest });
    Ok(())
}

fn verify_nodes(tree: &Tree, place: &str, report: &mut Report) {
    if let Err(error) = tree.verify_digests() {
        report.problems.push(format!("{place}: {error}"));
    }
}

/// Two checks may come upon the same damage.
fn note_once(problems: &mut Vec<String>, problem: &impl Display) {
    let problem = problem.to_string();
    // A start adds what it makes of it.
    if !problems.iter().any(|known| problem.contains(known.as_str())) {
        problems.push(problem);
    }
}

impl Report {
    fn print(&self, layout: &Layout, out: &mut dyn Write) -> io::Result<()> {
        for segment in &self.segments {
            let Segment { number, previous, last, transactions, marks, promises, .. } = segment;
            write!(
                out,
                "segment {number}: {transactions} transactions behind {previous} up to {last}, \
                 {marks} marks, {promises} promises"
            )?;
            let sealed = if segment.is_sealed { ", sealed" } else { "" };
            match segment.torn {
                Some(offset) => writeln!(out, "{sealed}, an interrupted write at offset {offset}")?,
                None => writeln!(out, "{sealed}")?,
            }
        }
        if let Some(CheckpointReport { generation, zxid, nodes, digest }) = self.checkpoint {
            writeln!(
                out,
                "checkpoint {generation}: zxid {zxid}, {nodes} nodes, digest {digest:#x}"
            )?;
        }
        let Self { replayed, last_zxid, committed, nodes, sessions, digest, .. } = self;
        writeln!(out, "replayed: {replayed}, last zxid: {last_zxid}, committed: {committed}")?;
        writeln!(out, "nodes: {nodes}, sessions: {sessions}, digest: {digest:#x}")?;
        let (accepted, current) = self.epochs;
        writeln!(out, "accepted epoch: {accepted}, current epoch: {current}")?;
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        for problem in &self.problems {
            writeln!(out, "DAMAGE: {problem}")?;
        }
        let (data, log) = (layout.data(), layout.data_log());
        let verdict = if self.problems.is_empty() { "whole" } else { "NOT whole" };
        writeln!(out, "the data in {} and {} is {verdict}", data.display(), log.display())
    }

    fn to_json(&self) -> Value {
        let segments = self.segments.iter().map(|segment| {
            json!({
                "number": segment.number,
                "previous": segment.previous.to_string(),
                "last": segment.last.to_string(),
                "transactions": segment.transactions,
                "marks": segment.marks,
                "promises": segment.promises,
                "sealed": segment.is_sealed,
                "torn": segment.torn,
            })
        });
        let checkpoint = self.checkpoint.map(|checkpoint| {
            json!({
                "generation": checkpoint.generation,
                "zxid": checkpoint.zxid.to_string(),
                "nodes": checkpoint.nodes,
                "digest": format!("{:#x}", checkpoint.digest),
            })
        });
        json!({
            "result": if self.problems.is_empty() { "whole" } else { "damaged" },
            "segments": segments.collect::<Vec<_>>(),
            "checkpoint": checkpoint,
            "replayed": self.replayed,
            "last_zxid": self.last_zxid.to_string(),
            "committed": self.committed.to_string(),
            "accepted_epoch": self.epochs.0,
            "current_epoch": self.epochs.1,
            "nodes": self.nodes,
            "sessions": self.sessions,
            "digest": format!("{:#x}", self.digest),
            "notes": self.notes,
            "problems": self.problems,
        })
    }
}
