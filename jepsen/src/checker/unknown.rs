//! Changes that nobody was told of, against requests that were never answered.
//!
//! A version that must have been written, or a numbered node that is there, without a request
//! that is known to have done it, needs one of those whose outcome is unknown: one that could have
//! done just this, and each only once. Requests that are left over were never done.

use std::collections::BTreeMap;

use super::{
    Check, Findings,
    model::{Index, Model},
    slot::Slot,
};
use crate::history::{Mode, Op, Outcome};

/// A change without an author.
#[derive(Debug)]
struct Orphan {
    what: String,
    slot: Slot,
    /// The version written; none for a creation.
    version: Option<i32>,
}

pub(super) fn check(model: &Model<'_>, findings: &mut Findings) {
    // By node for sets, and by parent, with its slash, for creates of numbered nodes.
    let mut orphans: BTreeMap<&str, Vec<Orphan>> = BTreeMap::new();
    let mut taken = Vec::new();
    for (path, node) in &model.nodes {
        taken.extend(node.creator);
        if node.created.happened() && node.creator.is_none() {
            let prefix = path.rsplit_once('/').map_or(0, |(parent, _)| parent.len() + 1);
            let orphan =
                Orphan { what: format!("{path} created"), slot: node.created, version: None };
            orphans.entry(&path[..prefix]).or_default().push(orphan);
        }
        for (&number, version) in &node.versions {
            taken.extend(version.writer);
            if version.written.happened() && version.writer.is_none() {
                let what = format!("version {number} of {path} written {}", version.written);
                let orphan = Orphan { what, slot: version.written, version: Some(number) };
                orphans.entry(path).or_default().push(orphan);
            }
        }
    }
    taken.sort_unstable();
    let mut free: BTreeMap<&str, Vec<Index>> = BTreeMap::new();
    for (index, operation) in model.history.operations.iter().enumerate() {
        let place = match &operation.op {
            Op::Set { path, .. } => path.as_str(),
            Op::Create { path, mode: Mode::Sequential, .. } => {
                path.rsplit_once('/').map_or("", |(parent, _)| &path[..=parent.len()])
            }
            _ => continue,
        };
        if operation.outcome == Outcome::Unknown && taken.binary_search(&index).is_err() {
            free.entry(place).or_default().push(index);
        }
    }
    for (place, orphans) in orphans {
        let free = free.get(place).map(Vec::as_slice).unwrap_or_default();
        adopt(model, &orphans, free, findings);
    }
}

/// Finds an author for each, by augmenting paths.
fn adopt(model: &Model<'_>, orphans: &[Orphan], free: &[Index], findings: &mut Findings) {
    let fits = |orphan: &Orphan, index: Index| {
        let mut slot = orphan.slot;
        let possible = slot.narrow(model.not_seen_before(index)).is_ok();
        let expected = match model.history.operations[index].op {
            Op::Set { expected, .. } => expected,
            _ => None,
        };
        possible && expected.is_none_or(|expected| orphan.version == Some(expected + 1))
    };
    let candidates: Vec<Vec<usize>> = orphans
        .iter()
        .map(|orphan| (0..free.len()).filter(|&n| fits(orphan, free[n])).collect())
        .collect();
    let mut author_of: Vec<Option<usize>> = vec![None; free.len()];
    for (orphan, what) in orphans.iter().enumerate() {
        let found = augment(orphan, &candidates, &mut author_of, &mut vec![false; free.len()]);
        findings.expect(Check::Unknown, found, || {
            format!("{} by nobody: {} writes there without an answer", what.what, free.len())
        });
    }
}

fn augment(
    orphan: usize,
    candidates: &[Vec<usize>],
    author_of: &mut [Option<usize>],
    visited: &mut [bool],
) -> bool {
    for &author in &candidates[orphan] {
        if std::mem::replace(&mut visited[author], true) {
            continue;
        }
        let other = author_of[author];
        if other.is_none_or(|other| augment(other, candidates, author_of, visited)) {
            author_of[author] = Some(orphan);
            return true;
        }
    }
    false
}
