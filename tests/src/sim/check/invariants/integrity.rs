use std::collections::BTreeSet;

use quorate_protocol::Zxid;

use super::{Invariant, Ledger, Seen};

/// Only what a leader has broadcast is delivered: its epoch had a leader, and it was in a log
/// before it was in any tree.
#[derive(Debug, Default)]
pub(super) struct Integrity {
    logged: BTreeSet<Zxid>,
}

impl Invariant for Integrity {
    fn name(&self) -> &'static str {
        "Integrity"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Started { log, .. } => self.logged.extend(log.iter().map(|entry| entry.zxid)),
            Seen::Logged { entry, .. } => {
                self.logged.insert(entry.zxid);
            }
            Seen::Delivered { server, entry } => {
                let epoch = entry.zxid.epoch();
                if !ledger.leaders.contains_key(&epoch) {
                    return Err(format!("{server} delivers {} of no leader", entry.zxid));
                }
                if !self.logged.contains(&entry.zxid) {
                    return Err(format!("{server} delivers {}, which is in no log", entry.zxid));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
