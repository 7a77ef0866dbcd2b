//! The servers of an ensemble, shown and changed.

use std::fs;

use quorate_tests::{
    Ensemble, Member, Subject,
    wait::{self, PATIENCE},
};

use crate::program::Cli;

/// The digest is that of `super:secret`.
const SETTINGS: &[&str] = &[
    "reconfigEnabled=true",
    "standaloneEnabled=false",
    "DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=",
];

const SUPER: &[&str] = &["--auth", "digest:super:secret"];

fn ensemble(subject: Subject, size: usize) -> Option<(Ensemble, Cli)> {
    if !subject.is_installed() {
        return None;
    }
    let ensemble = Ensemble::start(subject, size, SETTINGS);
    ensemble.wait_for_leader();
    let cli = Cli::at_all(ensemble.ids().map(|id| ensemble.server(id)))?;
    Some((ensemble, cli))
}

/// The configuration's version, as `config -c` shows it in front of the addresses.
fn version(cli: &Cli) -> String {
    cli.ok(&["config", "-c"]).split(' ').next().expect("a version").trim().to_owned()
}

/// Makes a change once enough servers are up to date for it.
fn change(cli: &Cli, arguments: &[&str]) -> String {
    wait::until("the change to be accepted", PATIENCE, || {
        let (code, answer, said) = cli.run(arguments);
        let early = said.contains("No quorum of new config");
        assert!(code == Some(0) || early, "{arguments:?}: {code:?} {said}");
        (code == Some(0)).then_some(answer)
    })
}

#[test]
fn members_of_ours_are_changed() {
    changes_members(Subject::Quorate);
}

#[test]
fn members_of_zookeeper_are_changed() {
    changes_members(Subject::ZooKeeper);
}

fn changes_members(subject: Subject) {
    let Some((ensemble, cli)) = ensemble(subject, 3) else { return };
    let follower = ensemble.follower();
    let [removed, line] = [follower.to_string(), ensemble.line(follower, "participant")];

    // At the server that stays what it is: one that gains or loses its vote drops its clients.
    let leader = ensemble.leader().expect("it leads on");
    let cli = cli.of(&ensemble.server(leader).addr().to_string());

    // Not by anybody, and not by any words.
    let said = cli.fails(6, &["reconfig", "-remove", &removed]);
    assert!(said.contains("/zookeeper/config") && said.contains("super"), "{said}");
    let cli = cli.with(SUPER);
    let said = cli.fails(2, &["reconfig", "-remove", "x"]);
    assert!(said.contains("numbers of servers"), "{said}");
    let said = cli.fails(1, &["reconfig", "-add", "server.9=127.0.0.1:1"]);
    assert!(said.contains("Arguments are not valid") && said.contains("electionPort"), "{said}");
    cli.fails(5, &["reconfig", "-v", "1", "-remove", &removed]);

    let before = version(&cli);
    let answer = change(&cli, &["reconfig", "-s", "-v", &before, "-remove", &removed]);
    let mut lines = answer.lines();
    assert_eq!(lines.next(), Some("Committed new configuration:"));
    assert!(!answer.contains(&format!("server.{removed}=")), "{answer}");
    assert!(answer.contains("dataVersion = -1"), "the Stat: {answer}");
    assert_ne!(version(&cli), before);

    // Back again, first without a vote. Each answer is what `config` then shows.
    let observer = ensemble.line(follower, "observer");
    let answer = change(&cli, &["reconfig", "-add", &observer]);
    let shown = cli.ok(&["config"]);
    assert!(shown.contains(&format!("server.{removed}=")) && shown.contains(":observer;"));
    assert_eq!(answer, format!("Committed new configuration:\n{shown}"));
    change(&cli, &["reconfig", "-add", &line]);

    // All anew: from a file, comments and other keys among its lines, and as words.
    let all: Vec<_> = ensemble.ids().map(|id| ensemble.line(id, "participant")).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("members.cfg");
    fs::write(&file, format!("# members\ntickTime=200\n{}\n", all.join("\n"))).expect("write it");
    change(&cli, &["reconfig", "-file", file.to_str().expect("UTF-8")]);
    change(&cli, &["reconfig", "-members", &all.join(",")]);
    let clients = cli.ok(&["config", "-c"]);
    for id in ensemble.ids() {
        assert!(clients.contains(&ensemble.server(id).addr().to_string()), "{clients}");
    }
    let document: serde_json::Value =
        serde_json::from_str(&cli.ok(&["config", "-o", "json"])).expect("JSON");
    assert_eq!(document["servers"].as_array().expect("a list").len(), 3);
    assert_eq!(clients.split(' ').next(), document["version"].as_str());

    // A file that says nothing of servers is named.
    fs::write(&file, "tickTime=200\n").expect("write it");
    let said = cli.fails(2, &["reconfig", "-file", file.to_str().expect("UTF-8")]);
    assert!(said.contains("members.cfg") && said.contains("server.N"), "{said}");
}

#[test]
fn one_server_grows_to_three() {
    let Some((mut ensemble, cli)) = ensemble(Subject::Quorate, 1) else { return };
    let cli = cli.with(SUPER);
    cli.ok(&["create", "/kept", "words"]);
    for _ in 0..2 {
        let id = ensemble.add(Subject::Quorate, &[1]);
        ensemble.restart(&[id]);
    }
    let joining = [2, 3].map(|id| ensemble.line(id, "participant")).join(",");
    let answer = change(&cli, &["reconfig", "-add", &joining]);
    assert_eq!(answer.matches("\nserver.").count(), 3, "{answer}");

    // The new ones do without the first.
    ensemble.kill(1);
    let others = Cli::at_all([2, 3].map(|id| ensemble.server(id))).expect("it is built");
    wait::until("another leader", PATIENCE, || ensemble.leader().filter(|id| *id != 1));
    assert_eq!(others.ok(&["get", "/kept"]), "words\n");
    others.ok(&["set", "/kept", "again"]);
}

#[test]
fn what_switched_off_means_is_said() {
    if let Some((_ensemble, cli)) = Cli::path().map(|_| {
        let ensemble = Ensemble::start_members(&[Member::participant(Subject::Quorate); 3], &[]);
        let cli = Cli::at_all(ensemble.ids().map(|id| ensemble.server(id))).expect("it is built");
        (ensemble, cli)
    }) {
        let said = cli.fails(1, &["reconfig", "-remove", "3"]);
        assert!(said.contains("reconfigEnabled=true"), "{said}");
    }
}
