//! Where to listen for clients, from `clientPort`, `clientPortAddress` and a `server.N` line.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use super::reader::Reader;
use super::settings::ClientAddress;
use super::value::{Expected, boolean, number};

/// The address for clients. `server_id` is what `myid` says, if it is there.
pub(super) fn of_clients(r: &mut Reader<'_>, server_id: Option<u8>) -> ClientAddress {
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
    let of_line = of_server_line(r, server_id);
    match (of_keys, of_line) {
        (Some(a), Some((key, b))) if a != b => {
            r.problem(&key, "its client address is another than that of clientPort");
            a
        }
        (Some(address), _) | (None, Some((_, address))) => address,
        (None, None) => {
            if r.problems.len() == problems_before {
                r.problem("clientPort", "expected the port for clients; it has no default");
            }
            ClientAddress::All(0)
        }
    }
}

/// The client address in this server's own line, with the line's key.
///
/// Compat: one line alone is a standalone server, as in ZooKeeper, and the line's other addresses
/// mean nothing then. `standaloneEnabled=false` makes an ensemble of one of it.
fn of_server_line(r: &mut Reader<'_>, server_id: Option<u8>) -> Option<(String, ClientAddress)> {
    let standalone = r.get("standaloneEnabled", boolean);
    let lines = r.family("server.N");
    let &[(id, line)] = lines.as_slice() else {
        for (id, _) in lines {
            r.problem(&format!("server.{id}"), "ensembles are not built yet; keep one server line");
        }
        return None;
    };
    let key = format!("server.{id}");
    if !standalone {
        r.problem(&key, "ensembles are not built yet; set standaloneEnabled to true");
        return None;
    }
    let Ok(id) = number(0..=u8::MAX)(id) else {
        r.problem(&key, "expected a server's number from 0 to 255 in the key");
        return None;
    };
    let (servers, client) = line.split_once(';').unwrap_or((line, ""));
    if servers.split('|').any(|server| server.trim().to_lowercase().ends_with(":observer")) {
        r.problem(&key, "observers are not built yet");
        return None;
    }
    if let Some(own) = server_id.filter(|&own| own != id) {
        r.warn(format!("{key} is not this server, which is {own} by myid"));
        return None;
    }
    if client.trim().is_empty() {
        return None;
    }
    match client_address(client.trim()) {
        Ok(address) => Some((key, address)),
        Err(expected) => {
            r.problem(&key, format!("expected {expected} behind the semicolon"));
            None
        }
    }
}

/// `[address:]port`.
fn client_address(text: &str) -> Result<ClientAddress, Expected> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, text),
    };
    let port = number(0..=u16::MAX)(port)?;
    let Some(host) = host else { return Ok(ClientAddress::All(port)) };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(listen_on(resolve(host)?, port))
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
