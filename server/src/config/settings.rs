//! Settings as meant: every value checked and in a type that says what it is.
//!
//! Whoever holds a [`Settings`] need not check anything again. Defaults are the table's (see
//! [`super::keys`]), which are ZooKeeper's.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{self, PathBuf};
use std::time::Duration;

use quorate_protocol::FourLetterWord;
use tracing_subscriber::EnvFilter;

use super::address;
use super::ensemble::{self, EnsembleSettings};
use super::reader::Reader;
use super::value::{self, Expected, boolean, duration, limit, millis, number, size, yes};
use crate::admin::Whitelist;
use crate::auth::{Algorithm, Schemes};
use crate::session::Passwords;

/// Everything that can be set about one server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This server's number: what `myid` in the data folder says, 1 without that file.
    pub server_id: u8,
    /// The ensemble; `None` for a server alone.
    pub ensemble: Option<EnsembleSettings>,
    /// Where to listen for clients, and whom to let in.
    pub clients: ClientSettings,
    /// Timeouts of sessions and what vouches for them.
    pub sessions: SessionSettings,
    /// Bounds on the work that clients may cause.
    pub limits: Limits,
    /// The throttle of new connections; `None` when it is off.
    pub connection_throttle: Option<ConnectionThrottle>,
    /// What the tree allows and keeps.
    pub tree: TreeSettings,
    /// The search for outdated nodes; `None` when there is none.
    pub containers: Option<ContainerSettings>,
    /// Schemes of authentication, the super user and `skipACL`.
    pub auth: Schemes,
    /// The schemes by one of which a client must have authenticated; empty when it need not.
    pub required_schemes: Vec<String>,
    /// Folders, log and checkpoints.
    pub storage: StorageSettings,
    /// The four-letter words that are executed.
    pub four_letter_words: Whitelist,
    /// Whether `mntr` shows metrics.
    pub metrics: bool,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Threads that serve connections; `None` for one for each core.
    pub threads: Option<usize>,
}

/// Where to listen for clients, and whom to let in.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Where to listen.
    pub address: ClientAddress,
    /// Connections the system may hold before they are accepted; `None` for its own default.
    pub listen_backlog: Option<u32>,
    /// Probe silent connections.
    pub tcp_keep_alive: bool,
    /// Most connections from one address.
    pub max_connections_per_ip: Option<u32>,
    /// Most connections altogether.
    pub max_connections: Option<u32>,
    /// How long a connection may take to establish a session.
    pub sessionless_timeout: Duration,
    /// How long a client may not take what was sent to it.
    pub slow_reader_timeout: Duration,
}

/// Where the server listens for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// On this port of all addresses, IPv4 and IPv6.
    All(u16),
    /// On one address only.
    One(SocketAddr),
}

impl ClientAddress {
    /// The port; 0 for any free one.
    pub const fn port(self) -> u16 {
        match self {
            Self::All(port) => port,
            Self::One(address) => address.port(),
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(port) => write!(f, "port {port} of all addresses"),
            Self::One(address) => address.fmt(f),
        }
    }
}

/// Timeouts of sessions and what vouches for them.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The unit in which sessions expire.
    pub tick: Duration,
    /// Least timeout a client gets. Invariant: `min_timeout <= max_timeout`.
    pub min_timeout: Duration,
    /// Greatest timeout a client gets.
    pub max_timeout: Duration,
    /// What passwords are made from.
    pub password: SessionPassword,
    /// Whether new sessions are known to their server alone; `None` when all servers know all.
    pub local: Option<LocalSessions>,
}

/// Sessions that are known to their server alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalSessions {
    /// One that is to own a node is made known to all servers; otherwise it may own none.
    pub upgrading: bool,
}

impl LocalSessions {
    /// Compat: a server alone has none, whatever its file says (`ZooKeeperServerMain`).
    fn read(r: &mut Reader<'_>, in_ensemble: bool) -> Option<Self> {
        let enabled = r.get("localSessionsEnabled", boolean);
        let upgrading = r.get("localSessionsUpgradingEnabled", boolean);
        if enabled && !in_ensemble {
            r.warn("localSessionsEnabled has no effect on a server alone".into());
        }
        (enabled && in_ensemble).then_some(Self { upgrading })
    }
}

/// What the passwords of sessions are made from.
#[derive(Debug, Clone)]
pub enum SessionPassword {
    /// A secret kept with the data, which no other server has.
    Keyed,
    /// What other servers of the ensemble make them from too.
    Given(Passwords),
}

/// Bounds on the work that clients may cause.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes of a request's frame, without its length.
    pub request_bytes: usize,
    /// Bytes from which on a request is large.
    pub large_request_threshold: Option<usize>,
    /// Most bytes of all large requests in progress.
    pub large_requests_bytes: usize,
    /// Requests that wait for their answers at which the server stops reading from clients.
    pub outstanding_requests: usize,
    /// Requests in progress, reads included, at which the server stops reading from clients.
    pub requests_in_progress: Option<u32>,
    /// How long a request may wait before it is refused instead of executed.
    pub throttled_op_wait: Option<Duration>,
}

/// A bucket of tokens, of which each new connection takes some.
#[derive(Debug, Clone)]
pub struct ConnectionThrottle {
    /// Tokens in a full bucket.
    pub tokens: u32,
    /// How often tokens come in.
    pub fill_time: Duration,
    /// How many come in each time.
    pub fill_count: u32,
    /// Tokens a new session takes.
    pub new_session: u32,
    /// Tokens a reconnect takes.
    pub reconnect: u32,
}

/// What the tree allows and keeps.
#[derive(Debug, Clone)]
pub struct TreeSettings {
    /// TTL nodes may be created.
    pub extended_types: bool,
    /// Hard quotas are enforced.
    pub enforce_quota: bool,
    /// `reconfig` is switched on.
    pub reconfig: bool,
}

/// The search for empty containers and outdated TTL nodes.
#[derive(Debug, Clone)]
pub struct ContainerSettings {
    /// How often.
    pub check_interval: Duration,
    /// Most deletions in a minute.
    pub max_per_minute: u32,
    /// Age at which a container that never had a child is deleted too.
    pub max_never_used: Option<Duration>,
}

/// Folders, log and checkpoints.
#[derive(Debug, Clone)]
pub struct StorageSettings {
    /// The folder for data.
    pub data_dir: PathBuf,
    /// The folder for the transaction log; often the same.
    pub log_dir: PathBuf,
    /// Create the folders when they are not there.
    pub create_dirs: bool,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// Transactions after which a checkpoint is due.
    pub checkpoint_transactions: u64,
    /// Bytes of log after which a checkpoint is due.
    pub checkpoint_log_bytes: Option<u64>,
    /// Time after which a checkpoint is due.
    pub checkpoint_interval: Duration,
    /// Segments kept although a checkpoint covers them.
    pub retained_segments: usize,
    /// How long a sync may take before it is worth a warning.
    pub sync_warning: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Levels, in the syntax of `tracing_subscriber::EnvFilter`, which is known to accept it.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object.
    Json,
}

impl Settings {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let storage = StorageSettings::read(r);
        let server_id = server_id(r, &storage);
        check_classes(r);
        let lines = ensemble::lines(r, server_id);
        let clients = ClientSettings::read(r, &lines, server_id);
        let tick = r.get("tickTime", millis(1..=i32::MAX / 20));
        let ensemble = ensemble::settings(r, lines, server_id, &storage.data_dir, tick);
        let sessions = SessionSettings::read(r, tick, ensemble.is_some());
        let settings = Self {
            clients,
            server_id: server_id.unwrap_or(1),
            connection_throttle: ConnectionThrottle::read(r, sessions.local.is_some()),
            sessions,
            ensemble,
            limits: Limits::read(r),
            tree: TreeSettings {
                extended_types: r.get("extendedTypesEnabled", boolean),
                enforce_quota: r.get("enforceQuota", boolean),
                reconfig: r.get("reconfigEnabled", boolean),
            },
            containers: ContainerSettings::read(r),
            auth: schemes(r),
            required_schemes: required_schemes(r),
            storage,
            four_letter_words: whitelist(r),
            metrics: metrics(r),
            log: LogSettings {
                level: r.get("quorate.log.level", log_level),
                format: r.get("quorate.log.format", |text| match text {
                    "text" => Ok(LogFormat::Text),
                    "json" => Ok(LogFormat::Json),
                    _ => Err("`text` or `json`".into()),
                }),
            },
            threads: Some(r.get("quorate.threads", number(0..=1024))).filter(|&n: &usize| n > 0),
        };
        if settings.tree.extended_types && settings.server_id == u8::MAX {
            // Compat: the bits of a TTL in a node's owner leave no room for server 255.
            r.problem("extendedTypesEnabled", "not possible for server 255, see myid");
        }
        settings
    }
}

impl ClientSettings {
    fn read(r: &mut Reader<'_>, lines: &ensemble::Lines, server_id: Option<u8>) -> Self {
        let backlog = r.get("clientPortListenBacklog", number(-1..=i32::MAX));
        Self {
            address: address::of_clients(r, lines, server_id),
            listen_backlog: u32::try_from(backlog).ok().filter(|&backlog| backlog > 0),
            tcp_keep_alive: r.get("clientTcpKeepAlive", boolean),
            max_connections_per_ip: r.get("maxClientCnxns", limit),
            max_connections: r.get("maxCnxns", limit),
            sessionless_timeout: r.get("nio.sessionlessCnxnTimeout", millis(1..=i32::MAX)),
            slow_reader_timeout: r.get("quorate.slowReaderTimeout", duration),
        }
    }
}

impl SessionSettings {
    fn read(r: &mut Reader<'_>, tick: Duration, in_ensemble: bool) -> Self {
        let min = r.get("minSessionTimeout", value::optional_millis(-1));
        let max = r.get("maxSessionTimeout", value::optional_millis(-1));
        let (min_timeout, max_timeout) = (min.unwrap_or(tick * 2), max.unwrap_or(tick * 20));
        if min_timeout > max_timeout {
            let key = if max.is_some() { "maxSessionTimeout" } else { "minSessionTimeout" };
            let (min, max) = (min_timeout.as_millis(), max_timeout.as_millis());
            r.problem(
                key,
                format!("the least session timeout, {min} ms, is above the greatest, {max} ms"),
            );
        }
        Self {
            tick,
            min_timeout,
            max_timeout,
            password: session_password(r, in_ensemble),
            local: LocalSessions::read(r, in_ensemble),
        }
    }
}

/// What is not said is what works: in an ensemble all servers must make the same passwords.
fn session_password(r: &mut Reader<'_>, in_ensemble: bool) -> SessionPassword {
    let (password_key, secret_key) = ("quorate.sessionPassword", "quorate.sessionSecretFile");
    let is_keyed = r.optional(password_key, |text| match text {
        "keyed" => Ok(true),
        "zookeeper" => Ok(false),
        _ => Err("`keyed` or `zookeeper`".into()),
    });
    let shared = r.optional(secret_key, shared_secret);
    let has_secret = r.is_written(secret_key);
    match (is_keyed.unwrap_or(has_secret || !in_ensemble), shared) {
        (true, Some(secret)) => SessionPassword::Given(Passwords::keyed(&secret)),
        (true, None) => {
            if in_ensemble && !has_secret {
                let what = "in an ensemble it needs quorate.sessionSecretFile, the same on all";
                r.problem(password_key, what);
            }
            SessionPassword::Keyed
        }
        (false, _) => {
            if has_secret {
                r.warn(format!("{secret_key} has no effect with {password_key}=zookeeper"));
            }
            SessionPassword::Given(Passwords::ZooKeeper)
        }
    }
}

/// What a file holds, but for white space at its end, which tools like to add.
fn shared_secret(path: &str) -> Result<Vec<u8>, Expected> {
    let bytes = fs::read(path).map_err(|error| format!("a file that can be read ({error})"))?;
    let secret = bytes.trim_ascii_end();
    if secret.len() < 16 { Err("a file with 16 bytes or more".into()) } else { Ok(secret.to_vec()) }
}

impl Limits {
    fn read(r: &mut Reader<'_>) -> Self {
        let most = i32::MAX.unsigned_abs() as usize;
        let threshold = r.get("largeRequestThreshold", number(-1..=i32::MAX));
        Self {
            request_bytes: r.get("jute.maxbuffer", number(1024..=most)),
            large_request_threshold: usize::try_from(threshold).ok().filter(|&bytes| bytes > 0),
            large_requests_bytes: r.get("largeRequestMaxBytes", number(1..=most)),
            outstanding_requests: r.get("globalOutstandingLimit", number(1..=most)),
            requests_in_progress: r.get("request_throttle_max_requests", limit),
            throttled_op_wait: r.get("throttled_op_wait_time", value::optional_millis(0)),
        }
    }
}

impl ConnectionThrottle {
    fn read(r: &mut Reader<'_>, local_sessions: bool) -> Option<Self> {
        let weighted = r.get("connection_throttle_weight_enabled", boolean);
        let mut weight = |name| {
            let weight = r.get(name, number(1..=1_000_000));
            if weighted { weight } else { 1 }
        };
        let local = weight("connection_throttle_local_session_weight");
        let global = weight("connection_throttle_global_session_weight");
        let new_session = if local_sessions { local } else { global };
        let reconnect = weight("connection_throttle_renew_session_weight");
        let fill_time = r.get("connection_throttle_fill_time", millis(1..=i32::MAX));
        let fill_count = r.get("connection_throttle_fill_count", number(1..=1_000_000));
        let tokens = r.get("connection_throttle_tokens", limit)?;
        Some(Self { tokens, fill_time, fill_count, new_session, reconnect })
    }
}

impl ContainerSettings {
    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let max_per_minute = r.get("znode.container.maxPerMinute", number(1..=1_000_000_000));
        let max_never_used =
            r.get("znode.container.maxNeverUsedIntervalMs", value::optional_millis(0));
        let check_interval = r.get("znode.container.checkIntervalMs", value::optional_millis(0))?;
        Some(Self { check_interval, max_per_minute, max_never_used })
    }
}

impl StorageSettings {
    fn read(r: &mut Reader<'_>) -> Self {
        let data_dir = r.optional("dataDir", folder).unwrap_or_else(|| {
            if !r.is_written("dataDir") {
                r.problem("dataDir", "expected the folder for data; it has no default");
            }
            PathBuf::new()
        });
        let kib = r.get("snapSizeLimitInKb", number(i64::MIN..=i64::MAX >> 10));
        let retained = r.get("autopurge.snapRetainCount", number(0..=i32::MAX));
        if retained < 3 {
            r.warn(format!("autopurge.snapRetainCount is {retained}; 3 is the least"));
        }
        Self {
            log_dir: r.optional("dataLogDir", folder).unwrap_or_else(|| data_dir.clone()),
            data_dir,
            create_dirs: r.get("datadir.autocreate", boolean),
            segment_bytes: r.get("quorate.txnLog.segmentSize", size(1 << 20..=1 << 40)),
            checkpoint_transactions: r.get("snapCount", number(2..=i32::MAX.unsigned_abs().into())),
            checkpoint_log_bytes: u64::try_from(kib).ok().filter(|&n| n > 0).map(|n| n << 10),
            checkpoint_interval: r.get("quorate.checkpoint.interval", duration),
            retained_segments: usize::try_from(retained.max(3)).expect("not negative"),
            sync_warning: r.get("fsync.warningthresholdms", millis(0..=i32::MAX)),
        }
    }
}

/// A folder's path, made absolute: everything that names it later names it in full.
fn folder(text: &str) -> Result<PathBuf, Expected> {
    path::absolute(text).map_err(|_| "a folder's path".into())
}

/// What `myid` says, if it is there.
fn server_id(r: &mut Reader<'_>, storage: &StorageSettings) -> Option<u8> {
    let path = storage.data_dir.join("myid");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            r.problem("dataDir", format!("cannot read {}: {error}", path.display()));
            return None;
        }
    };
    let id = text.trim().parse().ok();
    if id.is_none() {
        let what =
            format!("{} holds {:?}; expected a number from 0 to 255", path.display(), text.trim());
        r.problem("dataDir", what);
    }
    id
}

/// Classes of ZooKeeper that mean what is there anyway.
fn check_classes(r: &mut Reader<'_>) {
    r.get("serverCnxnFactory", |class| {
        let known = ["NIOServerCnxnFactory", "NettyServerCnxnFactory"];
        match class.strip_prefix("org.apache.zookeeper.server.") {
            Some(name) if known.contains(&name) => Ok(()),
            _ => Err("org.apache.zookeeper.server.NIOServerCnxnFactory or \
                 org.apache.zookeeper.server.NettyServerCnxnFactory; other classes cannot be loaded"
                .into()),
        }
    });
    for (id, class) in r.family("authProvider.N") {
        let name = class.strip_prefix("org.apache.zookeeper.server.auth.").unwrap_or("");
        let what = match name {
            "DigestAuthenticationProvider" | "IPAuthenticationProvider" => continue,
            "SASLAuthenticationProvider" => "SASL is not built yet; remove the key",
            "X509AuthenticationProvider" => "TLS is not built yet; remove the key",
            "EnsembleAuthenticationProvider" => {
                "the scheme `ensemble` is not built yet; remove the key"
            }
            _ => "expected a class that ZooKeeper ships; other classes cannot be loaded",
        };
        r.problem(&format!("authProvider.{id}"), what);
    }
}

fn metrics(r: &mut Reader<'_>) -> bool {
    let key = "metricsProvider.className";
    let class = r.get(key, |class| Ok(class.to_owned()));
    match class.strip_prefix("org.apache.zookeeper.metrics.") {
        Some("impl.DefaultMetricsProvider") => return true,
        Some("impl.NullMetricsProvider") => return false,
        Some("prometheus.PrometheusMetricsProvider") => {
            r.problem(key, "Prometheus is not built yet; remove the key, and ask mntr for metrics");
        }
        _ => r.problem(
            key,
            "expected org.apache.zookeeper.metrics.impl.DefaultMetricsProvider or \
             org.apache.zookeeper.metrics.impl.NullMetricsProvider; other classes cannot be loaded",
        ),
    }
    true
}

fn schemes(r: &mut Reader<'_>) -> Schemes {
    let algorithm = r.get("DigestAuthenticationProvider.digestAlg", |text| {
        text.parse::<Algorithm>()
            .map_err(|_| "`SHA1`, `SHA-224`, `SHA-256`, `SHA-384` or `SHA-512`".into())
    });
    let enabled = r.get("DigestAuthenticationProvider.enabled", boolean);
    Schemes {
        digest: enabled.then_some(algorithm),
        super_digest: r.optional("DigestAuthenticationProvider.superDigest", |text| {
            let valid = text
                .split_once(':')
                .is_some_and(|(user, digest)| !user.is_empty() && !digest.is_empty());
            if valid { Ok(text.to_owned()) } else { Err("`super:` and a digest".into()) }
        }),
        skip_acl: r.get("skipACL", yes),
    }
}

fn required_schemes(r: &mut Reader<'_>) -> Vec<String> {
    let schemes: Vec<String> = r
        .optional("enforce.auth.schemes", |text| {
            Ok(text
                .split(',')
                .map(str::trim)
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .collect())
        })
        .unwrap_or_default();
    if !r.get("enforce.auth.enabled", boolean) {
        return Vec::new();
    }
    if schemes.is_empty() {
        r.problem("enforce.auth.schemes", "expected schemes, as enforce.auth.enabled is true");
    }
    for scheme in &schemes {
        match scheme.as_str() {
            "digest" | "ip" => {}
            "sasl" => r.problem("enforce.auth.schemes", "SASL is not built yet"),
            "x509" => r.problem("enforce.auth.schemes", "TLS is not built yet"),
            _ => r.problem("enforce.auth.schemes", format!("there is no scheme {scheme}")),
        }
    }
    schemes
}

fn whitelist(r: &mut Reader<'_>) -> Whitelist {
    let (mut whitelist, unknown) =
        r.get("4lw.commands.whitelist", |text| Ok(Whitelist::parse(text)));
    for word in unknown {
        r.warn(format!("4lw.commands.whitelist: there is no four-letter word {word}"));
    }
    if r.get("readonlymode.enabled", boolean) {
        // Compat: clients of a read-only server ask with it for one that is not.
        whitelist.allow(FourLetterWord::Isro);
    }
    whitelist
}

fn log_level(text: &str) -> Result<String, Expected> {
    match EnvFilter::try_new(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err("`error`, `warn`, `info`, `debug` or `trace`, or a list such as \
             `info,quorate_server::net=debug`"
            .into()),
    }
}
