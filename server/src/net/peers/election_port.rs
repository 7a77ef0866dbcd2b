//! The election port: every server connects to every other one.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info_span, warn};

use super::{
    common::Common,
    dial::tune,
    election_link::{Arrived, ElectionLink, Keeper},
    newcomers::Newcomers,
};
use crate::{
    net::listener::next_connection,
    zab::{
        HostPort, Server, ServerId,
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
    hello: Mutex<Bytes>,
    posts: Mutex<BTreeMap<ServerId, Post>>,
    newcomers: Arc<Newcomers>,
    guests: Arc<Newcomers>,
}

/// A server, as it is served.
struct Post {
    link: Arc<ElectionLink>,
    /// Where it is reached, if it is a member.
    member: Option<Vec<HostPort>>,
    /// Ends the task that serves it.
    stop: CancellationToken,
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
        let own = common.settings.server;
        Arc::new(Self {
            common: common.clone(),
            hello: Mutex::new(wire::hello(own, &common.election_addresses(own))),
            posts: Mutex::default(),
            newcomers: Newcomers::new(NEWCOMERS_MAX),
            guests: Newcomers::new(GUESTS_MAX),
        })
    }

    /// Listens until `stop`.
    pub(super) fn listen(
        self: &Arc<Self>,
        listeners: Vec<std::net::TcpListener>,
        stop: &CancellationToken,
    ) {
        for listener in listeners {
            let port = self.clone();
            self.common.spawn_until(stop.clone(), async move { port.accept(listener).await });
        }
    }

    /// Connects to these members and no others, until the server ends. Connections to those that
    /// have not moved stay.
    pub(super) fn keep(&self, members: &BTreeMap<ServerId, Server>) {
        let own = self.common.settings.server;
        if let Some(member) = members.get(&own) {
            *self.hello.lock() = wire::hello(own, &member.election);
        }
        let others = members.iter().filter(|(server, _)| **server != own);
        let others: BTreeMap<_, _> = others.map(|(id, server)| (*id, &server.election)).collect();
        let mut posts = self.posts.lock();
        posts.retain(|server, post| {
            let stays = match (&post.member, others.get(server)) {
                (Some(addresses), Some(now)) => addresses == *now,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !stays {
                post.stop.cancel();
            }
            stays
        });
        for (server, addresses) in others {
            posts.entry(server).or_insert_with(|| {
                let (link, stop) = (Arc::default(), self.common.stop.child_token());
                let keeper = self.keeper(server, &link, addresses.clone());
                let keeper = Keeper { is_member: true, ..keeper };
                // Asked for by whoever drives the core, which has nothing to do with it.
                let span = info_span!(parent: None, "election", %server);
                let task = async move { keeper.keep().await }.instrument(span);
                self.common.spawn_until(stop.clone(), task);
                Post { link, member: Some(addresses.clone()), stop }
            });
        }
    }

    /// Sends a notification to a server, if there is or may be a connection.
    pub(super) fn notify(&self, to: ServerId, notification: &Notification) {
        let link = self.posts.lock().get(&to).map(|post| post.link.clone());
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
        let (common, hello) = (self.common.clone(), self.hello.lock().clone());
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
        let mut posts = self.posts.lock();
        let post = posts.entry(server).or_insert_with(|| {
            let (link, stop) = (Arc::default(), self.common.stop.child_token());
            let keeper = self.keeper(server, &link, hello.addresses);
            let span = info_span!(parent: None, "election", %server);
            let task = self.clone().entertain(keeper).instrument(span);
            self.common.spawn_until(stop.clone(), task);
            Post { link, member: None, stop }
        });
        if server > own {
            post.link.arrive(arrived);
        } else {
            post.link.knock();
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
            let mut posts = self.posts.lock();
            let is_its = |post: &Post| Arc::ptr_eq(&post.link, &keeper.link);
            if !posts.get(&keeper.server).is_some_and(is_its) {
                return;
            }
            if guest.is_turned_out() || keeper.link.is_idle() {
                posts.remove(&keeper.server);
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
