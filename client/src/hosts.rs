//! The connect string: which servers there are, and the chroot behind them.

use std::{fmt, str::FromStr, sync::Arc};

use quorate_protocol::path;

use crate::error::{Error, ErrorKind};

/// The port of a host that names none.
const DEFAULT_PORT: u16 = 2181;

/// A host as the connect string names it; resolved anew before each round of attempts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    name: Arc<str>,
    port: u16,
}

impl Host {
    /// A host name or an address, and a port.
    pub fn new(name: impl Into<Arc<str>>, port: u16) -> Self {
        Self { name: name.into(), port }
    }

    /// The name or address, an IPv6 address without brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, port) = (&self.name, self.port);
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

/// Before the name of a service.
const SERVICE_SCHEME: &str = "zk+srv://";

/// Which servers a connect string names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Servers {
    /// These.
    Hosts(Vec<Host>),
    /// Those in the SRV records of this name.
    Service(String),
}

/// A connect string: `host:port,host:port/chroot`. The port may be left out, an IPv6 address
/// stands in brackets if it has one. Or `zk+srv://name/chroot`. Displayed in full, with all ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectString {
    servers: Servers,
    chroot: String,
}

impl ConnectString {
    /// The servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The chroot: empty, or a path that is not the root.
    pub fn chroot(&self) -> &str {
        &self.chroot
    }
}

impl fmt::Display for ConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.servers {
            Servers::Service(name) => write!(f, "{SERVICE_SCHEME}{name}")?,
            Servers::Hosts(hosts) => {
                for (index, host) in hosts.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{host}")?;
                }
            }
        }
        f.write_str(&self.chroot)
    }
}

impl FromStr for ConnectString {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: String| ErrorKind::BadConnectString(format!("{text:?}: {why}"));
        let (service, rest) = match text.strip_prefix(SERVICE_SCHEME) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (hosts, chroot) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let chroot = chroot_of(chroot).map_err(|why| bad(why.to_string()))?;
        if service {
            if hosts.is_empty() || hosts.contains([',', ':', ' ']) {
                return Err(bad(format!("{hosts:?} is not one name without a port")).into());
            }
            return Ok(Self { servers: Servers::Service(hosts.to_owned()), chroot });
        }
        let hosts = hosts
            .split(',')
            .map(str::trim)
            .map(|host| parse_host(host).map_err(|why| bad(format!("{host:?} {why}")).into()))
            .collect::<Result<_, Error>>()?;
        Ok(Self { servers: Servers::Hosts(hosts), chroot })
    }
}

/// A chroot as kept: the root is no chroot at all.
pub(crate) fn chroot_of(path: &str) -> Result<String, path::PathError> {
    if path.is_empty() || path == "/" {
        return Ok(String::new());
    }
    path::validate(path)?;
    Ok(path.to_owned())
}

fn parse_host(text: &str) -> Result<Host, &'static str> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, behind) = rest.split_once(']').ok_or("has no closing bracket")?;
        match behind {
            "" => (name, None),
            _ => (name, Some(behind.strip_prefix(':').ok_or("has text behind its bracket")?)),
        }
    } else if text.matches(':').count() > 1 {
        (text, None)
    } else {
        text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)))
    };
    if name.is_empty() {
        return Err("is not a host");
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().map_err(|_| "has a port that is no number below 65536")?,
    };
    Ok(Host::new(name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<String>, String) {
        let parsed: ConnectString = text.parse().unwrap();
        let Servers::Hosts(hosts) = parsed.servers else { panic!("{text:?} names a service") };
        (hosts.iter().map(ToString::to_string).collect(), parsed.chroot)
    }

    #[test]
    fn hosts_ports_and_chroot() {
        assert_eq!(parsed("a"), (vec!["a:2181".into()], String::new()));
        assert_eq!(
            parsed("a:1, b ,10.0.0.1:3/app/x"),
            (vec!["a:1".into(), "b:2181".into(), "10.0.0.1:3".into()], "/app/x".into())
        );
        assert_eq!(
            parsed("[::1]:7,[fe80::1],fe80::2/"),
            (
                vec!["[::1]:7".into(), "[fe80::1]:2181".into(), "[fe80::2]:2181".into()],
                String::new()
            )
        );
    }

    #[test]
    fn a_service_is_one_name() {
        for (text, chroot) in
            [("zk+srv://zk.example.org/app", "/app"), ("zk+srv://zk.example.org", "")]
        {
            let servers = Servers::Service("zk.example.org".into());
            let expected = ConnectString { servers, chroot: chroot.into() };
            assert_eq!(text.parse::<ConnectString>().unwrap(), expected);
        }
    }

    #[test]
    fn what_is_displayed_is_understood_as_the_same() {
        for (text, shown) in [
            ("a, [::1] ,10.0.0.1:3/app/x", "a:2181,[::1]:2181,10.0.0.1:3/app/x"),
            ("a:1/", "a:1"),
            ("zk+srv://zk.example.org/app", "zk+srv://zk.example.org/app"),
        ] {
            let parsed: ConnectString = text.parse().unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(shown.parse::<ConnectString>().unwrap(), parsed);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "is not a host"),
            ("a,,b", "is not a host"),
            ("a:b", "\"a:b\" has a port"),
            ("a:70000", "has a port"),
            ("[::1", "closing bracket"),
            ("[::1]7", "behind its bracket"),
            ("a/b/", "empty name"),
            ("a//", "empty name"),
            ("zk+srv://", "one name"),
            ("zk+srv://a,b/c", "\"a,b\" is not one name"),
            ("zk+srv://a:1", "without a port"),
        ] {
            let error = text.parse::<ConnectString>().unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
