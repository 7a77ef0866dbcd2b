//! What clients can see, checked against what was delivered.
//!
//! Every write has a zxid, so nobody has to search for an order that explains the answers: the
//! delivered transactions are replayed in theirs against the [`Model`](crate::sim::model::Model),
//! and every answer is compared with what the model says at its zxid. What can be told without
//! the model is checked as the answers come.

mod acknowledged;
mod ephemerals;
mod linearizability;
mod monotonic_read;
mod read_only;
mod real_time;
mod replay;
#[cfg(test)]
mod tests;

mod watch_order;

use std::collections::BTreeMap;

use quorate_protocol::{ErrorCode, SessionId, Zxid};

pub use replay::{Delivered, check};

use super::Broken;
use crate::sim::history::History;

/// The checks that are made as answers come.
#[derive(Debug, Default)]
pub struct Online {
    seen: BTreeMap<SessionId, Zxid>,
    synced: BTreeMap<SessionId, Zxid>,
}

impl Online {
    /// Looks at an answer before the history has it. `call` is none for a ping.
    pub fn answered(
        &mut self,
        history: &History,
        session: SessionId,
        call: Option<usize>,
        zxid: Zxid,
        error: i32,
    ) -> Result<(), Broken> {
        monotonic_read::check(&mut self.seen, session, zxid)?;
        let call = call.map(|call| &history.calls[call]);
        let may_be_unlogged = call.is_some_and(|call| {
            may_be_unlogged(error) || history.has_local_sessions && call.ends_session()
        });
        real_time::check(&mut self.synced, session, call, zxid, error, may_be_unlogged)
    }
}

/// Refusals that take no zxid: there was no room, the session was over, or it took too long.
fn may_be_unlogged(error: i32) -> bool {
    let codes = [
        ErrorCode::SystemError,
        ErrorCode::SessionExpired,
        ErrorCode::UnknownSession,
        ErrorCode::SessionMoved,
        ErrorCode::ThrottledOp,
        ErrorCode::NotReadOnly,
    ];
    codes.iter().any(|code| code.wire() == error)
}
