//! What the servers of a run have in their logs and trees, as far as anybody has seen.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher},
};

use quorate_protocol::Zxid;

/// A server, numbered from 0.
pub type Server = usize;

/// What a server is, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// It has no leader, or does not run.
    #[default]
    Looking,
    /// It leads an epoch that a quorum has joined.
    Leading {
        /// The epoch.
        epoch: u32,
    },
    /// It is synchronized with a leader and serves clients.
    Following {
        /// The leader.
        leader: Server,
        /// Its epoch.
        epoch: u32,
    },
}

/// A transaction's place and the hash of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its zxid.
    pub zxid: Zxid,
    /// The hash of header, record and digest.
    pub hash: u64,
}

impl Entry {
    /// The entry of a transaction.
    pub fn of(zxid: Zxid, txn: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(txn);
        Self { zxid, hash: hasher.finish() }
    }
}

/// Something that was seen of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Seen {
    /// A process has begun; this is what it found on its disk.
    Started {
        server: Server,
        /// The log, from the oldest transaction that is still there.
        log: Vec<Entry>,
        /// Where the log begins: everything up to there is in a checkpoint only.
        floor: Zxid,
        /// What the tree holds.
        applied: Zxid,
        accepted_epoch: u32,
        current_epoch: u32,
        /// The disk is not what the last process left: somebody damaged, emptied or replaced it.
        is_damaged: bool,
    },
    /// The process has ended, in whatever way.
    Ended { server: Server },
    /// The role is another one.
    Became { server: Server, role: Role },
    /// Promises that are durable.
    Promised { server: Server, accepted_epoch: u32, current_epoch: u32 },
    /// The configuration of this version is in force, and the log says so durably.
    InForce { server: Server, version: Zxid },
    /// A transaction is durable in the log.
    Logged { server: Server, entry: Entry },
    /// What is above is about to go from the log: if the process ends now, it may be gone.
    Cutting { server: Server, to: Zxid },
    /// What was above has gone from the log.
    Truncated { server: Server, to: Zxid },
    /// Log and tree begin anew with a snapshot of everything up to there.
    Installed { server: Server, zxid: Zxid },
    /// A transaction from its log has reached the tree.
    Delivered { server: Server, entry: Entry },
    /// What the tree is now; follows every change of it.
    State { server: Server, applied: Zxid, digest: u64 },
}

/// What is known of a server.
#[derive(Debug, Clone, Default)]
pub struct Replica {
    /// Its log, as far as it is durable, from the first transaction behind `floor`.
    pub log: Vec<Entry>,
    /// Everything up to there is in a snapshot or checkpoint instead.
    pub floor: Zxid,
    /// It was about to lose what is above.
    pub cutting: Option<Zxid>,
    /// How many of all delivered transactions its tree holds.
    pub delivered: usize,
    /// The last of them.
    pub applied: Zxid,
    /// What it is.
    pub role: Role,
    /// Whom it will not follow any more: leaders of lower epochs.
    pub accepted_epoch: u32,
    /// The epoch whose initial history it has.
    pub current_epoch: u32,
    /// The version of the configuration that is in force, as its log says durably.
    pub in_force: Zxid,
}

impl Replica {
    /// The last transaction it has.
    pub fn last(&self) -> Zxid {
        self.log.last().map_or(self.floor, |entry| entry.zxid)
    }

    /// Whether it has this transaction.
    pub fn has(&self, entry: Entry) -> bool {
        contains(&self.log, self.floor, entry)
    }
}

fn contains(log: &[Entry], floor: Zxid, entry: Entry) -> bool {
    let at = log.binary_search_by_key(&entry.zxid, |logged| logged.zxid);
    entry.zxid <= floor || at.is_ok_and(|at| log[at] == entry)
}

/// A leader whose epoch a quorum has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Established {
    /// The leader.
    pub server: Server,
    /// The last transaction of its initial history.
    pub last: Zxid,
    /// Its log at that time.
    pub log: Vec<Entry>,
    /// What is in a snapshot or checkpoint instead.
    pub floor: Zxid,
}

impl Established {
    /// Whether it had this transaction.
    pub fn has(&self, entry: Entry) -> bool {
        contains(&self.log, self.floor, entry)
    }
}

/// Everything that was seen so far. The checks look at it as it was before the event they are
/// shown.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Which servers vote, by the last configuration that was delivered.
    pub participants: Vec<Server>,
    /// Who votes by each configuration that is in any log, by its zxid. The first one is that of the
    /// files.
    pub configurations: BTreeMap<Zxid, Vec<Server>>,
    /// The servers.
    pub replicas: Vec<Replica>,
    /// All transactions that any server has delivered, in order.
    pub delivered: Vec<Entry>,
    /// All leaders there were, by epoch.
    pub leaders: BTreeMap<u32, Established>,
}

impl Ledger {
    /// Of so many servers, of which the first ones vote.
    pub fn new(servers: usize, participants: usize) -> Self {
        Self {
            participants: (0..participants).collect(),
            configurations: BTreeMap::from([(Zxid::ZERO, (0..participants).collect())]),
            replicas: vec![Replica::default(); servers],
            ..Self::default()
        }
    }

    /// The voters of the configuration in force and of all that may come into force.
    pub fn open_configurations(&self) -> impl Iterator<Item = &Vec<Server>> {
        let last = self.delivered.last().map_or(Zxid::ZERO, |entry| entry.zxid);
        let later = self.configurations.range(Zxid(last.0 + 1)..);
        later.map(|(_, voters)| voters).chain([&self.participants])
    }

    /// The voters of the configurations of which these servers need a quorum: the last one that one
    /// of them knows to be in force, and all that may have come behind it.
    ///
    /// The one before counts until then: who has not heard that it is over has to ask its voters.
    pub fn needed(&self, servers: &[Server]) -> impl Iterator<Item = &Vec<Server>> {
        let known = servers.iter().map(|&server| self.replicas[server].in_force).max();
        let known = known.unwrap_or(Zxid::ZERO);
        let in_force = self.configurations.range(..=known).next_back();
        let later = self.configurations.range(Zxid(known.0 + 1)..);
        in_force.into_iter().chain(later).map(|(_, voters)| voters)
    }

    /// Whether these servers can elect a leader among them.
    pub fn can_elect(&self, servers: &[Server]) -> bool {
        self.needed(servers).all(|voters| is_majority(servers, voters))
            && !self.are_stranded(servers)
    }

    /// Whether the latest history among these voters is only with such as the configuration in force
    /// does not let vote. They must lead, and those that do not know of the configuration that lets
    /// them cannot follow (`docs/ensemble.md`, "Changing the servers").
    pub fn are_stranded(&self, servers: &[Server]) -> bool {
        let mut needed = self.needed(servers);
        let Some(in_force) = needed.next() else { return false };
        let later: Vec<_> = needed.flatten().copied().collect();
        let history = |server: Server| {
            let replica = &self.replicas[server];
            (replica.current_epoch, replica.last())
        };
        let votes = |server: &Server| in_force.contains(server) || later.contains(server);
        let voters = || servers.iter().copied().filter(votes);
        let latest = voters().map(history).max();
        !voters().any(|server| in_force.contains(&server) && Some(history(server)) == latest)
    }

    /// How many delivered transactions there are up to `zxid`.
    pub fn delivered_upto(&self, zxid: Zxid) -> usize {
        self.delivered.partition_point(|entry| entry.zxid <= zxid)
    }

    /// Takes note of an event.
    pub fn note(&mut self, seen: &Seen) {
        match seen {
            Seen::Started {
                server,
                log,
                floor,
                applied,
                accepted_epoch,
                current_epoch,
                is_damaged: _,
            } => {
                self.replicas[*server] = Replica {
                    log: log.clone(),
                    floor: *floor,
                    cutting: None,
                    delivered: self.delivered_upto(*applied),
                    applied: *applied,
                    role: Role::Looking,
                    accepted_epoch: *accepted_epoch,
                    current_epoch: *current_epoch,
                    in_force: Zxid::ZERO,
                };
            }
            Seen::Ended { server } => self.replicas[*server].role = Role::Looking,
            Seen::Became { server, role } => {
                let replica = &mut self.replicas[*server];
                replica.role = *role;
                if let Role::Leading { epoch } = *role {
                    self.leaders.entry(epoch).or_insert_with(|| Established {
                        server: *server,
                        last: replica.last(),
                        log: replica.log.clone(),
                        floor: replica.floor,
                    });
                }
            }
            Seen::Promised { server, accepted_epoch, current_epoch } => {
                let replica = &mut self.replicas[*server];
                replica.accepted_epoch = *accepted_epoch;
                replica.current_epoch = *current_epoch;
            }
            Seen::InForce { server, version } => self.replicas[*server].in_force = *version,
            Seen::Logged { server, entry } => self.replicas[*server].log.push(*entry),
            Seen::Cutting { server, to } => self.replicas[*server].cutting = Some(*to),
            Seen::Truncated { server, to } => {
                self.replicas[*server].cutting = None;
                let log = &mut self.replicas[*server].log;
                log.truncate(log.partition_point(|entry| entry.zxid <= *to));
            }
            Seen::Installed { server, zxid } => {
                let delivered = self.delivered_upto(*zxid);
                let replica = &mut self.replicas[*server];
                replica.log.clear();
                replica.cutting = None;
                replica.floor = *zxid;
                replica.applied = *zxid;
                replica.delivered = delivered;
            }
            Seen::Delivered { server, entry } => {
                let replica = &mut self.replicas[*server];
                if replica.delivered == self.delivered.len() {
                    self.delivered.push(*entry);
                    if let Some(voters) = self.configurations.get(&entry.zxid) {
                        self.participants.clone_from(voters);
                    }
                }
                replica.delivered += 1;
                replica.applied = entry.zxid;
            }
            Seen::State { .. } => {}
        }
    }
}

/// Whether these servers are more than half of the voters.
pub fn is_majority(servers: &[Server], voters: &[Server]) -> bool {
    2 * voters.iter().filter(|voter| servers.contains(voter)).count() > voters.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_elect_while_servers_change() {
        let mut ledger = Ledger::new(3, 3);
        assert!(ledger.can_elect(&[0, 2]) && !ledger.can_elect(&[0]));
        ledger.configurations.insert(Zxid(7), vec![0, 1]);
        ledger.configurations.insert(Zxid(9), vec![1]);
        assert!(ledger.can_elect(&[0, 1]), "a quorum of all three");
        assert!(!ledger.can_elect(&[1]) && !ledger.can_elect(&[0, 2]));
        ledger.replicas[1].in_force = Zxid(7);
        assert!(!ledger.can_elect(&[1]), "the second one is in force, the third may come");
        ledger.replicas[1].in_force = Zxid(9);
        assert!(ledger.can_elect(&[1]), "it knows that it is alone");
        assert!(!ledger.can_elect(&[0, 2]), "nobody there knows");
    }
}
