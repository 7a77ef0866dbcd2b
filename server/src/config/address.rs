//! Where to listen for clients, from `clientPort`, `clientPortAddress` and this server's `server.N` line.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use super::ensemble::Lines;
use super::reader::Reader;
use super::settings::ClientAddress;
use super::value::{Expected, number};
use crate::zab::configuration::HostPort;

/// The address for clients. `server_id` is what `myid` says, if it is there.
pub(super) fn of_clients(
    r: &mut Reader<'_>,
    lines: &Lines,
    server_id: Option<u8>,
) -> ClientAddress {
    let problems_before = r.problems.len();
    let port = r.optional("clientPort", number(0..=u16::MAX));
    let host = r.optional("clientPortAddress", resolve);
    let of_keys = match (port, host) {
        (None, None) => None,
        (None, Some(_)) => {
            if !r.is_written("clientPort") {
                r.problem("clientPortAddress", "clientPort is not set");
            }
            return ClientAddress::All(0);
        }
        (Some(port), None) => Some(ClientAddress::All(port)),
        (Some(port), Some(host)) => Some(listen_on(host, port)),
    };
    let of_line =
        lines.client_address(server_id).and_then(|(key, address)| match of_line(&address) {
            Ok(address) => Some((key, address)),
            Err(expected) => {
                r.problem(&key, format!("expected {expected} behind the semicolon"));
                None
            }
        });
    match (of_keys, of_line) {
        (Some(a), Some((key, b))) if a != b => {
            r.problem(&key, "its client address is another than that of clientPort");
            a
        }
        (Some(address), _) | (None, Some((_, address))) => address,
        (None, None) => {
            // A line that is wrong might have it.
            if r.problems.len() == problems_before && !matches!(lines, Lines::Wrong) {
                r.problem("clientPort", "expected the port for clients; it has no default");
            }
            ClientAddress::All(0)
        }
    }
}

/// What a line's client address means; it names a host always, if only that of all interfaces.
pub(super) fn of_line(address: &HostPort) -> Result<ClientAddress, Expected> {
    Ok(listen_on(resolve(&address.host)?, address.port))
}

/// Compat: the address of no interface means all of both kinds, as it does to Java.
fn listen_on(host: IpAddr, port: u16) -> ClientAddress {
    if host.is_unspecified() {
        ClientAddress::All(port)
    } else {
        ClientAddress::One(SocketAddr::new(host, port))
    }
}

/// The address a name stands for; of several the first of IPv4, as Java has it.
fn resolve(host: &str) -> Result<IpAddr, Expected> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found: Vec<IpAddr> = (host, 0)
        .to_socket_addrs()
        .map_err(|error| format!("an address or a name that can be looked up ({error})"))?
        .map(|address| address.ip())
        .collect();
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or("an address or a name that has one".into())
}
