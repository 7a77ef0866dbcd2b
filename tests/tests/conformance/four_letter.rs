//! The four-letter words: the same state on both servers must give answers of the same shape, line
//! by line, with numbers left out.

use std::collections::BTreeSet;

use quorate_protocol::OpCode;
use quorate_tests::{Connection, Op, Server, Subject};

/// Words whose whole answer is compared. Not `hash`: ZooKeeper shows the digest at every 128th
/// transaction only, so nothing yet.
const WORDS: &[&str] = &[
    "ruok", "isro", "srvr", "stat", "cons", "conf", "dump", "wchs", "wchc", "wchp", "dirs", "gtmk",
    "crst", "srst", "lsnp",
];

/// A server with something to tell about: two sessions with ephemeral nodes and watches.
struct Furnished {
    server: Server,
    _connections: [Connection; 2],
}

impl Furnished {
    fn start(subject: Subject) -> Self {
        let server = Server::start(subject, &[]);
        let connections = ["/first", "/second"].map(|path| {
            let mut connection =
                Connection::with_new_session(server.addr(), 20_000).expect("the server accepts");
            let ops = [
                Op::create(path, b"data", 1),
                Op::Read(OpCode::GetData, path.to_owned(), true),
                Op::Read(OpCode::Exists, "/missing".to_owned(), true),
                Op::Read(OpCode::GetChildren, "/".to_owned(), true),
                Op::get(path),
            ];
            for op in &ops {
                connection.call(op).expect("the server answers");
            }
            connection
        });
        Self { server, _connections: connections }
    }
}

/// An answer's lines without their numbers, sorted, because both servers list connections and
/// sessions in the order of a hash table. How `dump` groups them depends on the moment.
fn shape(answer: &str) -> Vec<String> {
    let mut lines: Vec<_> = answer.split('\n').map(shape_of_line).collect();
    lines.sort();
    lines.dedup_by(|a, b| a == b && a.ends_with("expire at"));
    lines
}

fn shape_of_line(line: &str) -> String {
    // Folders, times of day and the release have nothing in common.
    for variable in ["dataDir=", "dataLogDir=", "Zookeeper version: "] {
        if line.starts_with(variable) {
            return variable.to_owned();
        }
    }
    if let Some((before, _)) = line.split_once(" expire at ") {
        return format!("{} expire at", shape_of_line(before));
    }
    let mut shape = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let number = number_length(rest);
        if number > 0 {
            shape.push('#');
            rest = &rest[number..];
        } else {
            shape.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    shape
}

/// The length of the number `text` begins with: hexadecimal with `0x`, or decimal, with a sign.
fn number_length(text: &str) -> usize {
    if let Some(hex) = text.strip_prefix("0x") {
        return 2 + hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let end = |part: &str| part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    let digits = end(unsigned);
    if digits == 0 {
        return 0;
    }
    let fraction = unsigned[digits..].strip_prefix('.').map_or(0, |f| match end(f) {
        0 => 0,
        n => n + 1,
    });
    text.len() - unsigned.len() + digits + fraction
}

#[test]
fn every_word_has_an_answer_of_zookeepers_shape() {
    let subjects = Subject::available();
    let [tested, oracle] = subjects[..] else { return };
    let (tested, oracle) = (Furnished::start(tested), Furnished::start(oracle));
    for word in WORDS {
        let (got, wanted) = (tested.server.word(word), oracle.server.word(word));
        assert_eq!(shape(&got), shape(&wanted), "{word} says\n{got}\nand ZooKeeper's\n{wanted}");
    }
    // What is no word is a length, and too large.
    assert_eq!(tested.server.word("zzzz"), "");
}

#[test]
fn the_metrics_are_zookeepers() {
    let subjects = Subject::available();
    let [tested, oracle] = subjects[..] else { return };
    let (tested, oracle) = (Furnished::start(tested), Furnished::start(oracle));
    let keys = |server: &Server| -> BTreeSet<String> {
        let answer = server.word("mntr");
        let key = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
        answer.lines().map(key).collect()
    };
    let (got, all) = (keys(&tested.server), keys(&oracle.server));
    let wanted = all.iter().filter(|key| !is_of_another_build(key));
    let missing: Vec<_> = wanted.filter(|&key| !got.contains(key)).collect();
    assert!(missing.is_empty(), "mntr lacks {missing:?}");
}

/// Metrics of the JVM, of ensembles, and of queues and caches that only ZooKeeper has.
fn is_of_another_build(key: &str) -> bool {
    const PARTS: &[&str] = &[
        "cache",
        "commit",
        "dead_watcher",
        "disloyal",
        "election",
        "ensemble_auth",
        "handshake",
        "inflight",
        "insecure_admin",
        "jvm_pause",
        "leader",
        "learner",
        "looking",
        "netty",
        "observer",
        "outstanding_changes",
        "per_namespace",
        "processor",
        "propagation",
        "proposal",
        "queue",
        "quorum",
        "requests_not_forwarded",
        "restore",
        "session_queue",
        "snapshot_",
        "socket_closing",
        "stale_repl",
        "sync_time",
        "throttle",
        "token_deficit",
        "unavailable",
        "diff_count",
        "cnxn_closed_without",
        "connection_revalidate",
        "reads_",
        "sync_process_time",
        "prep_process_time",
        "close_session_prep",
        "_final_proc",
        "revalidate_count",
    ];
    PARTS.iter().any(|part| key.contains(part))
}

#[test]
fn the_environment_has_zookeepers_keys() {
    let subjects = Subject::available();
    let [tested, oracle] = subjects[..] else { return };
    let (tested, oracle) = (Furnished::start(tested), Furnished::start(oracle));
    let keys = |server: &Server| -> Vec<String> {
        let answer = server.word("envi");
        answer.lines().map(|l| l.split('=').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(keys(&tested.server), keys(&oracle.server));
}

#[test]
fn a_word_that_is_not_allowed_says_so() {
    for subject in Subject::available() {
        let server = Server::start(subject, &["4lw.commands.whitelist=srvr, ruok"]);
        assert_eq!(server.word("ruok"), "imok", "{subject:?}");
        for word in ["mntr", "stat", "isro"] {
            let refusal = format!("{word} is not executed because it is not in the whitelist.\n");
            assert_eq!(server.word(word), refusal, "{subject:?}");
        }
    }
}

#[test]
fn numbers_are_left_out_of_shapes() {
    let line = " /127.0.0.1:45678[1](queued=0,recved=-1,sid=0x1000abc,avg=0.25)";
    assert_eq!(shape_of_line(line), " /#.#:#[#](queued=#,recved=#,sid=#,avg=#)");
}
