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
        if established.server != *leader {
            return Err(format!(
                "{server} follows {leader} in epoch {epoch}, which {} leads",
                established.server
            ));
        }
        let (own, leaders) = (&ledger.replicas[*server], &ledger.replicas[*leader]);
        if own.last() < established.last {
            return Err(format!(
                "{server} follows in epoch {epoch} and has only {} of {}",
                own.last(),
                established.last
            ));
        }
        let initial = |zxid| zxid <= established.last;
        let (from, own) = (leaders.floor, &own.log);
        // The leader may have begun anew since; then only what it still has can be compared.
        if let Some(extra) =
            own.iter().find(|&&e| initial(e.zxid) && e.zxid > from && !leaders.has(e))
        {
            return Err(format!("{server} follows {leader}, who does not have {}", extra.zxid));
        }
        let own = &ledger.replicas[*server];
        let mut behind = own.log.iter().filter(|e| !initial(e.zxid));
        if let Some(extra) = behind.find(|e| e.zxid.epoch() != *epoch) {
            return Err(format!("{server} follows {leader} and has kept {}", extra.zxid));
        }
        let missing = leaders.log.iter().find(|&&e| initial(e.zxid) && !own.has(e));
        missing.map_or(Ok(()), |e| Err(format!("{server} follows {leader} without {}", e.zxid)))
    }
}
