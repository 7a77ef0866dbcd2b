//! The tree against a real server's log, against a plain model, and its checkpoints.

pub(crate) mod model;
mod rules;

use proptest::prelude::*;
use quorate_protocol::Decode;

use self::model::{Model, Seen, Step};
use super::*;
use crate::txn::{
    TxnRecord,
    tests::{REAL_NODES, real_log},
};

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

/// A node as a line of the dump that the real server's client wrote.
fn line(node: &Node<'_>) -> String {
    use std::fmt::Write;

    let stat = node.stat();
    let mut line = node.path();
    let numbers = [
        stat.czxid.0,
        stat.mzxid.0,
        stat.ctime,
        stat.mtime,
        stat.version.into(),
        stat.cversion.into(),
        stat.aversion.into(),
        stat.ephemeral_owner.0,
        stat.data_length.into(),
        stat.num_children.into(),
        stat.pzxid.0,
    ];
    for number in numbers {
        write!(line, "\t{number}").unwrap();
    }
    line.push_str(if node.data().is_some() { "\t0x" } else { "\tnull" });
    for byte in node.data().unwrap_or_default() {
        write!(line, "{byte:02x}").unwrap();
    }
    line
}

#[test]
fn a_real_log_makes_the_real_tree() {
    let mut tree = Tree::new(SEED);
    for bytes in real_log() {
        let record = TxnRecord::from_bytes(bytes).unwrap();
        let outcome = tree.apply(&record, &mut ignore);
        assert_eq!(outcome.digest_mismatch, None, "{record:?}");
        if record.header.zxid == Zxid(0x38) {
            let mut lines: Vec<_> = tree.nodes().map(|node| line(&node)).collect();
            let mut expected: Vec<_> = REAL_NODES.lines().collect();
            lines.sort();
            expected.sort_unstable();
            assert_eq!(lines, expected);
            // As mntr said, but ZooKeeper does not count the digit that the quota's usage gained.
            assert_eq!((tree.node_count(), tree.ephemeral_count()), (25, 2));
            assert_eq!(tree.data_size(), 607 + 1);
        }
    }
    assert_eq!(tree.verify_digests(), Ok(()));
    assert!(tree.sessions().is_empty() && tree.ephemeral_count() == 0);
}

/// Applies a step to both, and compares what the sink sees.
fn apply_step(tree: &mut Tree, model: &mut Model, step: &Step) {
    let (bytes, expected) = model.step(step);
    let record = TxnRecord::from_bytes(&bytes).unwrap();
    let mut seen: Vec<Seen> = Vec::new();
    let outcome = tree.apply(&record, &mut |change| {
        assert_eq!(change.zxid, record.header.zxid);
        let path = change.path.to_owned();
        seen.push((change.kind, path, change.acl.to_vec(), change.parent_acl.to_vec()));
    });
    assert_eq!(seen, expected, "{step:?}");
    assert_eq!(outcome.digest_mismatch, None, "{step:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn histories_do_what_a_plain_map_does(steps in prop::collection::vec(model::step(), 0..150)) {
        let mut tree = Tree::new(SEED);
        let mut model = Model::new();
        for (i, step) in steps.iter().enumerate() {
            apply_step(&mut tree, &mut model, step);
            if i % 8 == 0 {
                model.compare(&tree);
            }
        }
        model.compare(&tree);
    }
}

/// What a checkpoint on disk is: the head and the slots.
#[derive(Clone, Default)]
struct Disk {
    head: Vec<u8>,
    slots: BTreeMap<u32, Box<[u8]>>,
}

impl Disk {
    fn load(&self, seed: u64) -> Tree {
        let head = CheckpointHead::from_bytes(&self.head).unwrap();
        let mut builder = TreeBuilder::new(head, seed).unwrap();
        for (&slot, image) in &self.slots {
            builder.push(slot, image).unwrap();
        }
        builder.finish().unwrap()
    }
}

#[derive(Debug, Clone)]
enum CheckpointStep {
    Do(Step),
    Begin,
    Chunk(usize),
    End(bool),
}

fn checkpoint_step() -> impl Strategy<Value = CheckpointStep> {
    prop_oneof![
        6 => model::step().prop_map(CheckpointStep::Do),
        1 => Just(CheckpointStep::Begin),
        2 => (1_usize..6).prop_map(CheckpointStep::Chunk),
        1 => prop::bool::weighted(0.8).prop_map(CheckpointStep::End),
    ]
}

/// A checkpoint under way: the model as it was when it began, and the disk as it will be.
struct Running {
    model: Model,
    disk: Disk,
}

impl Running {
    fn begin(tree: &mut Tree, model: &Model, disk: &Disk) -> Self {
        let mut disk = disk.clone();
        disk.head = tree.checkpoint_begin().to_bytes().to_vec();
        Self { model: model.clone(), disk }
    }

    /// Whether anything came.
    fn chunk(&mut self, tree: &mut Tree, slots: usize) -> bool {
        let images = tree.checkpoint_chunk(slots);
        let some = !images.is_empty();
        for (slot, image) in images {
            match image {
                Some(image) => _ = self.disk.slots.insert(slot, image),
                None => _ = self.disk.slots.remove(&slot),
            }
        }
        some
    }

    /// Takes what is missing, and checks that the disk has the tree of the beginning.
    fn end(mut self, tree: &mut Tree) -> Disk {
        while self.chunk(tree, 3) {}
        tree.checkpoint_end(true);
        self.model.compare(&self.disk.load(SEED + 1));
        self.disk
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_checkpoint_is_the_tree_as_it_was_at_its_beginning(
        steps in prop::collection::vec(checkpoint_step(), 0..200),
    ) {
        let mut tree = Tree::new(SEED);
        let mut model = Model::new();
        let mut disk = Disk::default();
        let mut running: Option<Running> = None;
        for step in &steps {
            match (step, running.take()) {
                (CheckpointStep::Do(step), under_way) => {
                    apply_step(&mut tree, &mut model, step);
                    running = under_way;
                }
                (CheckpointStep::Begin, None) => {
                    running = Some(Running::begin(&mut tree, &model, &disk));
                }
                (CheckpointStep::Chunk(slots), Some(mut under_way)) => {
                    under_way.chunk(&mut tree, *slots);
                    running = Some(under_way);
                }
                (CheckpointStep::End(true), Some(under_way)) => disk = under_way.end(&mut tree),
                // Fails: the disk stays as it was.
                (CheckpointStep::End(false), Some(_)) => tree.checkpoint_end(false),
                (_, under_way) => running = under_way,
            }
        }
        if let Some(under_way) = running {
            disk = under_way.end(&mut tree);
        }
        disk = Running::begin(&mut tree, &model, &disk).end(&mut tree);
        assert_eq!(tree.dirty_slots(), 0);
        // Life goes on in the tree that was loaded.
        let mut loaded = disk.load(SEED);
        for step in steps.iter().take(50) {
            if let CheckpointStep::Do(step) = step {
                apply_step(&mut loaded, &mut model, step);
            }
        }
        model.compare(&loaded);
        Running::begin(&mut loaded, &model, &disk).end(&mut loaded);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the damage: either it is refused, or the tree hangs together.
    #[test]
    fn damage_to_a_checkpoint_does_no_harm(
        steps in prop::collection::vec(model::step(), 0..60),
        damage in prop::collection::vec((any::<u16>(), any::<u16>(), 1_u8..), 1..4),
    ) {
        let mut tree = Tree::new(SEED);
        let mut model = Model::new();
        for step in &steps {
            apply_step(&mut tree, &mut model, step);
        }
        let mut running = Running::begin(&mut tree, &model, &Disk::default());
        while running.chunk(&mut tree, 100) {}
        let mut slots: Vec<_> = running.disk.slots.into_iter().collect();
        for (slot, offset, flip) in damage {
            let slot = usize::from(slot) % slots.len();
            let image = &mut slots[slot].1;
            let offset = usize::from(offset) % image.len();
            image[offset] ^= flip;
        }
        let head = CheckpointHead::from_bytes(&running.disk.head).unwrap();
        let build = || {
            let mut builder = TreeBuilder::new(head, SEED)?;
            for (slot, image) in &slots {
                builder.push(*slot, image)?;
            }
            builder.finish()
        };
        if let Ok(mut built) = build() {
            _ = built.verify_digests();
            let mut reached = 0;
            for slot in built.subtree(ROOT) {
                assert_eq!(built.find(&built.path_of(slot)), Some(slot));
                reached += 1;
            }
            assert_eq!(reached + 1, built.node_count());
            let owners: Vec<_> = built.ephemeral_owners().collect();
            let owned = owners.iter().map(|owner| built.ephemerals(*owner).len()).sum::<usize>();
            assert_eq!(owned, built.ephemeral_count());
            assert!(built.data_size() > 0 && built.checkpoint_begin().nodes > 0);
        }
    }
}
