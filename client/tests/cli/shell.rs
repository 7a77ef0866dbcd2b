//! The shell, through a pipe.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc,
    time::Duration,
};

use quorate_client::testing::TestServer;

use crate::Cli;

/// A shell, and the lines it has written.
struct Shell {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Shell {
    fn start(cli: &Cli, arguments: &[&str]) -> Self {
        let mut command = cli.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be run");
        let input = child.stdin.take().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                // The test may be over.
                let _ = sender.send(line.unwrap());
            }
        });
        Self { child, input, lines }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Waits for a line that holds this.
    #[track_caller]
    fn expect(&self, part: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(20)) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("{part:?} did not come ({error}), but {seen:#?}"),
            }
        }
    }

    /// Waits for a line that holds this; before it there is none that holds the other.
    #[track_caller]
    fn expect_before(&self, part: &str, other: &str) {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20));
            let line = line.unwrap_or_else(|error| panic!("{part:?} did not come ({error})"));
            assert!(!line.contains(other), "{line}");
            if line.contains(part) {
                return;
            }
        }
    }

    fn end(mut self) -> i32 {
        drop(self.input);
        self.child.wait().unwrap().code().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_watches_are_shown() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let mut shell = Shell::start(&cli, &[]);
    shell.expect("WatchedEvent state:SyncConnected type:None path:null zxid: -1");
    shell.type_line("create -e /e mine");
    shell.expect("Created /e");
    shell.type_line("get -w /e");
    shell.expect("mine");
    cli.ok(&["set", "/e", "theirs"]);
    let event = shell.expect("WatchedEvent state:SyncConnected type:NodeDataChanged path:/e");
    assert!(event.contains(" zxid: "), "{event}");
    shell.type_line("addWatch /e");
    shell.type_line("sync /");
    shell.expect("Sync is OK");
    cli.ok(&["set", "/e", "again"]);
    shell.expect("type:NodeDataChanged path:/e");
    shell.type_line("ls -w /");
    shell.expect("[e, zookeeper]");
    cli.ok(&["create", "/f"]);
    shell.expect("type:NodeChildrenChanged path:/");
    shell.type_line("removewatches /e");
    shell.type_line("printwatches off");
    shell.type_line("stat -w /g");
    shell.type_line("printwatches");
    shell.expect("printwatches is off");
    assert_eq!(cli.ok(&["getAllChildrenNumber", "/"]), "5\n");
    assert_eq!(shell.end(), 0);
    cli.fails(3, &["get", "/e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_counted_and_done_again() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let input =
        "create /n 1\n\n  \nset /n \"two words\"\nget /n\nredo 2\nredo 3\nhistory\nredo 99\n";
    let ran = cli.run_with_input(&[], input.as_bytes());
    let answers: Vec<_> = ran
        .text()
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("Watch") && !line.starts_with("WATCH"))
        .collect();
    assert_eq!(
        answers,
        [
            "Created /n",
            "two words",
            "two words",
            "two words",
            "0 - create /n 1",
            "1 - set /n \"two words\"",
            "2 - get /n",
            "3 - get /n",
            "4 - get /n",
            "5 - history",
        ]
    );
    // The last command failed.
    assert_eq!((ran.code, &*ran.err), (2, "Command index out of range\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_closed_and_opened() {
    let server = TestServer::start().await.unwrap();
    let other = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    Cli::of(&other).ok(&["create", "/other"]);
    let mut shell = Shell::start(&cli, &["-timeout", "10000"]);
    shell.type_line("create -e /e");
    shell.expect("Created /e");
    shell.type_line(&format!("connect {}", other.hosts()));
    shell.type_line("ls /");
    shell.expect("[other, zookeeper]");
    assert_eq!(cli.ok(&["ls", "/"]), "[zookeeper]\n");
    shell.type_line("close");
    shell.type_line("connect");
    shell.type_line("ls -o json /");
    shell.expect("\"other\"");
    shell.type_line("nonsense");
    shell.type_line("get /missing");
    assert_eq!(shell.end(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_said_and_the_shell_goes_on() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let input = b"get /missing\nset /a \"open\nget \xff\nhelp get\nquit\nget /unseen\n";
    let ran = cli.run_with_input(&[], input);
    assert_eq!(ran.code, 0, "{ran:?}");
    for said in ["Node does not exist: /missing", "a quote is not closed", "the line is not UTF-8"]
    {
        assert!(ran.err.contains(said), "{said}: {ran:?}");
    }
    assert!(ran.text().contains("Shows a node's data"), "{ran:?}");
    assert!(!ran.err.contains("unseen"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_streamed() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/w"]);
    let mut command = cli.command(&["watch", "-R", "--data", "-n", "2", "/w"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "Watching /w\n");
    cli.ok(&["set", "/w", "now"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.ends_with(" NodeDataChanged /w: now\n"), "{line}");
    cli.ok(&["create", "/w/x", "y"]);
    line.clear();
    out.read_line(&mut line).unwrap();
    assert!(line.ends_with(" NodeCreated /w/x: y\n"), "{line}");
    assert!(child.wait().unwrap().success());
    assert_eq!(cli.fails(1, &["watch", "--for", "10ms", "-n", "1", "/w"]), "Watching /w\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_removed_by_their_kind() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/w"]);
    let mut shell = Shell::start(&cli, &[]);
    for set in ["get -w /w", "ls -w /w", "addWatch -m PERSISTENT /w", "addWatch /w"] {
        shell.type_line(set);
    }
    shell.type_line("sync /w");
    shell.expect("Sync is OK");
    // A watch for good of each kind and a lone one tell of the same change, and one by one no more.
    for (kind, event, expected) in [("-p", "set /w 1", 2), ("-r", "set /w 2", 0)] {
        shell.type_line(&format!("removewatches /w {kind}"));
        shell.type_line("sync /w");
        shell.expect("Sync is OK");
        cli.ok(&event.split(' ').collect::<Vec<_>>());
        for _ in 0..expected {
            shell.expect("type:NodeDataChanged path:/w");
        }
        shell.type_line("sync /w");
        shell.expect_before("Sync is OK", "NodeDataChanged");
    }
    // The lone one of data has told its event; that of children is there still.
    shell.type_line("removewatches /w -d");
    shell.type_line("removewatches /w -c");
    shell.type_line("create /w/child");
    shell.expect_before("Created /w/child", "NodeChildrenChanged");
    assert_eq!(shell.end(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_identity_was_refused_is_replaced_by_connect() {
    let server = TestServer::start().await.unwrap();
    let ran =
        Cli::of(&server).run_with_input(&[], b"addauth no-scheme x\nls /\nconnect\nls /\nfoo\n");
    assert!(ran.err.contains("`connect` opens a new one"), "{ran:?}");
    assert!(ran.text().ends_with("[zookeeper]\n"), "{ran:?}");
    assert!(ran.err.contains("'foo'") && ran.err.contains("try 'help'"), "{ran:?}");
    assert_eq!(ran.code, 2);
}
