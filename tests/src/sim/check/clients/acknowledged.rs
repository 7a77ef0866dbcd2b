use quorate_protocol::{SessionId, Zxid};

use super::{may_be_unlogged, replay::Replayed};
use crate::sim::{
    check::Broken,
    history::{Call, History},
};

/// What was acknowledged has been delivered, with the zxid in its answer. What was refused without
/// a transaction has not.
pub(super) fn check(history: &History, replayed: &Replayed) -> Result<(), Broken> {
    for (index, call) in history.calls.iter().enumerate() {
        let Some((_, reply)) = &call.answer else { continue };
        if !call.is_write() {
            continue;
        }
        let applied = replayed.applied.get(&index).copied();
        let is_right = match applied {
            Some(zxid) => zxid == Zxid(reply.zxid),
            None => is_ended(call, history, replayed) || may_be_unlogged(reply.error),
        };
        if !is_right {
            return Err(Broken::new(
                "Acknowledged",
                format!(
                    "{:?} of session {} was answered with {} and error {}, and was delivered as \
                     {applied:?}",
                    call.op,
                    call.session,
                    Zxid(reply.zxid),
                    reply.error
                ),
            ));
        }
    }
    for refused in &history.refused {
        if !is_over(refused.session, history, replayed) {
            return Err(Broken::new(
                "SessionEnd",
                format!("session {} was refused and has not ended", refused.session),
            ));
        }
    }
    Ok(())
}

/// A client may ask for the end of a session that the server has just ended, or of one of its own.
fn is_ended(call: &Call, history: &History, replayed: &Replayed) -> bool {
    call.ends_session() && is_over(call.session, history, replayed)
}

/// Whether a session has ended. No transaction tells of the end of a local one, and nobody else
/// knows it.
fn is_over(session: SessionId, history: &History, replayed: &Replayed) -> bool {
    let was_local = history.has_local_sessions && !replayed.opened.contains(&session);
    was_local || replayed.ended.contains_key(&session)
}
