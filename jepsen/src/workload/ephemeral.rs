//! Ephemeral nodes: there as long as their sessions, wherever these move, and gone with them.

use std::collections::VecDeque;

use super::{Generator, Source, Step};
use crate::history::{Mode, Op, Operation, Reply, SessionId};

const PARENTS: usize = 4;

/// Nodes a session has at most.
const NODES: usize = 8;

/// Nodes of others a client remembers.
const MEMORY: usize = 40;

fn parent(n: usize) -> String {
    format!("/ephemeral-{n}")
}

pub(super) fn parents() -> Vec<String> {
    (0..PARENTS).map(parent).collect()
}

#[derive(Debug)]
pub(super) struct Client {
    source: Source,
    session: SessionId,
    /// Nodes created since that session began, as far as known.
    own: usize,
    /// Nodes that are or were there.
    seen: VecDeque<String>,
}

impl Client {
    pub(super) fn new(source: Source) -> Self {
        Self { source, session: SessionId(0), own: 0, seen: VecDeque::new() }
    }

    fn create(&mut self) -> Op {
        let value = self.source.unique();
        let parent = parent(self.source.rng.usize(..PARENTS));
        Op::Create { path: format!("{parent}/{value}"), value, mode: Mode::Ephemeral }
    }

    fn remember(&mut self, path: String) {
        self.seen.push_back(path);
        if self.seen.len() > MEMORY {
            self.seen.pop_front();
        }
    }
}

impl Generator for Client {
    fn next(&mut self) -> Step {
        match self.source.rng.u32(..1000) {
            0..60 => return Step::Move,
            60..65 => return Step::Away(self.source.rng.f64() * 1.5),
            65..75 => return Step::Abandon,
            75..85 => {
                // What is sent just before the end belongs to the session, too.
                let mut ops: Vec<_> =
                    (0..self.source.rng.usize(..3)).map(|_| self.create()).collect();
                ops.push(Op::Close);
                return Step::Send(ops);
            }
            _ => {}
        }
        let mut ops = Vec::new();
        for _ in 0..self.source.burst() {
            let known = self.source.rng.choice(&self.seen).cloned();
            match (self.source.rng.u32(..100), known) {
                (0..30, _) if self.own < NODES => {
                    self.own += 1;
                    ops.push(self.create());
                }
                (30..50, Some(path)) => ops.push(Op::Exists { path }),
                (50..65, Some(path)) => ops.extend([Op::Sync, Op::Exists { path }]),
                (65..75, _) => ops.push(Op::Ping),
                _ => {
                    if self.source.percent(50) {
                        ops.push(Op::Sync);
                    }
                    ops.push(Op::Children { path: parent(self.source.rng.usize(..PARENTS)) });
                }
            }
        }
        Step::Send(ops)
    }

    fn observe(&mut self, operation: &Operation) {
        if operation.session != self.session {
            self.session = operation.session;
            self.own = 0;
        }
        match (&operation.op, operation.reply()) {
            (_, Some(Reply::Created { path, .. })) => self.remember(path.clone()),
            (Op::Children { path }, Some(Reply::Names { names, .. })) => {
                if let Some(name) = self.source.rng.choice(names) {
                    self.remember(format!("{path}/{name}"));
                }
            }
            _ => {}
        }
    }
}
