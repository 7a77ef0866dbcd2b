use quorate_protocol::Zxid;

use super::{Invariant, Ledger, Seen};

/// The tree holds what was delivered and nothing else. That it holds it rightly is compared with
/// the digest of a tree of the checker's own.
#[derive(Debug)]
pub(super) struct StateConsistency;

impl Invariant for StateConsistency {
    fn name(&self) -> &'static str {
        "StateConsistency"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::State { server, applied, .. } => {
                let delivered = ledger.replicas[*server].applied;
                if *applied == delivered {
                    return Ok(());
                }
                Err(format!("{server} has {applied} in its tree and has delivered {delivered}"))
            }
            Seen::Delivered { server, entry } if !ledger.replicas[*server].has(*entry) => {
                Err(format!("{server} delivers {} and does not have it durably", entry.zxid))
            }
            // What was applied cannot be taken back.
            Seen::Truncated { server, to } => not_below(ledger, *server, *to),
            Seen::Installed { server, zxid } => not_below(ledger, *server, *zxid),
            _ => Ok(()),
        }
    }
}

fn not_below(ledger: &Ledger, server: usize, zxid: Zxid) -> Result<(), String> {
    let applied = ledger.replicas[server].applied;
    if zxid < applied {
        return Err(format!("{server} goes back to {zxid} and has delivered {applied}"));
    }
    Ok(())
}
