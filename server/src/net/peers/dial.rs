//! Connecting to other servers.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};

use crate::zab::HostPort;

/// When a connection on which nothing is sent begins to ask whether the other end is still there,
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
/// and how often it asks.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long the other end's system may answer nothing, to what is sent or asked, before the
/// connection is gone.
const GONE_AFTER: Duration = Duration::from_secs(11);

/// Connects to servers by name, and remembers where names led to.
#[derive(Debug, Default)]
pub(super) struct Dialer {
    found: Mutex<BTreeMap<String, Vec<IpAddr>>>,
}

impl Dialer {
    /// Connects to the address that answers first. Names that led nowhere are looked up again the
    /// next time.
    pub(super) async fn dial(
        &self,
        addresses: &[HostPort],
        within: Duration,
    ) -> io::Result<TcpStream> {
        let connected = timeout(within, self.race(addresses)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if stream.is_err() {
            self.forget(addresses);
        }
        stream
    }

    /// Has names looked up again: they may lead elsewhere by now.
    pub(super) fn forget(&self, addresses: &[HostPort]) {
        let mut found = self.found.lock();
        for address in addresses {
            found.remove(&address.host);
        }
    }

    async fn race(&self, addresses: &[HostPort]) -> io::Result<TcpStream> {
        let mut tries = JoinSet::new();
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match self.look_up(address).await {
                Ok(ips) => {
                    for ip in ips {
                        tries.spawn(connect(SocketAddr::new(ip, address.port)));
                    }
                }
                Err(error) => failure = error,
            }
        }
        while let Some(tried) = tries.join_next().await {
            match tried {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    async fn look_up(&self, address: &HostPort) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = address.host.parse() {
            return Ok(vec![ip]);
        }
        if let Some(ips) = self.found.lock().get(&address.host) {
            return Ok(ips.clone());
        }
        let found = lookup_host((address.host.as_str(), address.port)).await?;
        let ips: Vec<_> = found.map(|address| address.ip()).collect();
        self.found.lock().insert(address.host.clone(), ips.clone());
        Ok(ips)
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    // A port that nobody listens on may be the one that the system gives to our own end.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    tune(&stream)?;
    Ok(stream)
}

/// What connections between servers have in common: nothing sent is held back, and a server that
/// lost its power is noticed.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(GONE_AFTER))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn address(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    #[tokio::test]
    async fn the_address_that_answers_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = silent.local_addr().unwrap().port();
        drop(silent);
        let dialer = Dialer::default();
        let addresses = [address("127.0.0.1", refused), address("localhost", port)];
        let stream = dialer.dial(&addresses, SOON).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
        assert!(dialer.found.lock().contains_key("localhost"), "remembered");
        dialer.dial(&[address("localhost", refused)], SOON).await.unwrap_err();
        assert!(dialer.found.lock().is_empty(), "to be looked up again");
    }

    #[tokio::test]
    async fn no_address_is_no_connection() {
        let error = Dialer::default().dial(&[], SOON).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
