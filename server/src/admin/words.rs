//! The answers to four-letter words.
//!
//! Each is a text of ZooKeeper's exact form, as operators' tools parse it. Nothing here changes
//! the server but the resets and the trace mask. Reading the word and closing the connection
//! after the answer are the caller's business.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write};
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use quorate_protocol::{FourLetterWord, OpCode, SessionId};

use super::connection::ConnectionNumbers;
use super::environment::{self, full_version};
use super::metrics;
use super::view::{AdminView, Mode};
use crate::config::EnsembleSettings;
use crate::zab::{Configuration, HostPort, Member};

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// Bytes that follow the word and belong to it. A word that may not be executed takes none.
pub fn argument_bytes(word: FourLetterWord, view: &dyn AdminView) -> usize {
    let executed = view.settings().four_letter_words.allows(word);
    if executed && word == FourLetterWord::Stmk { 8 } else { 0 }
}

/// Executes a word and answers it. `argument` are the bytes of [`argument_bytes`], if they came.
pub fn respond(word: FourLetterWord, argument: Option<[u8; 8]>, view: &dyn AdminView) -> String {
    let mut out = String::new();
    write(&mut out, word, argument, view).expect("a string takes everything");
    out
}

fn write(
    out: &mut String,
    word: FourLetterWord,
    argument: Option<[u8; 8]>,
    view: &dyn AdminView,
) -> fmt::Result {
    use FourLetterWord as Word;

    let executed = view.settings().four_letter_words.allows(word);
    if !executed && word != Word::TelnetInterrupt {
        return writeln!(out, "{word} is not executed because it is not in the whitelist.");
    }
    match (word, view.mode()) {
        (Word::TelnetInterrupt, _) => Ok(()),
        (Word::Ruok, _) => out.write_str("imok"),
        (Word::Gtmk, _) => write!(out, "{}", view.stats().trace_mask()),
        (Word::Stmk, _) => set_trace_mask(out, argument, view),
        (Word::Envi, _) => envi(out, view),
        (Word::Isro, None) => out.write_str("null"),
        // Compat: the one refusal without an end of line.
        (Word::Hash, None) => out.write_str(NOT_SERVING),
        (_, None) => writeln!(out, "{NOT_SERVING}"),
        (Word::Isro, Some(Mode::ReadOnly)) => out.write_str("ro"),
        (Word::Isro, Some(_)) => out.write_str("rw"),
        (Word::Srvr, Some(mode)) => {
            version(out, mode)?;
            server(out, mode, view)
        }
        (Word::Stat, Some(mode)) => {
            version(out, mode)?;
            writeln!(out, "Clients:")?;
            for connection in view.connections() {
                brief(out, &connection)?;
                writeln!(out, ")")?;
            }
            writeln!(out)?;
            server(out, mode, view)
        }
        (Word::Cons, Some(_)) => cons(out, view),
        (Word::Conf, Some(mode)) => conf(out, mode, view),
        (Word::Mntr, Some(mode)) => metrics::write(out, mode, view),
        (Word::Dump, Some(mode)) => dump(out, mode, view),
        (Word::Wchs, Some(_)) => {
            let watches = view.watches();
            writeln!(out, "{} connections watching {} paths", watches.connections, watches.paths)?;
            writeln!(out, "Total watches:{}", watches.watches)
        }
        (Word::Wchc, Some(_)) => wchc(out, view),
        (Word::Wchp, Some(_)) => wchp(out, view),
        (Word::Dirs, Some(_)) => {
            let sizes = view.folder_sizes();
            writeln!(out, "datadir_size: {}\nlogdir_size: {}", sizes.data, sizes.log)
        }
        (Word::Hash, Some(_)) => {
            let digests = view.digests();
            digests.iter().try_for_each(|(zxid, digest)| writeln!(out, "{:x}: {digest}", zxid.0))
        }
        (Word::Crst, Some(_)) => {
            view.reset_connection_stats();
            writeln!(out, "Connection stats reset.")
        }
        (Word::Srst, Some(_)) => {
            view.stats().reset();
            writeln!(out, "Server stats reset.")
        }
        (Word::Hand, Some(_)) if view.hand_over() => {
            writeln!(out, "The lead is being handed over.")
        }
        (Word::Hand, Some(_)) => writeln!(out, "This server does not lead."),
    }
}

fn set_trace_mask(
    out: &mut String,
    argument: Option<[u8; 8]>,
    view: &dyn AdminView,
) -> fmt::Result {
    // Compat: without a mask behind the word ZooKeeper closes the connection and says nothing.
    let Some(mask) = argument.map(i64::from_be_bytes) else { return Ok(()) };
    view.stats().set_trace_mask(mask);
    write!(out, "{mask}")
}

fn envi(out: &mut String, view: &dyn AdminView) -> fmt::Result {
    writeln!(out, "Environment:")?;
    for (key, value) in view.environment().entries() {
        writeln!(out, "{key}={value}")?;
    }
    let [free, max, total] = environment::memory();
    writeln!(out, "os.memory.free={free}\nos.memory.max={max}\nos.memory.total={total}")
}

/// What `srvr` and `stat` begin with.
fn version(out: &mut String, mode: Mode) -> fmt::Result {
    writeln!(out, "Zookeeper version: {}", full_version())?;
    if mode == Mode::ReadOnly {
        writeln!(out, "READ-ONLY mode; serving only read-only clients")?;
    }
    Ok(())
}

/// What `srvr` and `stat` say of the server.
fn server(out: &mut String, mode: Mode, view: &dyn AdminView) -> fmt::Result {
    let stats = view.stats();
    let latency = stats.latency();
    writeln!(
        out,
        "Latency min/avg/max: {}/{:?}/{}",
        latency.min / 1000,
        metrics::average_ms(&latency),
        latency.max / 1000
    )?;
    writeln!(out, "Received: {}", stats.packets_received())?;
    writeln!(out, "Sent: {}", stats.packets_sent())?;
    writeln!(out, "Connections: {}", view.connection_count())?;
    writeln!(out, "Outstanding: {}", stats.outstanding())?;
    writeln!(out, "Zxid: {}", view.last_zxid())?;
    writeln!(out, "Mode: {}", mode.name())?;
    writeln!(out, "Node count: {}", view.tree().nodes)?;
    if let Mode::Leader(_) = mode {
        let [last, min, max] = stats.proposal_sizes.numbers();
        writeln!(out, "Proposal sizes last/min/max: {last}/{min}/{max}")?;
    }
    Ok(())
}

/// A connection as in `stat`, but for the closing parenthesis.
fn brief(out: &mut String, connection: &ConnectionNumbers) -> fmt::Result {
    // Compat: Java's set of events the socket is registered for: reading, unless it asked a word.
    let events = u8::from(connection.session != SessionId::NONE);
    write!(
        out,
        " {}[{events:x}](queued={},recved={},sent={}",
        Remote(connection.remote),
        connection.outstanding,
        connection.received,
        connection.sent
    )
}

/// Compat: an address as Java writes it, IPv6 without leaving out zeros.
struct Remote(SocketAddr);

impl Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip() {
            IpAddr::V4(ip) => write!(f, "/{ip}:{}", self.0.port()),
            IpAddr::V6(ip) => {
                let [first, rest @ ..] = ip.segments();
                write!(f, "/[{first:x}")?;
                rest.iter().try_for_each(|segment| write!(f, ":{segment:x}"))?;
                write!(f, "]:{}", self.0.port())
            }
        }
    }
}

fn cons(out: &mut String, view: &dyn AdminView) -> fmt::Result {
    for c in view.connections() {
        brief(out, &c)?;
        if c.session != SessionId::NONE {
            let (operation, session) = (operation(c.last_op), c.session);
            write!(
                out,
                ",sid={session},lop={operation},est={},to={}",
                c.established_ms, c.timeout_ms
            )?;
            if c.last_xid >= 0 {
                write!(out, ",lcxid={:#x}", c.last_xid)?;
            }
            let average = c.latency.sum.checked_div(c.latency.count).unwrap_or(0);
            write!(
                out,
                ",lzxid={},lresp={},llat={},minlat={},avglat={},maxlat={}",
                c.last_zxid,
                c.last_response_ms,
                c.last_latency_ms,
                c.latency.min / 1000,
                average / 1000,
                c.latency.max / 1000
            )?;
        }
        writeln!(out, ")")?;
    }
    writeln!(out)
}

/// What `cons` calls an operation.
fn operation(op: Option<OpCode>) -> &'static str {
    match op {
        None | Some(OpCode::Error | OpCode::Auth | OpCode::Sasl) => "NA",
        Some(OpCode::Ping) => "PING",
        Some(OpCode::CreateSession) => "SESS",
        Some(OpCode::CloseSession) => "CLOS",
        Some(OpCode::Multi) => "MULT",
        Some(OpCode::MultiRead) => "MLTR",
        Some(OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl) => {
            "CREA"
        }
        Some(OpCode::Delete | OpCode::DeleteContainer) => "DELE",
        Some(OpCode::SetData) => "SETD",
        Some(OpCode::Reconfig) => "RECO",
        Some(OpCode::SetAcl) => "SETA",
        Some(OpCode::Sync) => "SYNC",
        Some(OpCode::Check) => "CHEC",
        Some(OpCode::Exists) => "EXIS",
        Some(OpCode::GetData) => "GETD",
        Some(OpCode::SetWatches) => "SETW",
        Some(OpCode::SetWatches2) => "STW2",
        Some(OpCode::AddWatch) => "ADDW",
        Some(OpCode::GetAcl) => "GETA",
        Some(OpCode::GetChildren | OpCode::GetChildren2) => "GETC",
        Some(OpCode::GetAllChildrenNumber) => "GETACN",
        Some(OpCode::CheckWatches) => "CHKW",
        Some(OpCode::RemoveWatches) => "REMW",
        Some(OpCode::WhoAmI) => "HOMI",
        Some(OpCode::GetEphemerals) => "GETE",
    }
}

fn conf(out: &mut String, mode: Mode, view: &dyn AdminView) -> fmt::Result {
    let settings = view.settings();
    let (clients, sessions) = (&settings.clients, &settings.sessions);
    let (storage, sizes) = (&settings.storage, view.folder_sizes());
    writeln!(out, "clientPort={}", view.client_port())?;
    writeln!(out, "secureClientPort=-1")?;
    writeln!(out, "dataDir={}", storage.data_dir.display())?;
    writeln!(out, "dataDirSize={}", sizes.data)?;
    writeln!(out, "dataLogDir={}", storage.log_dir.display())?;
    writeln!(out, "dataLogSize={}", sizes.log)?;
    writeln!(out, "tickTime={}", sessions.tick.as_millis())?;
    writeln!(out, "maxClientCnxns={}", clients.max_connections_per_ip.unwrap_or(0))?;
    writeln!(out, "minSessionTimeout={}", sessions.min_timeout.as_millis())?;
    writeln!(out, "maxSessionTimeout={}", sessions.max_timeout.as_millis())?;
    match clients.listen_backlog {
        Some(backlog) => writeln!(out, "clientPortListenBacklog={backlog}")?,
        None => writeln!(out, "clientPortListenBacklog=-1")?,
    }
    let server_id = match mode {
        // Compat: a server alone calls itself 0, whatever its `myid` says.
        Mode::Standalone => 0,
        Mode::Leader(_) | Mode::Follower { .. } | Mode::Observer { .. } | Mode::ReadOnly => {
            settings.server_id
        }
    };
    writeln!(out, "serverId={server_id}")?;
    let (Some(ensemble), Some(configuration)) = (&settings.ensemble, view.configuration()) else {
        return Ok(());
    };
    conf_of_ensemble(out, mode, ensemble, &configuration)
}

fn conf_of_ensemble(
    out: &mut String,
    mode: Mode,
    ensemble: &EnsembleSettings,
    configuration: &Configuration,
) -> fmt::Result {
    let servers = [configuration, &ensemble.configuration].map(|all| all.servers.get(&ensemble.me));
    let own = servers.into_iter().flatten().next().expect("the files have this server");
    let ports = |addresses: &[HostPort]| {
        let ports: BTreeSet<_> = addresses.iter().map(|address| address.port).collect();
        ports.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")
    };
    writeln!(out, "initLimit={}", ensemble.init_limit)?;
    writeln!(out, "syncLimit={}", ensemble.sync_limit)?;
    writeln!(out, "electionAlg=3")?;
    writeln!(out, "electionPort={}", ports(&own.election))?;
    writeln!(out, "quorumPort={}", ports(&own.quorum))?;
    let peer_type = match own.member {
        Member::Participant => 0,
        Member::Observer => 1,
    };
    writeln!(out, "peerType={peer_type}")?;
    if mode == Mode::ReadOnly {
        return Ok(());
    }
    // Compat: no end of line behind the members.
    write!(out, "membership: \n{configuration}")
}

fn dump(out: &mut String, mode: Mode, view: &dyn AdminView) -> fmt::Result {
    let zone = &view.environment().time_zone;
    writeln!(out, "SessionTracker dump:")?;
    let local = view.local_session_expiries();
    if let Some(sessions) = &local {
        write!(out, "Local Session ")?;
        expiries(out, zone, sessions, |out, session| writeln!(out, "\t{session}"))?;
    }
    match mode {
        Mode::Standalone | Mode::Leader(_) => {
            let sessions = view.session_expiries();
            write!(out, "{}Session ", if local.is_some() { "Global " } else { "" })?;
            expiries(out, zone, &sessions, |out, session| writeln!(out, "\t{session}"))?;
        }
        // When sessions expire is the leader's business.
        Mode::Follower { .. } | Mode::Observer { .. } | Mode::ReadOnly => {
            let sessions = view.session_timeouts();
            writeln!(out, "Global Sessions({}):", sessions.len())?;
            sessions
                .iter()
                .try_for_each(|(session, timeout)| writeln!(out, "{session}\t{timeout}ms"))?;
        }
    }

    let ephemerals = view.ephemerals();
    writeln!(out, "ephemeral nodes dump:")?;
    writeln!(out, "Sessions with Ephemerals ({}):", ephemerals.len())?;
    for (session, paths) in &ephemerals {
        writeln!(out, "{session}:")?;
        paths.iter().try_for_each(|path| writeln!(out, "\t{path}"))?;
    }

    let connections = view.connection_expiries();
    writeln!(out, "Connections dump:")?;
    write!(out, "Connections ")?;
    expiries(out, zone, &connections, |out, (remote, session)| {
        writeln!(out, "\tip: {} sessionId: {session}", Remote(*remote))
    })
}

fn expiries<T>(
    out: &mut String,
    zone: &TimeZone,
    buckets: &[(i64, Vec<T>)],
    member: impl Fn(&mut String, &T) -> fmt::Result,
) -> fmt::Result {
    let members: usize = buckets.iter().map(|(_, members)| members.len()).sum();
    writeln!(out, "Sets ({})/({members}):", buckets.len())?;
    for (at_ms, members) in buckets {
        writeln!(out, "{} expire at {}:", members.len(), date(*at_ms, zone))?;
        members.iter().try_for_each(|one| member(out, one))?;
    }
    Ok(())
}

/// A time as Java shows a `Date`.
fn date(since_1970_ms: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_millisecond(since_1970_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(zone.clone()).strftime("%a %b %d %H:%M:%S %Z %Y").to_string()
}

fn wchc(out: &mut String, view: &dyn AdminView) -> fmt::Result {
    for (session, paths) in view.watched_by_session() {
        writeln!(out, "{session}")?;
        paths.iter().try_for_each(|path| writeln!(out, "\t{path}"))?;
    }
    writeln!(out)
}

fn wchp(out: &mut String, view: &dyn AdminView) -> fmt::Result {
    for (path, sessions) in view.watched_by_path() {
        writeln!(out, "{path}")?;
        sessions.iter().try_for_each(|session| writeln!(out, "\t{session}"))?;
    }
    writeln!(out)
}
