use super::{Invariant, Ledger, Seen};

/// What anybody has delivered is cut from no log.
#[derive(Debug)]
pub(super) struct CommittedLogDurability;

impl Invariant for CommittedLogDurability {
    fn name(&self) -> &'static str {
        "CommittedLogDurability"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let (server, kept) = match seen {
            Seen::Truncated { server, to } => (server, to),
            Seen::Installed { server, zxid } => (server, zxid),
            _ => return Ok(()),
        };
        let replica = &ledger.replicas[*server];
        let cut = replica.log.partition_point(|entry| entry.zxid <= *kept);
        let is_delivered = |zxid| ledger.delivered.binary_search_by_key(&zxid, |e| e.zxid).is_ok();
        match replica.log[cut..].iter().find(|entry| is_delivered(entry.zxid)) {
            Some(lost) => Err(format!("{server} cuts {}, which was delivered", lost.zxid)),
            None => Ok(()),
        }
    }
}
