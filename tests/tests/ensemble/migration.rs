//! From one kind to the other, one server after the other, while clients write.

use quorate_tests::Subject;

use crate::{LONG_SESSIONS, are_installed, load::Load, same_tree, start_led_by_last};

#[test]
fn zookeeper_is_replaced_by_quorate() {
    replaced("JJJ", Subject::Quorate);
}

#[test]
fn quorate_is_replaced_by_zookeeper() {
    replaced("QQQ", Subject::ZooKeeper);
}

#[test]
fn an_older_zookeeper_is_replaced_by_quorate() {
    replaced("DDD", Subject::Quorate);
}

#[test]
fn quorate_is_replaced_by_an_older_zookeeper() {
    replaced("QQQ", Subject::DebianZooKeeper);
}

/// Each server ends, loses its data, and is one of the other kind when it starts again.
fn replaced(kinds: &str, by: Subject) {
    if !are_installed(kinds) || !by.is_installed() {
        return;
    }
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    let load = Load::start(&ensemble);
    for id in ensemble.ids() {
        load.wait_for(50);
        ensemble.terminate(id);
        ensemble.wipe(id);
        ensemble.server_mut(id).set_subject(by);
        ensemble.restart(&[id]);
    }
    load.wait_for(50);
    let promised = load.stop();
    let tree = same_tree(&ensemble);
    promised.check(&tree);
    assert_eq!(tree.owned(), [""; 0], "the sessions have ended");
}
