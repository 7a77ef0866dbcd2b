use super::{Invariant, Ledger, Seen};

/// If one server delivers a before b, every server that delivers b delivers a before.
#[derive(Debug)]
pub(super) struct TotalOrder;

impl Invariant for TotalOrder {
    fn name(&self) -> &'static str {
        "TotalOrder"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Delivered { server, entry } = seen else { return Ok(()) };
        let delivered = ledger.replicas[*server].delivered;
        let place = ledger.delivered_upto(entry.zxid);
        let is_new = delivered == ledger.delivered.len();
        // In the order of all, `place` counts those up to the entry itself, if it is there.
        let is_known = place > 0 && ledger.delivered[place - 1].zxid == entry.zxid;
        if is_known && (is_new || place - 1 < delivered) {
            return Err(format!("{server} delivers {} twice or out of order", entry.zxid));
        }
        if !is_known && place < ledger.delivered.len() {
            let later = ledger.delivered[place].zxid;
            return Err(format!("{server} delivers {}, another {later} without it", entry.zxid));
        }
        Ok(())
    }
}
