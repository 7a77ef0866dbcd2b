use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Role;

/// At any time an epoch has one leader at most.
#[derive(Debug)]
pub(super) struct Leadership1;

impl Invariant for Leadership1 {
    fn name(&self) -> &'static str {
        "Leadership1"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let Seen::Became { server, role: role @ Role::Leading { epoch } } = seen else {
            return Ok(());
        };
        let mut others = ledger.replicas.iter().enumerate().filter(|(other, _)| other != server);
        match others.find(|(_, replica)| replica.role == *role) {
            Some((other, _)) => Err(format!("both {other} and {server} lead epoch {epoch}")),
            None => Ok(()),
        }
    }
}
