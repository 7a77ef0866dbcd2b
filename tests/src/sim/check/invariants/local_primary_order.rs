use super::{Invariant, Ledger, Seen};

/// What a leader has broadcast is delivered in its order, without gaps.
#[derive(Debug)]
pub(super) struct LocalPrimaryOrder;

impl Invariant for LocalPrimaryOrder {
    fn name(&self) -> &'static str {
        "LocalPrimaryOrder"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Delivered { server, entry } = seen else { return Ok(()) };
        let last = ledger.replicas[*server].applied;
        let before = if last.epoch() == entry.zxid.epoch() { last.counter() } else { 0 };
        if entry.zxid.counter() == before + 1 {
            Ok(())
        } else {
            Err(format!("{server} delivers {} behind {last}", entry.zxid))
        }
    }
}
