//! `quorate-cli` beside ZooKeeper's own `zkCli` (`ZooKeeperMain`): the same lines typed into both,
//! at a ZooKeeper and at a Quorate, and what is meant to be the same compared.
//!
//! What needs no ZooKeeper is tested in `client/tests/cli`.

mod members;
mod operators;
mod program;
mod secure;
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#[path = "../client/secure.rs"]
mod zookeepers;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use quorate_tests::{Server, Subject, foreign};

use self::program::Cli;

const SETTINGS: &[&str] =
    &["extendedTypesEnabled=true", "enforceQuota=true", "admin.enableServer=false"];

const LINES: &str = r#"create /shell first
create -s /shell/s- numbered
create -e /shell/e ephemeral
create -c /shell/c
create -t 600000 /shell/t lasting
create /shell/null
create /shell/quoted "two words"
get /shell/null
get /shell/quoted
get -s /shell
get /shell -s
get -b /shell
get -x /shell
get -x /shell/null
set -v 0 /shell second
set -s /shell third
set -b /shell aGVsbG8=
get /shell
set -v 0 /shell late
stat /shell
ls /shell
ls -s /shell
ls -R /shell
whoami
addauth digest user:password
create /shell/mine private auth:user:password:cdrwa
getAcl -s /shell/mine
setAcl -s /shell/mine world:anyone:r
getAcl /shell/mine
setAcl -R /shell/c world:anyone:cdrwa
setquota -n 10 /shell
listquota /shell
setquota -B 100000 /shell
listquota /shell
delquota -n /shell
listquota /shell
delquota /shell
listquota /shell
setquota -N 9 /shell
create /shell/many
create /shell/too-many
delquota -N /shell
setquota -B 60 /shell
set /shell "more than all of these nodes together may have"
delquota /shell
getEphemerals /shell
getEphemerals
getAllChildrenNumber /shell
sync /
get /missing
stat /missing
ls /missing
delete /shell
create /shell
create /missing/child
create /shell/e/child
getAcl /missing
set /missing x
get -w /shell/quoted
set /shell/quoted changed
addWatch -m PERSISTENT /shell/quoted
set /shell/quoted again
removewatches /shell/quoted -p
addWatch -m PERSISTENT_RECURSIVE /shell
removewatches /shell -r
get -w /shell/quoted
ls -w /shell/quoted
removewatches /shell/quoted -d
removewatches /shell/quoted -c
addWatch -m persistent /shell
stat -w /shell
removewatches /shell -a
printwatches
printwatches off
printwatches
history
redo 7
deleteall /shell
ls /
"#;

/// What a shell has written.
struct Said {
    answers: Vec<String>,
    events: Vec<String>,
    complaints: Vec<String>,
}

/// Types the lines into a shell.
fn said_by(mut shell: Command) -> Said {
    let mut child = shell
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the shell");
    let mut stdin = child.stdin.take().expect("it is piped");
    // More than a pipe holds is not typed, so nobody waits for the other.
    stdin.write_all(LINES.as_bytes()).expect("type the lines");
    drop(stdin);
    let output = child.wait_with_output().expect("wait for the shell");
    let text = |bytes: &[u8]| alike(&String::from_utf8_lossy(bytes));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let mut said = Said { answers: Vec::new(), events: Vec::new(), complaints: Vec::new() };
    for line in out.lines().filter(|line| !line.is_empty() && !is_noise(line)) {
        if line.starts_with("WatchedEvent") {
            said.events.push(line.to_owned());
        } else if line.starts_with("Created /") {
            // `zkCli` writes these to standard error.
            said.complaints.push(line.to_owned());
        } else {
            said.answers.push(line.to_owned());
        }
    }
    said.complaints.extend(err.lines().filter(|line| !is_noise(line)).map(str::to_owned));
    said
}

/// What is about the shell, not about the lines.
fn is_noise(line: &str) -> bool {
    line.starts_with("Connecting to")
        || line.starts_with("Welcome to")
        || line.starts_with("JLine support")
        || line == "WATCHER::"
        || line.contains("type:None")
        // Of `removewatches`: zkCli tells its own watches that they are removed.
        || line.contains("WatchRemoved")
}

/// Zxids, session ids and times, which are not the same at two servers.
fn alike(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = match line.split_once(" = ") {
            Some((key @ ("ctime" | "mtime"), _)) => format!("{key} = TIME"),
            Some((key, value)) if value.starts_with("0x") && value != "0x0" => {
                format!("{key} = 0xN")
            }
            _ => match line.split_once(" zxid: ") {
                Some((event, _)) if line.starts_with("WatchedEvent") => event.to_owned(),
                _ => line.to_owned(),
            },
        };
        lines.push(line);
    }
    lines.join("\n")
}

#[test]
fn answers_are_those_of_zkcli() {
    let class_path = foreign::require("ZooKeeper", foreign::zookeeper_class_path());
    let (Some(class_path), Some(cli)) = (class_path, Cli::path()) else { return };
    let reference = Server::start(Subject::ZooKeeper, SETTINGS);
    let mut zkcli = Command::new("java");
    zkcli.args(["-Xmx256m", "-cp", &class_path, "org.apache.zookeeper.ZooKeeperMain", "-server"]);
    zkcli.arg(reference.addr().to_string());
    let theirs = said_by(zkcli);
    assert!(theirs.answers.len() > 100, "{:#?}", theirs.answers);
    for subject in Subject::available() {
        let server = Server::start(subject, SETTINGS);
        let mut shell = Command::new(&cli);
        shell.args(["-server", &server.addr().to_string()]);
        let ours = said_by(shell);
        assert_eq!(ours.answers, theirs.answers, "at {subject:?}");
        assert_eq!(ours.events, theirs.events, "at {subject:?}");
        for complaint in &theirs.complaints {
            // There may be more words, which help.
            let found = ours.complaints.iter().any(|said| said.starts_with(&**complaint));
            assert!(found, "{complaint:?} at {subject:?}: {:#?}", ours.complaints);
        }
    }
}

#[test]
fn what_is_ours_works_at_zookeeper_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tree.tar");
    let file = file.to_str().expect("it is UTF-8");
    for subject in Subject::available() {
        let server = Server::start(subject, &["4lw.commands.whitelist=*"]);
        let Some(cli) = Cli::at(&server) else { return };
        let steps: &[(&[&str], i32)] = &[
            (&["create", "/app", "-b", "AP8="], 0),
            (&["create", "/app/text", "words"], 0),
            (&["tree", "--data"], 0),
            (&["find", "/", "text"], 0),
            (&["grep", "/", "nobody says this"], 1),
            (&["du"], 0),
            (&["cp", "-r", "/app", "/copy"], 0),
            (&["diff", "/app", "/copy"], 0),
            (&["export", "/app", file], 0),
            (&["import", file, "/restored"], 0),
            (&["diff", "/app", "/restored"], 0),
            (&["status"], 0),
            (&["doctor", "--probe"], 0),
            (&["bench", "--for", "200ms", "--mix", "get=5,set=5,create=1,sync=1,ls=1"], 0),
            (&["lock", "/lock", "--", "true"], 0),
            (&["lock", "--leases", "2", "/leases", "--", "sh", "-c", "exit 4"], 4),
            (&["elect", "/election", "--", "true"], 0),
            (&["who", "/app"], 1),
            (&["get", "/missing"], 3),
            (&["set", "-v", "7", "/app", "x"], 5),
        ];
        for (arguments, code) in steps {
            let (ended, answer, said) = cli.run(arguments);
            assert_eq!(ended, Some(*code), "{arguments:?} at {subject:?}: {answer} {said}");
        }
        let raw = cli.command(&["get", "--raw", "/restored"]).output().expect("run quorate-cli");
        assert_eq!(raw.stdout, [0, 0xff]);
    }
}
