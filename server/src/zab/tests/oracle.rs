//! What must hold, whatever happens. The names are those of ZooKeeper's TLA+ specification.

use std::collections::BTreeMap;

use quorate_protocol::Zxid;

use super::disk::Entry;

/// Knows what happened in the whole ensemble.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Who was established as the leader of each epoch.
    leaders: BTreeMap<u32, usize>,
    /// What each transaction does, as proposed.
    proposed: BTreeMap<Zxid, u64>,
    /// What was committed, in order.
    pub(super) committed: Vec<Entry>,
    /// For each ticket: the newest established epoch when it was asked for, and the asked one's.
    tickets: BTreeMap<(usize, u64), (u32, u32)>,
    pub(super) confirmed: usize,
}

impl Oracle {
    /// Leadership, and leader completeness: there is one leader in an epoch, and it has
    /// everything that was committed before.
    pub(super) fn established(&mut self, server: usize, epoch: u32, log: &[Entry]) {
        let first = *self.leaders.entry(epoch).or_insert(server);
        assert_eq!(first, server, "two leaders of epoch {epoch}");
        // Acknowledgements may be late: who is established after a later epoch was learns no more
        // than that its history is committed.
        let before: Vec<_> = self.committed.iter().filter(|(z, _)| z.epoch() < epoch).collect();
        let has_all = before.len() <= log.len() && before.iter().zip(log).all(|(a, b)| *a == b);
        assert!(
            has_all,
            "the leader {server} of epoch {epoch} lacks what is committed, up to {:?}",
            before.last()
        );
    }

    pub(super) fn proposed(&mut self, (zxid, value): Entry) {
        let first = *self.proposed.entry(zxid).or_insert(value);
        assert_eq!(first, value, "{zxid} was proposed twice");
    }

    /// Integrity, total order, prefix consistency: what a server takes as committed was proposed,
    /// and is what everybody takes as committed; a leader alone decides more.
    pub(super) fn commits(&mut self, server: usize, leads: bool, log: &[Entry]) {
        let known = self.committed.len().min(log.len());
        assert_eq!(
            log[..known],
            self.committed[..known],
            "server {server} commits another history"
        );
        for entry in &log[known..] {
            assert!(leads, "server {server} commits {entry:?}, which no leader has");
            assert_eq!(self.proposed.get(&entry.0), Some(&entry.1), "nobody proposed {entry:?}");
            self.committed.push(*entry);
        }
    }

    pub(super) fn asked(&mut self, server: usize, ticket: u64, epoch: u32) {
        let newest = self.leaders.last_key_value().map_or(0, |(newest, _)| *newest);
        self.tickets.insert((server, ticket), (newest, epoch));
    }

    /// Whoever is told that it was the leader at some time after it asked was not followed by
    /// another one before.
    pub(super) fn confirmed(&mut self, server: usize, ticket: u64) {
        let (newest, epoch) = self.tickets[&(server, ticket)];
        assert!(epoch >= newest, "{server} led epoch {epoch} while {newest} was established");
        self.confirmed += 1;
    }
}
