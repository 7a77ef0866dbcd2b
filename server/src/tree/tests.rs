//! The tree against a real server's log, against a plain model, and its checkpoints.

use quorate_protocol::Decode;

use super::*;
use crate::txn::{TxnRecord, tests::real_log};

const SEED: u64 = 7;

fn ignore(_: crate::watch::Change<'_>) {}

#[test]
fn a_new_tree_is_as_in_zookeeper() {
    let tree = Tree::new(SEED);
    assert_eq!(tree.digest(), 1_371_985_504);
    assert_eq!((tree.node_count(), tree.data_size()), (5, 44));
    let stat = |path| tree.get(path).unwrap().stat();
    let shown = |path| {
        let stat = stat(path);
        (stat.version, stat.cversion, stat.aversion, stat.num_children)
    };
    assert_eq!(shown("/"), (0, -1, 0, 1));
    assert_eq!(shown("/zookeeper"), (0, -2, 0, 2));
    assert_eq!(shown("/zookeeper/quota"), (0, 0, 0, 0));
    assert_eq!(shown("/zookeeper/config"), (0, 0, -1, 0));
    assert_eq!(tree.get("").unwrap().path(), "/");
    assert_eq!(tree.root().descendant_count(), 3);
    for none in ["a", "//", "/zookeeper/", "/zookeeper//config", "zookeeper"] {
        assert!(tree.get(none).is_none(), "{none}");
    }
    assert_eq!(tree.verify_digests(), Ok(()));
}

#[test]
fn a_real_log_gives_the_real_digests() {
    let mut tree = Tree::new(SEED);
    for bytes in real_log() {
        let record = TxnRecord::from_bytes(bytes).unwrap();
        let outcome = tree.apply(&record, &mut ignore);
        assert_eq!(outcome.digest_mismatch, None, "{record:?}");
    }
    assert_eq!(tree.verify_digests(), Ok(()));
}
