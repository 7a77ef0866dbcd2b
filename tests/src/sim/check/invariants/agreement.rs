use super::{Invariant, Ledger, Seen};

/// If one server delivers a and another b, then one of them has delivered both: nobody passes over
/// what others have delivered.
#[derive(Debug)]
pub(super) struct Agreement;

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "Agreement"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Delivered { server, entry } = seen else { return Ok(()) };
        let have = ledger.replicas[*server].delivered;
        let before = ledger.delivered.partition_point(|other| other.zxid < entry.zxid);
        if have < before {
            let missed = ledger.delivered[have].zxid;
            return Err(format!("{server} delivers {} and has passed over {missed}", entry.zxid));
        }
        Ok(())
    }
}
