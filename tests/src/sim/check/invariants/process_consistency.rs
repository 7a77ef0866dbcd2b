use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Role;

/// Who has joined a leader's epoch has the leader's initial history: not less, and nothing else.
#[derive(Debug)]
pub(super) struct ProcessConsistency;

impl Invariant for ProcessConsistency {
    fn name(&self) -> &'static str {
        "ProcessConsistency"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Became { server, role: Role::Following { leader, epoch } } = seen else {
            return Ok(());
        };
        let Some(established) = ledger.leaders.get(epoch) else {
            return Err(format!("{server} follows in epoch {epoch}, which nobody has led"));
        };
        // An observer may learn from a follower, and hear late what that said before it left the epoch.
        if established.server != *leader && ledger.replicas[*leader].current_epoch < *epoch {
            return Err(format!(
                "{server} follows {leader} in epoch {epoch}, which {} leads",
                established.server
            ));
        }
        let own = &ledger.replicas[*server];
        if own.last() < established.last {
            return Err(format!(
                "{server} follows in epoch {epoch} and has only {} of {}",
                own.last(),
                established.last
            ));
        }
        let initial = |zxid| zxid <= established.last;
        let mut shared = own.log.iter().filter(|entry| initial(entry.zxid));
        if let Some(extra) = shared.find(|&&entry| !established.has(entry)) {
            return Err(format!("{server} follows {leader}, who does not have {}", extra.zxid));
        }
        let mut behind = own.log.iter().filter(|e| !initial(e.zxid));
        if let Some(extra) = behind.find(|e| e.zxid.epoch() != *epoch) {
            return Err(format!("{server} follows {leader} and has kept {}", extra.zxid));
        }
        let missing = established.log.iter().find(|&&entry| !own.has(entry));
        missing.map_or(Ok(()), |e| Err(format!("{server} follows {leader} without {}", e.zxid)))
    }
}
