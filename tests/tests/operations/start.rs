//! What a start finds, and what it says when it cannot go on.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use quorate_tests::{
    Connection, Op, Server, Subject,
    server::quorate_binary,
    wait::{self, PATIENCE},
};
use tempfile::TempDir;

use crate::{LONG_MS, done};

/// A start that the harness's configuration is not used for, in a working folder of its own.
struct Start {
    dir: TempDir,
    child: Child,
}

impl Start {
    fn new(dir: TempDir, args: &[&str]) -> Self {
        let log = File::create(dir.path().join("said")).unwrap();
        let child = Command::new(quorate_binary())
            .args(args)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { dir, child }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap()
    }

    fn wait_for_end(&mut self) -> ExitStatus {
        wait::until("the server to end", PATIENCE, || self.child.try_wait().unwrap())
    }

    /// Must not start. Answers why.
    fn refused(dir: TempDir, args: &[&str]) -> (TempDir, String) {
        let mut start = Self::new(dir, args);
        assert_eq!(start.wait_for_end().code(), Some(1), "{}", start.said());
        let said = start.said();
        let dir = std::mem::replace(&mut start.dir, TempDir::new().unwrap());
        (dir, said)
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a `zoo.cfg` whose data goes to `data` in it.
fn configured(lines: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let config = format!("dataDir={}\n{lines}\n", data.display());
    fs::write(dir.path().join("zoo.cfg"), config).unwrap();
    dir
}

const ANY_PORT: &str = "clientPort=0\nclientPortAddress=127.0.0.1";

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

#[test]
fn without_arguments_it_serves_and_says_where() {
    let start = Start::new(TempDir::new().unwrap(), &["-DclientPort=0"]);
    let line = wait::until("the server to serve", PATIENCE, || {
        start.said().lines().find(|line| line.contains(" serving ")).map(str::to_owned)
    });
    let value = |key: &str| {
        let value = line.split(key).nth(1).unwrap_or_else(|| panic!("no {key} in: {line}"));
        value.split_whitespace().next().unwrap().to_owned()
    };
    let addr: SocketAddr = value("clients=").parse().unwrap();
    assert_eq!(addr.ip(), Ipv4Addr::LOCALHOST);
    let data = start.dir.path().canonicalize().unwrap().join("quorate-data");
    assert_eq!(Path::new(&value("data=")), data);
    assert!(data.join("quorate/log").is_dir());
    let mut client = Connection::with_new_session(addr, LONG_MS).unwrap();
    done(&mut client, &Op::create("/a", b"", 0));
}

#[test]
fn zookeepers_data_is_not_left_out() {
    let dir = configured(ANY_PORT);
    let version2 = dir.path().join("data/version-2");
    fs::create_dir_all(&version2).unwrap();
    fs::write(version2.join("log.1"), b"ZKLG").unwrap();
    let (dir, said) = Start::refused(dir, &["zoo.cfg"]);
    let part = "ZooKeeper's data cannot be imported: no snapshot can be read";
    assert!(said.contains(part), "{said}");
    let left: Vec<_> = fs::read_dir(dir.path().join("data")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read(version2.join("log.1")).unwrap(), b"ZKLG");
}

#[test]
fn a_folder_has_one_server() {
    let mut server = Server::start(Subject::Quorate, &[]);
    let dir = TempDir::new().unwrap();
    let data = server.dir().join("data");
    let config = format!("dataDir={}\n{ANY_PORT}\n", data.display());
    fs::write(dir.path().join("zoo.cfg"), &config).unwrap();
    let (_dir, said) = Start::refused(dir, &["zoo.cfg"]);
    let lock = data.join("quorate/LOCK");
    assert!(said.contains(&format!("another server holds {}", lock.display())), "{said}");
    // Another folder for all but the log does not help.
    let dir = configured(&format!("dataLogDir={}\n{ANY_PORT}", data.display()));
    let (_dir, said) = Start::refused(dir, &["zoo.cfg"]);
    assert!(said.contains(&format!("another server holds {}", lock.display())), "{said}");
    server.assert_running();
    let mut client = Connection::with_new_session(server.addr(), LONG_MS).unwrap();
    done(&mut client, &Op::create("/a", b"", 0));
}

#[test]
fn a_port_that_is_taken_ends_the_start_before_anything_is_touched() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = taken.local_addr().unwrap();
    let dir = configured(&format!("clientPort={}\nclientPortAddress=127.0.0.1", addr.port()));
    let (dir, said) = Start::refused(dir, &["zoo.cfg"]);
    assert!(said.contains(&addr.to_string()), "{said}");
    assert!(said.contains("in use"), "{said}");
    assert!(is_empty(&dir.path().join("data")));
}

#[test]
fn every_mistake_in_the_configuration_is_named_with_its_place() {
    let dir = configured("clientPort=0\n\ntickTime=2s\nmaxClientCnxns=many\nsecureClientPort=2281");
    let (dir, said) = Start::refused(dir, &["zoo.cfg"]);
    for part in ["zoo.cfg:4: tickTime=2s: expected", "zoo.cfg:5: maxClientCnxns=many: expected"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(said.contains("zoo.cfg:6: secureClientPort"), "{said}");
    assert!(said.contains("TLS is not built yet"), "{said}");
    assert!(is_empty(&dir.path().join("data")));

    let (dir, said) = Start::refused(dir, &["zoo.cfg", "-DtickTime=3s"]);
    assert!(said.contains("argument -D: tickTime=3s: expected"), "{said}");
    let (_dir, said) = Start::refused(dir, &["nowhere.cfg"]);
    assert!(said.contains("nowhere.cfg"), "{said}");
}

#[test]
fn an_unknown_key_is_a_warning() {
    let start = Start::new(configured(&format!("{ANY_PORT}\ntickTme=2000")), &["zoo.cfg"]);
    wait::until("the server to serve", PATIENCE, || {
        start.said().contains(" serving ").then_some(())
    });
    let said = start.said();
    let warning = said.lines().find(|line| line.contains("tickTme")).unwrap();
    assert!(warning.contains("WARN") && warning.contains("tickTime"), "{warning}");
}
