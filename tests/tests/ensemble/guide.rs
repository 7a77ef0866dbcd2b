//! `docs/migration.md`, followed by an operator who types what stands there.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use quorate_protocol::OpCode;
use quorate_tests::{
    Connection, Ensemble, Op, Server, Subject, foreign, free_port,
    server::quorate_binary,
    wait::{self, PATIENCE},
};
use tempfile::TempDir;

use crate::{
    LONG_SESSIONS, are_installed, connect, done, load::Load, same_tree, start_led_by_last,
    tree::Tree,
};

/// For machines without `nc`: what stands in the guide has to do with the plainest one.
const NC: &str = r#"
command -v nc >/dev/null || nc() {
    exec 3<>"/dev/tcp/$1/$2"
    cat >&3
    cat <&3
}
"#;

const START: &str = "quorate-server /etc/zookeeper/zoo.cfg\n";

/// The commands of the guide, in their order, and what they are about here.
struct Guide {
    blocks: std::vec::IntoIter<String>,
    /// What stands in the guide, and what it is here.
    names: Vec<(&'static str, String)>,
    folder: TempDir,
}

impl Guide {
    fn open() -> Self {
        let path = foreign::root().join("docs/migration.md");
        let document = fs::read_to_string(path).unwrap();
        let mut blocks: Vec<String> = Vec::new();
        let mut inside = false;
        for line in document.lines() {
            if line.starts_with("```") {
                inside = line == "```sh";
                if inside {
                    blocks.push(String::new());
                }
            } else if inside {
                let block = blocks.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
        }
        let folder = tempfile::tempdir().unwrap();
        Self { blocks: blocks.into_iter(), names: Vec::new(), folder }
    }

    /// From here on, what stands in the guide is this.
    fn means(&mut self, name: &'static str, here: &dyn ToString) {
        self.names.insert(0, (name, here.to_string()));
    }

    /// The machine that is spoken of is this one.
    fn is_at(&mut self, server: &Server) {
        self.means("localhost 2181", &with_blank(server.addr()));
        self.means("/etc/zookeeper/zoo.cfg", &server.dir().join("zoo.cfg").display());
        self.means("/var/lib/zookeeper", &server.dir().join("data").display());
    }

    fn next(&mut self) -> String {
        self.blocks.next().expect("the guide goes on")
    }

    /// Runs the next commands; all must succeed. Gives what they said.
    fn run_next(&mut self) -> String {
        let block = self.next();
        self.run(&block)
    }

    fn run(&self, block: &str) -> String {
        let mut script = block.to_owned();
        for (name, here) in &self.names {
            script = script.replace(name, here);
        }
        let programs = quorate_binary().parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", &format!("{NC}{script}")])
            .env("PATH", format!("{programs}:{path}"))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let Output { status, stdout, stderr } = output;
        let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(status.success(), "{script}{status}: {said}");
        said
    }
}

fn with_blank(addr: SocketAddr) -> String {
    format!("{} {}", addr.ip(), addr.port())
}

#[test]
fn zookeeper_is_left_and_gone_back_to_as_the_guide_says() {
    follow_the_guide("JJJ", Subject::ZooKeeper);
}

#[test]
fn an_older_zookeeper_is_left_and_gone_back_to_as_the_guide_says() {
    follow_the_guide("DDD", Subject::DebianZooKeeper);
}

fn follow_the_guide(kinds: &str, zookeeper: Subject) {
    if !are_installed(kinds) {
        return;
    }
    let mut guide = Guide::open();
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    for (name, id) in [("zk1:2181", 1), ("zk2:2181", 2), ("zk3:2181", 3)] {
        guide.means(name, &ensemble.server(id).addr());
    }
    done(&mut connect(&ensemble, 1), &Op::create("/app", b"data", 0));

    // Before.
    guide.is_at(ensemble.server(1));
    let checked = guide.run_next();
    assert!(checked.contains("server 1 of an ensemble: 3 vote, 0 observe"), "{checked}");
    let health = guide.run_next();
    assert!(health.contains("leader") && health.contains("all 3 serve"), "{health}");

    try_first(&mut guide, &ensemble);
    let load = Load::start(&ensemble);
    let check = replace(&mut guide, &mut ensemble, &load);
    go_back(&mut guide, &mut ensemble, &load, zookeeper, &check);
    load.wait_for(50);
    load.stop().check(&same_tree(&ensemble));
    drop(ensemble);
    go_back_alone(&mut guide, zookeeper);
    assert_eq!(guide.blocks.next(), None, "all of the guide is followed");
}

/// Section 2: an observer beside the others, and an import of copied files.
fn try_first(guide: &mut Guide, ensemble: &Ensemble) {
    let member = |id| {
        let [quorum, election] = [ensemble.quorum_addr(id), ensemble.election_addr(id)];
        format!("server.{id}={quorum}:{}", election.port())
    };
    let mut lines: Vec<_> = ensemble.ids().map(member).collect();
    lines.push(format!("server.9=127.0.0.1:{}:{}:observer", free_port(), free_port()));
    lines.extend(["initLimit=50", "syncLimit=15", LONG_SESSIONS].map(str::to_owned));
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let mut observer = Server::prepare(Subject::Quorate, &lines);
    fs::create_dir(observer.dir().join("data")).unwrap();
    fs::write(observer.dir().join("data/myid"), "9").unwrap();
    observer.restart();
    assert_eq!(observer.mode().as_deref(), Some("observer"));
    guide.means("quorate9:2181", &observer.addr());
    assert_eq!(guide.run_next(), "", "both show the same");

    let copy = guide.folder.path().join("copy");
    let data = ensemble.server(1).dir().join("data");
    copy_files(&data.join("version-2"), &copy.join("version-2"));
    guide.means("/copy/of/dataDir", &copy.display());
    let tried = guide.folder.path().join("try");
    guide.means("/tmp/try", &tried.display());
    let said = guide.run_next();
    assert!(said.contains("is whole"), "{said}");
}

fn copy_files(from: &Path, to: &PathBuf) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Section 3: all servers, the leader last. Gives the commands that wait until all serve.
fn replace(guide: &mut Guide, ensemble: &mut Ensemble, load: &Load) -> String {
    assert_eq!(guide.next(), START);
    let [wait_for_all, look] = [guide.next(), guide.next()];
    for id in ensemble.ids() {
        load.wait_for(50);
        ensemble.terminate(id);
        let server = ensemble.server_mut(id);
        server.set_subject(Subject::Quorate);
        // The one without data is among the followers.
        if id == 2 {
            fs::remove_dir_all(server.dir().join("data/version-2")).unwrap();
        }
        server.spawn();
        guide.is_at(ensemble.server(id));
        let all = guide.run(&wait_for_all);
        assert!(all.contains("follower"), "{all}");
        let leader = ensemble.wait_for_leader();
        guide.means("leader 2181", &with_blank(ensemble.server(leader).addr()));
        let looked = wait::until("followers to be in sync", PATIENCE, || {
            Some(guide.run(&look)).filter(|said| said.contains("zk_synced_followers\t2"))
        });
        assert!(looked.starts_with("Mode: "), "{looked}");
        let imported = ensemble.server(id).said().contains("the data of ZooKeeper is imported");
        assert_eq!(imported, id != 2);
    }
    wait_for_all
}

/// Section 5, of an ensemble: back, one after the other, on empty folders.
fn go_back(
    guide: &mut Guide,
    ensemble: &mut Ensemble,
    load: &Load,
    zookeeper: Subject,
    wait_for_all: &str,
) {
    let empty = guide.next();
    for id in ensemble.ids() {
        load.wait_for(50);
        assert!(ensemble.terminate(id).success());
        guide.is_at(ensemble.server(id));
        guide.run(&empty);
        let server = ensemble.server_mut(id);
        server.set_subject(zookeeper);
        server.spawn();
        guide.run(wait_for_all);
    }
}

/// Section 5, of a server alone: by files, into the folder of before.
fn go_back_alone(guide: &mut Guide, zookeeper: Subject) {
    let mut server = Server::start(zookeeper, &[LONG_SESSIONS]);
    let write = |server: &Server, path: &str| {
        let mut client = Connection::with_new_session(server.addr(), 5000).unwrap();
        done(&mut client, &Op::create(path, path.as_bytes(), 0));
        done(&mut client, &Op::Plain(OpCode::CloseSession));
    };
    let read = |server: &Server| {
        let mut client = Connection::with_new_session(server.addr(), 5000).unwrap();
        Tree::read(&mut client)
    };
    write(&server, "/java");
    server.terminate();
    server.set_subject(Subject::Quorate);
    server.restart();
    write(&server, "/quorate");
    let before = read(&server);
    assert!(server.terminate().success());
    guide.is_at(&server);
    let said = guide.run_next();
    assert!(said.contains("written to"), "{said}");
    server.set_subject(zookeeper);
    server.restart();
    before.assert_same(&read(&server), "Quorate and then ZooKeeper");
}
