//! The table against a list of watches and the rules read literally.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::RwLock;
use proptest::prelude::*;
use quorate_protocol::{
    Zxid,
    record::{EventType, WatcherType},
};

use super::{Change, ChangeKind, ConnId, Mode, Summary, WatchTable};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);
const OWN_ACL: &[u8] = b"own";
const PARENT_ACL: &[u8] = b"parent";

type Told = Vec<(EventType, String, Vec<ConnId>)>;

fn trigger(table: &WatchTable, kind: ChangeKind, path: &str) -> Told {
    let change = Change { kind, path, zxid: Zxid(9), acl: OWN_ACL, parent_acl: PARENT_ACL };
    let mut told = Vec::new();
    table.trigger(&change, |event, connections| {
        assert_eq!(event.zxid, Zxid(9));
        let of_parent = event.kind == EventType::NodeChildrenChanged;
        assert_eq!(event.acl, if of_parent { PARENT_ACL } else { OWN_ACL });
        told.push((event.kind, event.path.to_owned(), connections.to_vec()));
    });
    told
}

fn told(kind: EventType, path: &str, connections: &[ConnId]) -> (EventType, String, Vec<ConnId>) {
    (kind, path.to_owned(), connections.to_vec())
}

fn table() -> WatchTable {
    let table = WatchTable::new(1);
    table.add_connection(A);
    table.add_connection(B);
    table
}

/// Which changes of `/a` a watch there hears of, and whether it is still there afterwards.
#[test]
fn what_fires_what() {
    use ChangeKind::{Created, DataChanged, Deleted};
    use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    for (mode, path, kind, changed, event, stays) in [
        (Mode::Data, "/a", Created, "/a", Some((NodeCreated, "/a")), false),
        (Mode::Data, "/a", DataChanged, "/a", Some((NodeDataChanged, "/a")), false),
        (Mode::Data, "/a", Deleted, "/a", Some((NodeDeleted, "/a")), false),
        (Mode::Data, "/a", Created, "/a/b", None, true),
        (Mode::Data, "/a", Created, "/ab", None, true),
        (Mode::Child, "/a", Created, "/a", None, true),
        (Mode::Child, "/a", DataChanged, "/a", None, true),
        (Mode::Child, "/a", Deleted, "/a", Some((NodeDeleted, "/a")), false),
        (Mode::Child, "/a", Created, "/a/b", Some((NodeChildrenChanged, "/a")), false),
        (Mode::Child, "/a", Deleted, "/a/b", Some((NodeChildrenChanged, "/a")), false),
        (Mode::Child, "/a", DataChanged, "/a/b", None, true),
        (Mode::Child, "/a", Created, "/a/b/c", None, true),
        (Mode::Child, "/", Created, "/a", Some((NodeChildrenChanged, "/")), false),
        (Mode::Persistent, "/a", Created, "/a", Some((NodeCreated, "/a")), true),
        (Mode::Persistent, "/a", DataChanged, "/a", Some((NodeDataChanged, "/a")), true),
        (Mode::Persistent, "/a", Deleted, "/a", Some((NodeDeleted, "/a")), true),
        (Mode::Persistent, "/a", Created, "/a/b", Some((NodeChildrenChanged, "/a")), true),
        (Mode::Persistent, "/a", DataChanged, "/a/b", None, true),
        (Mode::PersistentRecursive, "/a", Created, "/a", Some((NodeCreated, "/a")), true),
        (Mode::PersistentRecursive, "/a", Created, "/a/b/c", Some((NodeCreated, "/a/b/c")), true),
        (Mode::PersistentRecursive, "/a", Deleted, "/a/b", Some((NodeDeleted, "/a/b")), true),
        (
            Mode::PersistentRecursive,
            "/a",
            DataChanged,
            "/a/b",
            Some((NodeDataChanged, "/a/b")),
            true,
        ),
        (Mode::PersistentRecursive, "/a", Created, "/ab", None, true),
        (Mode::PersistentRecursive, "/", DataChanged, "/", Some((NodeDataChanged, "/")), true),
        (Mode::PersistentRecursive, "/", Created, "/x/y", Some((NodeCreated, "/x/y")), true),
    ] {
        let table = table();
        table.add(A, path, mode);
        let expected: Vec<_> = event.iter().map(|(kind, path)| told(*kind, path, &[A])).collect();
        let case = format!("{mode:?} at {path}, {kind:?} {changed}");
        assert_eq!(trigger(&table, kind, changed), expected, "{case}");
        assert_eq!(table.check(A, path, WatcherType::Any), stays, "{case}");
    }
}

#[test]
fn a_delete_is_told_once_and_consumes_all_one_shots() {
    let table = table();
    for mode in [Mode::Data, Mode::Child, Mode::Persistent] {
        table.add(A, "/a/b", mode);
    }
    table.add(A, "/", Mode::PersistentRecursive);
    table.add(B, "/a/b", Mode::Child);
    table.add(B, "/a", Mode::Child);
    assert_eq!(
        trigger(&table, ChangeKind::Deleted, "/a/b"),
        [
            told(EventType::NodeDeleted, "/a/b", &[A, B]),
            told(EventType::NodeChildrenChanged, "/a", &[B]),
        ]
    );
    assert_eq!(
        trigger(&table, ChangeKind::Deleted, "/a/b"),
        [told(EventType::NodeDeleted, "/a/b", &[A])]
    );
}

#[test]
fn removing_takes_the_kind_named_and_no_other() {
    let all = [
        WatcherType::Children,
        WatcherType::Data,
        WatcherType::Persistent,
        WatcherType::PersistentRecursive,
    ];
    let table = table();
    for kind in all {
        assert!(!table.check(A, "/a", kind) && !table.remove(A, "/a", kind));
    }
    for mode in [Mode::Data, Mode::Child, Mode::Persistent, Mode::PersistentRecursive] {
        table.add(A, "/a", mode);
        table.add(A, "/a", mode);
    }
    assert!(!table.check(B, "/a", WatcherType::Any) && !table.remove(B, "/a", WatcherType::Any));
    for kind in all {
        assert!(table.check(A, "/a", kind) && table.check(A, "/a", WatcherType::Any));
        assert!(table.remove(A, "/a", kind));
        assert!(!table.check(A, "/a", kind) && !table.remove(A, "/a", kind));
    }
    assert!(table.is_empty());
    table.add(A, "/a", Mode::Data);
    table.add(A, "/a", Mode::Persistent);
    assert!(table.remove(A, "/a", WatcherType::Any));
    assert!(table.is_empty());
}

#[test]
fn nothing_is_left_of_a_connection_that_ended() {
    let table = table();
    for i in 0..1000 {
        let path = format!("/a/{i}");
        table.add(A, &path, Mode::Data);
        table.add(A, &path, Mode::Child);
        table.add(B, &path, Mode::Persistent);
    }
    // One-shot watches that fired leave nothing behind either.
    for i in 0..500 {
        trigger(&table, ChangeKind::Deleted, &format!("/a/{i}"));
    }
    table.remove_connection(A);
    assert_eq!(table.count(), 2000);
    table.remove_connection(B);
    table.add(A, "/late", Mode::Data);
    assert!(table.is_empty());
    assert_eq!(table.sizes(), (0, 0, 0));
}

/// Connections come, watch and go while the tree changes, with its lock held as in the server.
#[test]
fn threads_leave_nothing_behind() {
    const ROUNDS: u64 = 300;
    let table = WatchTable::new(3);
    let tree = RwLock::new(());
    let path = |i: u64| format!("/{}", i % 7);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (table, tree) = (&table, &tree);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let conn = ConnId(1 + thread * ROUNDS + round);
                    table.add_connection(conn);
                    for i in 0..10 {
                        let _reading = tree.read();
                        table.add(
                            conn,
                            &path(i + round),
                            if i % 2 == 0 { Mode::Data } else { Mode::Child },
                        );
                        table.remove(conn, &path(i), WatcherType::Data);
                    }
                    // The end of a connection waits for nobody.
                    table.remove_connection(conn);
                    let _reading = tree.read();
                    table.add(conn, "/late", Mode::Data);
                }
            });
        }
        for i in 0..ROUNDS {
            let _writing = tree.write();
            trigger(&table, ChangeKind::Deleted, &path(i));
        }
    });
    assert!(table.is_empty());
    assert_eq!(table.sizes(), (0, 0, 0));
}

#[test]
fn listings_cover_the_data_table() {
    let table = table();
    table.add(B, "/b", Mode::Data);
    table.add(A, "/b", Mode::PersistentRecursive);
    table.add(A, "/a", Mode::Persistent);
    table.add(A, "/c", Mode::Child);
    assert_eq!(table.count(), 5);
    assert_eq!(table.summary(), Summary { connections: 2, paths: 2, watches: 3 });
    assert_eq!(
        table.by_path(),
        BTreeMap::from([("/a".into(), vec![A]), ("/b".into(), vec![A, B])])
    );
    assert_eq!(
        table.by_connection(),
        BTreeMap::from([(A, vec!["/a".into(), "/b".into()]), (B, vec!["/b".into()])])
    );
}

/// A list of watches, and for every event a walk over all of them.
#[derive(Default)]
struct Model {
    /// ZooKeeper's two tables.
    data: BTreeSet<(ConnId, String, Mode)>,
    child: BTreeSet<(ConnId, String, Mode)>,
}

impl Model {
    fn add(&mut self, conn: ConnId, path: &str, mode: Mode) {
        let watch = (conn, path.to_owned(), mode);
        if mode != Mode::Child {
            self.data.insert(watch.clone());
        }
        if matches!(mode, Mode::Child | Mode::Persistent) {
            self.child.insert(watch);
        }
    }

    /// The connections told by one table, which loses the one-shot watches at the path.
    fn fire(table: &mut BTreeSet<(ConnId, String, Mode)>, path: &str) -> BTreeSet<ConnId> {
        let concerned = |(_, at, mode): &(ConnId, String, Mode)| {
            let below = at == "/" || path.starts_with(&format!("{at}/"));
            at == path || *mode == Mode::PersistentRecursive && below
        };
        let told = table.iter().filter(|watch| concerned(watch)).map(|watch| watch.0).collect();
        table.retain(|(_, at, mode)| at != path || !matches!(mode, Mode::Data | Mode::Child));
        told
    }

    fn trigger(&mut self, kind: ChangeKind, path: &str) -> Told {
        let mut events = Vec::new();
        let mut tell = |kind, path: &str, connections: BTreeSet<ConnId>| {
            for conn in connections {
                events.push((kind, path.to_owned(), vec![conn]));
            }
        };
        let parent = quorate_protocol::path::split(path).map(|(parent, _)| parent);
        match kind {
            ChangeKind::Created => {
                tell(EventType::NodeCreated, path, Self::fire(&mut self.data, path));
            }
            ChangeKind::DataChanged => {
                tell(EventType::NodeDataChanged, path, Self::fire(&mut self.data, path));
                return events;
            }
            ChangeKind::Deleted => {
                let by_data = Self::fire(&mut self.data, path);
                let by_child = Self::fire(&mut self.child, path);
                let rest = by_child.difference(&by_data).copied().collect();
                tell(EventType::NodeDeleted, path, by_data);
                tell(EventType::NodeDeleted, path, rest);
            }
        }
        if let Some(parent) = parent {
            tell(EventType::NodeChildrenChanged, parent, Self::fire(&mut self.child, parent));
        }
        events
    }

    fn select(&mut self, conn: ConnId, path: &str, kind: WatcherType, remove: bool) -> bool {
        let mut found = false;
        let mut scan = |table: &mut BTreeSet<(ConnId, String, Mode)>, modes: &[Mode]| {
            table.retain(|(c, at, mode)| {
                let hit = *c == conn && at == path && modes.contains(mode);
                found |= hit;
                !(hit && remove)
            });
        };
        let all = [Mode::Data, Mode::Child, Mode::Persistent, Mode::PersistentRecursive];
        match kind {
            WatcherType::Children => scan(&mut self.child, &[Mode::Child]),
            WatcherType::Data => scan(&mut self.data, &[Mode::Data]),
            WatcherType::Persistent => {
                scan(&mut self.data, &[Mode::Persistent]);
                scan(&mut self.child, &[Mode::Persistent]);
            }
            WatcherType::PersistentRecursive => scan(&mut self.data, &[Mode::PersistentRecursive]),
            WatcherType::Any => {
                scan(&mut self.data, &all);
                scan(&mut self.child, &all);
            }
        }
        found
    }

    /// Pairs of connection and path in a table.
    fn size(table: &BTreeSet<(ConnId, String, Mode)>) -> usize {
        table.iter().map(|(conn, path, _)| (conn, path)).collect::<BTreeSet<_>>().len()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add(ConnId, String, Mode),
    Remove(ConnId, String, WatcherType),
    Check(ConnId, String, WatcherType),
    Trigger(ChangeKind, String),
    Reconnect(ConnId),
}

fn step() -> impl Strategy<Value = Step> {
    let path = || {
        prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/ab", "/b"]).prop_map(String::from)
    };
    let conn = || (1..4_u64).prop_map(ConnId);
    let mode = prop::sample::select(vec![
        Mode::Data,
        Mode::Child,
        Mode::Persistent,
        Mode::PersistentRecursive,
    ]);
    let kind = || prop::sample::select(WatcherType::ALL);
    let change = prop::sample::select(vec![
        ChangeKind::Created,
        ChangeKind::Deleted,
        ChangeKind::DataChanged,
    ]);
    prop_oneof![
        6 => (conn(), path(), mode).prop_map(|(conn, path, mode)| Step::Add(conn, path, mode)),
        1 => (conn(), path(), kind()).prop_map(|(c, path, kind)| Step::Remove(c, path, kind)),
        1 => (conn(), path(), kind()).prop_map(|(c, path, kind)| Step::Check(c, path, kind)),
        4 => (change, path()).prop_map(|(kind, path)| Step::Trigger(kind, path)),
        1 => conn().prop_map(Step::Reconnect),
    ]
}

proptest! {
    #[test]
    fn the_table_does_what_the_rules_say(steps in prop::collection::vec(step(), 1..100)) {
        let table = WatchTable::new(7);
        let mut model = Model::default();
        for conn in 1..4 {
            table.add_connection(ConnId(conn));
        }
        for step in steps {
            match step {
                Step::Add(conn, path, mode) => {
                    table.add(conn, &path, mode);
                    model.add(conn, &path, mode);
                }
                Step::Remove(conn, path, kind) => prop_assert_eq!(
                    table.remove(conn, &path, kind),
                    model.select(conn, &path, kind, true)
                ),
                Step::Check(conn, path, kind) => prop_assert_eq!(
                    table.check(conn, &path, kind),
                    model.select(conn, &path, kind, false)
                ),
                Step::Trigger(kind, path) => {
                    // Per connection the events and their order are the same; who of several
                    // connections is told first is nobody's business.
                    let mut by_table: BTreeMap<ConnId, Vec<_>> = BTreeMap::new();
                    for (kind, path, connections) in trigger(&table, kind, &path) {
                        for conn in connections {
                            by_table.entry(conn).or_default().push((kind, path.clone()));
                        }
                    }
                    let mut by_model: BTreeMap<ConnId, Vec<_>> = BTreeMap::new();
                    for (kind, path, connections) in model.trigger(kind, &path) {
                        by_model.entry(connections[0]).or_default().push((kind, path));
                    }
                    prop_assert_eq!(by_table, by_model);
                }
                Step::Reconnect(conn) => {
                    table.remove_connection(conn);
                    table.add_connection(conn);
                    model.data.retain(|watch| watch.0 != conn);
                    model.child.retain(|watch| watch.0 != conn);
                }
            }
            prop_assert_eq!(table.count(), Model::size(&model.data) + Model::size(&model.child));
            let pairs: BTreeSet<_> =
                model.data.union(&model.child).map(|(conn, path, _)| (conn, path)).collect();
            let paths: BTreeSet<_> = pairs.iter().map(|(_, path)| path).collect();
            prop_assert_eq!(table.sizes(), (paths.len(), 3, pairs.len()));
        }
    }
}
