//! The way back: a ZooKeeper in the place of a server.

use std::fs;

use quorate_tests::{Op, Subject};

use super::{
    command, connect, done, fill, is_alive, is_zookeeper_installed, read, refused, start, succeed,
    within,
};

#[test]
fn zookeeper_goes_on_with_what_is_exported() {
    if !is_zookeeper_installed() {
        return;
    }
    let mut server = start(Subject::Quorate, &["quorate.sessionPassword=zookeeper"]);
    let owner = fill(&server);
    let expected = read(&server);
    let (config, data) = (within(&server, "zoo.cfg"), within(&server, "data"));
    let (code, said) = command(&["export", &config, "--to", &data]);
    assert!(code == 1 && said.contains("another server holds "), "{said}");
    server.terminate();
    let said = succeed(&["export", &config, "--to", &data]);
    assert!(said.contains("digest: 0x"), "{said}");
    let (code, said) = command(&["export", &config, "--to", &data]);
    assert!(code == 1 && said.contains("version-2 holds data already"), "{said}");

    // Nothing keeps Quorate from going on as long as ZooKeeper does not.
    server.restart();
    server.terminate();
    fs::rename(server.dir().join("data/version-2"), server.dir().join("data/first")).unwrap();
    succeed(&["export", &config, "--to", &data]);

    server.set_subject(Subject::ZooKeeper);
    server.restart();
    read(&server).assert_same(&expected, "trees of Quorate and ZooKeeper");
    assert!(is_alive(&server, &owner));
    let said = server.said();
    assert!(!said.to_lowercase().contains("digests are not matching"), "{said}");
    done(&mut connect(&server), &Op::create("/later", b"", 0));
    let expected = read(&server);
    server.terminate();

    server.set_subject(Subject::Quorate);
    let said = refused(&mut server);
    assert!(said.contains("ZooKeeper has written "), "{said}");
    fs::rename(server.dir().join("data/quorate"), server.dir().join("data/before")).unwrap();
    server.restart();
    read(&server).assert_same(&expected, "trees of ZooKeeper and Quorate");
}
