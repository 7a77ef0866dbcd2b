//! The sockets on which this server listens for others.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs},
};

use anyhow::Context;

use crate::{
    net::listener::{listen, listen_on_all},
    zab::{HostPort, Server},
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Listening sockets of both ports.
#[derive(Debug)]
pub struct Ports {
    pub(super) election: Vec<TcpListener>,
    pub(super) quorum: Vec<TcpListener>,
}

impl Ports {
    /// Listens at the addresses of this server, or at the same ports of all interfaces
    /// (`quorumListenOnAllIPs`).
    ///
    /// # Errors
    /// When one of them cannot be bound; the error names it.
    pub fn bind(server: &Server, on_all_interfaces: bool) -> anyhow::Result<Self> {
        let election = bind(&server.election, ELECTIONS, on_all_interfaces)?;
        Ok(Self { election, quorum: bind(&server.quorum, LEARNERS, on_all_interfaces)? })
    }
}

/// Whom one listens for.
pub(super) const ELECTIONS: &str = "elections";
pub(super) const LEARNERS: &str = "learners";

/// Listens at these addresses.
pub(super) fn bind(
    addresses: &[HostPort],
    whom: &str,
    on_all_interfaces: bool,
) -> anyhow::Result<Vec<TcpListener>> {
    let places: io::Result<BTreeSet<_>> =
        addresses.iter().map(|address| Place::of(address, on_all_interfaces)).collect();
    let places = places.with_context(|| {
        format!("look up this server's own address for {whom} in its server line")
    })?;
    let bind = |place: Place| {
        place.bind().with_context(|| {
            format!("listen for {whom} on {place} (is another server running there?)")
        })
    };
    places.into_iter().map(bind).collect()
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    All(u16),
    One(SocketAddr),
}

impl Place {
    /// Compat: of the addresses a name stands for the first one of IPv4, as Java has it.
    fn of(address: &HostPort, on_all_interfaces: bool) -> io::Result<Self> {
        let all = Self::All(address.port);
        if on_all_interfaces {
            return Ok(all);
        }
        let found: Vec<_> = match address.host.parse::<IpAddr>() {
            Ok(ip) => vec![(ip, address.port).into()],
            Err(_) => (address.host.as_str(), address.port).to_socket_addrs()?.collect(),
        };
        let first = found.iter().find(|found| found.is_ipv4()).or_else(|| found.first());
        let &first = first.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(if first.ip().is_unspecified() { all } else { Self::One(first) })
    }

    fn bind(self) -> io::Result<TcpListener> {
        Ok(match self {
            Self::All(port) => listen_on_all(port, BACKLOG),
            Self::One(address) => listen(address, BACKLOG),
        }?
        .into())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(port) => write!(f, "port {port} of all interfaces"),
            Self::One(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_port(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    #[test]
    fn names_and_wildcards() {
        let place = |host, on_all| Place::of(&host_port(host, 9), on_all).unwrap();
        assert_eq!(place("localhost", false), Place::One(([127, 0, 0, 1], 9).into()));
        assert_eq!(place("::1", false), Place::One(([0, 0, 0, 0, 0, 0, 0, 1], 9).into()));
        for (host, on_all) in [("0.0.0.0", false), ("::", false), ("no such name", true)] {
            assert_eq!(place(host, on_all), Place::All(9));
        }
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let server: Server = format!("127.0.0.1:{port}:1").parse().unwrap();
        let free = Server { election: vec![host_port("127.0.0.1", 0)], ..server };
        let error = Ports::bind(&free, false).unwrap_err();
        let expected = format!("listen for learners on 127.0.0.1:{port} (is another server");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
