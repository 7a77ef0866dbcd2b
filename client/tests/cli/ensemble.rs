//! Commands about servers.

use quorate_client::{
    Client,
    testing::{TestEnsemble, TestServer},
};

use crate::Cli;

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_an_ensemble_is_a_table() {
    let mut ensemble = TestEnsemble::start(3).await.unwrap();
    let leader = ensemble.wait_for_leader().await.unwrap();
    let cli = Cli { hosts: ensemble.hosts() };
    // All followers are in sync once the ensemble has committed something with all of them.
    for index in ensemble.indexes() {
        Cli::of(ensemble.server(index)).ok(&["sync", "/"]);
    }
    let status = cli.ok(&["status"]);
    let lines: Vec<_> = status.lines().collect();
    let header: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(header[..4], ["SERVER", "MODE", "ZXID", "BEHIND"]);
    for index in ensemble.indexes() {
        let cells: Vec<_> = lines[index + 1].split_whitespace().collect();
        assert_eq!(cells[0], ensemble.server(index).address().to_string());
        assert_eq!(cells[1], if index == leader { "leader" } else { "follower" });
    }
    assert!(lines[4].starts_with("Synced with the leader: 2 followers"), "{status}");

    let doctor = cli.ok(&["doctor", "--probe"]);
    for check in ["server", "quorum", "version", "behind", "nodes", "clock", "write"] {
        assert!(
            doctor.lines().any(|line| line.contains(&format!("  {check} "))),
            "{check}: {doctor}"
        );
    }
    assert!(!doctor.contains("PROBLEM"), "{doctor}");

    let follower = ensemble.indexes().find(|index| *index != leader).unwrap();
    ensemble.kill(follower).unwrap();
    let ran = cli.run(&["status", "-o", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let document: serde_json::Value = serde_json::from_slice(&ran.out).unwrap();
    assert_eq!(document[follower]["mode"], serde_json::Value::Null);
    assert!(document[follower]["problem"].as_str().unwrap().contains("cannot be reached"));
    assert_eq!(document[leader]["behind"], 0);
    // The other two are a quorum: reads, writes and the shell go on.
    cli.ok(&["create", "/still"]);

    ensemble.kill(leader).unwrap();
    let lines = cli.run(&["status"]);
    assert!(lines.text().contains("  DOWN  ") && lines.text().contains("  WAITING  "), "{lines:?}");
    let ran = cli.run(&["doctor", "-o", "json"]);
    assert_eq!(ran.code, 1);
    assert!(ran.text().contains("no server leads"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_of_ephemeral_nodes_are_named() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let owner = Client::connect(&server.hosts()).await.unwrap();
    owner.create("/mine", "").ephemeral().await.unwrap();
    let document = cli.ok(&["who", "/mine", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let session = owner.session_id().to_string();
    assert_eq!(document[0]["session"], *session);
    assert!(document[0]["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(document[0]["server"], server.hosts());
    assert!(cli.ok(&["who", &session]).contains(&session));
    cli.ok(&["create", "/nobodys"]);
    assert!(cli.fails(1, &["who", "/nobodys"]).contains("not ephemeral"));
    assert!(cli.fails(1, &["who", "0x1"]).contains("No server that was asked"));
    cli.fails(3, &["who", "/missing"]);
    cli.fails(2, &["who", "0xzz"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn big_nodes_and_shut_words_are_found() {
    let server = TestServer::start_with(&["4lw.commands.whitelist=srvr"]).await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/big", &"x".repeat(1000)]);
    cli.ok(&["create", "/many"]);
    cli.ok(&["create", "/many/1"]);
    cli.ok(&["create", "/many/2"]);
    let said = cli.ok(&["doctor", "--max-data", "999", "--max-children", "1"]);
    assert!(said.contains("/big: 1000 bytes of data"), "{said}");
    assert!(said.contains("/many: 2 children"), "{said}");
    assert!(said.contains("does not allow mntr, conf, hash"), "{said}");
    assert!(said.contains("the server is alone"), "{said}");
}
