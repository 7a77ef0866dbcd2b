use super::{Invariant, Ledger, Seen};
use crate::sim::check::ledger::Entry;

/// A process finds on its disk what the one before had there durably: its log and its promises.
/// No process breaks a promise.
#[derive(Debug)]
pub(super) struct StableStorage;

impl Invariant for StableStorage {
    fn name(&self) -> &'static str {
        "StableStorage"
    }

    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String> {
        let (server, accepted, current) = match seen {
            Seen::Started { is_damaged: true, .. } => return Ok(()),
            Seen::Started { server, accepted_epoch, current_epoch, .. }
            | Seen::Promised { server, accepted_epoch, current_epoch } => {
                (*server, *accepted_epoch, *current_epoch)
            }
            _ => return Ok(()),
        };
        let before = &ledger.replicas[server];
        if (accepted, current) < (before.accepted_epoch, 0) || current < before.current_epoch {
            return Err(format!(
                "{server} had promised epoch {} and joined {}, and has promised {accepted} and \
                 joined {current}",
                before.accepted_epoch, before.current_epoch
            ));
        }
        if current > accepted {
            return Err(format!("{server} has joined {current} and promised only {accepted}"));
        }
        let Seen::Started { log, floor, .. } = seen else { return Ok(()) };
        let has = |zxid, entry| {
            zxid <= *floor
                || log.binary_search_by_key(&zxid, |e| e.zxid).is_ok_and(|at| log[at] == entry)
        };
        // A cut under way may have come to be, and then it is whole.
        let is_cut = |zxid| {
            before.cutting.is_some_and(|to| zxid > to && log.last().is_none_or(|e| e.zxid <= to))
        };
        let is_lost = |entry: &Entry| !has(entry.zxid, *entry) && !is_cut(entry.zxid);
        match before.log.iter().find(|entry| is_lost(entry)) {
            Some(lost) => Err(format!("{server} had {} durably and has lost it", lost.zxid)),
            None if before.floor > *floor && log.first().is_none_or(|e| e.zxid > before.floor) => {
                Err(format!("{server} has lost the snapshot at {}", before.floor))
            }
            None => Ok(()),
        }
    }
}
