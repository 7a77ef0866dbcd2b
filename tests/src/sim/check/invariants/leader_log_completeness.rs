use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Role;

/// Who begins to lead an epoch has every transaction of earlier ones that anybody has delivered,
/// durably. Of later ones it need not have any: the acknowledgements that make it the leader may
/// have been long on their way, and nobody will follow it.
#[derive(Debug)]
pub(super) struct LeaderLogCompleteness;

impl Invariant for LeaderLogCompleteness {
    fn name(&self) -> &'static str {
        "LeaderLogCompleteness"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Became { server, role: Role::Leading { epoch } } = seen else { return Ok(()) };
        let replica = &ledger.replicas[*server];
        let mut earlier = ledger.delivered.iter().filter(|entry| entry.zxid.epoch() < *epoch);
        match earlier.find(|&&entry| !replica.has(entry)) {
            Some(missing) => Err(format!(
                "{server}, the leader of epoch {epoch}, does not have {}",
                missing.zxid
            )),
            None => Ok(()),
        }
    }
}
