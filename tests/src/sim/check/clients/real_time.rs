use std::collections::BTreeMap;

use quorate_protocol::{OpCode, SessionId, Zxid};

use crate::{
    Op,
    sim::{check::Broken, history::Call},
};

/// A write takes effect between its request and its answer: it comes behind every write that was
/// answered before it was asked for. What a session reads after a sync holds every write that was
/// answered before that sync was asked for.
pub(super) fn check(
    synced: &mut BTreeMap<SessionId, Zxid>,
    session: SessionId,
    call: Option<&Call>,
    zxid: Zxid,
    error: i32,
    may_be_unlogged: bool,
) -> Result<(), Broken> {
    let synced = synced.entry(session).or_default();
    if let Some(call) = call {
        // A refusal without a transaction, and the end of a local session, show the state they were
        // decided on.
        let has_own = call.is_write() && !may_be_unlogged;
        if has_own && zxid <= call.answered_before {
            return Err(Broken::new(
                "RealTime",
                format!(
                    "{:?} got {zxid}, and {} had been answered before it was asked for",
                    call.op, call.answered_before
                ),
            ));
        }
        if matches!(call.op, Op::Path(OpCode::Sync, _)) && error == 0 {
            *synced = (*synced).max(call.answered_before);
        }
    }
    if zxid < *synced {
        return Err(Broken::new(
            "SyncedRead",
            format!("session {session} is shown {zxid} after a sync behind {synced}"),
        ));
    }
    Ok(())
}
