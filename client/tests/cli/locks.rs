//! Commands that run while a lock is held.

use std::{
    fs,
    io::BufReader,
    process::{Child, ChildStdout, Stdio},
};

use quorate_client::testing::TestServer;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Cli, next_line, until};

/// Starts a command under a lock, and waits until it says `in`.
fn start(cli: &Cli, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let (child, out, first) = cli.start(arguments);
    assert_eq!(first, "in\n");
    (child, out)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_holds_the_lock_and_others_wait() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let (mut first, _) =
        start(&cli, &["lock", "--id", "first", "/l", "--", "sh", "-c", "echo in; read line"]);
    let said = cli.fails(1, &["lock", "-n", "/l", "echo", "never"]);
    assert!(said.contains("The lock is held by others: /l"), "{said}");
    cli.fails(1, &["lock", "-w", "10ms", "/l", "echo", "never"]);
    let who = cli.ok(&["lock", "--who", "/l"]);
    assert!(who.contains("first") && who.contains("yes"), "{who}");
    let mut second = cli
        .command(&["lock", "--id", "second", "/l", "sh", "-c", "echo $QUORATE_FENCING_TOKEN"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("second waits", || cli.ok(&["lock", "--who", "/l"]).contains("second")).await;
    assert!(second.try_wait().unwrap().is_none());
    // The end of its input ends the first.
    drop(first.stdin.take());
    assert!(!first.wait().unwrap().success());
    let token: i64 =
        next_line(&mut BufReader::new(second.stdout.take().unwrap())).trim().parse().unwrap();
    assert!(token > 0);
    assert!(second.wait().unwrap().success());
    cli.fails(1, &["lock", "--who", "/l"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_is_the_commands() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    assert_eq!(cli.ok(&["lock", "/l", "echo", "-n", "x"]), "x");
    cli.fails(7, &["lock", "/l", "sh", "-c", "exit 7"]);
    cli.fails(128 + 9, &["lock", "/l", "sh", "-c", "kill -9 $$"]);
    assert!(cli.fails(9, &["lock", "/l", "/missing/program"]).contains("run /missing/program"));
    assert_eq!(cli.ok(&["lock", "-n", "/l", "echo", "free"]), "free\n");
    assert_eq!(cli.ok(&["lock", "--leases", "2", "/s", "echo", "leased"]), "leased\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_as_there_are_leases() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let lease = ["lock", "--leases", "2", "/s", "--", "sh", "-c", "echo in; read line"];
    let holders = [start(&cli, &lease), start(&cli, &lease)];
    cli.fails(1, &["lock", "-n", "--leases", "2", "/s", "echo", "never"]);
    assert_eq!(cli.ok(&["lock", "--who", "--leases", "2", "/s"]).matches("yes").count(), 2);
    for (mut holder, _) in holders {
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_when_its_lock_is_lost() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let script = "trap 'echo told; exit 3' TERM; echo in; while :; do sleep 0.05; done";
    let (mut child, mut out) = start(&cli, &["lock", "/l", "--", "sh", "-c", script]);
    let names = cli.ok(&["ls", "/l"]);
    let name = names.trim().trim_matches(['[', ']']);
    cli.ok(&["delete", &format!("/l/{name}")]);
    assert_eq!(next_line(&mut out), "told\n");
    assert_eq!(child.wait().unwrap().code(), Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_passed_on() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let script = "trap 'echo told; exit 3' TERM; echo in; while :; do sleep 0.05; done";
    let (mut child, mut out) = start(&cli, &["lock", "/l", "--", "sh", "-c", script]);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(next_line(&mut out), "told\n");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    // The lock is free at once, not when the session has expired.
    assert_eq!(cli.ok(&["lock", "-n", "/l", "echo", "free"]), "free\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leads_when_the_leader_is_killed() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    let script = format!("echo $QUORATE_FENCING_TOKEN >>{}; echo in; read line", tokens.display());
    let elect = ["-timeout", "2000", "elect", "--id", "x", "/e", "--", "sh", "-c", &script];
    let (mut leader, _) = start(&cli, &elect);
    let mut other =
        cli.command(&elect).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stand = || cli.ok(&["elect", "--who", "/e", "-o", "json"]).matches("session").count();
    until("the other stands for election", || stand() == 2).await;
    // Its session expires.
    leader.kill().unwrap();
    leader.wait().unwrap();
    let mut out = BufReader::new(other.stdout.take().unwrap());
    assert_eq!(next_line(&mut out), "in\n");
    let tokens = fs::read_to_string(&tokens).unwrap();
    let tokens: Vec<i64> = tokens.lines().map(|token| token.parse().unwrap()).collect();
    assert!(tokens.len() == 2 && tokens[0] < tokens[1], "{tokens:?}");
    drop(other.stdin.take());
    other.wait().unwrap();
}
