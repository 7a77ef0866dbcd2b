use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Role;

/// Who begins to lead has every transaction that anybody has delivered, durably.
#[derive(Debug)]
pub(super) struct LeaderLogCompleteness;

impl Invariant for LeaderLogCompleteness {
    fn name(&self) -> &'static str {
        "LeaderLogCompleteness"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Became { server, role: Role::Leading { epoch } } = seen else { return Ok(()) };
        let replica = &ledger.replicas[*server];
        match ledger.delivered.iter().find(|&&entry| !replica.has(entry)) {
            Some(missing) => Err(format!(
                "{server}, the leader of epoch {epoch}, does not have {}",
                missing.zxid
            )),
            None => Ok(()),
        }
    }
}
