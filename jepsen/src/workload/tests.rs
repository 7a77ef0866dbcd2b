use std::collections::BTreeSet;

use super::*;

fn all() -> [Kind; 3] {
    [Kind::Set, Kind::Register, Kind::Ephemeral]
}

fn steps(kind: Kind, number: usize, seed: u64) -> Vec<Step> {
    let mut client = kind.client(number, seed);
    (0..2000).map(|_| client.next()).collect()
}

#[test]
fn what_clients_do_follows_from_the_seed_and_differs_between_them() {
    for kind in all() {
        let one = steps(kind, 1, 7);
        assert_eq!(one, steps(kind, 1, 7));
        for other in [steps(kind, 2, 7), steps(kind, 1, 8)] {
            let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same < 1000, "{kind:?}: {same} steps of 2000 are the same");
        }
    }
}

#[test]
fn no_value_is_written_twice_and_all_nodes_are_below_the_parents() {
    for kind in all() {
        let parents = kind.parents();
        let mut values = BTreeSet::new();
        let mut ops = kind.setup();
        assert!(parents.iter().all(|parent| {
            ops.iter().any(|op| matches!(op, Op::Create { path, .. } if path == parent))
        }));
        for client in 0..4 {
            for step in steps(kind, client, 7) {
                if let Step::Send(sent) = step {
                    assert!(!sent.is_empty());
                    ops.extend(sent);
                }
            }
        }
        for op in &ops {
            if let Some(value) = op.written() {
                assert!(values.insert(value), "{value} twice");
            }
            if let Op::Create { path, .. } | Op::Set { path, .. } | Op::Children { path } = op {
                let below = |parent: &String| path.starts_with(parent.as_str());
                assert!(parents.iter().any(below), "{path}");
            }
        }
    }
}

#[test]
fn a_session_ends_only_with_the_last_request_sent() {
    for step in steps(Kind::Ephemeral, 0, 7) {
        if let Step::Send(ops) = step {
            let (_, before) = ops.split_last().unwrap();
            assert!(!before.contains(&Op::Close));
        }
    }
}
