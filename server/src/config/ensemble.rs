//! The ensemble, from `server.N` lines and the keys about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::properties::Property;
use super::reader::Reader;
use super::value::{Expected, boolean, duration, millis, number};
use crate::zab::configuration::{Configuration, ConfigurationError, HostPort};
use crate::zab::{Member, ServerId};

/// How long a server looks for a leader before it is read-only, unless a tick is longer.
///
/// Compat: `QuorumPeer.run`.
const READ_ONLY_AFTER: Duration = Duration::from_secs(2);

/// The ensemble a server is part of.
#[expect(clippy::struct_excessive_bools, reason = "independent switches, not a state")]
#[derive(Debug, Clone)]
pub struct EnsembleSettings {
    /// Its number. Invariant: one of the configuration's servers.
    pub me: ServerId,
    /// All servers, as far as the files say.
    pub configuration: Configuration,
    /// Where that was read, and is written to when it changes.
    pub file: Option<PathBuf>,
    /// The unit of the limits.
    pub tick: Duration,
    /// Ticks that may pass from a learner's connection until it is synchronized, and that a leader
    /// waits for a quorum.
    pub init_limit: u32,
    /// Ticks that may pass between two signs of life of leader and learner.
    pub sync_limit: u32,
    /// Ticks that a learner tries to connect to a leader.
    pub connect_limit: u32,
    /// How long a connection of the election port may take to come about.
    pub election_connect_timeout: Duration,
    /// How long the other end of the election port may take to introduce itself.
    pub election_handshake_timeout: Duration,
    /// How long a server that could decide an election waits for better votes.
    pub finalize_wait: Duration,
    /// How long a looking server waits for votes before it sends its own again, at first; the time
    /// doubles.
    pub min_notification_interval: Duration,
    /// How long it waits at most.
    pub max_notification_interval: Duration,
    /// Whether an ensemble must not shrink to one server that votes.
    pub standalone_enabled: bool,
    /// Listen for other servers on all addresses, not only on the own one of the configuration.
    pub listen_on_all: bool,
    /// Probe silent connections of the election port.
    pub tcp_keep_alive: bool,
    /// Tell others all own addresses, in the handshake that ZooKeeper before 3.6 does not know.
    pub multi_address: bool,
    /// The port at which followers serve observers, and at which this one learns if it is one.
    pub observer_master_port: Option<u16>,
    /// How long a server looks for a leader before it serves clients that only read; `None` when it
    /// never does.
    pub read_only_after: Option<Duration>,
}

impl EnsembleSettings {
    /// How long `ticks` are.
    pub fn ticks(&self, ticks: u32) -> Duration {
        self.tick * ticks
    }
}

/// What the lines of the servers say.
pub(super) enum Lines {
    /// The server is alone; a single line may say where its clients connect.
    Alone(Option<Configuration>),
    /// An ensemble.
    Members(Configuration),
    /// They are wrong, which is among the problems.
    Wrong,
}

impl Lines {
    /// The client address in the line of the server `id`, with the line's key. A server alone may
    /// not know its number.
    pub(super) fn client_address(&self, id: Option<u8>) -> Option<(String, HostPort)> {
        let (Self::Alone(Some(configuration)) | Self::Members(configuration)) = self else {
            return None;
        };
        let mut lines = configuration.servers.iter();
        let (id, server) = match id {
            Some(id) => lines.find(|(line, _)| line.0 == i64::from(id))?,
            None => lines.next()?,
        };
        Some((format!("server.{id}"), server.client.clone()?))
    }
}

/// Reads the lines of the servers, wherever they are.
pub(super) fn lines(r: &mut Reader<'_>, server_id: Option<u8>) -> Lines {
    let standalone_enabled = r.get("standaloneEnabled", boolean);
    let multi_address = r.get("multiAddress.enabled", boolean);
    let problems_before = r.problems.len();
    let configuration = match r.optional("dynamicConfigFile", file) {
        Some(path) => from_dynamic_file(r, &path),
        None => from_keys(r),
    };
    if r.problems.len() > problems_before {
        return Lines::Wrong;
    }
    let Some(configuration) = configuration else {
        if !standalone_enabled {
            r.problem("standaloneEnabled", "expected a server.N line of a participant with it");
        }
        return Lines::Alone(None);
    };
    let members = configuration.servers.values();
    let participants = members.filter(|server| server.member == Member::Participant).count();
    // Compat: one line alone is a standalone server, as in ZooKeeper, and the line's other
    // addresses mean nothing then. `standaloneEnabled=false` makes an ensemble of one of it.
    if participants == 1 && standalone_enabled {
        if let Some((observer, _)) =
            configuration.servers.iter().find(|(_, server)| server.member == Member::Observer)
        {
            let what = "one participant alone has no observers, unless standaloneEnabled is false";
            r.problem(&line_of(r, *observer), what);
            return Lines::Wrong;
        }
        let (line, _) = configuration.servers.first_key_value().expect("one participant");
        if let Some(own) = server_id.filter(|&own| i64::from(own) != line.0) {
            r.warn(format!("server.{line} is not this server, which is {own} by myid"));
        }
        return Lines::Alone(Some(configuration));
    }
    check_addresses(r, &configuration, multi_address);
    if participants == 2 {
        r.warn("with two servers that vote, both must be up; three bear the loss of one".into());
    } else if participants.is_multiple_of(2) {
        r.warn(format!(
            "{participants} servers that vote bear the loss of no more than {} would",
            participants - 1
        ));
    }
    Lines::Members(configuration)
}

fn from_keys(r: &mut Reader<'_>) -> Option<Configuration> {
    let mut properties: Vec<Property> = Vec::new();
    for family in ["server.N", "group.N", "weight.N"] {
        let prefix = family.strip_suffix('N').expect("the name of a family");
        properties
            .extend(r.family(family).into_iter().map(|(id, value)| property(prefix, id, value)));
    }
    let version = r.optional("version", |text| Ok(text.to_owned()));
    if properties.is_empty() {
        return None;
    }
    properties.extend(version.map(|version| property("version", "", &version)));
    match Configuration::from_properties(&properties) {
        Ok(configuration) => Some(configuration),
        Err(ConfigurationError::Line { key, expected, .. }) => {
            r.problem(&key, format!("expected {expected}"));
            None
        }
        Err(error) => {
            r.problem("server.N", error.to_string());
            None
        }
    }
}

fn property(prefix: &str, id: &str, value: &str) -> Property {
    Property { key: format!("{prefix}{id}"), value: value.to_owned(), line: 0 }
}

/// Compat: the version is the end of the file's name, as `reconfig` leaves it there.
fn from_dynamic_file(r: &mut Reader<'_>, path: &Path) -> Option<Configuration> {
    const KEY: &str = "dynamicConfigFile";
    for family in ["server.N", "group.N", "weight.N"] {
        let prefix = family.strip_suffix('N').expect("the name of a family");
        for (id, _) in r.family(family) {
            r.problem(
                &format!("{prefix}{id}"),
                "with dynamicConfigFile, it has to be in that file",
            );
        }
    }
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            r.problem(KEY, format!("cannot read {}: {error}", path.display()));
            return None;
        }
    };
    match Configuration::parse(&text) {
        Ok(mut configuration) => {
            let version = path.extension().and_then(|end| end.to_str());
            if let Some(version) = version.and_then(|hex| i64::from_str_radix(hex, 16).ok()) {
                configuration.version = version;
            }
            Some(configuration)
        }
        Err(error) => {
            r.problem(KEY, format!("{}: {error}", path.display()));
            None
        }
    }
}

/// The key to name for what is wrong with a server: its line, or the file in which it is.
fn line_of(r: &Reader<'_>, server: ServerId) -> String {
    let key = format!("server.{server}");
    if r.is_written(&key) { key } else { "dynamicConfigFile".to_owned() }
}

/// No two sockets may have one address, and several addresses for one server have to be allowed.
fn check_addresses(r: &mut Reader<'_>, configuration: &Configuration, multi_address: bool) {
    for (&id, server) in &configuration.servers {
        // Compat: ZooKeeper demands it, as older servers cannot be told of several addresses.
        if server.quorum.len() > 1 && !multi_address {
            r.problem(&line_of(r, id), "several addresses need multiAddress.enabled=true");
        }
    }
    for (id, other, address) in configuration.shared_addresses() {
        r.problem(&line_of(r, id), format!("server.{other} has the address {address} already"));
    }
}

/// The settings of an ensemble, `None` for a server alone. `server_id` is what `myid` says.
pub(super) fn settings(
    r: &mut Reader<'_>,
    lines: Lines,
    server_id: Option<u8>,
    data_dir: &Path,
    tick: Duration,
) -> Option<EnsembleSettings> {
    let init_limit = r.optional("initLimit", number(1..=1_000_000));
    let sync_limit = r.optional("syncLimit", number(1..=1_000_000));
    let connect_limit = r.get("connectToLearnerMasterLimit", number(0..=1_000_000));
    let handshake = r.get("quorumCnxnTimeoutMs", super::value::optional_millis(-1));
    let min_notification_interval =
        r.get("fastleader.minNotificationInterval", millis(1..=i32::MAX));
    let max_notification_interval =
        r.get("fastleader.maxNotificationInterval", millis(1..=i32::MAX));
    let finalize_wait = r.get("quorate.finalizeWait", duration);
    let election_connect_timeout = r.get("cnxTimeout", millis(1..=i32::MAX));
    let listen_on_all = r.get("quorumListenOnAllIPs", boolean);
    let tcp_keep_alive = r.get("tcpKeepAlive", boolean);
    let multi_address = r.get("multiAddress.enabled", boolean);
    let standalone_enabled = r.get("standaloneEnabled", boolean);
    let peer_type = r.get("peerType", member);
    let observer_master_port: u16 = r.get("observerMasterPort", number(0..=u16::MAX));
    let read_only = r.get("readonlymode.enabled", boolean);

    let Lines::Members(configuration) = lines else {
        if matches!(lines, Lines::Alone(_)) && peer_type == Member::Observer {
            r.warn("peerType is observer, but this server is alone".into());
        }
        if matches!(lines, Lines::Alone(_)) && read_only {
            r.warn("readonlymode.enabled has no effect on a server alone".into());
        }
        return None;
    };
    for (key, value) in [("initLimit", init_limit), ("syncLimit", sync_limit)] {
        if value.is_none() && !r.is_written(key) {
            r.problem(key, "expected a number of ticks; an ensemble needs it, it has no default");
        }
    }
    let me = me(r, &configuration, server_id, data_dir)?;
    let listed = configuration.servers[&me].member;
    if r.is_written("peerType") && peer_type != listed {
        let [listed, peer_type] = [listed, peer_type].map(name_of);
        r.warn(format!("peerType is {peer_type}, but server.{me} is a {listed}, which holds"));
    }
    if min_notification_interval > max_notification_interval {
        r.problem(
            "fastleader.maxNotificationInterval",
            "it is below fastleader.minNotificationInterval",
        );
    }
    let (init_limit, sync_limit) = (init_limit?, sync_limit?);
    Some(EnsembleSettings {
        me,
        configuration,
        file: None,
        tick,
        init_limit,
        sync_limit,
        connect_limit: if connect_limit == 0 { init_limit } else { connect_limit },
        election_connect_timeout,
        election_handshake_timeout: handshake.unwrap_or(tick * sync_limit),
        finalize_wait,
        min_notification_interval,
        max_notification_interval,
        standalone_enabled,
        listen_on_all,
        tcp_keep_alive,
        multi_address,
        observer_master_port: Some(observer_master_port).filter(|&port| port > 0),
        read_only_after: read_only.then_some(tick.max(READ_ONLY_AFTER)),
    })
}

/// Which of the servers this one is.
fn me(
    r: &mut Reader<'_>,
    configuration: &Configuration,
    server_id: Option<u8>,
    data_dir: &Path,
) -> Option<ServerId> {
    let all = || {
        let ids: Vec<_> = configuration.servers.keys().map(ToString::to_string).collect();
        ids.join(", ")
    };
    let myid = data_dir.join("myid");
    match server_id {
        Some(id) if configuration.servers.contains_key(&ServerId(id.into())) => {
            Some(ServerId(id.into()))
        }
        Some(id) => {
            let (path, all) = (myid.display(), all());
            r.problem("dataDir", format!("{path} says {id}, but the servers are {all}"));
            None
        }
        None if myid.exists() => None,
        None => {
            let (path, all) = (myid.display(), all());
            let what = format!("{path} is missing; expected this server's number in it, of {all}");
            r.problem("dataDir", what);
            None
        }
    }
}

fn file(text: &str) -> Result<PathBuf, Expected> {
    std::path::absolute(text).map_err(|_| "a file's path".into())
}

fn member(text: &str) -> Result<Member, Expected> {
    match text.to_ascii_lowercase().as_str() {
        "participant" => Ok(Member::Participant),
        "observer" => Ok(Member::Observer),
        _ => Err("`participant` or `observer`".into()),
    }
}

fn name_of(member: Member) -> &'static str {
    match member {
        Member::Participant => "participant",
        Member::Observer => "observer",
    }
}
