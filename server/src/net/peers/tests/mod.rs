//! Servers and strangers that meet on loopback.

mod election;
mod hostile;
mod quorum;

use std::{collections::BTreeMap, io::Read, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use quorate_protocol::Zxid;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::mpsc,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::zab::{
    HostPort, Member, Server,
    election::{PeerState, Vote},
};

/// Longer than anything here takes.
const AT_MOST: Duration = Duration::from_mins(1);
const PACKET_MAX: usize = 1 << 20;

/// Waits for something that must come.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(AT_MOST, future).await.expect("nothing came")
}

fn host_port(address: SocketAddr) -> HostPort {
    HostPort { host: address.ip().to_string(), port: address.port() }
}

fn server(election: SocketAddr, quorum: SocketAddr) -> Server {
    Server {
        quorum: vec![host_port(quorum)],
        election: vec![host_port(election)],
        client: None,
        secure_client: None,
        member: Member::Participant,
        group: None,
        weight: 1,
    }
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap()
}

fn settings(own: i64, servers: BTreeMap<ServerId, Server>) -> Settings {
    Settings {
        server: ServerId(own),
        servers,
        listen_on_all: false,
        connect_timeout: Duration::from_secs(5),
        handshake_timeout: Duration::from_secs(10),
        first_packet_timeout: Duration::from_secs(10),
        leader_timeout: Duration::from_secs(10),
        packet_max: PACKET_MAX,
        seed: 1,
    }
}

/// The ports of a server that is about to start.
struct Place {
    ports: Ports,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let ports = Ports::bind(&server(any_port(), any_port()), false).unwrap();
        let address = |listeners: &[std::net::TcpListener]| listeners[0].local_addr().unwrap();
        let server = server(address(&ports.election), address(&ports.quorum));
        Self { ports, server }
    }

    fn start(self, settings: Settings) -> Node {
        let (sender, events) = mpsc::unbounded_channel();
        let sink: Sink = Arc::new(move |event| drop(sender.send(event)));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let threads = vec![Handle::current()];
        let peers = Peers::new(settings, threads, tasks.clone(), stop.clone(), sink);
        peers.start(self.ports);
        Node { peers, events, server: self.server, stop, tasks }
    }
}

/// A running server.
struct Node {
    peers: Peers,
    events: mpsc::UnboundedReceiver<PeerEvent>,
    server: Server,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Node {
    /// A server with this number that knows others.
    fn alone(own: i64, others: &[(i64, Server)]) -> Self {
        let place = Place::new();
        let mut servers: BTreeMap<_, _> =
            others.iter().map(|(id, server)| (ServerId(*id), server.clone())).collect();
        servers.insert(ServerId(own), place.server.clone());
        place.start(settings(own, servers))
    }

    /// Servers that know each other, started together.
    fn ensemble(numbers: &[i64]) -> Vec<Self> {
        let places: Vec<_> = numbers.iter().map(|&own| (own, Place::new())).collect();
        let servers: BTreeMap<_, _> =
            places.iter().map(|(own, place)| (ServerId(*own), place.server.clone())).collect();
        places.into_iter().map(|(own, place)| place.start(settings(own, servers.clone()))).collect()
    }

    async fn event(&mut self) -> PeerEvent {
        soon(self.events.recv()).await.expect("the sink is kept")
    }

    /// The next event must be that the election port's connection is there, or is gone.
    async fn expect_reachable(&mut self, server: i64, up: bool) {
        let event = self.event().await;
        let PeerEvent::Reachable { server: found, up: is_up } = event else { panic!("{event:?}") };
        assert_eq!((found, is_up), (ServerId(server), up));
    }

    /// The next event must be this notification.
    async fn expect_notification(&mut self, from: i64, round: i64) {
        let event = self.event().await;
        let PeerEvent::Notification { from: found, notification: n } = event else {
            panic!("{event:?}")
        };
        assert_eq!((found, n), (ServerId(from), notification(round)));
    }

    /// The next event must be a learner.
    async fn expect_accepted(&mut self) -> Arc<Link> {
        let event = self.event().await;
        let PeerEvent::Accepted { link } = event else { panic!("{event:?}") };
        assert_eq!(self.peers.link(link.id).unwrap().id, link.id);
        link
    }

    /// The next event must be that the leader is connected.
    async fn expect_connected(&mut self, leader: i64) -> Arc<Link> {
        let event = self.event().await;
        let PeerEvent::Connected { leader: found, link } = event else { panic!("{event:?}") };
        assert_eq!(found, ServerId(leader));
        link
    }

    /// The next events must be these packets of a link.
    async fn expect_packets(&mut self, link: &Link, mut expected: &[u8]) {
        while !expected.is_empty() {
            let event = self.event().await;
            let PeerEvent::Packets { link: found, bytes, .. } = event else { panic!("{event:?}") };
            assert_eq!(found, link.id);
            expected = expected.strip_prefix(&bytes[..]).expect("the packets as they were sent");
        }
    }

    /// The next event must be the end of this link.
    async fn expect_closed(&mut self, link: &Link) {
        let event = self.event().await;
        let PeerEvent::Closed { link: found } = event else { panic!("{event:?}") };
        assert_eq!(found, link.id);
        assert!(self.peers.link(found).is_none());
    }

    fn expect_nothing(&mut self) {
        if let Ok(event) = self.events.try_recv() {
            panic!("{event:?}");
        }
    }

    fn election_address(&self) -> SocketAddr {
        self.server.election[0].to_string().parse().unwrap()
    }

    fn quorum_address(&self) -> SocketAddr {
        self.server.quorum[0].to_string().parse().unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

fn notification(round: i64) -> Notification {
    Notification {
        state: PeerState::Looking,
        vote: Vote { leader: ServerId(3), zxid: Zxid(7), epoch: 1 },
        round,
        config: b"version=0".to_vec(),
    }
}

/// A packet without identities, as most are.
fn packet(kind: i32, zxid: i64, data: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i32(kind);
    out.put_i64(zxid);
    out.put_i32(i32::try_from(data.len()).unwrap());
    out.extend_from_slice(data);
    out.put_i32(-1);
    out.freeze()
}

/// `FOLLOWERINFO`.
fn learner_info() -> Bytes {
    packet(11, 0, &[0; 20])
}

/// The other end of a connection, in the hands of the test.
struct Stranger(TcpStream);

impl Stranger {
    async fn connect(to: SocketAddr) -> Self {
        Self(soon(TcpStream::connect(to)).await.unwrap())
    }

    async fn accept(listener: &TcpListener) -> Self {
        Self(soon(listener.accept()).await.unwrap().0)
    }

    async fn send(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.unwrap();
    }

    /// These bytes must come next.
    async fn expect(&mut self, bytes: &[u8]) {
        let mut received = vec![0; bytes.len()];
        soon(self.0.read_exact(&mut received)).await.unwrap();
        assert_eq!(received, bytes);
    }

    /// These bytes must be here already, without any task having run.
    fn expect_here(&mut self, bytes: &[u8]) {
        let mut here = vec![0; bytes.len() + 1];
        let length = (&*SockRef::from(&self.0)).read(&mut here).expect("something is here");
        assert_eq!(&here[..length], bytes);
    }

    /// Nothing more must come but the end.
    async fn expect_end(mut self) {
        let mut byte = [0];
        match soon(self.0.read(&mut byte)).await {
            Ok(0) => {}
            Ok(_) => panic!("more came"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}
