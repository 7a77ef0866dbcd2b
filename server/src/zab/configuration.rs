//! Which servers form the ensemble, what each may do, and where it is reached.
//!
//! [`Configuration`] is what the `server.N`, `group.N`, `weight.N` and `version` lines of a
//! `zoo.cfg` or a dynamic configuration file say; the same text is in notifications, in
//! `NEWLEADER` and in `/zookeeper/config`. Names stay names: to look them up is for the shell.
//! What a quorum of it is, is in `quorum`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::str::FromStr;

use super::types::{Member, ServerId};
use crate::config::properties::{self, BadEscape, Property};

/// The servers of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The zxid of the transaction that made it; 0 when it comes from a file.
    pub version: i64,
    /// Its members.
    ///
    /// Invariant: at least one of them is a participant; either none of them has a group, or all
    /// participants have.
    pub servers: BTreeMap<ServerId, Server>,
}

/// One server of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where learners reach it when it leads. Several for one that is in several networks.
    pub quorum: Vec<HostPort>,
    /// Where others reach it for elections.
    ///
    /// Invariant: as many as in `quorum`, with the same hosts in the same order, which is that of
    /// their names.
    pub election: Vec<HostPort>,
    /// Where clients reach it, if the configuration says so.
    pub client: Option<HostPort>,
    /// Where clients reach it by TLS, if the configuration says so.
    pub secure_client: Option<HostPort>,
    /// Whether it votes.
    pub member: Member,
    /// Its group, in a configuration with groups.
    pub group: Option<u32>,
    /// How much its vote counts in its group. A server of weight 0 cannot be elected.
    pub weight: u32,
}

/// A host, by name or address, and a port of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The host; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why a text is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// It is not in the syntax of properties.
    #[error("line {}: {}", .0.line, .0)]
    Syntax(#[from] BadEscape),
    /// A line says what it cannot say.
    #[error("line {line}: {key}={value}: expected {expected}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// Its key.
        key: String,
        /// Its value.
        value: String,
        /// What should have been there.
        expected: String,
    },
    /// Somebody must vote.
    #[error("expected a server.N line of a participant")]
    NoParticipant,
    /// With groups, every participant must be in one.
    #[error("expected server {0} in a group.N line, as there are groups or weights")]
    WithoutGroup(ServerId),
}

impl Configuration {
    /// Reads the text of a dynamic configuration, in which nothing else may be.
    pub fn parse(text: &str) -> Result<Self, ConfigurationError> {
        let properties = properties::parse(text.as_bytes())?;
        if let Some(other) = properties.iter().find(|property| Key::of(property).is_none()) {
            let expected = "server.N, group.N, weight.N or version as the key";
            return Err(invalid(other, expected.to_owned()));
        }
        Self::from_properties(&properties)
    }

    /// The addresses that two servers have in common, each with both of them, the one with the
    /// higher number first. No two sockets may have one.
    pub fn shared_addresses(&self) -> Vec<(ServerId, ServerId, HostPort)> {
        let mut known: BTreeMap<(String, u16), ServerId> = BTreeMap::new();
        let mut shared = Vec::new();
        for (&id, server) in &self.servers {
            let client = server.client.iter().filter(|client| !client.is_unspecified());
            for address in server.quorum.iter().chain(&server.election).chain(client) {
                let taken = known.insert((address.host.to_lowercase(), address.port), id);
                shared.extend(taken.map(|other| (id, other, address.clone())));
            }
        }
        shared
    }

    /// Makes a configuration of those properties that concern it, in whatever order they are.
    pub fn from_properties(properties: &[Property]) -> Result<Self, ConfigurationError> {
        let mut lines = Lines::default();
        for property in properties {
            let Some(key) = Key::of(property) else { continue };
            lines.read(key, &property.value).map_err(|expected| invalid(property, expected))?;
        }
        // Groups and weights may come before the servers they speak of.
        for property in properties {
            if let Some(id) = Key::of(property).and_then(|key| lines.unknown(key, &property.value))
            {
                return Err(invalid(property, format!("a line for server.{id} too")));
            }
        }
        lines.into_configuration()
    }
}

/// Prints the text of a dynamic configuration, as ZooKeeper does: without a newline at its end.
impl Display for Configuration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut groups: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (id, server) in &self.servers {
            writeln!(f, "server.{id}={server}")?;
            if let Some(group) = server.group {
                groups.entry(group).or_default().push(id.to_string());
            }
        }
        for (group, servers) in &groups {
            writeln!(f, "group.{group}={}", servers.join(":"))?;
        }
        for (id, server) in &self.servers {
            if server.group.is_some() {
                writeln!(f, "weight.{id}={}", server.weight)?;
            }
        }
        write!(f, "version={:x}", self.version)
    }
}

impl FromStr for Server {
    /// What was expected.
    type Err = String;

    /// Reads the value of a `server.N` line.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(';');
        let servers = parts.next().unwrap_or_default();
        let client = parts.next().filter(|part| !part.is_empty());
        let secure_client = parts.next().filter(|part| !part.is_empty());
        if parts.next().is_some() {
            return Err(FORM.to_owned());
        }
        let mut addresses = Vec::new();
        let mut member = None;
        for server in servers.split('|') {
            let (quorum, election, role) = parse_addresses(server)?;
            addresses.push((quorum, election));
            if role.is_some() {
                if member.is_some() && member != role {
                    return Err("the same role behind each address".to_owned());
                }
                member = role;
            }
        }
        addresses.sort();
        let (quorum, election) = addresses.into_iter().unzip();
        Ok(Self {
            quorum,
            election,
            client: client.map(parse_client_address).transpose()?,
            secure_client: secure_client.map(parse_client_address).transpose()?,
            member: member.unwrap_or(Member::Participant),
            group: None,
            weight: 1,
        })
    }
}

impl Display for Server {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, (quorum, election)) in self.quorum.iter().zip(&self.election).enumerate() {
            let separator = if index == 0 { "" } else { "|" };
            write!(f, "{separator}{quorum}:{}", election.port)?;
        }
        f.write_str(match self.member {
            Member::Participant => ":participant",
            Member::Observer => ":observer",
        })?;
        if let Some(client) = &self.client {
            write!(f, ";{client}")?;
        }
        if let Some(client) = &self.secure_client {
            let absent = if self.client.is_none() { ";" } else { "" };
            write!(f, "{absent};{client}")?;
        }
        Ok(())
    }
}

impl HostPort {
    /// Whether the host stands for all addresses of a machine.
    pub fn is_unspecified(&self) -> bool {
        self.host.parse().is_ok_and(|address: IpAddr| address.is_unspecified())
    }
}

impl FromStr for HostPort {
    /// What was expected.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "host:port";
        let (host, port) = split_host(text).ok_or(EXPECTED)?;
        let port = port.parse().map_err(|_| EXPECTED)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl Display for HostPort {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a line is about.
#[derive(Clone, Copy)]
enum Key<'a> {
    Server(&'a str),
    Group(&'a str),
    Weight(&'a str),
    Version,
}

impl<'a> Key<'a> {
    fn of(property: &'a Property) -> Option<Self> {
        match property.key.split_once('.') {
            Some(("server", id)) => Some(Self::Server(id)),
            Some(("group", group)) => Some(Self::Group(group)),
            Some(("weight", id)) => Some(Self::Weight(id)),
            None if property.key == "version" => Some(Self::Version),
            _ => None,
        }
    }
}

/// What the lines say, before it is seen as a whole.
#[derive(Default)]
struct Lines {
    version: Option<i64>,
    servers: BTreeMap<ServerId, Server>,
    groups: BTreeMap<u32, Vec<ServerId>>,
    weights: BTreeMap<ServerId, u32>,
}

impl Lines {
    /// Takes a line; the error is what was expected.
    ///
    /// A second line for the same thing is refused: ZooKeeper takes the last one, and an operator
    /// who reads the file may take the other.
    fn read(&mut self, key: Key<'_>, value: &str) -> Result<(), String> {
        let is_first = match key {
            Key::Version => {
                let version = i64::from_str_radix(value, 16)
                    .map_err(|_| "a zxid in hexadecimal, without 0x".to_owned())?;
                self.version.replace(version).is_none()
            }
            Key::Server(id) => self.servers.insert(server_id(id)?, value.parse()?).is_none(),
            Key::Weight(id) => {
                let weight = value.parse().map_err(|_| "a weight, 0 or more".to_owned())?;
                self.weights.insert(server_id(id)?, weight).is_none()
            }
            Key::Group(group) => {
                let group = group.parse().map_err(|_| "a group's number in the key".to_owned())?;
                let mut members: Vec<ServerId> = Vec::new();
                for id in value.split(':') {
                    let id = server_id(id).map_err(|_| "servers' numbers with : between")?;
                    if members.contains(&id) || self.groups.values().flatten().any(|&m| m == id) {
                        return Err(format!("server {id} in one group only"));
                    }
                    members.push(id);
                }
                self.groups.insert(group, members).is_none()
            }
        };
        if is_first { Ok(()) } else { Err("this key only once".to_owned()) }
    }

    /// A server that a group or a weight speaks of and that is not there.
    fn unknown<'a>(&self, key: Key<'a>, value: &'a str) -> Option<&'a str> {
        let is_unknown = |id: &&str| server_id(id).is_ok_and(|id| !self.servers.contains_key(&id));
        match key {
            Key::Group(_) => value.split(':').find(is_unknown),
            Key::Weight(id) => Some(id).filter(is_unknown),
            Key::Server(_) | Key::Version => None,
        }
    }

    fn into_configuration(mut self) -> Result<Configuration, ConfigurationError> {
        let hierarchical = !self.groups.is_empty() || !self.weights.is_empty();
        for (&group, members) in &self.groups {
            for id in members {
                let server = self.servers.get_mut(id).expect("looked for above");
                server.group = Some(group);
                server.weight = self.weights.get(id).copied().unwrap_or(1);
            }
        }
        let mut voters = self.servers.iter().filter(|(_, s)| s.member == Member::Participant);
        if let Some((&id, _)) = voters.clone().find(|(_, s)| hierarchical && s.group.is_none()) {
            return Err(ConfigurationError::WithoutGroup(id));
        }
        if voters.next().is_none() {
            return Err(ConfigurationError::NoParticipant);
        }
        Ok(Configuration { version: self.version.unwrap_or(0), servers: self.servers })
    }
}

const FORM: &str = "host:port:port[:participant|:observer][;[host:]port[;[host:]port]], the part \
                    before the semicolon several times with | between if it has several addresses";

fn invalid(property: &Property, expected: String) -> ConfigurationError {
    let Property { line, key, value } = property.clone();
    ConfigurationError::Line { line, key, value, expected }
}

/// The greatest number is no server: servers without one said it in old handshakes.
fn server_id(text: &str) -> Result<ServerId, String> {
    let id = text.parse().ok().filter(|id| (0..i64::MAX).contains(id));
    id.map(ServerId).ok_or_else(|| "a server's number in the key".to_owned())
}

/// `host:port:port[:role]`.
fn parse_addresses(text: &str) -> Result<(HostPort, HostPort, Option<Member>), String> {
    let (host, rest) = split_host(text).ok_or(FORM)?;
    let mut parts = rest.split(':');
    let mut port = || {
        let port = parts.next().ok_or(FORM)?.parse().ok().filter(|&port: &u16| port > 0);
        let port = port.ok_or("ports from 1 to 65535 behind the host")?;
        Ok::<_, String>(HostPort { host: host.to_owned(), port })
    };
    let (quorum, election) = (port()?, port()?);
    if quorum == election {
        return Err("two ports that differ".to_owned());
    }
    let role = match parts.next().map(|role| role.trim().to_ascii_lowercase()).as_deref() {
        None => None,
        Some("participant") => Some(Member::Participant),
        Some("observer") => Some(Member::Observer),
        Some(_) => return Err("`participant` or `observer` behind the ports".to_owned()),
    };
    if parts.next().is_some() { Err(FORM.to_owned()) } else { Ok((quorum, election, role)) }
}

/// `[host:]port`. Compat: no host means all addresses, and is printed as such.
fn parse_client_address(text: &str) -> Result<HostPort, String> {
    let with_host = if text.contains(':') { text } else { &format!("0.0.0.0:{text}") };
    with_host.parse().map_err(|_| "[host:]port behind the semicolon".to_owned())
}

/// A host and what follows the colon behind it. An IPv6 address must be in brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => text.split_once("]:")?,
        None => text.split_once(':')?,
    };
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || r"[]|;\".contains(c);
    (!host.is_empty() && !host.contains(is_odd)).then_some((host, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THREE: &str = "server.1=a:2888:3888:participant;0.0.0.0:2181\n\
                         server.2=b:2888:3888:participant\n\
                         server.3=[::1]:2888:3888:observer;;[::1]:2281\n\
                         version=100000000";

    #[test]
    fn prints_what_it_read() {
        let configuration = Configuration::parse(THREE).unwrap();
        assert_eq!(configuration.to_string(), THREE);
        assert_eq!(configuration.version, 1 << 32);
        let server = &configuration.servers[&ServerId(3)];
        assert_eq!(server.election, [HostPort { host: "::1".to_owned(), port: 3888 }]);
        assert_eq!((server.member, server.client.as_ref()), (Member::Observer, None));
        assert_eq!(server.secure_client.as_ref().unwrap().to_string(), "[::1]:2281");
    }

    #[test]
    fn order_and_short_forms_do_not_matter() {
        let other = "version=100000000\n server.3 = [::1]:2888:3888:OBSERVER;;[::1]:2281\n\
                     server.2=b:2888:3888\n# a comment\nserver.1:a:2888:3888;2181\n";
        assert_eq!(Configuration::parse(other).unwrap(), Configuration::parse(THREE).unwrap());
    }

    #[test]
    fn groups_and_weights() {
        let text = "group.2=3\nweight.2=5\ngroup.1=2:1\nserver.1=a:1:2\nserver.2=b:1:2\n\
                    server.3=c:1:2\nserver.4=d:1:2:observer\nweight.3=0";
        let configuration = Configuration::parse(text).unwrap();
        let found: Vec<_> = configuration.servers.values().map(|s| (s.group, s.weight)).collect();
        assert_eq!(found, [(Some(1), 1), (Some(1), 5), (Some(2), 0), (None, 1)]);
        let printed = configuration.to_string();
        assert!(
            printed
                .ends_with("group.1=1:2\ngroup.2=3\nweight.1=1\nweight.2=5\nweight.3=0\nversion=0"),
            "{printed}"
        );
        assert_eq!(Configuration::parse(&printed).unwrap(), configuration);
    }

    #[test]
    fn several_addresses_are_one_set() {
        let one: Server = "b:1:2|a:3:4:observer;5".parse().unwrap();
        assert_eq!(one.to_string(), "a:3:4|b:1:2:observer;0.0.0.0:5");
        assert_eq!(one, "a:3:4:observer|b:1:2:observer;5".parse().unwrap());
    }

    #[test]
    fn says_which_line_and_what_was_expected() {
        for (text, expected) in [
            ("\nserver.1=a:1", "line 2: server.1=a:1: expected host:port:port"),
            ("server.1=a:1:70000", "line 1: server.1=a:1:70000: expected ports from 1 to 65535"),
            ("server.1=a:0:1", "expected ports from 1 to 65535 behind the host"),
            ("server.1=a:1:1", "expected two ports that differ"),
            ("server.1=:1:2", "expected host:port:port"),
            ("server.1=::1:1:2", "expected host:port:port"),
            ("server.1=[::1:1:2", "expected host:port:port"),
            ("server.1=a b:1:2", "expected host:port:port"),
            ("server.1=", "expected host:port:port"),
            ("server.1=a:1:2:voter", "`participant` or `observer` behind the ports"),
            ("server.1=a:1:2:participant:3", "expected host:port:port"),
            ("server.1=a:1:2|b:1:2:observer|c:1:2:participant", "the same role"),
            ("server.1=a:1:2;x", "expected [host:]port behind the semicolon"),
            ("server.1=a:1:2;1;2;3", "expected host:port:port"),
            ("server.x=a:1:2", "expected a server's number in the key"),
            ("server.-1=a:1:2", "expected a server's number in the key"),
            (
                "server.1=a:1:2\nserver.1=b:1:2",
                "line 2: server.1=b:1:2: expected this key only once",
            ),
            ("server.1=a:1:2\nversion=0x1", "expected a zxid in hexadecimal"),
            ("server.1=a:1:2\ngroup.1=1:2", "line 2: group.1=1:2: expected a line for server.2"),
            ("server.1=a:1:2\ngroup.1=1:1", "expected server 1 in one group only"),
            ("group.1=1\ngroup.2=1\nserver.1=a:1:2", "line 2: group.2=1: expected server 1 in one"),
            ("server.1=a:1:2\ngroup.1=1\nweight.2=1", "expected a line for server.2"),
            ("server.1=a:1:2\ngroup.1=1\nweight.1=-1", "expected a weight, 0 or more"),
            ("server.1=a:1:2\nweight.1=1", "expected server 1 in a group.N line"),
            ("server.1=a:1:2:observer", "expected a server.N line of a participant"),
            ("", "expected a server.N line of a participant"),
            ("server.1=a:1:2\nserver=3", "line 2: server=3: expected server.N, group.N"),
            ("a=\\u12", "line 1: expected four hexadecimal digits"),
        ] {
            let error = Configuration::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn only_its_own_lines_of_a_file() {
        let properties = properties::parse(b"tickTime=1\nserver.1=a:1:2\nweight=3").unwrap();
        let configuration = Configuration::from_properties(&properties).unwrap();
        assert_eq!(configuration.to_string(), "server.1=a:1:2:participant\nversion=0");
    }

    proptest! {
        #[test]
        fn what_can_be_read_is_printed_alike(
            lines in prop::collection::vec(
                prop_oneof![
                    "server\\.[1-3]=[a-c\\[:\\]]{1,4}:[1-3]:[4-6](:observer)?(;[1-9])?",
                    "server\\.[1-3]=a:1:2\\|b:3:4(;;c:5)?",
                    "group\\.[12]=[1-3](:[1-3])?",
                    "weight\\.[1-3]=[0-2]",
                    "version=[0-9a-f]{1,17}",
                ],
                0..6,
            ),
        ) {
            if let Ok(configuration) = Configuration::parse(&lines.join("\n")) {
                let printed = configuration.to_string();
                prop_assert_eq!(Configuration::parse(&printed), Ok(configuration), "{}", printed);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = Configuration::parse(&text);
            let _ = Configuration::parse(&format!("server.1={text}"));
        }
    }
}
