//! Creates and sets. What was acknowledged must be there in the end, what was refused must not.

use std::collections::BTreeMap;

use super::{Generator, Source, Step};
use crate::history::{Mode, Op, Operation, Reply};

/// Parents of nodes with names of their own, and of nodes with numbers.
const NAMED: usize = 12;
const NUMBERED: usize = 2;

fn named(n: usize) -> String {
    format!("/named-{n}")
}

fn numbered(n: usize) -> String {
    format!("/numbered-{n}")
}

pub(super) fn parents() -> Vec<String> {
    (0..NAMED).map(named).chain((0..NUMBERED).map(numbered)).collect()
}

#[derive(Debug)]
pub(super) struct Client {
    source: Source,
    /// Nodes it knows of, with the last version it has seen.
    nodes: BTreeMap<String, i32>,
}

impl Client {
    pub(super) fn new(source: Source) -> Self {
        Self { source, nodes: BTreeMap::new() }
    }

    fn create(&mut self) -> Op {
        let value = self.source.unique();
        if self.source.percent(20) {
            let parent = numbered(self.source.rng.usize(..NUMBERED));
            return Op::Create { path: format!("{parent}/n-"), value, mode: Mode::Sequential };
        }
        let parent = named(self.source.rng.usize(..NAMED));
        Op::Create { path: format!("{parent}/{value}"), value, mode: Mode::Persistent }
    }

    fn set(&mut self, path: String, version: i32) -> Op {
        let expected = self.source.percent(50).then_some(version);
        Op::Set { path, value: self.source.unique(), expected }
    }

    fn one(&mut self, ops: &mut Vec<Op>) {
        let known = self.source.rng.choice(self.nodes.iter());
        let known = known.map(|(path, version)| (path.clone(), *version));
        let Some((path, version)) = known else { return ops.push(self.create()) };
        match self.source.rng.u32(..100) {
            0..50 => {
                let create = self.create();
                // A set right behind the create, before anybody knows what became of that.
                if let Op::Create { path, mode: Mode::Persistent, .. } = &create
                    && self.source.percent(20)
                {
                    let path = path.clone();
                    ops.push(create);
                    ops.push(self.set(path, 0));
                } else {
                    ops.push(create);
                }
            }
            50..78 => ops.push(self.set(path, version)),
            78..88 => ops.push(Op::Get { path }),
            88..96 => ops.extend([Op::Sync, Op::Get { path }]),
            _ => {
                let parents = parents();
                let path = parents[self.source.rng.usize(..parents.len())].clone();
                if self.source.percent(50) {
                    ops.push(Op::Sync);
                }
                ops.push(Op::Children { path });
            }
        }
    }
}

impl Generator for Client {
    fn next(&mut self) -> Step {
        if self.source.percent(2) {
            return Step::Move;
        }
        let mut ops = Vec::new();
        for _ in 0..self.source.burst() {
            self.one(&mut ops);
        }
        Step::Send(ops)
    }

    fn observe(&mut self, operation: &Operation) {
        let (path, version) = match (&operation.op, operation.reply()) {
            (_, Some(Reply::Created { path, stat }))
            | (Op::Set { path, .. }, Some(Reply::Stat(stat)))
            | (Op::Get { path }, Some(Reply::Data { stat, .. })) => (path, stat.version),
            (Op::Children { path }, Some(Reply::Names { names, .. })) => {
                // Nodes of others; their versions are guessed, so some sets are refused.
                if let Some(name) = self.source.rng.choice(names) {
                    self.nodes.entry(format!("{path}/{name}")).or_default();
                }
                return;
            }
            _ => return,
        };
        self.nodes.insert(path.clone(), version);
    }
}
