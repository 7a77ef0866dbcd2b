use super::{Invariant, Ledger, Seen};

/// What the leader of a lower epoch has broadcast is delivered before what that of a higher one
/// has.
#[derive(Debug)]
pub(super) struct GlobalPrimaryOrder;

impl Invariant for GlobalPrimaryOrder {
    fn name(&self) -> &'static str {
        "GlobalPrimaryOrder"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Delivered { server, entry } = seen else { return Ok(()) };
        let last = ledger.replicas[*server].applied;
        if entry.zxid.epoch() < last.epoch() {
            return Err(format!("{server} delivers {} behind {last}", entry.zxid));
        }
        Ok(())
    }
}
