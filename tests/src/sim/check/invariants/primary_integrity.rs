use super::{Invariant, Ledger, Seen};

/// A leader has everything of earlier epochs before it broadcasts, whenever that is delivered and
/// by whom: nothing of an earlier epoch may be delivered later that was not in the leader's
/// initial history.
#[derive(Debug)]
pub(super) struct PrimaryIntegrity;

impl Invariant for PrimaryIntegrity {
    fn name(&self) -> &'static str {
        "PrimaryIntegrity"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Delivered { server, entry } = seen else { return Ok(()) };
        let later = ledger.leaders.range(entry.zxid.epoch() + 1..);
        match later.clone().find(|(_, established)| established.last < entry.zxid) {
            Some((epoch, established)) => Err(format!(
                "{server} delivers {}, which {}, the leader of epoch {epoch}, did not have",
                entry.zxid, established.server
            )),
            None => Ok(()),
        }
    }
}
