//! The table of keys itself, by what they are about.

use super::keys::{Group, Key, Standing};

const fn honoured(name: &'static str, default: &'static str, text: &'static str) -> Key {
    Key { name, default, text, standing: Standing::Honoured }
}

const fn no_effect(name: &'static str, text: &'static str) -> Key {
    Key { name, default: "", text, standing: Standing::NoEffect }
}

const fn not_built(
    name: &'static str,
    harmless: &'static [&'static str],
    text: &'static str,
) -> Key {
    Key { name, default: "", text, standing: Standing::NotBuilt(harmless) }
}

const FALSE: &[&str] = &["false"];
const NEVER: &[&str] = &[];
const TLS: &str = "TLS is not built yet";
const SASL: &str = "SASL is not built yet";
const SYNCHRONIZATION: &str =
    "a learner gets what it missed from the log's files while they are kept, then a snapshot";
const JVM: &str = "there is no Java virtual machine";
const THREADS: &str = "it sizes Java thread pools; see `quorate.threads`";
const PIPELINE: &str = "it tunes a pipeline that is built differently here";
const SNAPSHOTS: &str = "it is about ZooKeeper's snapshot files, which this server does not write";
const ADMIN: &str = "it is for the AdminServer, which is not built yet";
const ADMIN_SERVER: &str = "the AdminServer is not built yet";

const LINKS: &str =
    "how leader and learners are connected and synchronized is built differently here";

/// All keys.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Clients",
        keys: &[
            honoured(
                "clientPort",
                "",
                "The port for clients, on all addresses, IPv4 and IPv6, unless `clientPortAddress` names one. 0: any free port.",
            ),
            honoured(
                "clientPortAddress",
                "",
                "The one address, or the name of it, to listen on for clients.",
            ),
            honoured(
                "clientPortListenBacklog",
                "-1",
                "How many connections the system may hold that were not accepted yet; -1: the system's default.",
            ),
            honoured(
                "clientTcpKeepAlive",
                "false",
                "Ask the system to probe silent client connections.",
            ),
            honoured(
                "maxClientCnxns",
                "60",
                "Most connections from one address; 0: no limit. One more is accepted and closed at once.",
            ),
            honoured("maxCnxns", "0", "Most connections altogether; 0: no limit."),
            honoured(
                "nio.sessionlessCnxnTimeout",
                "10000",
                "Milliseconds a connection may take to establish a session.",
            ),
            honoured(
                "jute.maxbuffer",
                "0xfffff",
                "Most bytes of a request. A connection that announces more is closed.",
            ),
            honoured(
                "globalOutstandingLimit",
                "1000",
                "Requests that may wait for their answers before the server stops reading from clients.",
            ),
            honoured(
                "largeRequestThreshold",
                "-1",
                "Bytes from which on a request is large; -1: none is.",
            ),
            honoured(
                "largeRequestMaxBytes",
                "104857600",
                "Most bytes of all large requests in progress; a connection that would exceed it is closed.",
            ),
            honoured(
                "request_throttle_max_requests",
                "0",
                "Requests in progress, reads included, at which the server stops reading from clients; 0: no limit.",
            ),
            honoured(
                "throttled_op_wait_time",
                "0",
                "Milliseconds of waiting after which a request is answered `ThrottledOp` (-127) instead of executed; 0: never.",
            ),
            honoured(
                "connection_throttle_tokens",
                "0",
                "New connections that may come at once before the throttle closes further ones; 0: no throttle.",
            ),
            honoured(
                "connection_throttle_fill_time",
                "1",
                "Milliseconds after which the throttle gets new tokens.",
            ),
            honoured("connection_throttle_fill_count", "1", "Tokens it gets each time."),
            honoured(
                "connection_throttle_weight_enabled",
                "false",
                "Take a number of tokens that depends on the kind of session asked for.",
            ),
            honoured("connection_throttle_global_session_weight", "3", "Tokens for a new session."),
            honoured("connection_throttle_renew_session_weight", "2", "Tokens for a reconnect."),
            not_built(
                "connection_throttle_freeze_time",
                &["-1"],
                "the throttle's dropping at random is not built yet",
            ),
            no_effect(
                "connection_throttle_drop_increase",
                "it matters with `connection_throttle_freeze_time` only",
            ),
            no_effect(
                "connection_throttle_drop_decrease",
                "it matters with `connection_throttle_freeze_time` only",
            ),
            no_effect(
                "connection_throttle_decrease_ratio",
                "it matters with `connection_throttle_freeze_time` only",
            ),
            honoured(
                "connection_throttle_local_session_weight",
                "1",
                "Tokens for a new session with `localSessionsEnabled`.",
            ),
            no_effect(
                "request_throttle_stall_time",
                "a throttled connection is read from again as soon as there is room",
            ),
            no_effect(
                "request_throttle_drop_stale",
                "a closed connection's requests that were not proposed yet are always dropped",
            ),
            no_effect("request_stale_latency_check", "a request is never dropped for its age"),
            no_effect(
                "request_stale_connection_check",
                "a closed connection's requests that were not proposed yet are always dropped",
            ),
            no_effect("request_throttler.shutdownTimeout", PIPELINE),
            no_effect(
                "jute.maxbuffer.extrasize",
                "a record inside a request is limited by the request's own length",
            ),
        ],
    },
    Group {
        title: "Sessions",
        keys: &[
            honoured(
                "tickTime",
                "3000",
                "Milliseconds of a tick, the unit of session timeouts: sessions expire at whole ticks.",
            ),
            honoured(
                "minSessionTimeout",
                "-1",
                "Least session timeout in milliseconds; -1: 2 ticks.",
            ),
            honoured(
                "maxSessionTimeout",
                "-1",
                "Greatest session timeout in milliseconds; -1: 20 ticks.",
            ),
            not_built(
                "closeSessionTxn.enabled",
                &["true"],
                "the transaction that closes a session always has the paths of its ephemeral nodes",
            ),
            honoured(
                "quorate.sessionPassword",
                "",
                "What session passwords are made from: `keyed`, a secret, or `zookeeper`, ZooKeeper's own function, which whoever knows a session's id can compute. Without it: `zookeeper` in an ensemble that shares no secret, `keyed` otherwise. An ensemble with ZooKeeper servers needs `zookeeper`.",
            ),
            honoured(
                "quorate.sessionSecretFile",
                "",
                "A file with a secret of at least 16 bytes for `keyed`, the same on all servers of an ensemble, which need it. Without it, a server alone keeps one of its own with the data.",
            ),
            honoured(
                "localSessionsEnabled",
                "false",
                "New sessions are known to their server alone: they cost no transaction, cannot move to another server, and own no nodes. Set it on all servers of an ensemble. No effect on a server alone.",
            ),
            honoured(
                "localSessionsUpgradingEnabled",
                "false",
                "A local session that creates an ephemeral node is made known to all servers first; without it, the creation is refused.",
            ),
        ],
    },
    Group {
        title: "Data and storage",
        keys: &[
            honoured("dataDir", "", "The folder for data, which holds `myid` too."),
            honoured(
                "dataLogDir",
                "",
                "The folder for the transaction log, better on a device of its own; without it, `dataDir`.",
            ),
            honoured("datadir.autocreate", "true", "Create the folders when they are not there."),
            honoured("snapCount", "100000", "Transactions after which a checkpoint is written."),
            honoured(
                "snapSizeLimitInKb",
                "4194304",
                "KiB of log after which a checkpoint is written; 0 or less: no limit.",
            ),
            honoured(
                "quorate.checkpoint.interval",
                "1m",
                "Time after which a checkpoint is written if anything has changed.",
            ),
            honoured(
                "quorate.txnLog.segmentSize",
                "64MiB",
                "Size of a segment of the transaction log, which is also what is allocated at once.",
            ),
            honoured(
                "autopurge.snapRetainCount",
                "3",
                "Log segments kept although a checkpoint covers them. ZooKeeper counts snapshots. Less than 3 is taken for 3.",
            ),
            no_effect(
                "autopurge.purgeInterval",
                "log segments that are not needed any more are removed after every checkpoint",
            ),
            honoured(
                "fsync.warningthresholdms",
                "1000",
                "Milliseconds from which on a sync of the log is worth a warning.",
            ),
            not_built(
                "forceSync",
                &["yes", "true"],
                "an acknowledged write is always on disk here",
            ),
            not_built(
                "db.autocreate",
                &["true"],
                "requiring an initialised folder is not built yet",
            ),
            no_effect("preAllocSize", "see `quorate.txnLog.segmentSize`"),
            no_effect("txnLogSizeLimitInKb", "see `quorate.txnLog.segmentSize`"),
            no_effect("commitLogCount", SYNCHRONIZATION),
            no_effect("snapshotSizeFactor", SYNCHRONIZATION),
            no_effect("forceSnapshotSync", SYNCHRONIZATION),
            no_effect("flushDelay", PIPELINE),
            no_effect("maxWriteQueuePollTime", PIPELINE),
            no_effect("maxBatchSize", PIPELINE),
            no_effect("snapshot.compression.method", SNAPSHOTS),
            no_effect("snapshot.trust.empty", SNAPSHOTS),
            no_effect("serializeLastProcessedZxid.enabled", SNAPSHOTS),
        ],
    },
    Group {
        title: "The tree",
        keys: &[
            honoured("extendedTypesEnabled", "false", "Allow TTL nodes."),
            honoured(
                "enforceQuota",
                "false",
                "Refuse writes above a hard quota; without it a quota only warns.",
            ),
            not_built(
                "digest.enabled",
                &["true"],
                "each transaction always has the digest of the tree",
            ),
            honoured(
                "znode.container.checkIntervalMs",
                "60000",
                "Milliseconds between searches for empty containers and outdated TTL nodes; 0: no search.",
            ),
            honoured("znode.container.maxPerMinute", "10000", "Most of them deleted in a minute."),
            honoured(
                "znode.container.maxNeverUsedIntervalMs",
                "300000",
                "Milliseconds after which a container that never had a child is deleted; 0: never.",
            ),
            honoured(
                "reconfigEnabled",
                "false",
                "Let clients change the servers of a running ensemble (`reconfig`), and write the files that say who they are. The same on all servers. One server alone has no ensemble to change, unless `standaloneEnabled` is `false`.",
            ),
            not_built(
                "emulate353TTLNodes",
                FALSE,
                "the TTL encoding of ZooKeeper 3.5.3 is not built",
            ),
            no_effect("maxResponseCacheSize", "replies are made from the tree directly"),
            no_effect("maxGetChildrenResponseCacheSize", "replies are made from the tree directly"),
            no_effect("watchManagerName", "there is one implementation of watches"),
            no_effect("watcherCleanThreadsNum", "a connection's watches go with the connection"),
            no_effect("watcherCleanThreshold", "a connection's watches go with the connection"),
            no_effect(
                "watcherCleanIntervalInSeconds",
                "a connection's watches go with the connection",
            ),
            no_effect(
                "maxInProcessingDeadWatchers",
                "a connection's watches go with the connection",
            ),
            no_effect("bitHashCacheSize", "there is one implementation of watches"),
            no_effect("pathStats.*", "ZooKeeper does not show them anywhere either"),
        ],
    },
    Group {
        title: "Authentication and access",
        keys: &[
            honoured("skipACL", "no", "Check no ACL at all."),
            honoured("DigestAuthenticationProvider.enabled", "true", "Know the scheme `digest`."),
            honoured(
                "DigestAuthenticationProvider.superDigest",
                "",
                "`super:` and the digest of the super user's password, for whom no ACL is checked.",
            ),
            honoured(
                "DigestAuthenticationProvider.digestAlg",
                "SHA1",
                "The hash of the scheme `digest`: `SHA1`, `SHA-224`, `SHA-256`, `SHA-384` or `SHA-512`.",
            ),
            honoured(
                "enforce.auth.enabled",
                "false",
                "Refuse the requests of a client that has not authenticated by one of `enforce.auth.schemes`.",
            ),
            honoured("enforce.auth.schemes", "", "Names of schemes, separated by commas."),
            honoured(
                "authProvider.N",
                "",
                "The class of an authentication provider. `digest` and `ip` are always there and may be named; others are not built.",
            ),
            not_built("sessionRequireClientSASLAuth", FALSE, SASL),
            not_built("allowSaslFailedClients", FALSE, SASL),
            not_built("java.security.auth.login.config", NEVER, SASL),
            not_built("SASLAuthenticationProvider.superPassword", NEVER, SASL),
            not_built("superUser", NEVER, SASL),
            not_built("letAnySaslUserDoX", NEVER, SASL),
            not_built("X509AuthenticationProvider.superUser", NEVER, TLS),
            not_built("ensembleAuthName", NEVER, "the scheme `ensemble` is not built yet"),
            no_effect("sasl.*", "it matters to SASL only, which is not built yet"),
            no_effect("kerberos.*", "it matters to SASL only, which is not built yet"),
            no_effect("requireKerberosConfig", "it matters to SASL only, which is not built yet"),
            no_effect("security.auth_to_local", "it matters to SASL only, which is not built yet"),
            no_effect("enableEagerACLCheck", "a server that does not lead leaves it to the leader"),
            no_effect("IPAuthenticationProvider.usexforwardedfor", ADMIN),
            not_built("audit.enable", FALSE, "the audit log is not built yet"),
            no_effect("audit.impl.class", "it is for the audit log, which is not built yet"),
        ],
    },
    Group {
        title: "TLS",
        keys: &[
            not_built("secureClientPort", NEVER, TLS),
            not_built("secureClientPortAddress", NEVER, TLS),
            not_built("client.portUnification", FALSE, TLS),
            not_built("client.certReload", FALSE, TLS),
            not_built("ssl.*", NEVER, TLS),
            not_built("sslQuorum", FALSE, TLS),
            not_built("sslQuorumReloadCertFiles", FALSE, TLS),
            not_built("portUnification", FALSE, TLS),
            no_effect("fips-mode", "it matters to TLS and SASL only, which are not built yet"),
        ],
    },
    Group {
        title: "Administration",
        keys: &[
            honoured(
                "4lw.commands.whitelist",
                "srvr",
                "The four-letter words that are executed, separated by commas; `*`: all. `srvr` always is.",
            ),
            honoured(
                "metricsProvider.className",
                "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
                "`DefaultMetricsProvider`: metrics are shown by `mntr`; `NullMetricsProvider`: they are not. Prometheus is not built yet.",
            ),
            no_effect(
                "metricsProvider.*",
                "it is for the Prometheus provider, which is not built yet",
            ),
            honoured(
                "quorate.log.level",
                "info",
                "What is logged: `error`, `warn`, `info`, `debug` or `trace`, also for single modules, as in `info,quorate_server::net=debug`.",
            ),
            honoured(
                "quorate.log.format",
                "text",
                "How it is logged: `text` or `json`, a line for each event, to standard error.",
            ),
            not_built("admin.enableServer", FALSE, ADMIN_SERVER),
            no_effect("admin.*", ADMIN),
            honoured(
                "readonlymode.enabled",
                "false",
                "A server of an ensemble that has looked for a leader for 2 s, or a tick if that is longer, serves clients that allow it, for reading only.",
            ),
        ],
    },
    Group {
        title: "Threads and sockets",
        keys: &[
            honoured(
                "quorate.threads",
                "0",
                "Threads that serve connections; 0: one for each core.",
            ),
            honoured(
                "quorate.slowReaderTimeout",
                "30s",
                "Time after which a client is cut off that does not take what was sent to it.",
            ),
            honoured(
                "serverCnxnFactory",
                "org.apache.zookeeper.server.NIOServerCnxnFactory",
                "ZooKeeper's `NIOServerCnxnFactory` or `NettyServerCnxnFactory`; both mean the one implementation there is.",
            ),
            no_effect("nio.numSelectorThreads", THREADS),
            no_effect("nio.numWorkerThreads", THREADS),
            no_effect("nio.directBufferBytes", JVM),
            no_effect("nio.shutdownTimeout", THREADS),
            no_effect("netty.*", "there is no Netty"),
            no_effect("commitProcessor.*", THREADS),
            no_effect("intBufferStartingSizeBytes", JVM),
            no_effect("messageTracker.*", "ZooKeeper uses it to find mistakes in itself"),
            no_effect("jvm.*", JVM),
            no_effect("jmx.*", JVM),
            no_effect("java.*", JVM),
            no_effect("com.sun.*", JVM),
            no_effect("sun.*", JVM),
            no_effect("jdk.*", JVM),
            no_effect("file.encoding", JVM),
            no_effect("log.*", "see `quorate.log.level` and `quorate.log.format`"),
            no_effect("root.logger", "see `quorate.log.level`"),
            no_effect("console.threshold", "see `quorate.log.level`"),
            no_effect("log4j.*", "see `quorate.log.level`"),
            no_effect("logback.*", "see `quorate.log.level`"),
        ],
    },
    Group {
        title: "Ensembles",
        keys: &[
            honoured(
                "server.N",
                "",
                "The server whose `myid` is N: `host:port:electionPort[:role][;[clientHost:]clientPort]`. See above.",
            ),
            honoured(
                "initLimit",
                "",
                "Ticks a learner may take to connect to a leader and be synchronized. An ensemble needs it.",
            ),
            honoured(
                "syncLimit",
                "",
                "Ticks after which a leader or learner that is not heard of is given up. An ensemble needs it.",
            ),
            honoured(
                "standaloneEnabled",
                "true",
                "Be a server alone if there is but one that votes. With `false`, one is an ensemble of one.",
            ),
            honoured(
                "dynamicConfigFile",
                "",
                "A file that has the lines of the servers, groups and weights in place of this one. With `reconfigEnabled` it is written when they change.",
            ),
            honoured(
                "group.N",
                "",
                "The numbers of the servers in group N, with `:` between: a quorum is a majority of weights in a majority of groups.",
            ),
            honoured(
                "weight.N",
                "",
                "The weight of server N in its group; 1 without it. A server of weight 0 is never elected.",
            ),
            honoured("version", "", "The version of the configuration, hexadecimal; 0 without it."),
            honoured(
                "peerType",
                "participant",
                "`participant` or `observer`; the role in the server's line holds if that is another.",
            ),
            honoured(
                "connectToLearnerMasterLimit",
                "0",
                "Ticks a learner tries to connect to a leader; 0: `initLimit`.",
            ),
            honoured(
                "cnxTimeout",
                "5000",
                "Milliseconds a connection of the election port may take to come about.",
            ),
            honoured(
                "quorumCnxnTimeoutMs",
                "-1",
                "Milliseconds another server may take to introduce itself at the election port; -1: `syncLimit` ticks.",
            ),
            honoured(
                "quorumListenOnAllIPs",
                "false",
                "Listen for other servers on all addresses, not only on that of the own line.",
            ),
            honoured(
                "tcpKeepAlive",
                "false",
                "Ask the system to probe silent connections of the election port.",
            ),
            honoured(
                "multiAddress.enabled",
                "false",
                "Allow several addresses for a server, and tell other servers all of them, for which they must be ZooKeeper 3.6 or newer.",
            ),
            honoured(
                "fastleader.minNotificationInterval",
                "200",
                "Milliseconds a server that looks for a leader waits for votes before it sends its own again, at first; the time doubles.",
            ),
            honoured("fastleader.maxNotificationInterval", "60000", "The most it waits."),
            honoured(
                "quorate.finalizeWait",
                "200ms",
                "How long a server that could decide an election waits for better votes, unless it has all it can get.",
            ),
            not_built("leaderServes", &["yes"], "a leader that serves no clients is not built yet"),
            honoured(
                "observerMasterPort",
                "0",
                "The port at which followers serve observers, the same on all servers of an ensemble; observers then learn from a follower instead of the leader. 0: none.",
            ),
            not_built("oraclePath", NEVER, "an oracle for two servers is not built"),
            not_built("electionAlg", &["3"], "there is one election algorithm, number 3"),
            not_built("quorum.auth.enableSasl", FALSE, SASL),
            no_effect("quorum.*", "it matters to SASL only, which is not built yet"),
            no_effect("syncEnabled", "an observer always keeps a log"),
            no_effect(
                "electionPortBindRetry",
                "a port that is taken ends the start, or is tried again until it is free",
            ),
            no_effect(
                "multiAddress.*",
                "of several addresses each is tried until one can be reached",
            ),
            no_effect("leader.*", LINKS),
            no_effect("learner.*", LINKS),
            no_effect("follower.*", LINKS),
            no_effect("observer.*", LINKS),
            no_effect(
                "observerMaster.*",
                "of what is applied, a follower keeps 32 MiB for its observers; its log has the rest",
            ),
            no_effect("leaderConnectDelayDuringRetryMs", LINKS),
            no_effect("forward_learner_requests_to_commit_processor_disabled", PIPELINE),
        ],
    },
];
