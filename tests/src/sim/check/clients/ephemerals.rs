use std::collections::BTreeSet;

use quorate_protocol::{SessionId, Zxid};

use crate::sim::{check::Broken, model::Model};

/// All nodes of a session go with its end, in one transaction, and none stays behind.
pub(super) fn check(
    model: &Model,
    session: SessionId,
    zxid: Zxid,
    gone: &[String],
) -> Result<(), Broken> {
    let gone: BTreeSet<_> = gone.iter().map(|path| &**path).collect();
    let its: BTreeSet<_> = model.ephemerals(session).into_iter().collect();
    if gone == its {
        return Ok(());
    }
    Err(Broken::new(
        "Ephemerals",
        format!("{zxid} ends session {session}, which owns {its:?}, and removes {gone:?}"),
    ))
}
