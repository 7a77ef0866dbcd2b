use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::Zxid;

use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Server;

/// Nothing is delivered that is not durable at a quorum, or was before a disk was lost.
#[derive(Debug, Default)]
pub(super) struct CommitQuorum {
    /// Of transactions nobody has delivered yet.
    durable_at: BTreeMap<Zxid, BTreeSet<Server>>,
}

impl Invariant for CommitQuorum {
    fn name(&self) -> &'static str {
        "CommitQuorum"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Started { server, log, is_damaged, .. } => {
                // A cut may have come to be with the end of the process before.
                if !is_damaged {
                    for servers in self.durable_at.values_mut() {
                        servers.remove(server);
                    }
                }
                for entry in log {
                    self.durable_at.entry(entry.zxid).or_default().insert(*server);
                }
            }
            Seen::Logged { server, entry } => {
                self.durable_at.entry(entry.zxid).or_default().insert(*server);
            }
            Seen::Truncated { server, to } => {
                for (_, servers) in self.durable_at.range_mut(Zxid(to.0 + 1)..) {
                    servers.remove(server);
                }
            }
            Seen::Delivered { server, entry }
                if ledger.replicas[*server].delivered == ledger.delivered.len() =>
            {
                let at = self.durable_at.remove(&entry.zxid).unwrap_or_default();
                // A configuration needs a quorum of its own, too.
                let next = ledger.configurations.get(&entry.zxid);
                let is_quorum = |voters: &Vec<Server>| {
                    2 * voters.iter().filter(|voter| at.contains(voter)).count() > voters.len()
                };
                if ![&ledger.participants].into_iter().chain(next).all(is_quorum) {
                    return Err(format!(
                        "{server} delivers {}, which only {at:?} have durably",
                        entry.zxid
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
