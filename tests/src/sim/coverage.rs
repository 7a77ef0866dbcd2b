//! What has occurred in simulations, so that nobody takes for tested what never happened.

use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter},
};

use quorate_protocol::{ErrorCode, OpCode};

use crate::{Body, Op, Reply};

/// How often what has occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Something has occurred.
    pub fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// How often it has.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Adds what has occurred elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (&what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// A request was answered.
    pub fn count_reply(&mut self, op: &Op, reply: &Reply) {
        let failed = reply.error != 0;
        if reply.error == ErrorCode::EphemeralOnLocalSession.wire() {
            self.count("local session owns nothing");
        }
        if reply.error == ErrorCode::NotReadOnly.wire() {
            self.count("read-only server refuses a write");
        }
        self.count(match op {
            Op::Multi(..) if is_failed_multi(reply) => "multi failed",
            Op::Multi(..) => "multi",
            Op::SetData(_, _, -1) => "set",
            Op::SetData(..) if failed => "compare and set failed",
            Op::SetData(..) => "compare and set",
            Op::Create(_, node) if failed && node.flags & 1 != 0 => "ephemeral refused",
            Op::Create(_, node) if node.flags & 2 != 0 => "sequential created",
            Op::Create(_, node) if node.flags & 1 != 0 => "ephemeral created",
            Op::Create(..) if failed => "create failed",
            Op::Create(..) => "created",
            Op::Path(OpCode::Sync, _) => "sync",
            Op::Read(_, _, true) => "read with a watch",
            Op::Read(..) => "read",
            _ => "other request",
        });
    }
}

fn is_failed_multi(reply: &Reply) -> bool {
    matches!(&reply.body, Body::Results(results) if results.iter().any(|(kind, ..)| *kind == -1))
}

impl Display for Coverage {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>12}  {what}"))
    }
}
