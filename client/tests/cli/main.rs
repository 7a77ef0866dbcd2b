//! The command line against real servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod documentation;
mod ensemble;
mod lists;
mod locks;
mod nodes;
mod safety;
mod shell;
mod terminal;
mod transfer;
mod trouble;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

use quorate_client::testing::TestServer;

/// The program, which nothing of the machine it runs on changes.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-cli"));
    for name in ["QUORATE_CLI_SERVER", "QUORATE_CLI_AUTH", "NO_COLOR", "CLICOLOR_FORCE", "VISUAL"] {
        command.env_remove(name);
    }
    command.env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// What came of a command.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            out: output.stdout,
            err: String::from_utf8(output.stderr).expect("what it says is UTF-8"),
        }
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.out).expect("the answer is UTF-8")
    }
}

/// The command line of one server, or several.
struct Cli {
    hosts: String,
}

impl Cli {
    fn of(server: &TestServer) -> Self {
        Self { hosts: server.hosts() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(["-server", &self.hosts]).args(arguments);
        command
    }

    /// Runs a command, whatever comes of it.
    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).output().expect("it can be run"))
    }

    /// Runs a command that must succeed, and gives its answer.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.text().to_owned()
    }

    /// Runs a command that must fail so, and gives what it says about it.
    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        ran.err
    }

    /// Starts a command, with its output and the first line of that.
    fn start(&self, arguments: &[&str]) -> (Child, BufReader<ChildStdout>, String) {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be run");
        let mut out = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let first = next_line(&mut out);
        (child, out, first)
    }

    /// Runs a command that reads this.
    fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be run");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        let input = input.to_vec();
        // By another thread: what it writes may not fit into its pipe while it reads.
        let writer = std::thread::spawn(move || stdin.write_all(&input).expect("it reads"));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("all is written");
        Ran::new(output)
    }
}

fn next_line(out: &mut impl BufRead) -> String {
    let mut line = String::new();
    out.read_line(&mut line).expect("it can be read");
    line
}

/// Waits until something is so. What is looked at is a process: it tells nobody.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waited = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let so = tokio::time::timeout(Duration::from_secs(30), waited).await;
    so.unwrap_or_else(|_| panic!("{what}: waited in vain"));
}

/// Zxids, session ids and times as they never are twice, made alike.
fn alike(text: &str) -> String {
    let time = regex::Regex::new(
        r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
    );
    let hex = regex::Regex::new(r"0x[0-9a-f]{1,16}");
    let text = time.unwrap().replace_all(text, "TIME").into_owned();
    hex.unwrap().replace_all(&text, "0xN").into_owned()
}
