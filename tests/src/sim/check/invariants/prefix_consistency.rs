use super::{Invariant, Ledger, Seen};

/// Of the histories that two servers have delivered, one is a prefix of the other.
#[derive(Debug)]
pub(super) struct PrefixConsistency;

impl Invariant for PrefixConsistency {
    fn name(&self) -> &'static str {
        "PrefixConsistency"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Delivered { server, entry } => {
                let place = ledger.replicas[*server].delivered;
                match ledger.delivered.get(place) {
                    Some(other) if other != entry => Err(format!(
                        "{server} delivers {} where another has delivered {}",
                        entry.zxid, other.zxid
                    )),
                    _ => Ok(()),
                }
            }
            // What a server finds or is given must be a prefix, too.
            Seen::Started { server, applied: zxid, .. } | Seen::Installed { server, zxid } => {
                let upto = ledger.delivered_upto(*zxid);
                let last = upto.checked_sub(1).map(|at| ledger.delivered[at].zxid);
                if last.unwrap_or_default() == *zxid {
                    Ok(())
                } else {
                    Err(format!("{server} begins with {zxid}, which nobody has delivered"))
                }
            }
            _ => Ok(()),
        }
    }
}
