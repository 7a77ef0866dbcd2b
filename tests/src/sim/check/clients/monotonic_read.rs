use std::collections::BTreeMap;

use quorate_protocol::{SessionId, Zxid};

use crate::sim::check::Broken;

/// What a session is shown never goes back, to whatever server it moves.
pub(super) fn check(
    seen: &mut BTreeMap<SessionId, Zxid>,
    session: SessionId,
    zxid: Zxid,
) -> Result<(), Broken> {
    let seen = seen.entry(session).or_default();
    if zxid < *seen {
        return Err(Broken::new(
            "MonotonicRead",
            format!("session {session} has seen {seen} and is shown {zxid}"),
        ));
    }
    *seen = zxid;
    Ok(())
}
