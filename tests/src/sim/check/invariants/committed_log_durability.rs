use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Entry;

/// What anybody has delivered stays at a quorum, whoever else cuts it from its log.
///
/// Who comes back to a leader gives up whatever the leader had not committed by then, and gets it
/// again; meanwhile others may have made it durable and committed it. A voter that has lost its
/// disk, and does not vote before it has everything again, does not count as missing it.
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
        let lacks = |voter: usize, entry: Entry| {
            let replica = &ledger.replicas[voter];
            voter == *server || (replica.current_epoch > 0 && !replica.has(entry))
        };
        let is_lost = |entry: Entry| {
            let voters = ledger.participants.iter();
            let lacking = voters.filter(|&&voter| lacks(voter, entry)).count();
            is_delivered(entry.zxid) && 2 * lacking >= ledger.participants.len()
        };
        match replica.log[cut..].iter().find(|&&entry| is_lost(entry)) {
            Some(lost) => Err(format!("{server} cuts {}, which was delivered", lost.zxid)),
            None => Ok(()),
        }
    }
}
