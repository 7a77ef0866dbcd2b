use std::collections::BTreeSet;

use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Role;

/// An epoch never gets a second leader, nor the same one once more: who led it and leads again does
/// so in a new epoch, which is greater than all before.
#[derive(Debug, Default)]
pub(super) struct Leadership2 {
    led: BTreeSet<u32>,
}

impl Invariant for Leadership2 {
    fn name(&self) -> &'static str {
        "Leadership2"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Became { server, role: Role::Leading { epoch } } = seen else { return Ok(()) };
        if !self.led.insert(*epoch) {
            let first = ledger.leaders.get(epoch).map(|established| established.server);
            return Err(format!("{server} leads epoch {epoch}, which {first:?} has led"));
        }
        let mut configurations = ledger.open_configurations();
        if !configurations.any(|voters| voters.contains(server)) {
            return Err(format!("{server} leads and has no vote"));
        }
        Ok(())
    }
}
