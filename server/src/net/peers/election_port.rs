//! The election port: every server connects to every other one.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tracing::{Instrument, debug, error, info_span, warn};

use super::{
    Settings,
    common::Common,
    dial::tune,
    election_link::{Arrived, ElectionLink, Keeper},
    newcomers::Newcomers,
};
use crate::{
    net::listener::next_connection,
    zab::{
        HostPort, ServerId,
        election::{
            Notification,
            wire::{self, Hello, WireError},
        },
    },
};

/// Connections that have not said yet who they are.
const NEWCOMERS_MAX: usize = 64;
/// Servers that are not in the configuration: they may be about to join, or observe.
const GUESTS_MAX: usize = 64;

/// The connections of the election port.
pub(super) struct ElectionPort {
    common: Arc<Common>,
    /// The handshake with which this server begins.
    hello: Bytes,
    links: Mutex<BTreeMap<ServerId, Arc<ElectionLink>>>,
    newcomers: Arc<Newcomers>,
    guests: Arc<Newcomers>,
}

/// Why nothing became of a connection.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("nothing is heard of it")]
    Silent,
    #[error("too many connections that have not said who they are")]
    TooManyNewcomers,
    #[error("closed by the other end before it said who it is")]
    Closed,
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ElectionPort {
    pub(super) fn new(common: &Arc<Common>) -> Arc<Self> {
        let Settings { server: own, servers, .. } = &common.settings;
        let others = servers.keys().filter(|&server| server != own);
        Arc::new(Self {
            common: common.clone(),
            hello: wire::hello(*own, common.settings.election_addresses(*own)),
            links: Mutex::new(others.map(|&server| (server, Arc::default())).collect()),
            newcomers: Newcomers::new(NEWCOMERS_MAX),
            guests: Newcomers::new(GUESTS_MAX),
        })
    }

    /// Listens, and connects to all members, until the server ends.
    pub(super) fn start(self: &Arc<Self>, listeners: Vec<std::net::TcpListener>) {
        for (&server, link) in &*self.links.lock() {
            let addresses = self.common.settings.election_addresses(server).to_vec();
            let keeper = Keeper { is_member: true, ..self.keeper(server, link, addresses) };
            let span = info_span!("election", %server);
            self.common.spawn_first(async move { keeper.keep().await }.instrument(span));
        }
        for listener in listeners {
            let port = self.clone();
            self.common.spawn_first(async move { port.accept(listener).await });
        }
    }

    /// Sends a notification to a server, if there is or may be a connection.
    pub(super) fn notify(&self, to: ServerId, notification: &Notification) {
        let link = self.links.lock().get(&to).cloned();
        if let Some(link) = link {
            link.say(wire::encode(notification));
        }
    }

    fn keeper(
        &self,
        server: ServerId,
        link: &Arc<ElectionLink>,
        addresses: Vec<HostPort>,
    ) -> Keeper {
        let (common, hello) = (self.common.clone(), self.hello.clone());
        Keeper { common, server, is_member: false, link: link.clone(), addresses, hello }
    }

    async fn accept(self: Arc<Self>, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return error!(%error, "cannot listen on the election port"),
        };
        loop {
            let (stream, remote) = next_connection(&listener).await;
            let port = self.clone();
            let newcomer = self.newcomers.admit();
            let task = async move {
                let arrived = tokio::select! {
                    arrived = port.introduce(stream, remote) => arrived,
                    () = newcomer.turned_out() => Err(Refused::TooManyNewcomers),
                };
                match arrived {
                    Ok((hello, arrived)) => port.meet(hello, arrived),
                    Err(refused) => refused.log(),
                }
            };
            self.common.spawn_first(task.instrument(info_span!("election", %remote)));
        }
    }

    /// Waits for the handshake.
    async fn introduce(
        &self,
        stream: std::net::TcpStream,
        remote: SocketAddr,
    ) -> Result<(Hello, Arrived), Refused> {
        let mut stream = TcpStream::from_std(stream)?;
        tune(&stream)?;
        let mut input = BytesMut::new();
        let hello = async {
            loop {
                if let Some(hello) = wire::decode_hello(&mut input)? {
                    return Ok(hello);
                }
                if stream.read_buf(&mut input).await? == 0 {
                    return Err(Refused::Closed);
                }
            }
        };
        let within = self.common.settings.handshake_timeout;
        let hello = timeout(within, hello).await.map_err(|_| Refused::Silent)??;
        Ok((hello, Arrived { stream, remote, input }))
    }

    /// Leaves the connection to whoever keeps that server's. Of two servers the one with the
    /// larger number connects; the other one is called back, and its own connection is closed.
    fn meet(self: &Arc<Self>, hello: Hello, arrived: Arrived) {
        let (server, own) = (hello.server, self.common.settings.server);
        if server == own {
            return debug!("somebody says that he is this server");
        }
        let mut links = self.links.lock();
        let link = links.entry(server).or_insert_with(|| {
            let link = Arc::default();
            let keeper = self.keeper(server, &link, hello.addresses);
            let span = info_span!(parent: None, "election", %server);
            self.common.spawn_first(self.clone().entertain(keeper).instrument(span));
            link
        });
        if server > own {
            link.arrive(arrived);
        } else {
            link.knock();
        }
    }

    /// Serves a server that is no member as long as it stays connected.
    async fn entertain(self: Arc<Self>, keeper: Keeper) {
        let guest = self.guests.admit();
        loop {
            tokio::select! {
                () = keeper.entertain() => {}
                () = guest.turned_out() => debug!("too many servers that are no members"),
            }
            let mut links = self.links.lock();
            if guest.is_turned_out() || keeper.link.is_idle() {
                links.remove(&keeper.server);
                return;
            }
        }
    }
}

impl Refused {
    fn log(&self) {
        match self {
            Self::Closed | Self::Io(_) => debug!(reason = %self, "refused"),
            _ => warn!(reason = %self, "refused a connection to the election port"),
        }
    }
}
