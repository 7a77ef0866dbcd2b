//! Servers found by SRV records of DNS (RFC 2782).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::join_all;
use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{RData, rdata::SRV},
};

use crate::{
    error::{Error, ErrorKind},
    session::Endpoint,
};

/// Where the records of a service are.
pub(crate) struct Records {
    resolver: TokioResolver,
    /// `_zookeeper._tcp.NAME`.
    service: String,
}

impl Records {
    /// The records of a name, asked of these DNS servers, or of the system's if there are none.
    pub(crate) fn new(name: &str, dns_servers: &[SocketAddr]) -> Result<Self, Error> {
        let resolver = if dns_servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = dns_servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            let runtime = TokioRuntimeProvider::default();
            Ok(TokioResolver::builder_with_config(config, runtime))
        };
        let resolver = resolver.and_then(ResolverBuilder::build);
        let resolver = resolver.map_err(|error| {
            ErrorKind::Setup(format!("the system's configuration of DNS: {error}").into())
        })?;
        Ok(Self { resolver, service: format!("_zookeeper._tcp.{name}") })
    }

    /// The addresses of the servers that have any, and why the last has none that has not.
    ///
    /// # Errors
    /// When there are no records.
    pub(super) async fn look_up(&self) -> io::Result<(Vec<Endpoint>, Option<io::Error>)> {
        let found = self.resolver.srv_lookup(&*self.service).await.map_err(io::Error::other)?;
        let records: Vec<&SRV> = found
            .answers()
            .iter()
            .filter_map(|record| if let RData::SRV(srv) = &record.data { Some(srv) } else { None })
            // A service that is decidedly not there has the root for its server.
            .filter(|srv| !srv.target.is_root())
            .collect();
        let look_ups = records.iter().map(|srv| self.resolver.lookup_ip(srv.target.clone()));
        let (mut endpoints, mut failure) = (Vec::new(), None);
        for (srv, found) in records.iter().zip(join_all(look_ups).await) {
            match found {
                Ok(addresses) => endpoints.extend(endpoints_of(srv, addresses.iter())),
                Err(error) => {
                    tracing::debug!(host = %srv.target, %error, "name cannot be resolved");
                    failure = Some(io::Error::other(error));
                }
            }
        }
        Ok((endpoints, failure))
    }
}

fn name_server(addr: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = addr.port();
        connection
    });
    NameServerConfig::new(addr.ip(), true, connections.into())
}

/// Servers of one priority are equals: a client shuffles them, whatever their weights.
fn endpoints_of(
    srv: &SRV,
    addresses: impl Iterator<Item = IpAddr>,
) -> impl Iterator<Item = Endpoint> {
    let name = srv.target.to_utf8();
    let name: Arc<str> = name.strip_suffix('.').unwrap_or(&name).into();
    let (port, rank) = (srv.port, srv.priority);
    addresses.map(move |ip| Endpoint { name: Arc::clone(&name), addr: (ip, port).into(), rank })
}
