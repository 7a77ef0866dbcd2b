//! Which servers there are, found anew before each round of attempts.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::connector::Connector;
use crate::{error::Disconnect, hosts::Host, session::Endpoint};

/// How long looking up a name may take.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(10);

/// Where it is written which servers there are.
pub(crate) enum Directory {
    /// In the connect string.
    Hosts(Vec<Host>),
    /// In the SRV records of DNS.
    #[cfg(feature = "srv")]
    Records(Box<super::srv::Records>),
}

/// The addresses of all servers that have any; at least one.
pub(super) async fn find_servers(
    connector: &dyn Connector,
    directory: &Directory,
) -> Result<Vec<Endpoint>, Disconnect> {
    let (found, failure) = match directory {
        Directory::Hosts(hosts) => resolve_all(connector, hosts).await,
        #[cfg(feature = "srv")]
        Directory::Records(records) => {
            in_time(records.look_up()).await.unwrap_or_else(|failure| (Vec::new(), Some(failure)))
        }
    };
    if found.is_empty() { Err(Disconnect::Unresolved(failure)) } else { Ok(found) }
}

/// The addresses of all hosts that have any, and why the last has none that has not.
async fn resolve_all(
    connector: &dyn Connector,
    hosts: &[Host],
) -> (Vec<Endpoint>, Option<io::Error>) {
    let (mut endpoints, mut failure) = (Vec::new(), None);
    let look_ups = hosts.iter().map(|host| in_time(connector.resolve(host)));
    for (host, found) in hosts.iter().zip(join_all(look_ups).await) {
        match found {
            Ok(found) => {
                let name: Arc<str> = host.name().into();
                let endpoint = |addr| Endpoint { name: Arc::clone(&name), addr, rank: 0 };
                endpoints.extend(found.into_iter().map(endpoint));
            }
            Err(error) => {
                tracing::debug!(%host, %error, "name cannot be resolved");
                failure = Some(error);
            }
        }
    }
    (endpoints, failure)
}

async fn in_time<T>(look_up: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let found = timeout(RESOLVE_PATIENCE, look_up).await;
    found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
