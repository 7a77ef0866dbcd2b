//! Clients that others wrote, each with one script: create, read, set, delete, all kinds of nodes,
//! watches of every kind, multi, ACLs, reconnect and expiry. The scripts check what they see and
//! end with status 0; each runs at ZooKeeper too, to show that it is right.
//!
//! A script prints `restart` when it wants the server killed and started again, and reads a line
//! once that is done. `tests/clients/install` builds them.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use quorate_tests::{Server, Subject, foreign};

/// Sessions as short as tests want them, and a reaper that is awake.
const SETTINGS: &[&str] = &[
    "extendedTypesEnabled=true",
    "maxSessionTimeout=60000",
    "znode.container.checkIntervalMs=200",
    "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
];

/// Runs a client at every subject.
fn check(what: &str, program: Option<PathBuf>, arguments: &[String]) {
    let Some(program) = foreign::require(what, program) else { return };
    for subject in Subject::available() {
        run(what, subject, &program, arguments);
    }
}

fn run(what: &str, subject: Subject, program: &Path, arguments: &[String]) {
    let mut server = Server::start(subject, SETTINGS);
    let mut client = Command::new(program)
        .args(arguments)
        .arg(server.addr().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the client");
    let mut to_client = client.stdin.take().expect("it is piped");
    let mut said = Vec::new();
    for line in BufReader::new(client.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("clients speak UTF-8");
        if line == "restart" {
            server.kill();
            server.restart();
            writeln!(to_client, "restarted").expect("the client waits for this");
        }
        said.push(line);
    }
    let status = client.wait().expect("wait for the client");
    let said = said.join("\n");
    assert!(status.success(), "{what} at {subject:?}: {status}\n{said}");
}

fn installed(path: PathBuf) -> Option<PathBuf> {
    path.exists().then_some(path)
}

fn script(path: &str) -> String {
    foreign::root().join("tests/clients").join(path).display().to_string()
}

#[test]
fn kazoo() {
    let python = installed(foreign::home().join("kazoo/bin/python"));
    check("kazoo", python, &[script("kazoo/conformance.py")]);
}

#[test]
fn java() {
    let classes = foreign::home().join("java");
    let java = installed(classes.join("Conformance.class")).map(|_| PathBuf::from("java"));
    let class_path = foreign::zookeeper_class_path().unwrap_or_default();
    let class_path = format!("{}:{class_path}", classes.display());
    let arguments = ["-Xmx256m", "-cp", &class_path, "Conformance"];
    check("the Java client", java, &arguments.map(str::to_owned));
}

/// The shell operators know as `zkCli.sh`, driven by lines on its standard input.
#[test]
fn java_shell() {
    let bash = foreign::zookeeper_class_path().map(|_| PathBuf::from("bash"));
    let class_path = foreign::zookeeper_class_path().unwrap_or_default();
    check("ZooKeeperMain", bash, &[script("java/shell.sh"), class_path]);
}

#[test]
fn c() {
    check("the C client", installed(foreign::home().join("c/conformance")), &[]);
}

/// The command-line program of Debian's `zookeeper-bin`.
#[test]
fn c_shell() {
    let bash = installed(PathBuf::from("/usr/lib/zookeeper/bin/cli_mt"));
    let bash = bash.map(|_| PathBuf::from("bash"));
    check("zookeeper-bin's cli_mt", bash, &[script("c/shell.sh")]);
}

#[test]
fn rust() {
    let program = foreign::home().join("rust/debug/conformance");
    check("the zookeeper-client crate", installed(program), &[]);
}
