//! What a history proves: a verdict with reasons.
//!
//! Every reply carries a zxid, and all changes are ordered by theirs. So no search is needed: each
//! answer is a statement about the zxids of changes ("this node was created by then, that
//! value was not written yet"), and a history is right if all statements hold together. `model`
//! collects them for nodes and their values, `sessions` for the ends of sessions, `order`
//! compares the order of zxids with that of time, `unknown` looks whether requests without an
//! answer account for what nobody else did. `linearizable` trusts no zxid and no version order:
//! it searches for an order of the operations of each register by itself.
//!
//! Nothing here knows how the history came about.

mod linearizable;
mod model;
mod order;
mod sessions;
mod slot;
mod unknown;

use std::collections::BTreeMap;

use crate::{history::History, target::Kind};

/// A property that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// No two writes have the same zxid.
    Unique,
    /// A write has a greater zxid than anything seen by anybody before it was sent.
    RealTime,
    /// What a session sees never goes back, across reconnects too.
    Monotone,
    /// A session's writes have their effects in the order in which they were sent.
    SessionOrder,
    /// Replies to writes are what the model says: versions, numbers of names, owners.
    Replies,
    /// Reads show the state at the zxid of their reply, with values that somebody wrote.
    Reads,
    /// What is there without an acknowledgement was asked for by a request without an answer.
    Unknown,
    /// A read behind a sync shows all that anybody has seen before the sync.
    SyncRead,
    /// A session's nodes are there until its end and go all at once.
    Ephemeral,
    /// No session ends before its timeout while its client is heard.
    EarlyEnd,
    /// No session is refused before its timeout while its client is heard.
    EarlyRefusal,
    /// No node outlives its session.
    Ghost,
    /// In the end each server has everything that was acknowledged.
    Final,
    /// Registers are linearizable, by search.
    Linearizable,
}

impl Check {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 14] = [
        Self::Unique,
        Self::RealTime,
        Self::Monotone,
        Self::SessionOrder,
        Self::Replies,
        Self::Reads,
        Self::Unknown,
        Self::SyncRead,
        Self::Ephemeral,
        Self::EarlyEnd,
        Self::EarlyRefusal,
        Self::Ghost,
        Self::Final,
        Self::Linearizable,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unique => "zxids are unique",
            Self::RealTime => "zxids follow real time",
            Self::Monotone => "sessions never go back",
            Self::SessionOrder => "writes of a session in order",
            Self::Replies => "replies to writes",
            Self::Reads => "reads",
            Self::Unknown => "writes without an answer",
            Self::SyncRead => "sync+read is current",
            Self::Ephemeral => "ephemerals go with sessions",
            Self::EarlyEnd => "no session ends early",
            Self::EarlyRefusal => "no session is refused early",
            Self::Ghost => "no ghosts",
            Self::Final => "final state has everything",
            Self::Linearizable => "registers are linearizable",
        }
    }

    /// Whether a violation condemns this target. What ZooKeeper is known not to promise is only
    /// counted there: its sync takes no quorum round, so a deposed leader answers it from a
    /// stale tree (ZOOKEEPER-1675, ZOOKEEPER-3600), and refuses sessions by its own stale list.
    pub fn condemns(self, target: Kind) -> bool {
        target == Kind::Quorate || !matches!(self, Self::SyncRead | Self::EarlyRefusal)
    }
}

/// How often a property was looked at, and what speaks against it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// How many cases there were.
    pub examined: usize,
    /// How many violate it.
    pub violations: usize,
    /// The first of those, for people.
    pub examples: Vec<String>,
    /// Why it could not be decided for some, if so.
    pub undecided: Vec<String>,
}

/// Examples kept of each violation.
const EXAMPLES: usize = 8;

/// What was found, by property.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(BTreeMap<Check, Finding>);

impl Findings {
    /// What is known of a property; nothing if it does not concern the workload.
    pub fn get(&self, check: Check) -> Option<&Finding> {
        self.0.get(&check)
    }

    fn examined(&mut self, check: Check) {
        self.0.entry(check).or_default().examined += 1;
    }

    fn violated(&mut self, check: Check, example: impl FnOnce() -> String) {
        let finding = self.0.entry(check).or_default();
        finding.violations += 1;
        if finding.examples.len() < EXAMPLES {
            finding.examples.push(example());
        }
    }

    /// One case of a property, and whether it holds.
    fn expect(&mut self, check: Check, holds: bool, example: impl FnOnce() -> String) {
        self.examined(check);
        if !holds {
            self.violated(check, example);
        }
    }

    fn undecided(&mut self, check: Check, why: String) {
        self.0.entry(check).or_default().undecided.push(why);
    }
}

/// Whether a history is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything holds.
    Valid,
    /// Something could not be decided, and the rest holds.
    Unknown,
    /// Something is violated.
    Invalid,
}

impl Findings {
    /// The verdict on this target.
    pub fn verdict(&self, target: Kind) -> Verdict {
        let mut verdict = Verdict::Valid;
        for (check, finding) in &self.0 {
            if finding.violations > 0 && check.condemns(target) {
                return Verdict::Invalid;
            }
            if !finding.undecided.is_empty() {
                verdict = Verdict::Unknown;
            }
        }
        verdict
    }
}

/// Looks at all of a history.
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let seen = order::seen_before(&history.operations);
    order::check(history, &seen, &mut findings);
    let mut model = model::Model::new(history, &seen);
    model.check(&mut findings);
    unknown::check(&model, &mut findings);
    sessions::check(&model, &mut findings);
    linearizable::check(history, &mut findings);
    findings
}

#[cfg(test)]
mod tests;
