//! Commands for operators, at ensembles of which a part is gone, silent, or does not vote.

use quorate_tests::{
    Ensemble, Member, Server, Subject,
    wait::{self, PATIENCE},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::Cli;

fn document(answer: &str) -> Value {
    serde_json::from_str(answer).expect("JSON")
}

fn signal(server: &Server, signal: Signal) {
    let pid = Pid::from_raw(server.pid().cast_signed()).expect("a process");
    kill_process(pid, signal).expect("it is ours");
}

/// What a server is, by `status`: null when it does not serve.
fn mode_of(cli: &Cli, server: &Server) -> Value {
    let (_, answer, said) = cli.run(&["status", "-o", "json"]);
    let rows = document(&answer);
    let row = rows
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| row["server"].as_str() == Some(&server.addr().to_string()));
    row.unwrap_or_else(|| panic!("{answer} {said}"))["mode"].clone()
}

#[test]
fn an_ensemble_of_ours_is_looked_after() {
    looked_after(Subject::Quorate);
}

#[test]
fn an_ensemble_of_zookeeper_is_looked_after() {
    looked_after(Subject::ZooKeeper);
}

fn looked_after(subject: Subject) {
    if !subject.is_installed() {
        return;
    }
    let mut members = vec![Member::participant(subject); 3];
    members.push(Member::observer(subject));
    let mut ensemble = Ensemble::start_members(&members, &[]);
    let Some(cli) = Cli::at_all(ensemble.ids().map(|id| ensemble.server(id))) else { return };
    let leader = ensemble.wait_for_leader();
    cli.ok(&["create", "/app", "words"]);
    for id in ensemble.ids() {
        cli.of(&ensemble.server(id).addr().to_string()).ok(&["sync", "/"]);
    }
    assert_eq!(mode_of(&cli, ensemble.server(leader)), "leader");
    assert_eq!(mode_of(&cli, ensemble.server(4)), "observer");
    assert!(cli.ok(&["status"]).contains("2 followers, 1 observers"));
    assert!(!cli.ok(&["doctor", "--probe"]).contains("PROBLEM"));
    let bench = document(
        &cli.ok(&["bench", "--for", "500ms", "-c", "2", "-i", "4", "-n", "20", "-o", "json"]),
    );
    let all = bench.as_array().expect("rows").last().expect("a row for all");
    assert_eq!(all["errors"], 0);
    // As many are under way as were asked for: their times add up to that of the run.
    let in_flight = all["per_second"].as_f64().expect("a rate") * all["max"].as_f64().expect("ms");
    assert!(in_flight / 1000.0 > 7.0, "{all}");

    // One that takes connections and says nothing costs neither the answer nor much time.
    let silent = ensemble.follower();
    signal(ensemble.server(silent), Signal::STOP);
    for _ in 0..4 {
        assert_eq!(cli.ok(&["get", "/app"]), "words\n");
    }
    assert_eq!(mode_of(&cli, ensemble.server(silent)), Value::Null);
    assert!(cli.fails(1, &["status"]).contains("does not answer"));
    let (code, answer, _) = cli.run(&["doctor"]);
    assert_eq!(code, Some(1));
    let address = ensemble.server(silent).addr().to_string();
    assert!(answer.contains(&format!("{address} does not answer")), "{answer}");
    signal(ensemble.server(silent), Signal::CONT);
    wait::until("all to serve again", PATIENCE, || {
        (cli.run(&["status"]).0 == Some(0)).then_some(())
    });

    // Without the leader there is another; without two of three there is none.
    ensemble.kill(leader);
    let next = ensemble.wait_for_leader();
    assert_eq!(mode_of(&cli, ensemble.server(next)), "leader");
    let said = cli.fails(1, &["status"]);
    assert!(said.contains("cannot be reached"), "{said}");
    cli.ok(&["set", "/app", "again"]);
    ensemble.kill(next);
    let left = ensemble.others(leader).into_iter().find(|id| *id != next && *id != 4);
    let left = ensemble.server(left.expect("one votes still"));
    wait::until("the last one to give up", PATIENCE, || {
        mode_of(&cli, left).is_null().then_some(())
    });
    let (code, answer, said) = cli.run(&["status"]);
    assert_eq!(code, Some(1));
    assert!(answer.contains("DOWN") && said.contains("No server leads"), "{answer} {said}");
    cli.fails(7, &["get", "/app"]);
}

#[test]
fn trees_of_two_ensembles_are_compared_and_made_alike() {
    let here = Server::start(Subject::tested(), &[]);
    for subject in Subject::available() {
        let there = Server::start(subject, &[]);
        let Some(cli) = Cli::at(&here) else { return };
        let other = |path: &str| format!("zk://{}{path}", there.addr());
        let folder = tempfile::tempdir().expect("a folder");
        let big = folder.path().join("big");
        let bytes: Vec<u8> =
            (0..900_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        std::fs::write(&big, &bytes).expect("write a file");
        let root = format!("/{subject:?}");
        cli.ok(&["create", &root, "--from-file", big.to_str().expect("UTF-8")]);
        for name in ["a b%", "%data", "…ü", "\"q\"", "-dash", "..x", "a\\b", "*"] {
            cli.ok(&["create", &format!("{root}/{name}"), &format!("data of {name}")]);
        }
        for format in ["json", "tar"] {
            let file = folder.path().join(format);
            let file = file.to_str().expect("UTF-8");
            cli.ok(&["export", "--acl", "--format", format, &root, file]);
            cli.of(&there.addr().to_string()).ok(&["import", "--acl", file, &format!("/{format}")]);
            assert_eq!(cli.ok(&["diff", "--acl", &root, &other(&format!("/{format}"))]), "");
        }
        cli.ok(&["cp", "-r", &root, &other("/copy")]);
        cli.ok(&["set", &format!("{root}/*"), "changed"]);
        let (code, answer, _) = cli.run(&["diff", &root, &other("/copy")]);
        assert_eq!((code, &*answer), (Some(1), "~ /*: changed -> data of *\n"));
    }
}
