//! From one kind to the other, one server after the other, while clients write.

use quorate_tests::Subject;

use crate::{LONG_SESSIONS, are_installed, load::Load, same_tree, start_led_by_last};

#[test]
fn zookeeper_is_replaced_by_quorate() {
    replaced("JJJ", Subject::Quorate, Data::Wiped);
}

#[test]
fn quorate_is_replaced_by_zookeeper() {
    replaced("QQQ", Subject::ZooKeeper, Data::Wiped);
}

#[test]
fn an_older_zookeeper_is_replaced_by_quorate() {
    replaced("DDD", Subject::Quorate, Data::Wiped);
}

#[test]
fn quorate_is_replaced_by_an_older_zookeeper() {
    replaced("QQQ", Subject::DebianZooKeeper, Data::Wiped);
}

#[test]
fn zookeeper_is_replaced_by_quorate_which_takes_its_files_over() {
    replaced("JJJ", Subject::Quorate, Data::TakenOver);
}

/// What becomes of a server's data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    /// It is lost, and comes from the leader.
    Wiped,
    /// The other kind goes on with it.
    TakenOver,
}

/// Each server ends and is one of the other kind when it starts again.
fn replaced(kinds: &str, by: Subject, data: Data) {
    if !are_installed(kinds) || !by.is_installed() {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    let load = Load::start(&ensemble);
    for id in ensemble.ids() {
        load.wait_for(50);
        ensemble.terminate(id);
        if data == Data::Wiped {
            ensemble.wipe(id);
        }
        ensemble.server_mut(id).set_subject(by);
        ensemble.restart(&[id]);
        if data == Data::TakenOver {
            let said = ensemble.server(id).said();
            assert!(said.contains("the data of ZooKeeper is imported"), "{said}");
        }
    }
    load.wait_for(50);
    let promised = load.stop();
    let tree = same_tree(&ensemble);
    promised.check(&tree);
    assert_eq!(tree.owned(), [""; 0], "the sessions have ended");
}
