use std::collections::BTreeMap;

use quorate_protocol::Zxid;

use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Entry;

/// There is only one transaction of a zxid, in all logs, delivered or not: an epoch has one leader,
/// who gives each zxid once.
#[derive(Debug, Default)]
pub(super) struct TxnWithSameZxidEqual {
    first: BTreeMap<Zxid, u64>,
}

impl TxnWithSameZxidEqual {
    fn look(&mut self, entry: Entry) -> Result<(), String> {
        match self.first.insert(entry.zxid, entry.hash) {
            Some(hash) if hash != entry.hash => Err(format!("two transactions {}", entry.zxid)),
            _ => Ok(()),
        }
    }
}

impl Invariant for TxnWithSameZxidEqual {
    fn name(&self) -> &'static str {
        "TxnWithSameZxidEqual"
    }

    fn check(&mut self, _: &Ledger, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Started { log, .. } => log.iter().try_for_each(|&entry| self.look(entry)),
            Seen::Logged { entry, .. } | Seen::Delivered { entry, .. } => self.look(*entry),
            _ => Ok(()),
        }
    }
}
