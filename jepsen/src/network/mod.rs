//! The network between servers, and between clients and servers: proxies on loopback whose links
//! can be cut, one direction at a time.
//!
//! Each server has its own view of its peers' addresses: for server `i`, the quorum and election
//! ports of server `j` are proxies of `i`'s own. Servers connect to each other in whichever
//! direction they like, so what is cut is not a connection but the bytes from one to the other:
//! a [`Link`] is looked up by who sends and who receives, whoever has connected.

mod handshake;
mod link;
mod proxy;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

pub use link::{Link, State};
use proxy::{Port, Target};
use tokio::{net::TcpListener, task::JoinSet};

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// All clients.
    Clients,
    /// A server, by index.
    Server(usize),
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Clients => f.write_str("clients"),
            Self::Server(index) => write!(f, "{}", index + 1),
        }
    }
}

/// The ports a server really listens on, all on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// For clients.
    pub client: u16,
    /// For learners, when it leads.
    pub quorum: u16,
    /// For votes.
    pub election: u16,
}

/// Where the proxies of one server for one peer listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddrs {
    /// In front of the peer's quorum port.
    pub quorum: SocketAddr,
    /// In front of its election port.
    pub election: SocketAddr,
}

/// All links and the proxies on them. Must be made inside a tokio runtime; ends with the value.
#[derive(Debug)]
pub struct Network {
    links: link::Links,
    clients: Vec<SocketAddr>,
    peers: Vec<Vec<Option<PeerAddrs>>>,
    // Aborted when dropped.
    _proxies: JoinSet<()>,
}

impl Network {
    /// Opens the proxies in front of servers on `ports`; all links pass.
    pub async fn open(ports: &[Ports]) -> io::Result<Self> {
        let links = link::Links::new(ports.len());
        let mut proxies = JoinSet::new();
        let mut clients = Vec::new();
        for (j, server) in ports.iter().enumerate() {
            let (listener, addr) = listen().await?;
            let target = Target { addr: loopback(server.client), port: Port::Client };
            let route = links.route(Node::Clients, Node::Server(j));
            proxies.spawn(proxy::run(listener, target, route));
            clients.push(addr);
        }
        let mut peers = vec![vec![None; ports.len()]; ports.len()];
        let mut elections = Vec::new();
        for (i, row) in peers.iter_mut().enumerate() {
            for (j, server) in ports.iter().enumerate().filter(|&(j, _)| j != i) {
                let route = links.route(Node::Server(i), Node::Server(j));
                let (listener, quorum) = listen().await?;
                let target = Target { addr: loopback(server.quorum), port: Port::Quorum };
                proxies.spawn(proxy::run(listener, target, route.clone()));
                let (listener, election) = listen().await?;
                elections.push((i, j, listener, route));
                row[j] = Some(PeerAddrs { quorum, election });
            }
        }
        for (i, j, listener, route) in elections {
            // Who connects tells its own election address, and the peer may call back there: it
            // has to come through the proxy too.
            let back = peers[j][i].map(|addrs: PeerAddrs| addrs.election);
            let port = Port::Election(back.expect("each server has proxies for each other"));
            let target = Target { addr: loopback(ports[j].election), port };
            proxies.spawn(proxy::run(listener, target, route));
        }
        Ok(Self { links, clients, peers, _proxies: proxies })
    }

    /// Where clients reach the servers, by index.
    pub fn clients(&self) -> &[SocketAddr] {
        &self.clients
    }

    /// Where server `from` reaches server `to`.
    ///
    /// # Panics
    /// When they are the same.
    pub fn peer(&self, from: usize, to: usize) -> PeerAddrs {
        self.peers[from][to].expect("a server does not connect to itself")
    }

    /// Changes what happens to bytes from one node to another, on present and future connections.
    pub fn set(&self, from: Node, to: Node, link: Link) {
        self.links.set(from, to, link);
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.links.heal();
    }
}

async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests;
