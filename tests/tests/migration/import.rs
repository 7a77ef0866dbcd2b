//! A server in the place of a ZooKeeper, on the folders that it has left.

use std::{collections::BTreeMap, fs, path::Path};

use quorate_tests::{Op, Server, Subject};

use super::{
    IMPORTED, connect, done, fill, is_alive, is_zookeeper_installed, read, refused, start, succeed,
    within,
};

#[test]
fn plain_snapshots_are_taken_over() {
    taken_over(&[]);
}

#[test]
fn snapshots_of_gzip_are_taken_over() {
    taken_over(&["snapshot.compression.method=gz"]);
}

#[test]
fn snapshots_of_snappy_are_taken_over() {
    taken_over(&["snapshot.compression.method=snappy"]);
}

#[test]
fn a_log_in_a_folder_of_its_own_is_taken_over() {
    if !is_zookeeper_installed() {
        return;
    }
    let mut server = Server::prepare(Subject::ZooKeeper, &[]);
    let config = server.dir().join("zoo.cfg");
    let logs = within(&server, "logs");
    fs::write(&config, fs::read_to_string(&config).unwrap() + &format!("\ndataLogDir={logs}\n"))
        .unwrap();
    server.restart();
    done(&mut connect(&server), &Op::create("/a", b"1", 0));
    let expected = read(&server);
    server.terminate();
    server.set_subject(Subject::Quorate);
    server.restart();
    read(&server).assert_same(&expected, "trees of ZooKeeper and Quorate");
    assert!(Path::new(&logs).join("quorate/log").is_dir());
}

/// The content of all files in a folder.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    files.map(|f| (f.file_name().into_string().unwrap(), fs::read(f.path()).unwrap())).collect()
}

fn taken_over(settings: &[&str]) {
    if !is_zookeeper_installed() {
        return;
    }
    let mut server = start(Subject::ZooKeeper, settings);
    let owner = fill(&server);
    let expected = read(&server);
    assert_eq!(expected.owned().len(), 5);
    server.terminate();
    let version2 = server.dir().join("data/version-2");
    let before = content(&version2);
    assert!(before.keys().filter(|name| name.starts_with("snapshot.")).count() > 2, "{before:?}");

    server.set_subject(Subject::Quorate);
    server.restart();
    assert!(server.said().contains(IMPORTED), "{}", server.said());
    read(&server).assert_same(&expected, "trees of ZooKeeper and Quorate");
    assert!(is_alive(&server, &owner), "the session is continued with the password it has");
    assert_eq!(content(&version2), before, "ZooKeeper's files are as they were");

    done(&mut connect(&server), &Op::create("/later", b"", 0));
    let expected = read(&server);
    server.terminate();
    server.restart();
    read(&server).assert_same(&expected, "trees before and after a restart");
    assert_eq!(server.said().matches(IMPORTED).count(), 1, "it is said once");
    server.terminate();

    let verified = succeed(&["verify", &within(&server, "zoo.cfg")]);
    assert!(verified.contains(" is whole"), "{verified}");
    let dumped = succeed(&["dump", &within(&server, "data/version-2"), "-o", "json"]);
    let lines = dumped.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let kinds: Vec<_> = lines.map(|line| line["record"].as_str().unwrap().to_owned()).collect();
    for kind in ["log", "snapshot", "txn", "op", "node", "session", "end"] {
        assert!(kinds.iter().any(|found| found == kind), "no {kind}");
    }
    let dumped = succeed(&["dump", &within(&server, "data")]);
    for part in ["txn offset=", "type=create path=/later", "checkpoint file=", "ttl_ms=600000"] {
        assert!(dumped.contains(part), "no {part}");
    }

    // Somebody goes back and forth.
    server.set_subject(Subject::ZooKeeper);
    server.restart();
    done(&mut connect(&server), &Op::create("/elsewhere", b"", 0));
    let expected = read(&server);
    server.terminate();
    server.set_subject(Subject::Quorate);
    let said = refused(&mut server);
    let part = "since Quorate has had its data: there are two histories now";
    assert!(said.contains("ZooKeeper has written ") && said.contains(part), "{said}");
    fs::rename(server.dir().join("data/quorate"), server.dir().join("data/before")).unwrap();
    server.restart();
    read(&server).assert_same(&expected, "trees of ZooKeeper and Quorate");
}

#[test]
fn an_import_by_hand_goes_where_it_is_told_to() {
    if !is_zookeeper_installed() {
        return;
    }
    let mut server = start(Subject::ZooKeeper, &[]);
    let owner = fill(&server);
    let expected = read(&server);
    server.terminate();
    let old = within(&server, "old");
    fs::rename(server.dir().join("data"), &old).unwrap();
    let data = within(&server, "data");
    let said = succeed(&["import", "--from", &old, "--to", &data]);
    for part in ["snapshot: ", "nodes: ", "of them ephemeral: 5", "digest: 0x", "written to "] {
        assert!(said.contains(part), "no {part} in: {said}");
    }
    server.set_subject(Subject::Quorate);
    server.restart();
    assert!(!server.said().contains(IMPORTED));
    read(&server).assert_same(&expected, "trees of ZooKeeper and Quorate");
    assert!(is_alive(&server, &owner));
}
