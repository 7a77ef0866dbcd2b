//! One file for each invariant, named as in ZooKeeper's TLA+ specifications where it is there.
//!
//! An invariant is shown every event and the [`Ledger`] as it was before, and remembers what it
//! needs beyond that. So each event costs little, and a run fails at the event that breaks a rule
//! rather than where somebody notices later.

mod agreement;
mod commit_quorum;
mod committed_log_durability;
mod global_primary_order;
mod integrity;
mod leader_log_completeness;
mod leadership1;
mod leadership2;
mod local_primary_order;
mod prefix_consistency;
mod primary_integrity;
mod process_consistency;
mod stable_storage;
mod state_consistency;
#[cfg(test)]
mod tests;

mod total_order;
mod txn_with_same_zxid_equal;

use std::fmt::Debug;

use super::ledger::{Ledger, Seen};

/// A rule that no event may break.
pub trait Invariant: Debug {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Looks at an event; the ledger does not have it yet. An error says what is wrong.
    fn check(&mut self, ledger: &Ledger, seen: &Seen) -> Result<(), String>;
}

/// All of them.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(txn_with_same_zxid_equal::TxnWithSameZxidEqual::default()),
        Box::new(leadership1::Leadership1),
        Box::new(leadership2::Leadership2::default()),
        Box::new(leader_log_completeness::LeaderLogCompleteness),
        Box::new(process_consistency::ProcessConsistency),
        Box::new(prefix_consistency::PrefixConsistency),
        Box::new(total_order::TotalOrder),
        Box::new(agreement::Agreement),
        Box::new(integrity::Integrity::default()),
        Box::new(local_primary_order::LocalPrimaryOrder),
        Box::new(global_primary_order::GlobalPrimaryOrder),
        Box::new(primary_integrity::PrimaryIntegrity),
        Box::new(commit_quorum::CommitQuorum::default()),
        Box::new(committed_log_durability::CommittedLogDurability),
        Box::new(stable_storage::StableStorage),
        Box::new(state_consistency::StateConsistency),
    ]
}
