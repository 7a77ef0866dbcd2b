//! Answers to four-letter words, whole. Their forms were compared with those of ZooKeeper 3.9.5.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use quorate_protocol::{FourLetterWord as Word, OpCode, SessionId, Xid, Zxid};

use super::*;
use crate::config::{self, Settings};
use crate::zab::{Configuration, ServerId};

/// A server with two clients, a few nodes and watches.
struct FakeServer {
    mode: Option<Mode>,
    settings: Settings,
    stats: ServerStats,
    environment: Environment,
    connections: [ConnectionStats; 3],
    local_sessions: Option<Vec<(i64, Vec<SessionId>)>>,
}

const A: SessionId = SessionId(0x0100_0001_e4f8_9000);
const B: SessionId = SessionId(0x0100_0001_e4f8_9001);

impl FakeServer {
    fn new(keys: &[(&str, &str)]) -> Self {
        let mut arguments = vec![
            ("dataDir", "/var/lib/quorate"),
            ("dataLogDir", "/var/log/quorate"),
            ("4lw.commands.whitelist", "*,hand"),
        ];
        arguments.extend(keys);
        let arguments: Vec<_> =
            arguments.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let (settings, _) = config::load(None, [], &arguments).unwrap();
        let connections = ["[::ffff:127.0.0.1]:38710", "[fe80::1]:38712", "127.0.0.1:38766"]
            .map(|remote| ConnectionStats::new(remote.parse().unwrap(), 1_795_250_475_508));
        let environment = Environment::for_tests();
        let mode = Some(Mode::Standalone);
        Self {
            mode,
            settings,
            stats: ServerStats::default(),
            environment,
            connections,
            local_sessions: None,
        }
    }

    /// Server 4 of an ensemble of three and an observer.
    fn in_ensemble(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("myid"), "4").unwrap();
        let mut server = Self::new(&[
            ("dataDir", folder.path().to_str().unwrap()),
            ("initLimit", "10"),
            ("syncLimit", "5"),
            ("multiAddress.enabled", "true"),
            ("server.1", "127.0.0.1:2888:3888"),
            ("server.2", "127.0.0.1:2889:3889"),
            ("server.3", "127.0.0.1:2890:3890"),
            ("server.4", "127.0.0.1:2891:3891|[::1]:2892:3891:observer;127.0.0.1:2181"),
        ]);
        server.settings.storage.data_dir = "/var/lib/quorate".into();
        server.mode = Some(mode);
        server
    }

    /// Lets the clients do something.
    fn busy() -> Self {
        let server = Self::new(&[]);
        let [a, b, asking] = &server.connections;
        a.attach(A, 10_000);
        b.attach(B, 20_000);
        for (connection, op, xid, micros) in [
            (a, OpCode::Create2, 1, 5_300),
            (a, OpCode::SetData, 2, 1_700),
            (a, OpCode::Ping, -2, 100),
            (b, OpCode::GetData, 1, 90),
        ] {
            let mut tally = server.stats.tally(connection);
            tally.request(op, 40);
            tally.answer(&Answer {
                op,
                xid: Xid(xid),
                zxid: Zxid(6),
                bytes: 40,
                latency: Duration::from_micros(micros),
                at_ms: 2_012_490,
            });
        }
        server.stats.tally(b).request(OpCode::Multi, 100);
        server.stats.tally(asking).received(4);
        server.stats.fsynctime.record_time(Duration::from_micros(2_500));
        server.stats.sync_processor_batch_size.record(3);
        server.stats.auth_failed_count.add(1);
        server
    }

    fn answer(&self, word: Word) -> String {
        // The version has the date of the build in it.
        respond(word, None, self).replace(full_version(), "VERSION")
    }
}

impl AdminView for FakeServer {
    fn mode(&self) -> Option<Mode> {
        self.mode
    }
    fn settings(&self) -> &Settings {
        &self.settings
    }
    fn configuration(&self) -> Option<Configuration> {
        self.settings.ensemble.as_ref().map(|ensemble| ensemble.configuration.clone())
    }
    fn stats(&self) -> &ServerStats {
        &self.stats
    }
    fn environment(&self) -> &Environment {
        &self.environment
    }
    fn uptime_ms(&self) -> u64 {
        26_123
    }
    fn client_port(&self) -> u16 {
        2181
    }
    fn last_zxid(&self) -> Zxid {
        Zxid(6)
    }
    fn tree(&self) -> TreeNumbers {
        TreeNumbers { nodes: 9, data_bytes: 62, ephemerals: 3 }
    }
    fn watches(&self) -> WatchNumbers {
        WatchNumbers { connections: 2, paths: 2, watches: 3 }
    }
    fn session_count(&self) -> usize {
        2
    }
    fn local_session_count(&self) -> usize {
        self.local_sessions.as_ref().map_or(0, Vec::len)
    }
    fn local_session_expiries(&self) -> Option<Vec<(i64, Vec<SessionId>)>> {
        self.local_sessions.clone()
    }
    fn connections(&self) -> Vec<ConnectionNumbers> {
        self.connections.iter().map(ConnectionStats::numbers).collect()
    }
    fn connection_count(&self) -> usize {
        self.connections.len()
    }
    fn reset_connection_stats(&self) {
        self.connections.iter().for_each(ConnectionStats::reset);
    }
    fn watched_by_session(&self) -> Vec<(SessionId, Vec<String>)> {
        vec![(A, vec!["/t".into()]), (B, vec!["/t".into(), "/nope".into()])]
    }
    fn watched_by_path(&self) -> Vec<(String, Vec<SessionId>)> {
        vec![("/t".into(), vec![A, B]), ("/nope".into(), vec![B])]
    }
    fn session_expiries(&self) -> Vec<(i64, Vec<SessionId>)> {
        vec![(1_795_250_487_000, vec![A]), (1_795_250_497_000, vec![B])]
    }
    fn connection_expiries(&self) -> Vec<(i64, Vec<(std::net::SocketAddr, SessionId)>)> {
        let [a, b, asking] = self.connections.each_ref().map(|c| (c.remote, c.session()));
        vec![(1_795_250_493_000, vec![a, asking]), (1_795_250_503_000, vec![b])]
    }
    fn session_timeouts(&self) -> Vec<(SessionId, i32)> {
        vec![(A, 10_000), (B, 20_000)]
    }
    fn ephemerals(&self) -> Vec<(SessionId, Vec<String>)> {
        vec![(B, vec!["/t/e3".into()]), (A, vec!["/t/e".into(), "/t/e2".into()])]
    }
    fn digests(&self) -> Vec<(Zxid, u64)> {
        vec![(Zxid(0x80), 3_695_434_617), (Zxid(0x100), u64::MAX)]
    }
    fn folder_sizes(&self) -> FolderSizes {
        FolderSizes { data: 4096, log: 67_109_358 }
    }
    fn open_files(&self) -> OpenFiles {
        OpenFiles { open: 57, limit: 20_000 }
    }
    fn hand_over(&self) -> bool {
        matches!(self.mode, Some(Mode::Leader(_)))
    }
}

#[test]
fn every_word_has_the_form_of_zookeeper() {
    let server = FakeServer::busy();
    let own = [Word::Envi, Word::Stmk, Word::Crst, Word::Srst, Word::Hand, Word::TelnetInterrupt];
    for &word in Word::ALL.iter().filter(|word| !own.contains(word)) {
        insta::assert_snapshot!(word.name(), server.answer(word));
    }
    // A snapshot does not tell how a text ends.
    for (word, end) in [
        (Word::Cons, ")\n\n"),
        (Word::Wchc, "\t/nope\n\n"),
        (Word::Wchp, "9001\n\n"),
        (Word::Stat, "Node count: 9\n"),
        (Word::Conf, "serverId=0\n"),
        (Word::Dump, "9001\n"),
        (Word::Wchs, "watches:3\n"),
        (Word::Dirs, "67109358\n"),
        (Word::Hash, "18446744073709551615\n"),
    ] {
        let answer = server.answer(word);
        assert!(answer.ends_with(end) && !answer.ends_with("\n\n\n"), "{word}");
    }
    for word in [Word::Ruok, Word::Isro, Word::Gtmk] {
        assert!(!server.answer(word).ends_with('\n'), "{word}");
    }
}

#[test]
fn the_environment_ends_with_the_memory() {
    let server = FakeServer::new(&[]);
    let answer = server.answer(Word::Envi);
    let (keys, values): (Vec<_>, Vec<_>) =
        answer.lines().skip(1).map(|line| line.split_once('=').unwrap()).unzip();
    assert_eq!(answer.lines().next(), Some("Environment:"));
    assert_eq!(keys[keys.len() - 3..], ["os.memory.free", "os.memory.max", "os.memory.total"]);
    assert!(values[values.len() - 3..].iter().all(|value| value.ends_with("MB")));
}

#[test]
fn resets() {
    let server = FakeServer::busy();
    assert_eq!(server.answer(Word::Crst), "Connection stats reset.\n");
    assert_eq!(server.answer(Word::Srst), "Server stats reset.\n");
    insta::assert_snapshot!("after_resets", server.answer(Word::Srvr) + &server.answer(Word::Cons));
}

const LEADER: Mode = Mode::Leader(LeaderNumbers {
    uptime_ms: 23_897,
    learners: 4,
    synced_followers: 2,
    synced_non_voting_followers: 0,
    synced_observers: 1,
    pending_syncs: 5,
});
const LEARNERS: [Mode; 2] = [
    Mode::Follower { leader: ServerId(3), observers: None },
    Mode::Observer { leader: ServerId(3) },
];

#[test]
fn a_leader_tells_of_its_learners_and_proposals() {
    let mut server = FakeServer::busy();
    server.mode = Some(LEADER);
    assert!(
        server
            .answer(Word::Stat)
            .ends_with("Mode: leader\nNode count: 9\nProposal sizes last/min/max: -1/-1/-1\n")
    );
    server.stats.proposal_sizes.merge([87, 87, 87]);
    server.stats.proposal_sizes.merge([60, 48, 60]);
    assert!(
        server
            .answer(Word::Srvr)
            .ends_with("Mode: leader\nNode count: 9\nProposal sizes last/min/max: 60/48/87\n")
    );
    let answer = server.answer(Word::Mntr);
    for line in [
        "zk_server_state\tleader\nzk_peer_state\tleading - broadcast\n",
        "\nzk_leader_uptime\t23897\nzk_learners\t4\nzk_synced_followers\t2\n\
         zk_synced_non_voting_followers\t0\nzk_synced_observers\t1\nzk_pending_syncs\t5\n\
         zk_last_proposal_size\t60\nzk_min_proposal_size\t48\nzk_max_proposal_size\t87\n",
    ] {
        assert!(answer.contains(line), "{answer}");
    }
    assert!(server.answer(Word::Dump).starts_with("SessionTracker dump:\nSession Sets (2)/(2):\n"));
    server.answer(Word::Srst);
    assert!(server.answer(Word::Srvr).ends_with("last/min/max: -1/-1/-1\n"));
}

#[test]
fn a_read_only_server_says_so() {
    let mut server = FakeServer::in_ensemble(Mode::ReadOnly);
    server.local_sessions = Some(vec![(1_795_250_480_000, vec![A])]);
    assert_eq!(server.answer(Word::Isro), "ro");
    for word in [Word::Srvr, Word::Stat] {
        let answer = server.answer(word);
        let second = answer.lines().nth(1);
        assert_eq!(second, Some("READ-ONLY mode; serving only read-only clients"));
        assert!(answer.ends_with("Mode: read-only\nNode count: 9\n"), "{answer}");
    }
    let conf = server.answer(Word::Conf);
    assert!(conf.contains("\nserverId=4\n") && conf.ends_with("\npeerType=1\n"), "{conf}");
    let metrics = server.answer(Word::Mntr);
    assert!(metrics.contains("zk_server_state\tread-only\nzk_avg_latency"), "{metrics}");
    assert!(metrics.contains("\nzk_local_sessions\t1\n") && !metrics.contains("quorum_size"));
    let dump = server.answer(Word::Dump);
    assert!(dump.starts_with("SessionTracker dump:\nLocal Session Sets (1)/(1):\n1 expire at "));
    assert!(dump.contains("\n\t0x1000001e4f89000\nGlobal Sessions(2):\n"), "{dump}");
}

#[test]
fn local_sessions_are_shown_beside_the_others() {
    let mut server = FakeServer::busy();
    server.mode = Some(LEADER);
    server.local_sessions = Some(Vec::new());
    let dump = server.answer(Word::Dump);
    assert!(
        dump.starts_with(
            "SessionTracker dump:\nLocal Session Sets (0)/(0):\nGlobal Session Sets (2)/(2):\n"
        ),
        "{dump}"
    );
}

#[test]
fn learners_know_sessions_without_their_expiry() {
    let mut server = FakeServer::busy();
    for (mode, state) in LEARNERS.into_iter().zip(["following", "observing"]) {
        server.mode = Some(mode);
        let name = mode.name();
        assert!(server.answer(Word::Srvr).ends_with(&format!("Mode: {name}\nNode count: 9\n")));
        assert_eq!(server.answer(Word::Isro), "rw");
        let dump = server.answer(Word::Dump);
        assert!(
            dump.starts_with(
                "SessionTracker dump:\nGlobal Sessions(2):\n0x1000001e4f89000\t10000ms\n\
                 0x1000001e4f89001\t20000ms\nephemeral nodes dump:\n"
            ),
            "{dump}"
        );
        let metrics = server.answer(Word::Mntr);
        assert!(
            metrics.contains(&format!(
                "zk_server_state\t{name}\nzk_peer_state\t{state} - broadcast\n"
            ))
        );
        let observed = metrics.contains("\nzk_observer_master_id\t3\n");
        assert_eq!(observed, matches!(mode, Mode::Observer { .. }));
        assert!(!metrics.contains("learners") && !metrics.contains("proposal_size"));
    }
}

#[test]
fn an_ensembles_settings_are_shown() {
    let server = FakeServer::in_ensemble(LEARNERS[1]);
    let answer = server.answer(Word::Conf);
    let (alone, ensemble) = answer.split_once("serverId=").unwrap();
    assert!(FakeServer::new(&[]).answer(Word::Conf).starts_with(alone));
    assert_eq!(
        ensemble,
        "4\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3891\nquorumPort=2891|2892\n\
         peerType=1\nmembership: \n\
         server.1=127.0.0.1:2888:3888:participant\n\
         server.2=127.0.0.1:2889:3889:participant\n\
         server.3=127.0.0.1:2890:3890:participant\n\
         server.4=127.0.0.1:2891:3891|[::1]:2892:3891:observer;127.0.0.1:2181\n\
         version=0"
    );
    assert!(server.answer(Word::Mntr).contains("\nzk_quorum_size\t3\n"));
}

#[test]
fn the_lead_is_handed_over_by_a_leader_only() {
    let mut server = FakeServer::busy();
    assert_eq!(server.answer(Word::Hand), "This server does not lead.\n");
    server.mode = Some(LEADER);
    assert_eq!(server.answer(Word::Hand), "The lead is being handed over.\n");
    let mut server = FakeServer::new(&[("4lw.commands.whitelist", "*")]);
    server.mode = Some(LEADER);
    assert_eq!(
        server.answer(Word::Hand),
        "hand is not executed because it is not in the whitelist.\n"
    );
}

#[test]
fn a_server_that_does_not_serve_says_so() {
    let mut server = FakeServer::busy();
    server.mode = None;
    let refusal = "This ZooKeeper instance is not currently serving requests";
    for &word in Word::ALL {
        let answer = server.answer(word);
        match word {
            Word::Ruok => assert_eq!(answer, "imok"),
            Word::Isro => assert_eq!(answer, "null"),
            Word::Gtmk => assert_eq!(answer, "306"),
            Word::Envi => assert!(answer.starts_with("Environment:\n")),
            Word::Stmk | Word::TelnetInterrupt => assert_eq!(answer, ""),
            Word::Hash => assert_eq!(answer, refusal),
            _ => assert_eq!(answer, format!("{refusal}\n"), "{word}"),
        }
    }
}

#[test]
fn only_listed_words_are_executed() {
    let server = FakeServer::new(&[("4lw.commands.whitelist", "ruok")]);
    assert_eq!(server.answer(Word::Ruok), "imok");
    assert!(server.answer(Word::Srvr).contains("Mode: standalone\n"));
    assert_eq!(
        server.answer(Word::Wchp),
        "wchp is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(server.answer(Word::TelnetInterrupt), "");
    assert_eq!(argument_bytes(Word::Stmk, &server), 0);
}

#[test]
fn the_trace_mask_is_kept() {
    let server = FakeServer::new(&[]);
    assert_eq!(argument_bytes(Word::Stmk, &server), 8);
    assert_eq!(argument_bytes(Word::Gtmk, &server), 0);
    assert_eq!(respond(Word::Stmk, Some((-2i64).to_be_bytes()), &server), "-2");
    assert_eq!(server.answer(Word::Gtmk), "-2");
}

#[test]
fn without_a_provider_there_are_no_metrics() {
    let class = "org.apache.zookeeper.metrics.impl.NullMetricsProvider";
    let server = FakeServer::new(&[("metricsProvider.className", class)]);
    assert_eq!(server.answer(Word::Mntr), "zk_version\tVERSION\nzk_server_state\tstandalone\n");
}

/// Every metric that `mntr` shows is in the document, and none that it does not show.
#[test]
fn the_document_names_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, metrics) = document.split_once("\nGauges:\n").unwrap();
    let rows = metrics.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let documented: BTreeSet<_> = rows
        .flat_map(|(names, _)| names.split([',', ' ', '`']))
        .filter(|n| !n.is_empty())
        .collect();

    let mut answer = FakeServer::new(&[]).answer(Word::Mntr);
    for mode in LEARNERS.into_iter().chain([LEADER]) {
        answer += &FakeServer::in_ensemble(mode).answer(Word::Mntr);
    }
    let names = answer.lines().map(|line| line.strip_prefix("zk_").unwrap());
    let names: Vec<_> = names.map(|line| line.split_once('\t').unwrap().0).collect();
    // What has a count is a summary.
    let summaries: BTreeSet<_> =
        names.iter().filter_map(|name| name.strip_prefix("cnt_")).collect();
    let parts = ["avg_", "min_", "max_", "cnt_", "sum_", "p50_", "p95_", "p99_", "p999_"];
    let shown: BTreeSet<_> = names
        .iter()
        .map(|name| {
            let of_summary = parts.iter().filter_map(|part| name.strip_prefix(part));
            of_summary.into_iter().find(|name| summaries.contains(name)).unwrap_or(name)
        })
        .collect();
    assert_eq!(shown, documented);
}
