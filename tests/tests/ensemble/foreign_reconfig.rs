//! The servers of an ensemble are changed by ZooKeeper's own shell and by kazoo: whoever leads, they
//! see what they see at an ensemble of ZooKeeper.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    process::{Command, Stdio},
};

use quorate_protocol::OpCode;
use quorate_tests::{
    Connection, Ensemble, Op, Server, Subject, foreign,
    wait::{self, PATIENCE},
};

use crate::{
    LONG_SESSIONS, are_installed, call, connect, done,
    reconfig::{CONFIG, SETTINGS, reconfig, text},
    start_led_by_last,
};

/// `super:test`.
const SUPER: &str = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
const GUARDED: &[&str] = &[LONG_SESSIONS, "reconfigEnabled=true", SUPER];

/// Ensembles that answer as three servers of ZooKeeper do.
const LIKE_JAVA: [&str; 3] = ["QQQ", "JJQ", "QQJ"];

/// What is typed into the shell. `ALL` is all servers, `PLAIN` and `GROUPS` are files.
const LINES: &str = "config
config -c
reconfig -remove 3
addauth digest super:test
config -w
reconfig -add server.8=10.0.0.8:8801:8802:observer;8803
config
config -c
config -s
reconfig -v 1 -remove 8
reconfig -add server.9=10.0.0.9:8801:8802
reconfig -add nonsense
reconfig -add server.x=10.0.0.9:8801:8802;8803
reconfig -remove x
reconfig -remove 1,2,3
reconfig -remove 9
reconfig -add server.10=10.0.0.10:1:2;3,server.11=10.0.0.11:1:2;3,server.12=10.0.0.12:1:2;3
config -w
reconfig -remove 8 -add server.9=10.0.0.9:8801:8802:observer;8803
reconfig -members ALL
reconfig -members nonsense
reconfig -file GROUPS
reconfig -add server.9=10.0.0.9:8801:8802:observer;8803
reconfig -remove 1
reconfig -file PLAIN
reconfig -file /no/such/file
reconfig
reconfig -members ALL -remove 1
sync /
config
";

#[test]
fn zkcli_changes_the_servers() {
    if !are_installed("J") {
        return;
    }
    let typed = |kinds| typed(&start_led_by_last(kinds, GUARDED));
    let theirs = typed("JJJ");
    assert_eq!(theirs.events.len(), 2, "{theirs:#?}");
    for kinds in LIKE_JAVA {
        assert_eq!(typed(kinds), theirs, "at {kinds}");
    }
}

/// What the shell says. It shows events whenever they come, so that they have no place among answers.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    answers: Vec<String>,
    events: Vec<String>,
}

/// What the shell says at the first server.
fn typed(ensemble: &Ensemble) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<_> = ensemble.ids().map(|id| ensemble.line(id, "participant")).collect();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let plain = file("plain", &all.join("\n"));
    let groups = "group.1=1:2:3\nweight.1=1\nweight.2=1\nweight.3=1\n";
    let groups = file("groups", &format!("{}\n{groups}", all.join("\n")));
    let lines = LINES.replace("ALL", &all.join(","));
    let lines = lines.replace("PLAIN", &plain).replace("GROUPS", &groups);

    let class_path = foreign::zookeeper_class_path().unwrap();
    let mut shell = Command::new("java")
        .args(["-Xmx256m", "-cp", &class_path, "org.apache.zookeeper.ZooKeeperMain"])
        .args(["-server", &ensemble.server(1).addr().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds is not typed, so nobody waits for the other.
    shell.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    let said = said.iter().flat_map(|said| said.lines()).filter(|line| !is_noise(line));
    let said = said.map(|line| alike(ensemble, line));
    let (events, answers) = said.partition(|line| line.starts_with("WatchedEvent"));
    Said { answers: in_order(answers), events }
}

/// ZooKeeper gives the lines of a configuration in an order of their own each time.
fn in_order(mut lines: Vec<String>) -> Vec<String> {
    for configuration in lines.chunk_by_mut(|one, next| is_of_server(one) && is_of_server(next)) {
        configuration.sort();
    }
    lines
}

fn is_of_server(line: &str) -> bool {
    ["server.", "group.", "weight."].iter().any(|family| line.starts_with(family))
}

/// What is about the shell, not about the lines.
fn is_noise(line: &str) -> bool {
    let greetings = ["Connecting to", "Welcome to", "JLine support"];
    line.is_empty()
        || line == "WATCHER::"
        || line.contains("type:None")
        || greetings.iter().any(|greeting| line.starts_with(greeting))
}

/// A line without what no two ensembles have in common: ports, zxids, times.
fn alike(ensemble: &Ensemble, line: &str) -> String {
    let mut line = line.to_owned();
    for id in ensemble.ids() {
        for (addr, name) in [
            (ensemble.quorum_addr(id), "QUORUM"),
            (ensemble.election_addr(id), "ELECTION"),
            (ensemble.server(id).addr(), "CLIENT"),
        ] {
            line = line.replace(&format!(":{}", addr.port()), &format!(":{name}-{id}"));
        }
    }
    for mark in ["version=", "zxid: ", "time = ", "Zxid = ", "Zxid = 0x"] {
        if let Some(at) = line.find(mark) {
            line.truncate(at + mark.len());
        }
    }
    line
}

#[test]
fn kazoo_changes_the_servers() {
    let python = foreign::home().join("kazoo/bin/python");
    let found = python.exists().then_some(python);
    let Some(python) = foreign::require("kazoo", found) else { return };
    if !are_installed("J") {
        return;
    }
    let asked = |kinds| {
        let ensemble = start_led_by_last(kinds, GUARDED);
        let all: Vec<_> = ensemble.ids().map(|id| ensemble.line(id, "participant")).collect();
        let observer = "server.8=10.0.0.8:8801:8802:observer;8803";
        let requests = serde_json::json!([
            [observer, null, null, -1],
            [null, "8", null, 1],
            ["nonsense", null, null, -1],
            [null, "x", null, -1],
            [null, "1,2,3", null, -1],
            [
                format!(
                    "server.9=10.0.0.9:1:2;3,server.10=10.0.0.10:1:2;3,{}",
                    "server.11=10.0.0.11:1:2;3"
                ),
                null,
                null,
                -1
            ],
            ["", "8", "", -1],
            [null, null, all.join(","), -1],
        ]);
        let script = foreign::root().join("tests/clients/kazoo/reconfig.py");
        let output = Command::new(&python)
            .arg(script)
            .args([ensemble.server(1).addr().to_string(), requests.to_string()])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "at {kinds}: {errors}");
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().map(|line| alike(&ensemble, line)).collect::<Vec<_>>()
    };
    let theirs = asked("JJJ");
    assert_eq!(theirs[0], "nobody: NoAuthError");
    for kinds in LIKE_JAVA {
        assert_eq!(asked(kinds), theirs, "at {kinds}");
    }
}

#[test]
fn a_second_change_waits_for_the_first() {
    second_change("QQQ");
}

#[test]
fn a_second_change_waits_for_the_first_at_java() {
    second_change("QQJ");
}

/// The followers stand still, so the first change cannot be committed when the second one comes.
fn second_change(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let patient = ["syncLimit=100"];
    let ensemble = start_led_by_last(kinds, &[SETTINGS, &patient].concat());
    let leader = ensemble.wait_for_leader();
    let mut client = connect(&ensemble, leader);
    let followers = ensemble.others(leader);
    for &id in &followers {
        ensemble.server(id).pause();
    }
    let observer = |id| reconfig(&[format!("server.{id}=10.0.0.{id}:1:2:observer;3")], &[], -1);
    // The second would be refused for its version, too, but not in the first place.
    let late = reconfig(&[], &[8], 77);
    let changes = [observer(8), late, observer(9)];
    client.send(&changes).unwrap();
    wait::until("both to be with the leader", PATIENCE, || {
        let waiting = ensemble.server(leader).metric("outstanding_requests")?;
        (waiting.parse::<u32>().unwrap() >= 3).then_some(())
    });
    for &id in &followers {
        ensemble.server(id).resume();
    }
    let errors = changes.each_ref().map(|op| client.read_frame().unwrap().parse(op).error);
    assert_eq!(errors, [0, -14, -14]);
    assert_eq!(call(&mut client, &observer(9)).error, 0);
}

#[test]
fn what_is_not_allowed_at_all() {
    for subject in Subject::available() {
        let answer = |server: &Server, op: &Op| {
            let mut client = Connection::with_new_session(server.addr(), 5000).unwrap();
            client.call(op).unwrap().error
        };
        let change = reconfig(&["server.8=10.0.0.8:1:2:observer;3".to_owned()], &[], -1);
        let alone = Server::start(subject, &["reconfigEnabled=true", "skipACL=yes"]);
        assert_eq!(answer(&alone, &change), -6, "{subject:?}");
        let disabled = Server::start(subject, &["skipACL=yes"]);
        assert_eq!(answer(&disabled, &change), -123, "{subject:?}");

        let kind = if subject == Subject::ZooKeeper { "JJJ" } else { "QQQ" };
        let ensemble = start_led_by_last(kind, &[LONG_SESSIONS, "skipACL=yes"]);
        assert_eq!(call(&mut connect(&ensemble, 1), &change).error, -123, "{subject:?}");
    }
}

#[test]
fn an_ensemble_does_not_shrink_to_one_that_is_meant_to_stand_alone() {
    for kinds in ["QQQ", "JJJ"] {
        if !are_installed(kinds) {
            continue;
        }
        let settings = [LONG_SESSIONS, "reconfigEnabled=true", "skipACL=yes"];
        let ensemble = start_led_by_last(kinds, &settings);
        let mut client = connect(&ensemble, 1);
        assert_eq!(call(&mut client, &reconfig(&[], &[2, 3], -1)).error, -8, "{kinds}");
        assert_eq!(call(&mut client, &reconfig(&[], &[2], -1)).error, 0, "{kinds}");
        let shown = done(&mut client, &Op::get(CONFIG));
        let shown = text(&shown);
        let servers: BTreeSet<_> = shown.lines().filter_map(|line| line.get(..9)).collect();
        assert_eq!(servers, BTreeSet::from(["server.1=", "server.3=", "version=1"]), "{shown}");
        done(&mut client, &Op::Path(OpCode::Sync, "/".into()));
    }
}
