//! A few nodes that everybody reads and writes: as registers, they must be linearizable.

use super::{Generator, Source, Step};
use crate::history::{Op, Operation, Reply};

pub(super) const PARENT: &str = "/registers";
pub(super) const KEYS: usize = 6;

pub(super) fn path(key: usize) -> String {
    format!("{PARENT}/{key}")
}

#[derive(Debug)]
pub(super) struct Client {
    source: Source,
    /// The last version it has seen of each.
    versions: [i32; KEYS],
}

impl Client {
    pub(super) fn new(source: Source) -> Self {
        Self { source, versions: [0; KEYS] }
    }
}

impl Generator for Client {
    fn next(&mut self) -> Step {
        if self.source.percent(3) {
            return Step::Move;
        }
        let mut ops = Vec::new();
        for _ in 0..self.source.burst() {
            let key = self.source.rng.usize(..KEYS);
            let (path, version) = (path(key), self.versions[key]);
            let expected = Some(version);
            match self.source.rng.u32(..100) {
                0..25 => ops.push(Op::Get { path }),
                25..50 => ops.extend([Op::Sync, Op::Get { path }]),
                50..70 => {
                    ops.push(Op::Set { path, value: self.source.unique(), expected: None });
                }
                70..85 => ops.push(Op::Set { path, value: self.source.unique(), expected }),
                _ => return Step::Send(vec![Op::Sync, Op::Get { path }]),
            }
        }
        Step::Send(ops)
    }

    fn observe(&mut self, operation: &Operation) {
        let (Op::Get { path: of } | Op::Set { path: of, .. }) = &operation.op else { return };
        let Some(Reply::Data { stat, .. } | Reply::Stat(stat)) = operation.reply() else { return };
        for (key, version) in self.versions.iter_mut().enumerate() {
            if path(key) == *of {
                *version = stat.version;
            }
        }
    }
}
