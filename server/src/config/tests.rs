//! Settings from what was written to what is meant, and what is said on the way.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use quorate_protocol::SessionId;

use super::reader::Reader;
use super::written::Written;
use super::*;
use crate::session::Passwords;

const MINIMAL: &str = "dataDir=/none/such\nclientPort=2181\n";

fn read(text: &str) -> Result<(Settings, Vec<Note>), Vec<String>> {
    let mut written = Written::default();
    written.add_file("zoo.cfg".as_ref(), properties::parse(text.as_bytes()).unwrap());
    let mut reader = Reader::new(&written);
    let settings = Settings::read(&mut reader);
    if reader.problems.is_empty() {
        Ok((settings, reader.notes))
    } else {
        Err(reader.into_problems().0.iter().map(Problem::to_string).collect())
    }
}

/// The settings of a minimal file with these lines.
#[track_caller]
fn settings(lines: &str) -> Settings {
    read(&format!("{MINIMAL}{lines}")).unwrap().0
}

/// The problems of a minimal file with these lines, which begin with line 3.
#[track_caller]
fn problems(lines: &str) -> Vec<String> {
    read(&format!("{MINIMAL}{lines}")).unwrap_err()
}

#[test]
fn every_honoured_key_is_read() {
    let written = Written::default();
    let mut reader = Reader::new(&written);
    Settings::read(&mut reader);
    assert_eq!(reader.unread(), [""; 0]);
}

#[test]
fn defaults_are_zookeepers() {
    insta::assert_debug_snapshot!("defaults", settings(""));
}

#[test]
fn without_a_file_the_server_is_on_loopback_only() {
    let (settings, notes) = load(None, [], &[]).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 2181));
    assert_eq!(settings.clients.address, ClientAddress::One(address));
    assert!(settings.storage.data_dir.is_absolute());
    assert!(settings.storage.data_dir.ends_with("quorate-data"));
    assert_eq!(settings.sessions.tick, Duration::from_secs(2));
    assert_eq!(notes, []);

    let port = [("clientPort".to_owned(), "0".to_owned())];
    let (settings, notes) = load(None, [], &port).unwrap();
    assert_eq!(settings.clients.address.port(), 0);
    assert_eq!(notes, [], "what is built in is there to be outdone");
}

#[test]
fn arguments_outdo_the_environment_and_that_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zoo.cfg");
    fs::write(&file, "dataDir=/d\nclientPort=1\ntickTime=1000\nsnapCount=5\nmaxCnxns=1").unwrap();
    fs::write(folder.path().join("myid"), " 7\n").unwrap();
    let environment = [
        ("QUORATE_TICK_TIME", "2000"),
        ("QUORATE_SNAP_COUNT", "6"),
        ("QUORATE_DATA_DIR", folder.path().to_str().unwrap()),
        ("QUORATE_DATA_LOG_DIR", ""),
    ]
    .map(|(name, value)| (name.into(), value.into()));
    let arguments = [("zookeeper.snapCount".to_owned(), "7".to_owned())];
    let (settings, notes) = load(Some(&file), environment, &arguments).unwrap();
    assert_eq!(settings.sessions.tick, Duration::from_secs(2));
    assert_eq!(settings.storage.checkpoint_transactions, 7);
    assert_eq!(settings.clients.max_connections, Some(1));
    assert_eq!(settings.storage.log_dir, folder.path(), "an empty variable sets nothing");
    assert_eq!(settings.server_id, 7);
    assert_eq!(notes.len(), 4, "{notes:?}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zoo.cfg");
    let error = load(Some(&file), [], &[]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read the configuration {}", file.display())));
    fs::write(&file, "a=\\u00").unwrap();
    let error = load(Some(&file), [], &[]).unwrap_err().to_string();
    assert!(error.ends_with("zoo.cfg:1: expected four hexadecimal digits after \\u"), "{error}");

    fs::write(folder.path().join("myid"), "one").unwrap();
    fs::write(&file, format!("clientPort=1\ndataDir={}", folder.path().display())).unwrap();
    let error = load(Some(&file), [], &[]).unwrap_err().to_string();
    assert!(error.ends_with("myid holds \"one\"; expected a number from 0 to 255"), "{error}");
}

#[test]
fn all_problems_are_reported_at_once() {
    insta::assert_snapshot!(
        "problems",
        problems(
            "tickTime=2s\nmaxClientCnxns=many\njute.maxbuffer=0x\nskipACL=maybe\n\
             quorate.checkpoint.interval=30\n\
             quorate.txnLog.segmentSize=1k\n4lw.commands.whitelist=*\n\
             DigestAuthenticationProvider.digestAlg=MD5\n\
             DigestAuthenticationProvider.superDigest=secret\n\
             quorate.log.level=loud,=\nclientPort=70000"
        )
        .join("\n")
    );
}

#[test]
fn a_missing_key_may_be_there_under_a_wrong_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zoo.cfg");
    fs::write(&file, "dataDir=/none\nclientport=2181\ninitLimit=5").unwrap();
    let error = load(Some(&file), [], &[]).unwrap_err().to_string();
    let place = file.display();
    assert_eq!(
        error,
        format!(
            "cannot start with this configuration:\n  \
         clientPort: expected the port for clients; it has no default\n  \
         warning: {place}:2: unknown key clientport has no effect; did you mean clientPort?"
        )
    );
}

#[test]
fn what_is_not_built_ends_the_start() {
    insta::assert_snapshot!(
        "not_built",
        problems(
            "secureClientPort=2281\nssl.keyStore.location=/k\nssl.keyStore.password=hunter2\n\
             leaderServes=no\noraclePath=/o\nadmin.enableServer=true\n\
             metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
             audit.enable=true\nforceSync=no\nelectionAlg=0\n\
             authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
             authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n\
             authProvider.3=com.example.Mine\nserverCnxnFactory=com.example.Mine\n\
             enforce.auth.enabled=true\nenforce.auth.schemes=digest,sasl\n\
             zookeeper.sessionRequireClientSASLAuth=true\ndigest.enabled=false"
        )
        .join("\n")
    );
}

#[test]
fn what_asks_for_nothing_is_accepted() {
    let (_, notes) = read(&format!(
        "{MINIMAL}admin.enableServer=false\nlocalSessionsEnabled=False\nforceSync=yes\n\
         peerType=participant\nelectionAlg=3\nsslQuorum=false\nstandaloneEnabled=true\nlargeRequestThreshold=-1\n\
         serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider\n\
         metricsProvider.className=org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"
    ))
    .unwrap();
    assert_eq!(notes, []);
}

#[test]
fn notes_name_what_has_no_effect() {
    let (_, notes) = read(&format!(
        "{MINIMAL}initLimit=10\nsyncEnabled=true\nnio.numWorkerThreads=4\nticktime=1\nmy.own.key=1\n\
         autopurge.snapRetainCount=1\n4lw.commands.whitelist=stat, reqs\nadmin.serverPort=8080"
    ))
    .unwrap();
    insta::assert_debug_snapshot!("notes", notes);
}

#[test]
fn session_timeouts_follow_the_tick() {
    let times = |lines| {
        let sessions = settings(lines).sessions;
        [sessions.tick, sessions.min_timeout, sessions.max_timeout].map(|time| time.as_millis())
    };
    assert_eq!(times("tickTime=500"), [500, 1000, 10_000]);
    assert_eq!(times("minSessionTimeout=-1\nmaxSessionTimeout=100000"), [3000, 6000, 100_000]);
    assert_eq!(times("minSessionTimeout=0"), [3000, 0, 60_000]);
    assert_eq!(
        problems("minSessionTimeout=60001"),
        ["zoo.cfg:3: minSessionTimeout=60001: the least session timeout, 60001 ms, is above the \
         greatest, 60000 ms"]
    );
}

#[test]
fn values_in_java_s_forms() {
    assert_eq!(settings("jute.maxbuffer=0x400000").limits.request_bytes, 4 << 20);
    assert_eq!(settings("maxClientCnxns=0").clients.max_connections_per_ip, None);
    assert_eq!(settings("snapSizeLimitInKb=-1").storage.checkpoint_log_bytes, None);
    assert!(settings("skipACL=yes").auth.skip_acl);
    assert_eq!(settings("largeRequestThreshold=10").limits.large_request_threshold, Some(10));
    let throttle = settings("connectionMaxTokens=10").connection_throttle.unwrap();
    assert_eq!((throttle.tokens, throttle.new_session), (10, 1));
    assert_eq!(settings("enforce.auth.schemes=digest").required_schemes, [""; 0]);
    assert_eq!(
        settings("enforce.auth.schemes=digest\nenforce.auth.enabled=true").required_schemes,
        ["digest"]
    );
    assert_eq!(settings("DigestAuthenticationProvider.enabled=false").auth.digest, None);
}

#[test]
fn where_clients_connect() {
    let one = |text: &str| ClientAddress::One(text.parse().unwrap());
    for (lines, address) in [
        ("clientPort=5", ClientAddress::All(5)),
        ("clientPort=5\nclientPortAddress=127.0.0.2", one("127.0.0.2:5")),
        ("clientPort=5\nclientPortAddress=::1", one("[::1]:5")),
        ("clientPort=5\nclientPortAddress=0.0.0.0", ClientAddress::All(5)),
        ("clientPort=5\nclientPortAddress=localhost", one("127.0.0.1:5")),
        ("server.1=localhost:2888:3888;2182", ClientAddress::All(2182)),
        ("server.1=localhost:2888:3888:participant;127.0.0.1:2182", one("127.0.0.1:2182")),
        ("server.1=[::1]:2888:3888;[::1]:2182", one("[::1]:2182")),
        ("clientPort=5\nserver.1=a:2888:3888;5", ClientAddress::All(5)),
        ("clientPort=5\nserver.1=a:2888:3888", ClientAddress::All(5)),
    ] {
        let (settings, notes) = read(&format!("dataDir=/none\n{lines}")).unwrap();
        assert_eq!(settings.clients.address, address, "{lines}");
        assert_eq!(notes, [], "{lines}");
    }
    let lookup = read("dataDir=/none\nclientPort=5\nclientPortAddress=no such host").unwrap_err();
    assert!(lookup[0].starts_with(
        "zoo.cfg:3: clientPortAddress=no such host: expected an address or a name that can be \
         looked up ("
    ));
    for (lines, problem) in [
        ("", "clientPort: expected the port for clients; it has no default"),
        ("clientPortAddress=::1", "zoo.cfg:2: clientPortAddress=::1: clientPort is not set"),
        (
            "clientPort=5\nserver.1=a:1:2;6",
            "zoo.cfg:3: server.1=a:1:2;6: its client address is another than that of clientPort",
        ),
        (
            "server.1=a:1:2;no.such.host.:6",
            "zoo.cfg:2: server.1=a:1:2;no.such.host.:6: expected an address or a name that can be \
             looked up",
        ),
        ("server.a=a:1:2;6", "zoo.cfg:2: server.a=a:1:2;6: expected a server's number in the key"),
    ] {
        let problems = read(&format!("dataDir=/none\n{lines}")).unwrap_err();
        assert!(problems[0].starts_with(problem), "{lines}: {problems:?}");
    }
}

/// A folder with a `myid` and the lines that any ensemble needs.
fn ensemble_folder(myid: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("myid"), myid).unwrap();
    let lines = format!(
        "dataDir={}\nclientPort=2181\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n",
        folder.path().display()
    );
    (folder, lines)
}

const THREE: &str = "server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";

#[test]
fn an_ensemble_of_three() {
    let (_folder, common) = ensemble_folder("2");
    let (settings, notes) = read(&format!("{common}{THREE}")).unwrap();
    assert_eq!(notes, []);
    assert_eq!(settings.server_id, 2);
    assert!(matches!(settings.sessions.password, SessionPassword::Given(Passwords::ZooKeeper)));
    insta::assert_debug_snapshot!("ensemble", settings.ensemble.unwrap());
}

#[test]
fn an_ensemble_in_all_its_forms() {
    let (folder, common) = ensemble_folder("3");
    let (settings, notes) = read(
        &format!(
            "{common}server.1=[::1]:2888:3888:participant;2181\n\
         server.2=a:2888:3888|b:2888:3888;[::]:2181\n\
         server.3=c:2888:3888:observer;127.0.0.1:2182\n\
         group.1=1:2\nweight.1=3\nversion=1f\nmultiAddress.enabled=true\npeerType=observer\n\
         connectToLearnerMasterLimit=7\nquorumCnxnTimeoutMs=800\ncnxTimeout=900\n\
         fastleader.maxNotificationInterval=1000\nquorate.finalizeWait=10ms\n\
         quorumListenOnAllIPs=true\ntcpKeepAlive=true",
        )
        .replace("clientPort=2181\n", ""),
    )
    .unwrap();
    assert_eq!(
        notes,
        [Note::Warning(
            "with two servers that vote, both must be up; three bear the loss of one".into()
        )]
    );
    assert_eq!(settings.clients.address, ClientAddress::One("127.0.0.1:2182".parse().unwrap()));
    insta::assert_debug_snapshot!("ensemble_in_all_its_forms", settings.ensemble.unwrap());

    // The same in a file of its own, which may have a version in its name.
    let lines = "server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888:participant;2181";
    let file = folder.path().join("zoo.cfg.dynamic.100000000");
    fs::write(&file, lines).unwrap();
    let dynamic = format!("{common}dynamicConfigFile={}", file.display());
    let (settings, notes) = read(&dynamic).unwrap();
    assert_eq!(notes, []);
    assert_eq!(
        settings.ensemble.unwrap().configuration.to_string(),
        "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
         server.3=c:2888:3888:participant;0.0.0.0:2181\nversion=100000000"
    );
    fs::write(&file, "server.1=a:2888:3888\nclientPort=1").unwrap();
    let problems = read(&dynamic).unwrap_err();
    let expected = "zoo.cfg.dynamic.100000000: line 2: clientPort=1: expected server.N";
    assert!(problems[0].contains(expected), "{problems:?}");
    let problems = read(&format!("{dynamic}\nserver.1=a:1:2")).unwrap_err();
    let expected = "with dynamicConfigFile, it has to be in that file";
    assert!(problems.iter().any(|problem| problem.ends_with(expected)), "{problems:?}");
    fs::remove_file(&file).unwrap();
    assert!(read(&dynamic).unwrap_err()[0].contains("dynamic.100000000: cannot read"));
}

#[test]
fn what_is_wrong_with_an_ensemble_is_said() {
    let (folder, common) = ensemble_folder("2");
    let myid = folder.path().join("myid");
    let data_dir = format!("zoo.cfg:1: dataDir={}: {}", folder.path().display(), myid.display());
    for (lines, expected) in [
        (
            "server.1=a:1:2\nserver.2=a:1:3",
            "zoo.cfg:7: server.2=a:1:3: server.1 has the address a:1 already",
        ),
        ("server.1=a:1:1\nserver.2=b:1:2", "zoo.cfg:6: server.1=a:1:1: expected two ports"),
        (
            "server.1=a:1:2;a:5\nserver.2=A:5:3",
            "zoo.cfg:7: server.2=A:5:3: server.1 has the address A:5 already",
        ),
        (
            "server.1=a:1:2|b:1:2\nserver.2=c:1:2",
            "zoo.cfg:6: server.1=a:1:2|b:1:2: several addresses need multiAddress.enabled=true",
        ),
        ("server.1=a:1\nserver.2=c:1:2", "zoo.cfg:6: server.1=a:1: expected host:port:port"),
        (
            "server.1=a:1:2\nserver.2=b:1:2:observer",
            "zoo.cfg:7: server.2=b:1:2:observer: one participant alone has no observers",
        ),
        ("server.2=b:1:2:observer", "server.N: expected a server.N line of a participant"),
        (
            "server.2=b:1:2\nserver.3=c:1:2\ngroup.1=2",
            "server.N: expected server 3 in a group.N line",
        ),
        ("standaloneEnabled=false", "zoo.cfg:6: standaloneEnabled=false: expected a server.N line"),
        (
            "server.2=b:1:2\nserver.3=c:1:2\nfastleader.minNotificationInterval=70000",
            "fastleader.maxNotificationInterval: it is below",
        ),
        ("server.1=b:1:2\nserver.3=c:1:2", &format!("{data_dir} says 2, but the servers are 1, 3")),
    ] {
        let problems = read(&format!("{common}{lines}")).map(|_| ()).unwrap_err();
        assert!(problems[0].starts_with(expected), "{lines}: {problems:?}");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
    assert_eq!(
        read(&common.replace("initLimit=10\nsyncLimit=5", THREE)).map(|_| ()).unwrap_err(),
        ["initLimit", "syncLimit"].map(|key| format!(
            "{key}: expected a number of ticks; an ensemble needs it, it has no default"
        ))
    );
    fs::remove_file(&myid).unwrap();
    assert_eq!(
        read(&format!("{common}{THREE}")).map(|_| ()).unwrap_err(),
        [format!("{data_dir} is missing; expected this server's number in it, of 1, 2, 3")]
    );
}

#[test]
fn what_is_doubtful_about_an_ensemble_is_warned_of() {
    let (_folder, common) = ensemble_folder("2");
    let four = format!("{THREE}server.4=d:2888:3888");
    for (lines, expected) in [
        (four.as_str(), "4 servers that vote bear the loss of no more than 3 would"),
        (
            &format!("{THREE}peerType=observer"),
            "peerType is observer, but server.2 is a participant, which holds",
        ),
        ("peerType=observer", "peerType is observer, but this server is alone"),
        ("server.1=a:1:2", "server.1 is not this server, which is 2 by myid"),
    ] {
        let (settings, notes) = read(&format!("{common}{lines}")).unwrap();
        assert_eq!(notes, [Note::Warning(expected.to_owned())], "{lines}");
        assert_eq!(settings.ensemble.is_some(), lines.starts_with(THREE), "{lines}");
    }
    // One server may be an ensemble, and then it may have observers.
    let one = "standaloneEnabled=false\nserver.2=a:1:2\nserver.3=a:3:4:observer";
    let (settings, notes) = read(&format!("{common}{one}")).unwrap();
    assert_eq!(settings.ensemble.unwrap().configuration.servers.len(), 2);
    assert_eq!(notes, []);
}

#[test]
fn servers_of_an_ensemble_make_the_same_session_passwords() {
    let (folder, common) = ensemble_folder("1");
    let secret = folder.path().join("secret");
    let key = format!("quorate.sessionSecretFile={}", secret.display());
    let password = |lines: &str| {
        let (settings, notes) = read(&format!("{common}{lines}")).unwrap();
        let password = match settings.sessions.password {
            SessionPassword::Given(passwords) => Some(passwords.of(SessionId(7))),
            SessionPassword::Keyed => None,
        };
        (password, notes.len())
    };
    let keyed = |secret: &[u8]| (Some(Passwords::keyed(secret).of(SessionId(7))), 0);
    let zookeeper = Some(Passwords::ZooKeeper.of(SessionId(7)));

    fs::write(&secret, "sixteen bytes or more \n").unwrap();
    let shared = keyed(b"sixteen bytes or more");
    assert_eq!(password(&format!("{THREE}{key}")), shared);
    assert_eq!(password(&format!("{THREE}{key}\nquorate.sessionPassword=keyed")), shared);
    assert_eq!(password(&key), shared, "a server alone may share its secret with its later peers");
    assert_eq!(
        password(&format!("{THREE}{key}\nquorate.sessionPassword=zookeeper")),
        (zookeeper, 1)
    );
    assert_eq!(password(THREE), (zookeeper, 0));
    assert_eq!(password("quorate.sessionPassword=zookeeper"), (zookeeper, 0));
    assert_eq!(password(""), (None, 0));

    let problem = |lines: &str| read(&format!("{common}{lines}")).map(|_| ()).unwrap_err().join("");
    let needs = problem(&format!("{THREE}quorate.sessionPassword=keyed"));
    assert!(needs.ends_with("it needs quorate.sessionSecretFile, the same on all"), "{needs}");
    fs::write(&secret, "fifteen bytes..\n").unwrap();
    assert!(problem(&key).ends_with("expected a file with 16 bytes or more"));
    fs::remove_file(&secret).unwrap();
    assert!(problem(&key).contains("expected a file that can be read (No such file"));
}

#[test]
fn the_sample_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/zoo_sample.cfg");
    let (settings, notes) = load(Some(&path), [], &[]).unwrap();
    assert_eq!(settings.storage.data_dir, Path::new("/var/lib/quorate"));
    assert_eq!(notes, []);
    // What it only suggests is valid too.
    let text = fs::read_to_string(path).unwrap().replace("\n#", "\n");
    let suggested: Vec<_> = text.lines().filter(|line| !line.contains(' ')).collect();
    let (settings, notes) = read(&suggested.join("\n")).unwrap();
    assert!(settings.tree.extended_types && settings.tree.enforce_quota);
    assert_eq!(notes, []);
}

/// The document's table of keys is this text: run with `UPDATE_DOCS=1` to write it anew.
#[test]
fn the_document_shows_the_table_of_keys() {
    const BEGIN: &str =
        "<!-- The table of server/src/config/key_table.rs; written by its test. -->\n";
    const END: &str = "<!-- End of the table. -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let document = fs::read_to_string(&path).unwrap();
    let (head, rest) = document.split_once(BEGIN).unwrap();
    let (shown, tail) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    } else {
        assert!(shown == table, "docs/configuration.md is out of date; run with UPDATE_DOCS=1");
    }
    assert!(document.contains(&BUILT_IN.trim_end().replace('\n', "\n    ")));
}

fn table() -> String {
    use keys::Standing;
    let mut table = String::new();
    for group in keys::GROUPS {
        writeln!(table, "\n### {}\n\n| key | default | |\n|---|---|---|", group.title).unwrap();
        for key in group.keys {
            let default = if key.default.is_empty() { "" } else { "`" };
            let text = match key.standing {
                Standing::Honoured => key.text.to_owned(),
                Standing::NoEffect => format!("*No effect:* {}.", key.text),
                Standing::NotBuilt([]) => format!("**Ends the start:** {}.", key.text),
                Standing::NotBuilt(harmless) => {
                    format!(
                        "**Ends the start** unless `{}`: {}.",
                        harmless.join("` or `"),
                        key.text
                    )
                }
            };
            let value = key.default.rsplit('.').next().filter(|_| key.default.contains("org."));
            let value = value.unwrap_or(key.default);
            writeln!(table, "| `{}` | {default}{value}{default} | {text} |", key.name).unwrap();
        }
    }
    table.push('\n');
    table
}
