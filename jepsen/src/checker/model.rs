//! Nodes, their values and sessions, as far as a history tells.
//!
//! Each change is a [`Slot`]: the creation of a node, each version of its data, the end of its
//! session. The operations are gone through in passes, certain knowledge first, and every answer
//! narrows slots. Nodes are created once and never deleted but by the end of their session; the
//! workloads see to that.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ErrorCode;

use super::{
    Check, Findings,
    slot::{Contradiction, Slot},
};
use crate::history::{History, Mode, Op, Operation, Outcome, Phase, Reply, SessionId, Stat, Zxid};

/// An operation, by its place in the history.
pub(super) type Index = usize;

/// A node that somebody asked for or saw.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) created: Slot,
    /// Who asked for it, as far as known.
    pub(super) creator: Option<Index>,
    /// Whose node it is, if it is ephemeral.
    pub(super) owner: Option<SessionId>,
    /// Versions of its data from 1; version 0 came with the creation.
    pub(super) versions: BTreeMap<i32, Version>,
}

/// A write of a node's data.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) written: Slot,
    /// Who asked for it, as far as known.
    pub(super) writer: Option<Index>,
}

impl Node {
    fn new(created: Slot, creator: Option<Index>, owner: Option<SessionId>) -> Self {
        Self { created, creator, owner, versions: BTreeMap::new() }
    }

    /// When a version was written; one that nobody has heard of yet is open.
    fn version(&mut self, version: i32) -> &mut Slot {
        if version == 0 {
            return &mut self.created;
        }
        let unheard = Version { written: Slot::OPEN, writer: None };
        &mut self.versions.entry(version).or_insert(unheard).written
    }
}

/// What all answers together say.
#[derive(Debug)]
pub(super) struct Model<'h> {
    pub(super) history: &'h History,
    /// What anybody had seen before each operation was sent.
    pub(super) seen: &'h [Zxid],
    /// By path.
    pub(super) nodes: BTreeMap<String, Node>,
    /// When sessions ended, as far as replies and ephemeral nodes tell.
    pub(super) ends: BTreeMap<SessionId, Slot>,
    /// Who writes a value; no value is written twice.
    writers: BTreeMap<&'h str, Index>,
    /// Paths below a parent.
    children: BTreeMap<String, BTreeSet<String>>,
}

impl<'h> Model<'h> {
    /// Nothing but who asked for what.
    pub(super) fn new(history: &'h History, seen: &'h [Zxid]) -> Self {
        let values = history.operations.iter().enumerate();
        let writers = values.filter_map(|(n, operation)| Some((operation.op.written()?, n)));
        let mut model = Self {
            history,
            seen,
            nodes: BTreeMap::new(),
            ends: BTreeMap::new(),
            writers: writers.collect(),
            children: BTreeMap::new(),
        };
        for (index, operation) in history.operations.iter().enumerate() {
            let Op::Create { path, mode, .. } = &operation.op else { continue };
            if *mode == Mode::Sequential || operation.error().is_some() {
                continue;
            }
            let owner = (*mode == Mode::Ephemeral).then_some(operation.session);
            // Acknowledged ones follow with their zxids.
            model.insert(path, Node::new(model.not_seen_before(index), Some(index), owner));
        }
        model
    }

    /// Goes through all answers.
    pub(super) fn check(&mut self, findings: &mut Findings) {
        let history = self.history;
        let passes: [fn(&mut Self, Index, &Operation, &mut Findings); 4] =
            [Self::writes, Self::data, Self::presence, Self::absence];
        for pass in passes {
            for (index, operation) in history.operations.iter().enumerate() {
                pass(self, index, operation, findings);
            }
        }
        self.versions_in_order(findings);
        self.numbers_in_order(findings);
        self.session_order(findings);
    }

    /// The nodes below a parent.
    pub(super) fn below(&self, parent: &str) -> impl Iterator<Item = (&str, &Node)> {
        let paths = self.children.get(parent).into_iter().flatten();
        paths.map(|path| (path.as_str(), &self.nodes[path]))
    }

    /// Where the effect of an operation can be at the earliest.
    pub(super) fn not_seen_before(&self, index: Index) -> Slot {
        let mut slot = Slot::OPEN;
        let _ = slot.later_than(self.seen[index]);
        slot
    }

    fn insert(&mut self, path: &str, node: Node) {
        self.children.entry(parent(path).to_owned()).or_default().insert(path.to_owned());
        self.nodes.insert(path.to_owned(), node);
    }

    fn end(&mut self, session: SessionId) -> &mut Slot {
        self.ends.entry(session).or_insert(Slot::OPEN)
    }

    /// The first pass: acknowledged writes, and what replies say of sessions.
    fn writes(&mut self, index: Index, operation: &Operation, findings: &mut Findings) {
        if operation.session != SessionId(0) {
            self.session(operation, findings);
        }
        let (Some(zxid), Some(reply)) = (operation.zxid(), operation.reply()) else { return };
        match (&operation.op, reply) {
            (Op::Create { path: asked, value, mode }, Reply::Created { path, stat }) => {
                let named = match mode {
                    Mode::Sequential => number(path).is_some() && path.starts_with(asked.as_str()),
                    Mode::Persistent | Mode::Ephemeral => path == asked,
                };
                let owner = (*mode == Mode::Ephemeral).then_some(operation.session);
                let wanted = Stat {
                    czxid: zxid,
                    mzxid: zxid,
                    pzxid: zxid,
                    version: 0,
                    cversion: 0,
                    owner: owner.unwrap_or_default(),
                    length: length(value),
                    children: 0,
                };
                findings.expect(Check::Replies, named && *stat == wanted, || operation.to_string());
                if let Some(node) = self.nodes.get_mut(path) {
                    let fits = node.created.exactly(zxid);
                    // The node of a name that the server has numbered is here only if it was
                    // acknowledged before.
                    let once = node.creator == Some(index);
                    findings.expect(Check::Replies, once && fits.is_ok(), || {
                        format!("created twice: {operation}")
                    });
                } else {
                    self.insert(path, Node::new(Slot::at(zxid), Some(index), owner));
                }
            }
            (Op::Set { path, value, expected }, Reply::Stat(stat)) => {
                let Some(node) = self.nodes.get_mut(path) else {
                    // A numbered node whose create was not answered.
                    let node = Node::new(Slot::OPEN, None, None);
                    self.insert(path, node);
                    return self.writes(index, operation, findings);
                };
                let version = stat.version;
                let follows = expected.is_none_or(|expected| version == expected + 1);
                let right = version > 0 && stat.mzxid == zxid && stat.length == length(value);
                let fits = right
                    && follows
                    && node.created.exactly(stat.czxid).is_ok()
                    && node.version(version).exactly(zxid).is_ok();
                findings.expect(Check::Replies, fits, || operation.to_string());
                if let Some(version) = node.versions.get_mut(&version) {
                    version.writer = Some(index);
                }
            }
            _ => {}
        }
    }

    /// What a reply says of its own session.
    fn session(&mut self, operation: &Operation, findings: &mut Findings) {
        let expired = operation.error() == Some(ErrorCode::SessionExpired.wire());
        let Some(zxid) = operation.zxid() else { return };
        let end = self.end(operation.session);
        let fits = match (&operation.op, &operation.outcome) {
            (Op::Close, Outcome::Ok { .. }) => end.exactly(zxid),
            (_, Outcome::Fail { .. }) if expired => end.at_most(zxid),
            _ => end.later_than(zxid),
        };
        let end = *end;
        findings.expect(Check::Ephemeral, fits.is_ok(), || {
            format!("the session ended {end}, but {operation}")
        });
    }

    /// The second pass: replies that name the version of a node, and with it who has written it.
    fn data(&mut self, _: Index, operation: &Operation, findings: &mut Findings) {
        let (Some(zxid), Some(reply)) = (operation.zxid(), operation.reply()) else { return };
        let (path, stat, value) = match (&operation.op, reply) {
            (Op::Get { path }, Reply::Data { value, stat }) => (path, stat, Some(value)),
            (Op::Exists { path }, Reply::Stat(stat)) => (path, stat, None),
            _ => return,
        };
        let writer = match value.map(|value| self.source(path, value, operation)) {
            Some(Err(why)) => {
                return findings.expect(Check::Reads, false, || format!("{why}: {operation}"));
            }
            Some(Ok(writer)) => Some(writer),
            None => None,
        };
        let history = self.history;
        let writer_op = writer.map(|writer| &history.operations[writer].op);
        let floor = writer.map_or(Slot::OPEN, |writer| self.not_seen_before(writer));
        if !self.nodes.contains_key(path) {
            // A numbered node whose create was not answered.
            self.insert(path, Node::new(Slot::OPEN, None, None));
        }
        let node = self.nodes.get_mut(path).expect("it was inserted");
        let mut fits = node.created.exactly(stat.czxid).is_ok()
            && node.version(stat.version).exactly(stat.mzxid).is_ok()
            && node.version(stat.version).at_most(zxid).is_ok()
            && node.version(stat.version + 1).later_than(zxid).is_ok()
            && node.version(stat.version).narrow(floor).is_ok()
            && stat.owner == node.owner.unwrap_or_default()
            && value.is_none_or(|value| stat.length == length(value));
        match (writer_op, node.versions.get_mut(&stat.version)) {
            (Some(Op::Create { .. }), None) => {
                fits &= stat.version == 0 && (node.creator.is_none() || node.creator == writer);
                node.creator = writer;
            }
            (Some(Op::Set { expected, .. }), Some(version)) => {
                fits &= version.writer.is_none() || version.writer == writer;
                fits &= expected.is_none_or(|expected| stat.version == expected + 1);
                version.writer = writer;
            }
            (None, _) => {}
            _ => fits = false,
        }
        findings.expect(Check::Reads, fits, || {
            let node = self.nodes.get(path).expect("it is there");
            let [this, next] = [0, 1].map(|n| node.clone().version(stat.version + n).to_string());
            format!("created {}, written {this}, again {next}: {operation}", node.created)
        });
    }

    /// Who has written a value that was read.
    fn source(&self, path: &str, value: &str, read: &Operation) -> Result<Index, &'static str> {
        let writer = *self.writers.get(value).ok_or("nobody writes that")?;
        let operation = &self.history.operations[writer];
        let there = match &operation.op {
            Op::Create { path: prefix, mode: Mode::Sequential, .. } => {
                path.starts_with(prefix.as_str())
            }
            Op::Create { path: asked, .. } | Op::Set { path: asked, .. } => path == asked,
            _ => false,
        };
        match operation.outcome {
            _ if !there => Err("that is written elsewhere"),
            Outcome::Fail { .. } => Err("that write was refused"),
            _ if read.returned.is_none_or(|returned| returned < operation.call) => {
                Err("that was not written yet")
            }
            _ => Ok(writer),
        }
    }

    /// The third pass: replies that say that a node was there, or had another version.
    fn presence(&mut self, _: Index, operation: &Operation, findings: &mut Findings) {
        let Some(zxid) = operation.zxid() else { return };
        match (&operation.op, &operation.outcome) {
            (Op::Children { path }, Outcome::Ok { reply: Reply::Names { names, stat }, .. }) => {
                self.names(path, names, stat, zxid, operation, findings);
            }
            (
                Op::Get { path } | Op::Exists { path } | Op::Set { path, .. },
                Outcome::Ok { reply: Reply::Data { .. } | Reply::Stat(_), .. },
            ) => self.present(path, zxid, operation, findings),
            (Op::Set { path, expected: Some(expected), .. }, Outcome::Fail { error, .. })
                if *error == ErrorCode::BadVersion.wire() =>
            {
                self.present(path, zxid, operation, findings);
                let Some(node) = self.nodes.get_mut(path) else { return };
                // Only of a version that was there by then it is sure that it was there no more.
                if node.version(*expected).happened_by(zxid) {
                    let next = node.version(expected + 1);
                    let fits = next.at_most(zxid);
                    let next = *next;
                    findings.expect(Check::Replies, fits.is_ok(), || {
                        format!("version {} came {next}, but {operation}", expected + 1)
                    });
                }
            }
            (Op::Set { expected: None, .. } | Op::Create { .. }, Outcome::Fail { error, .. })
                if [ErrorCode::BadVersion, ErrorCode::NodeExists]
                    .map(ErrorCode::wire)
                    .contains(error) =>
            {
                findings.expect(Check::Replies, false, || format!("no reason for {operation}"));
            }
            _ => {}
        }
    }

    fn names(
        &mut self,
        path: &str,
        names: &[String],
        stat: &Stat,
        zxid: Zxid,
        operation: &Operation,
        findings: &mut Findings,
    ) {
        let distinct: BTreeSet<_> = names.iter().collect();
        let whole = distinct.len() == names.len()
            && usize::try_from(stat.children) == Ok(names.len())
            && stat.pzxid <= zxid;
        findings.expect(Check::Reads, whole, || format!("no whole list: {operation}"));
        for name in names {
            let child = format!("{path}/{name}");
            if !self.nodes.contains_key(&child) && number(&child).is_some() {
                self.insert(&child, Node::new(Slot::OPEN, None, None));
            }
            self.present(&child, zxid, operation, findings);
        }
    }

    fn present(&mut self, path: &str, zxid: Zxid, operation: &Operation, findings: &mut Findings) {
        let Some(node) = self.nodes.get_mut(path) else {
            return findings
                .expect(Check::Reads, false, || format!("nobody creates {path}: {operation}"));
        };
        let mut fits = node.created.at_most(zxid).is_ok();
        let (created, owner) = (node.created, node.owner);
        findings.expect(Check::Reads, fits, || {
            format!("{path} was created {created}, but {operation}")
        });
        if let Some(owner) = owner {
            let end = self.end(owner);
            fits = end.later_than(zxid).is_ok();
            let end = *end;
            findings.expect(Check::Ephemeral, fits, || {
                format!("the session of {path} ended {end}, but {operation}")
            });
        }
    }

    /// The last pass: replies that say that a node was not there.
    fn absence(&mut self, _: Index, operation: &Operation, findings: &mut Findings) {
        let Some(zxid) = operation.zxid() else { return };
        let no_node = ErrorCode::NoNode.wire();
        match (&operation.op, &operation.outcome) {
            (Op::Get { path } | Op::Exists { path }, Outcome::Ok { reply: Reply::Missing, .. }) => {
                self.absent(path, zxid, operation, findings);
            }
            (Op::Set { path, .. }, Outcome::Fail { error, .. }) if *error == no_node => {
                self.absent(path, zxid, operation, findings);
            }
            (Op::Children { path }, Outcome::Ok { reply: Reply::Names { names, stat }, .. }) => {
                let present: BTreeSet<_> =
                    names.iter().map(|name| format!("{path}/{name}")).collect();
                let Some(known) = self.children.get(path) else { return };
                for path in known.difference(&present).cloned().collect::<Vec<_>>() {
                    self.absent(&path, zxid, operation, findings);
                }
                self.counted(path, &present, stat, zxid, operation, findings);
            }
            (Op::Children { .. }, Outcome::Ok { reply: Reply::Missing, .. })
            | (Op::Create { .. }, Outcome::Fail { .. })
                if operation.error().is_none_or(|error| error == no_node) =>
            {
                findings.expect(Check::Reads, false, || format!("parents stay: {operation}"));
            }
            _ => {}
        }
    }

    fn absent(&mut self, path: &str, zxid: Zxid, operation: &Operation, findings: &mut Findings) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        let created = node.created;
        let check = if operation.phase == Phase::Final { Check::Final } else { Check::Reads };
        let Some(owner) = node.owner else {
            let fits = node.created.later_than(zxid);
            return findings.expect(check, fits.is_ok(), || {
                format!("{path} was created {created}, but not there: {operation}")
            });
        };
        let end = self.ends.entry(owner).or_insert(Slot::OPEN);
        let known = *end;
        let fits = if created.happened_by(zxid) {
            end.at_most(zxid)
        } else if !known.may_have_happened_by(zxid) {
            node.created.later_than(zxid)
        } else {
            // Not created yet, or gone already.
            Ok(())
        };
        findings.expect(Check::Ephemeral, fits.is_ok(), || {
            format!("{path}, created {created}, session ended {known}, is not there: {operation}")
        });
    }

    /// A parent's counters against the children that were created by then.
    fn counted(
        &self,
        path: &str,
        present: &BTreeSet<String>,
        stat: &Stat,
        zxid: Zxid,
        operation: &Operation,
        findings: &mut Findings,
    ) {
        let children = || self.children[path].iter().map(|path| &self.nodes[path]);
        let certain = children().filter(|node| node.created.happened_by(zxid)).count();
        let possible = children().filter(|node| node.created.may_have_happened_by(zxid)).count();
        // Each create and each delete counts one, so what is not there any more counts two.
        let both = usize::try_from(stat.cversion).unwrap_or(0) + present.len();
        let counted = both.is_multiple_of(2) && (certain..=possible).contains(&(both / 2));
        findings.expect(Check::Reads, counted, || {
            format!("{certain} to {possible} children were created: {operation}")
        });
        let numbers: BTreeSet<_> = present.iter().filter_map(|path| number(path)).collect();
        if !numbers.is_empty() {
            let gapless = numbers.len() == present.len()
                && numbers.iter().copied().eq((0..).take(present.len()));
            findings.expect(Check::Reads, gapless, || format!("numbers are missing: {operation}"));
        }
    }

    /// Versions of a node were written one after the other, and nobody has skipped one.
    fn versions_in_order(&mut self, findings: &mut Findings) {
        for (path, node) in &mut self.nodes {
            let last = node.versions.iter().rev().find(|(_, version)| version.written.happened());
            let last = last.map_or(0, |(number, _)| *number);
            let mut fits = Ok(());
            for number in 1..=last {
                let before = node.version(number - 1).least();
                fits = fits.and(node.version(number).later_than(before));
            }
            for number in (1..=last).rev() {
                let behind = Zxid(node.version(number).most().0 - 1);
                fits = fits.and(node.version(number - 1).at_most(behind));
            }
            findings.expect(Check::Reads, fits == Ok::<(), Contradiction>(()), || {
                let slot = |(number, version): (&i32, &Version)| {
                    format!("{number} was written {}", version.written)
                };
                let versions: Vec<_> = node.versions.iter().map(slot).take(20).collect();
                format!("{path}: created {}; version {}", node.created, versions.join("; "))
            });
        }
    }

    /// Numbers the server gives rise with the zxid.
    fn numbers_in_order(&self, findings: &mut Findings) {
        for paths in self.children.values() {
            let numbered = paths.iter().filter(|path| number(path).is_some());
            let mut created: Vec<_> = numbered
                .filter_map(|path| Some((self.nodes[path].created.exact()?, path)))
                .collect();
            created.sort_unstable();
            for pair in created.windows(2) {
                findings.expect(Check::Replies, number(pair[0].1) < number(pair[1].1), || {
                    format!("numbers against the order of zxids: {pair:?}")
                });
            }
        }
    }

    /// What a session has sent takes effect in that order and before its end, whether it was
    /// answered or not.
    fn session_order(&mut self, findings: &mut Findings) {
        let mut effects: Vec<(SessionId, Index, Zxid)> = Vec::new();
        let session = |index: Index| self.history.operations[index].session;
        let mut effect = |writer: Option<Index>, slot: Slot| {
            if let (Some(writer), Some(zxid)) = (writer, slot.exact()) {
                effects.push((session(writer), writer, zxid));
            }
        };
        for node in self.nodes.values() {
            effect(node.creator, node.created);
            for version in node.versions.values() {
                effect(version.writer, version.written);
            }
        }
        effects.sort_unstable();
        for pair in effects.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            findings.expect(Check::SessionOrder, pair[0].2 < pair[1].2, || {
                let [one, two] = [0, 1].map(|n: usize| &self.history.operations[pair[n].1]);
                format!("{} before {}: {one}; {two}", pair[1].2, pair[0].2)
            });
        }
        for (session, index, zxid) in effects {
            let end = self.end(session);
            let (known, fits) = (*end, end.later_than(zxid).is_ok());
            findings.expect(Check::SessionOrder, fits, || {
                let operation = &self.history.operations[index];
                format!("{zxid} though the session ended {known}: {operation}")
            });
        }
    }
}

/// The path above a path.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The number a server has put behind a name: ten digits behind a hyphen.
fn number(path: &str) -> Option<u32> {
    let (_, digits) = path.rsplit_once("/n-")?;
    (digits.len() == 10).then(|| digits.parse().ok())?
}

fn length(value: &str) -> i32 {
    i32::try_from(value.len()).expect("values are short")
}
