//! On a terminal: a pseudo one.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command},
    sync::mpsc,
    time::Duration,
};

use quorate_client::testing::TestServer;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::Cli;

/// A program on a terminal, and what the terminal got.
struct Terminal {
    child: Child,
    keyboard: File,
    shown: mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    fn run(mut command: Command) -> Self {
        let controller: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let open = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        command.env("TERM", "xterm");
        let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        drop(command);
        let keyboard = File::from(controller.as_fd().try_clone_to_owned().unwrap());
        let mut screen = File::from(controller);
        let (sender, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose program has gone cannot be read.
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, keyboard, shown, text: String::new() }
    }

    fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown behind what was waited for before.
    #[track_caller]
    fn expect(&mut self, part: &str) -> String {
        loop {
            if let Some(at) = self.text.find(part) {
                return self.text.drain(..at + part.len()).collect();
            }
            match self.shown.recv_timeout(Duration::from_secs(20)) {
                Ok(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{part:?} did not come ({error}), but {:?}", self.text),
            }
        }
    }

    fn end(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_cannot_control_a_terminal() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/evil", "\u{1b}]0;title\u{7}"]);
    let mut terminal = Terminal::run(cli.command(&["get", "/evil"]));
    let shown = terminal.expect("\\x1b]0;title\\x07");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    assert_eq!(terminal.end(), 0);
    // Who asks for the bytes gets them.
    let mut terminal = Terminal::run(cli.command(&["get", "--raw", "/evil"]));
    terminal.expect("\u{1b}]0;title\u{7}");
    assert_eq!(terminal.end(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_prompts_completes_and_remembers() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/configuration", "found"]);
    let home = tempfile::tempdir().unwrap();
    let shell = || {
        let mut command = cli.command(&[]);
        command.env("XDG_STATE_HOME", home.path());
        Terminal::run(command)
    };
    let mut terminal = shell();
    terminal.expect(&format!("[zk: {}(CONNECTED) 0] ", server.hosts()));
    terminal.type_keys("get /conf\t\r");
    terminal.expect("\r\nfound\r\n");
    terminal.expect("(CONNECTED) 1] ");
    // Ctrl-C gives up the line, and nothing more.
    terminal.type_keys("get /nothing\u{3}");
    terminal.expect("(CONNECTED) 1] ");
    terminal.type_keys("addauth digest me:secret\r");
    terminal.expect("(CONNECTED) 2] ");
    terminal.type_keys("whoa\t\r");
    terminal.expect("digest: me");
    terminal.type_keys("\u{4}");
    assert_eq!(terminal.end(), 0);
    let history = std::fs::read_to_string(home.path().join("quorate/history")).unwrap();
    assert!(history.contains("get /configuration"), "{history}");
    assert!(!history.contains("secret"), "{history}");
    let mut terminal = shell();
    terminal.expect("(CONNECTED) 0] ");
    // The last line that was remembered.
    terminal.type_keys("\u{1b}[A\r");
    terminal.expect("Auth scheme: User");
    terminal.type_keys("quit\r");
    assert_eq!(terminal.end(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_what_goes_on() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let mut command = cli.command(&["watch", "/"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut terminal = child;
    let mut said = String::new();
    let mut err = std::io::BufReader::new(terminal.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut err, &mut said).unwrap();
    let pid = rustix::process::Pid::from_child(&terminal);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(130));
}
