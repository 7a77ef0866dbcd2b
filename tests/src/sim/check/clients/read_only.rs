use quorate_protocol::{ErrorCode, OpCode};

use crate::{
    Op,
    sim::{check::Broken, history::History},
};

/// A read-only server takes no write and proves nothing by a sync, and only such a one says so.
pub(super) fn check(history: &History) -> Result<(), Broken> {
    for call in &history.calls {
        let Some((_, reply)) = &call.answer else { continue };
        let read_only = history.streams[call.stream].read_only;
        let ends = call.ends_session();
        let asks_for_more =
            call.is_write() && !ends || matches!(call.op, Op::Path(OpCode::Sync, _));
        let is_refused = reply.error == ErrorCode::NotReadOnly.wire();
        if is_refused && !read_only || read_only && asks_for_more && !is_refused {
            return Err(Broken::new(
                "ReadOnly",
                format!("{:?} got {reply:?} from a server that is read-only: {read_only}", call.op),
            ));
        }
    }
    Ok(())
}
