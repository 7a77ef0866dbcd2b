//! A history that breaks no rule, and for each rule one that does.

use quorate_protocol::Zxid;

use super::*;
use crate::sim::check::ledger::{Entry, Role};

fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(epoch, counter)
}

fn entry(zxid: Zxid) -> Entry {
    Entry { zxid, hash: 1 }
}

fn started(server: usize) -> Seen {
    found(server, &[], 0, 0)
}

fn found(server: usize, log: &[Zxid], accepted_epoch: u32, current_epoch: u32) -> Seen {
    Seen::Started {
        server,
        log: log.iter().copied().map(entry).collect(),
        floor: Zxid::ZERO,
        applied: Zxid::ZERO,
        accepted_epoch,
        current_epoch,
        is_damaged: false,
    }
}

fn promised(server: usize, accepted_epoch: u32, current_epoch: u32) -> Seen {
    Seen::Promised { server, accepted_epoch, current_epoch }
}

fn leads(server: usize, epoch: u32) -> Seen {
    Seen::Became { server, role: Role::Leading { epoch } }
}

fn follows(server: usize, leader: usize, epoch: u32) -> Seen {
    Seen::Became { server, role: Role::Following { leader, epoch } }
}

fn looks(server: usize) -> Seen {
    Seen::Became { server, role: Role::Looking }
}

fn logged(server: usize, zxid: Zxid) -> Seen {
    Seen::Logged { server, entry: entry(zxid) }
}

fn delivered(server: usize, zxid: Zxid) -> Seen {
    Seen::Delivered { server, entry: entry(zxid) }
}

/// Server 0 leads 1 and 2 in epoch 1; (1, 1) is delivered by 0 and 1, and (1, 2) is in the log of
/// 0 alone.
fn good() -> Vec<Seen> {
    let mut all: Vec<_> =
        (0..3).flat_map(|server| [started(server), promised(server, 1, 1)]).collect();
    all.extend([leads(0, 1), follows(1, 0, 1), follows(2, 0, 1)]);
    all.extend([logged(0, z(1, 1)), logged(1, z(1, 1)), logged(0, z(1, 2))]);
    all.extend([delivered(0, z(1, 1)), delivered(1, z(1, 1))]);
    all
}

/// The rules that are broken by what comes behind the good history, at its last event; all events
/// before it must be fine.
fn broken_by(more: &[Seen]) -> Vec<&'static str> {
    let (mut ledger, mut rules) = (Ledger::new(4, 3), all());
    let mut broken = Vec::new();
    let events = [&good(), more].concat();
    for (at, seen) in events.iter().enumerate() {
        for rule in &mut rules {
            if let Err(text) = rule.check(&ledger, seen) {
                assert_eq!(at + 1, events.len(), "{seen:?}: {text}");
                broken.push(rule.name());
            }
        }
        ledger.note(seen);
    }
    broken
}

#[track_caller]
fn breaks(rule: &str, more: &[Seen]) {
    let broken = broken_by(more);
    assert!(broken.contains(&rule), "{broken:?}");
}

#[test]
fn a_good_history_breaks_nothing() {
    assert_eq!(broken_by(&[]), Vec::<&str>::new());
    let next_epoch = [
        Seen::Ended { server: 0 },
        looks(1),
        looks(2),
        promised(1, 2, 1),
        promised(2, 2, 1),
        promised(1, 2, 2),
        logged(2, z(1, 1)),
        promised(2, 2, 2),
        leads(1, 2),
        follows(2, 1, 2),
        delivered(2, z(1, 1)),
        found(0, &[z(1, 1), z(1, 2)], 1, 1),
        promised(0, 2, 1),
        Seen::Truncated { server: 0, to: z(1, 1) },
        promised(0, 2, 2),
        follows(0, 1, 2),
        delivered(0, z(1, 1)),
        logged(1, z(2, 1)),
        logged(0, z(2, 1)),
        delivered(0, z(2, 1)),
        Seen::Installed { server: 2, zxid: z(2, 1) },
        delivered(1, z(2, 1)),
    ];
    assert_eq!(broken_by(&next_epoch), Vec::<&str>::new());
}

#[test]
fn there_is_one_transaction_of_a_zxid() {
    let other = Seen::Logged { server: 2, entry: Entry { zxid: z(1, 1), hash: 2 } };
    breaks("TxnWithSameZxidEqual", &[other]);
}

#[test]
fn an_epoch_has_one_leader() {
    let have = [logged(2, z(1, 1))];
    breaks("Leadership1", &[&have[..], &[leads(2, 1)]].concat());
    breaks("Leadership2", &[&have[..], &[Seen::Ended { server: 0 }, leads(2, 1)]].concat());
    breaks("Leadership2", &[looks(0), leads(0, 1)]);
    breaks("Leadership2", &[started(3), logged(3, z(1, 1)), leads(3, 2)]);
}

#[test]
fn a_leader_has_everything_that_was_delivered() {
    breaks("LeaderLogCompleteness", &[leads(2, 2)]);
    assert_eq!(broken_by(&[logged(2, z(1, 1)), leads(2, 2)]), Vec::<&str>::new());
}

#[test]
fn a_follower_has_its_leaders_history() {
    let second = [logged(1, z(1, 2)), leads(1, 2)];
    breaks("ProcessConsistency", &[&second[..], &[follows(2, 1, 2)]].concat());
    let caught_up = [logged(2, z(1, 1)), logged(2, z(1, 2))];
    let follow = [follows(2, 1, 2)];
    assert!(broken_by(&[&second[..], &caught_up, &follow].concat()).is_empty());
    let too_much = [leads(1, 2), logged(1, z(2, 1)), logged(0, z(2, 1)), follows(0, 1, 2)];
    breaks("ProcessConsistency", &[&[looks(0)][..], &too_much].concat());
    breaks("ProcessConsistency", &[follows(2, 3, 1)]);
    assert!(broken_by(&[follows(2, 1, 1)]).is_empty(), "1 follows 0");
    breaks("ProcessConsistency", &[follows(2, 1, 7)]);
}

#[test]
fn servers_deliver_the_same() {
    let second = [logged(1, z(1, 2)), delivered(0, z(1, 2))];
    let third = [logged(0, z(1, 3)), logged(2, z(1, 3)), delivered(0, z(1, 3))];
    let skips = [&second[..], &third, &[logged(1, z(1, 3)), delivered(1, z(1, 3))]].concat();
    for rule in ["PrefixConsistency", "Agreement", "LocalPrimaryOrder"] {
        breaks(rule, &skips);
    }
    breaks("TotalOrder", &[delivered(1, z(1, 1))]);
    breaks(
        "PrefixConsistency",
        &[found(2, &[], 1, 1), Seen::Installed { server: 2, zxid: z(1, 2) }],
    );
    // Another server has passed over what this one delivers now.
    let passed = [logged(1, z(1, 3)), logged(2, z(1, 3)), delivered(1, z(1, 3))];
    let (mut ledger, mut rules) = (Ledger::new(4, 3), all());
    for seen in [good(), passed.to_vec()].concat() {
        ledger.note(&seen);
    }
    let order = rules.iter_mut().find(|rule| rule.name() == "TotalOrder").unwrap();
    order.check(&ledger, &delivered(0, z(1, 2))).unwrap_err();
}

#[test]
fn only_what_a_leader_has_broadcast_is_delivered() {
    let of_nobody = [logged(0, z(2, 1)), logged(1, z(2, 1)), delivered(0, z(2, 1))];
    breaks("Integrity", &of_nobody);
    breaks("Integrity", &[delivered(0, z(1, 3))]);
}

#[test]
fn epochs_are_delivered_in_their_order() {
    let second = [logged(1, z(1, 2)), leads(1, 2), logged(1, z(2, 1)), logged(0, z(2, 1))];
    let second = [&second[..], &[delivered(0, z(1, 2)), delivered(0, z(2, 1))]].concat();
    breaks("GlobalPrimaryOrder", &[&second[..], &[delivered(0, z(1, 3))]].concat());
}

#[test]
fn a_leader_has_what_is_delivered_of_earlier_epochs() {
    let late = [leads(1, 2), logged(2, z(1, 2)), delivered(0, z(1, 2))];
    breaks("PrimaryIntegrity", &late);
}

#[test]
fn what_is_delivered_is_at_a_quorum() {
    breaks("CommitQuorum", &[delivered(0, z(1, 2))]);
    // An observer's copy does not count.
    breaks("CommitQuorum", &[started(3), logged(3, z(1, 2)), delivered(0, z(1, 2))]);
    let cut = [logged(1, z(1, 2)), Seen::Truncated { server: 1, to: z(1, 1) }];
    breaks("CommitQuorum", &[&cut[..], &[delivered(0, z(1, 2))]].concat());
    assert!(broken_by(&[logged(1, z(1, 2)), delivered(0, z(1, 2))]).is_empty());
}

#[test]
fn what_was_delivered_stays_at_a_quorum() {
    let cut = |server| Seen::Truncated { server, to: Zxid::ZERO };
    breaks("CommittedLogDurability", &[cut(1)]);
    breaks("CommittedLogDurability", &[Seen::Installed { server: 1, zxid: Zxid::ZERO }]);
    let at_all = [logged(2, z(1, 1))];
    assert!(broken_by(&[&at_all[..], &[cut(2)]].concat()).is_empty());
    breaks("CommittedLogDurability", &[&at_all[..], &[cut(2), cut(1)]].concat());
}

#[test]
fn disks_keep_what_was_durable() {
    let end = Seen::Ended { server: 0 };
    let all = [z(1, 1), z(1, 2)];
    assert!(broken_by(&[end.clone(), found(0, &all, 1, 1)]).is_empty());
    breaks("StableStorage", &[end.clone(), found(0, &all[..1], 1, 1)]);
    breaks("StableStorage", &[end.clone(), found(0, &all, 0, 0)]);
    breaks("StableStorage", &[end, found(0, &all, 1, 0)]);
    breaks("StableStorage", &[promised(0, 1, 2)]);
    breaks("StableStorage", &[promised(0, 0, 0)]);
    let lost_snapshot = [
        logged(1, z(1, 2)),
        delivered(0, z(1, 2)),
        Seen::Installed { server: 2, zxid: z(1, 2) },
        Seen::Ended { server: 2 },
        found(2, &[], 1, 1),
    ];
    breaks("StableStorage", &lost_snapshot);
}

#[test]
fn the_tree_holds_what_was_delivered() {
    let state = |applied| Seen::State { server: 1, applied, digest: 0 };
    assert!(broken_by(&[state(z(1, 1))]).is_empty());
    breaks("StateConsistency", &[state(z(1, 2))]);
    breaks("StateConsistency", &[delivered(2, z(1, 1))]);
    breaks("StateConsistency", &[Seen::Truncated { server: 0, to: Zxid::ZERO }]);
    breaks("StateConsistency", &[Seen::Installed { server: 0, zxid: Zxid::ZERO }]);
}
