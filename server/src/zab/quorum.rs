//! Which sets of servers may decide.
//!
//! Any two quorums of a configuration have a server in common; that is all that ZAB's safety
//! needs of them. Without groups a quorum is more than half of the voters. With groups it is, in
//! more than half of the groups, more than half of the group's weight; groups without any weight
//! are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::configuration::Configuration;
use super::types::{Member, ServerId};

impl Configuration {
    /// Whether these servers may decide. Those that do not vote count for nothing.
    pub fn is_quorum(&self, servers: &BTreeSet<ServerId>) -> bool {
        let mut groups: BTreeMap<Option<u32>, Share> = BTreeMap::new();
        for id in self.voters() {
            let share = groups.entry(self.servers[&id].group).or_default();
            let weight = u64::from(self.weight(id));
            share.of += weight;
            share.has += if servers.contains(&id) { weight } else { 0 };
        }
        let mut total = Share::default();
        for share in groups.values().filter(|share| share.of > 0) {
            total.of += 1;
            total.has += u64::from(share.is_majority());
        }
        total.is_majority()
    }

    /// Whether a server takes part in quorums.
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.servers.get(&server).is_some_and(|server| server.member == Member::Participant)
    }

    /// Everybody who takes part in quorums, in the order of their numbers.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> {
        self.servers.keys().copied().filter(|&id| self.is_voter(id))
    }

    /// How much a server's vote counts; 0 for who does not vote. Only a server of some weight can
    /// be elected.
    pub fn weight(&self, server: ServerId) -> u32 {
        if self.is_voter(server) { self.servers[&server].weight } else { 0 }
    }
}

/// A part of a whole.
#[derive(Default)]
struct Share {
    has: u64,
    of: u64,
}

impl Share {
    fn is_majority(&self) -> bool {
        2 * self.has > self.of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(voters: i64, more: &str) -> Configuration {
        let servers: Vec<String> = (1..=voters).map(|id| format!("server.{id}=h:1:2")).collect();
        Configuration::parse(&format!("{}\n{more}", servers.join("\n"))).unwrap()
    }

    fn is_quorum(configuration: &Configuration, servers: &[i64]) -> bool {
        configuration.is_quorum(&servers.iter().copied().map(ServerId).collect())
    }

    #[test]
    fn more_than_half_of_the_voters() {
        let three = configuration(3, "server.9=h:1:2:observer");
        assert!(is_quorum(&three, &[1, 3]) && is_quorum(&three, &[1, 2, 3]));
        assert!(!is_quorum(&three, &[]) && !is_quorum(&three, &[2]));
        assert!(!is_quorum(&three, &[2, 9]), "an observer does not count");
        assert!(!is_quorum(&three, &[2, 7]), "nor does a stranger");
        let four = configuration(4, "");
        assert!(!is_quorum(&four, &[1, 2]) && is_quorum(&four, &[1, 2, 4]));
        assert!(is_quorum(&configuration(1, ""), &[1]));
    }

    #[test]
    fn more_than_half_of_the_groups() {
        let nine = configuration(9, "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9");
        assert!(is_quorum(&nine, &[1, 2, 8, 9]));
        assert!(!is_quorum(&nine, &[1, 2, 3, 4, 7]), "a whole group and a bit of the others");
        let two = configuration(4, "group.1=1:2\ngroup.2=3:4");
        assert!(!is_quorum(&two, &[1, 2]) && is_quorum(&two, &[1, 2, 3, 4]));
    }

    #[test]
    fn weights() {
        let weighted = configuration(3, "group.1=1:2:3\nweight.1=3\nweight.3=0");
        assert!(is_quorum(&weighted, &[1]) && !is_quorum(&weighted, &[2, 3]));
        assert_eq!((weighted.weight(ServerId(3)), weighted.weight(ServerId(9))), (0, 0));
        let no_weight =
            configuration(5, "group.1=1:2:3\ngroup.2=4\ngroup.3=5\nweight.4=0\nweight.5=0");
        assert!(is_quorum(&no_weight, &[1, 2]), "groups of no weight are left out");
        assert!(!is_quorum(&no_weight, &[1, 4, 5]));
        assert!(!is_quorum(&configuration(1, "group.1=1\nweight.1=0"), &[1]));
    }

    #[test]
    fn two_quorums_have_a_server_in_common() {
        for more in [
            "",
            "group.1=1:2:3\ngroup.2=4:5:6",
            "group.1=1:2\ngroup.2=3:4\ngroup.3=5:6",
            "group.1=1\ngroup.2=2:3\ngroup.3=4:5:6\nweight.1=4\nweight.4=2\nweight.5=0",
        ] {
            let configuration = configuration(6, more);
            let quorums: Vec<u32> = (0..64u32)
                .filter(|set| {
                    let ids: Vec<i64> = (1..=6).filter(|id| set & 1 << (id - 1) != 0).collect();
                    is_quorum(&configuration, &ids)
                })
                .collect();
            assert!(!quorums.is_empty(), "{more:?}");
            assert!(quorums.iter().all(|a| quorums.iter().all(|b| a & b != 0)), "{more:?}");
        }
    }
}
