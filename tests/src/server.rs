//! A server under test: a process with a temporary data folder on a free loopback port.

use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    foreign,
    wait::{self, PATIENCE},
};

/// What runs behind the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// This project's binary.
    Quorate,
    /// The Java release `tests/clients/install` fetched.
    ZooKeeper,
    /// The older Java release that Debian has as `libzookeeper-java`.
    DebianZooKeeper,
    /// The oldest Java release that clients are tested with, 3.5.10.
    OldZooKeeper,
}

impl Subject {
    /// What is to be tested: Quorate, unless `QUORATE_TEST_SUBJECT=zookeeper` turns a test on the
    /// oracle, to see whether it is the test that is wrong.
    pub fn tested() -> Self {
        match env::var("QUORATE_TEST_SUBJECT").as_deref() {
            Ok("zookeeper") => Self::ZooKeeper,
            _ => Self::Quorate,
        }
    }

    /// The subjects a test of both can be run at: the one tested, and ZooKeeper where installed.
    pub fn available() -> Vec<Self> {
        let mut subjects = vec![Self::tested()];
        if Self::ZooKeeper.is_installed() && subjects != [Self::ZooKeeper] {
            subjects.push(Self::ZooKeeper);
        }
        subjects
    }

    /// Whether it is here; one that is not is named as [`foreign::require`] does it.
    pub fn is_installed(self) -> bool {
        match self {
            Self::Quorate => true,
            Self::ZooKeeper | Self::DebianZooKeeper | Self::OldZooKeeper => {
                foreign::require(self.name(), self.class_path()).is_some()
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Quorate => "Quorate",
            Self::ZooKeeper => "ZooKeeper",
            Self::DebianZooKeeper => "Debian's libzookeeper-java",
            Self::OldZooKeeper => "ZooKeeper 3.5",
        }
    }

    fn class_path(self) -> Option<String> {
        match self {
            Self::Quorate => None,
            Self::ZooKeeper => foreign::zookeeper_class_path(),
            Self::DebianZooKeeper => foreign::debian_zookeeper_class_path(),
            Self::OldZooKeeper => foreign::old_zookeeper_class_path(),
        }
    }
}

/// A running (or killed, and to be restarted) server. Its process ends with the value, its data
/// folder too unless the test fails.
#[derive(Debug)]
pub struct Server {
    subject: Subject,
    settings: Vec<String>,
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server on an empty data folder and waits until it serves. `settings` are lines of
    /// `zoo.cfg` after those every test wants.
    pub fn start(subject: Subject, settings: &[&str]) -> Self {
        let mut server = Self::prepare(subject, settings);
        server.restart();
        server
    }

    /// A server that was not started yet: its folder has `zoo.cfg` and no data.
    pub fn prepare(subject: Subject, settings: &[&str]) -> Self {
        let dir =
            tempfile::Builder::new().prefix("quorate-test-").tempdir().expect("a temp folder");
        let port = free_port();
        // A key may be repeated; the last line counts, so that a test can change these. What a server
        // reserves for its log at each start is usually much more than a test writes.
        let mut config = format!(
            "tickTime=200\nclientPort={port}\nclientPortAddress=127.0.0.1\ndataDir={}\n\
             maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n\
             quorate.txnLog.segmentSize=4MiB\n",
            dir.path().join("data").display()
        );
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        config.push_str(&settings.join("\n"));
        fs::write(dir.path().join("zoo.cfg"), config).expect("write zoo.cfg");
        Self { subject, settings, dir, port, child: None }
    }

    /// Which of the two this is.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// From its next start on this is the other one of the two, with the same settings.
    pub fn set_subject(&mut self, subject: Subject) {
        self.subject = subject;
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Clients connect elsewhere from now on; the settings stay.
    pub fn set_port(&mut self, port: u16) {
        self.port = port;
    }

    /// The folder of `zoo.cfg`, the data (in `data`), and the log of what the server said.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All that the server has said since its first start.
    pub fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// The id of the running process.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server is running").id()
    }

    /// Starts the process again on the same port and data, and waits until it serves.
    ///
    /// # Panics
    /// When it is still running, or does not come up.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until_serving();
    }

    /// Waits until the running process serves clients, and answers its mode.
    ///
    /// # Panics
    /// When it ends or does not come up.
    pub fn wait_until_serving(&mut self) -> String {
        wait::until("the server to serve", PATIENCE, || {
            self.assert_running();
            self.mode()
        })
    }

    /// What the server is: `standalone`, `leader`, `follower` or `observer`; `None` when it does
    /// not serve clients or is not running.
    pub fn mode(&self) -> Option<String> {
        // ZooKeeper forgets to close the socket of a word that comes too early.
        let answer = self.try_word("srvr", Duration::from_millis(500))?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.to_owned())
    }

    /// Starts the process and does not wait for anything.
    ///
    /// # Panics
    /// When it is still running or its program is missing.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server is still running");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("server.log"))
            .expect("open server.log");
        let mut command = match self.subject {
            Subject::Quorate => Command::new(quorate_binary()),
            zookeeper => zookeeper_command(zookeeper, &self.settings),
        };
        // What tells the tests how to run must not be taken for settings of the server.
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"QUORATE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .arg(self.dir.path().join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one more handle"))
            .stderr(log)
            .spawn()
            .expect("start the server");
        self.child = Some(child);
    }

    /// Ends the process at once, as a crash does (SIGKILL).
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server is running");
        child.kill().expect("kill the server");
        child.wait().expect("wait for the server");
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// Stops the process where it stands: its sockets stay open, nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        // Each thread stops when it is its turn.
        let tasks = format!("/proc/{}/task", self.pid());
        wait::until("all threads to stop", PATIENCE, || all_stopped(&tasks).then_some(()));
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether a process was started that was neither killed nor waited for.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server is running");
        kill_process(Pid::from_child(child), signal).expect("signal the server");
    }

    /// Waits until the process has ended by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server was started");
        wait::until("the server to end", PATIENCE, || child.try_wait().expect("wait for it"))
    }

    /// The answer to a four-letter word.
    ///
    /// # Panics
    /// When there is none.
    pub fn word(&self, word: &str) -> String {
        self.try_word(word, PATIENCE).expect("the server answers words")
    }

    /// The value of a metric, as `mntr` shows it without `zk_`.
    pub fn metric(&self, name: &str) -> Option<String> {
        let answer = self.word("mntr");
        let line = |line: &str| {
            let (found, value) = line.strip_prefix("zk_")?.split_once('\t')?;
            (found == name).then(|| value.to_owned())
        };
        answer.lines().find_map(line)
    }

    /// Bytes of memory the process has resident.
    pub fn resident_bytes(&self) -> u64 {
        let pid = self.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("read /proc");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS is there");
        let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
        kib.expect("VmRSS is a number") * 1024
    }

    /// Fails, with the end of the server's log, when the process has ended by itself.
    ///
    /// # Panics
    /// Then.
    pub fn assert_running(&mut self) {
        let child = self.child.as_mut().expect("the server was started");
        if let Some(status) = child.try_wait().expect("wait for the server") {
            panic!("{:?} ended by itself: {status}\n{}", self.subject, self.log_tail());
        }
    }

    fn try_word(&self, word: &str, patience: Duration) -> Option<String> {
        let mut stream = TcpStream::connect(self.addr()).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn log_tail(&self) -> String {
        let log = self.said();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "a failing test shows what its server said")]
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; there is nobody left to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            self.dir.disable_cleanup(true);
            let (subject, dir) = (self.subject, self.dir.path().display());
            eprintln!("{subject:?} in {dir} said at last:\n{}", self.log_tail());
        }
    }
}

/// Whether the kernel says of all threads in a folder that they are stopped.
fn all_stopped(tasks: &str) -> bool {
    let tasks = fs::read_dir(tasks).expect("the process is there");
    tasks.filter_map(Result::ok).all(|task| {
        // One that has ended meanwhile does nothing either.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // Its name, in brackets, may hold anything.
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    })
}

/// The server binary beside the running test: `target/PROFILE/quorate-server`.
pub fn quorate_binary() -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps/test");
    let binary = profile.join("quorate-server");
    assert!(
        binary.exists(),
        "{} is missing: `cargo test --workspace` builds it, and so does `cargo build --workspace`",
        binary.display()
    );
    binary
}

/// Java, given the settings that ZooKeeper reads as system properties of the same name only.
fn zookeeper_command(subject: Subject, settings: &[String]) -> Command {
    let is_property = |line: &str| {
        ["java.", "znode.container.", "readonlymode."].iter().any(|key| line.starts_with(key))
    };
    let properties = settings.iter().filter(|line| is_property(line));
    let properties = properties.map(|line| format!("-D{line}"));
    let class_path = subject.class_path().expect("ZooKeeper is installed");
    let mut java = Command::new("java");
    // Without syncs it is a faster oracle; what it answers is the same. It does not live long enough for
    // the better one of its compilers to be worth its time.
    java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dzookeeper.forceSync=no")
        .args(properties)
        .args(["-cp", &class_path])
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
    java
}

/// A port nothing listens on. Below the range the kernel takes source ports from, so that no
/// outgoing connection can grab it between this check and the server's start.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places.
    let begin = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT))
        .expect("the remainder is below 20,000");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
