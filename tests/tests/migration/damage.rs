//! Files that are not whole.

use std::fs;

use quorate_tests::{Op, Server, Subject};

use super::{
    IMPORTED, command, connect, done, is_zookeeper_installed, read, refused, start, succeed, within,
};

/// A ZooKeeper that has ended and left one log.
fn zookeeper() -> Option<Server> {
    if !is_zookeeper_installed() {
        return None;
    }
    let mut server = start(Subject::ZooKeeper, &["snapCount=100000"]);
    let mut client = connect(&server);
    for number in 0..10 {
        done(&mut client, &Op::create(&format!("/{number}"), b"data", 0));
    }
    server.terminate();
    server.set_subject(Subject::Quorate);
    Some(server)
}

#[test]
fn a_damaged_log_ends_the_start_and_its_beginning_can_be_had() {
    let Some(mut server) = zookeeper() else { return };
    let log = server.dir().join("data/version-2/log.1");
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes.windows(2).position(|bytes| bytes == b"/5").unwrap();
    bytes[at + 1] = b'x';
    fs::write(&log, &bytes).unwrap();
    let said = refused(&mut server);
    for part in [
        "ZooKeeper's data cannot be imported: ",
        "data/version-2/log.1 is damaged at offset ",
        ": a record with a wrong checksum (the last transaction before is 0x6). Nothing was changed; ",
        "quorate-server import --accept-loss",
    ] {
        assert!(said.contains(part), "no {part} in: {said}");
    }
    assert!(!server.dir().join("data/quorate").exists());
    let config = within(&server, "zoo.cfg");
    let (code, said) = command(&["import", &config]);
    assert!(code == 1 && said.contains("with --accept-loss"), "{said}");
    let said = succeed(&["import", &config, "--accept-loss"]);
    assert!(said.contains("LOST: ") && said.contains("last zxid: 0x6\n"), "{said}");
    server.restart();
    let tree = read(&server);
    assert!(tree.get("/4").is_some() && tree.get("/5").is_none() && tree.get("/6").is_none());
}

#[test]
fn a_damaged_snapshot_is_passed_over_where_the_log_has_everything() {
    let Some(mut server) = zookeeper() else { return };
    // As ZooKeeper's start writes one.
    server.set_subject(Subject::ZooKeeper);
    server.restart();
    let expected = read(&server);
    server.terminate();
    let version2 = server.dir().join("data/version-2");
    let names = fs::read_dir(&version2).unwrap().map(|entry| entry.unwrap().path());
    let newest = names.filter(|path| path.to_str().unwrap().contains("/snapshot.")).max().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    server.set_subject(Subject::Quorate);
    server.restart();
    let said = server.said();
    assert!(said.contains(IMPORTED) && said.contains("a snapshot of ZooKeeper is passed over"));
    read(&server).assert_same(&expected, "trees of ZooKeeper and Quorate");
}

#[test]
fn damage_to_our_own_data_is_found_without_a_start() {
    let mut server = Server::start(Subject::Quorate, &[]);
    let mut client = connect(&server);
    for number in 0..10 {
        done(&mut client, &Op::create(&format!("/{number}"), b"data", 0));
    }
    let config = within(&server, "zoo.cfg");
    let (code, said) = command(&["verify", &config]);
    assert!(code == 2 && said.contains("a server holds "), "{said}");
    server.terminate();
    let log = server.dir().join("data/quorate/log/0000000000000001.log");
    let whole = fs::read(&log).unwrap();
    let json = succeed(&["verify", &config, "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["result"], "whole");
    assert_eq!(fs::read(&log).unwrap(), whole, "it was only looked at");
    let mut bytes = whole;
    let at = bytes.windows(2).position(|bytes| bytes == b"/5").unwrap();
    bytes[at] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let (code, said) = command(&["verify", &config]);
    assert!(code == 1 && said.contains("DAMAGE: ") && said.contains("NOT whole"), "{said}");
    assert!(said.contains("0000000000000001.log is damaged at offset "), "{said}");
    let (code, said) = command(&["verify", "--data", &within(&server, "nowhere")]);
    assert!(code == 2 && said.contains("there is no data of Quorate"), "{said}");
}
