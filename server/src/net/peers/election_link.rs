//! The connection of the election port to one server.
//!
//! Of two servers the one with the larger number makes the connection. The other one can only
//! knock: it connects, says who it is, and leaves; then it is called back. A link to a member of
//! the ensemble is kept up all the time, so that an election never waits for a connection.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{PeerEvent, bell::Bell, common::Common, election_outgoing::Outgoing};
use crate::zab::{
    HostPort, ServerId,
    election::wire::{self, Frame, WireError},
};

/// Pauses between two tries to connect, the first and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A connection that has lasted for so long is no sign of anything odd. One that is younger is
/// not replaced because the other server knocked: the two have crossed.
const SETTLED: Duration = Duration::from_secs(1);
/// Room made for the next bytes from the socket.
const READ_SIZE: usize = 4 << 10;

/// What everybody may do about the connection to one server.
#[derive(Debug, Default)]
pub(super) struct ElectionLink {
    outgoing: Outgoing,
    /// Rung when there is a reason to connect at once.
    bell: Bell,
    /// The newest connection that the server has made and that is not in use yet.
    arrived: Mutex<Option<Arrived>>,
    arrival: Notify,
}

/// A connection that came through its handshake.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) stream: TcpStream,
    pub(super) remote: SocketAddr,
    /// What came behind the handshake.
    pub(super) input: BytesMut,
}

impl ElectionLink {
    /// Sends a framed notification, in place of one that waits.
    pub(super) fn say(&self, frame: Bytes) {
        if !self.outgoing.say(frame) {
            self.bell.ring();
        }
    }

    /// The server, whose number is the smaller one, wants to be connected to.
    pub(super) fn knock(&self) {
        self.bell.ring();
    }

    /// The server, whose number is the larger one, has connected.
    pub(super) fn arrive(&self, arrived: Arrived) {
        *self.arrived.lock() = Some(arrived);
        self.arrival.notify_one();
    }

    /// Whether nothing waits that a task would have to deal with.
    pub(super) fn is_idle(&self) -> bool {
        self.arrived.lock().is_none()
    }

    /// Waits for a connection that the server makes. Cancel safe.
    async fn arrived(&self) -> Arrived {
        loop {
            if let Some(arrived) = self.arrived.lock().take() {
                return arrived;
            }
            self.arrival.notified().await;
        }
    }
}

/// Why a connection ended, for the log.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("closed by the other server")]
    ByRemote,
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The task that keeps one of these connections.
pub(super) struct Keeper {
    pub(super) common: Arc<Common>,
    pub(super) server: ServerId,
    /// Whether the core is told if there is a connection.
    pub(super) is_member: bool,
    pub(super) link: Arc<ElectionLink>,
    pub(super) addresses: Vec<HostPort>,
    /// The handshake with which this server begins.
    pub(super) hello: Bytes,
}

impl Keeper {
    /// Keeps up the link to a member of the ensemble.
    pub(super) async fn keep(self) {
        let (mut pause, mut is_known) = (Duration::ZERO, false);
        loop {
            let connection = self.connect(pause, is_known).await;
            let settled = self.use_up(connection).await;
            is_known = true;
            pause = match settled {
                false => (2 * pause).clamp(PAUSE_MIN, PAUSE_MAX),
                true if self.makes_connection() => Duration::ZERO,
                // The other server is given the time to connect first.
                true => PAUSE_MIN,
            };
        }
    }

    /// Serves a server that is no member as long as it stays connected.
    pub(super) async fn entertain(&self) {
        let connection = if self.makes_connection() {
            match self.dial().await {
                Ok(connection) => connection,
                Err(error) => return debug!(%error, "cannot call back"),
            }
        } else {
            self.link.arrived().await
        };
        self.use_up(connection).await;
    }

    fn makes_connection(&self) -> bool {
        self.common.settings.server > self.server
    }

    fn report(&self, up: bool) {
        if self.is_member {
            (self.common.sink)(PeerEvent::Reachable { server: self.server, up });
        }
    }

    /// Gets a connection, however long it takes. That there is none is reported, if it is not
    /// known yet.
    async fn connect(&self, mut pause: Duration, mut is_known: bool) -> Arrived {
        loop {
            let tried = async {
                self.occasion(pause).await;
                self.dial().await
            };
            tokio::select! {
                arrived = self.link.arrived() => return arrived,
                dialled = tried => match dialled {
                    Ok(arrived) if self.makes_connection() => return arrived,
                    // Leaves, to be called back.
                    Ok(knocked) => drop(knocked),
                    Err(error) => {
                        debug!(%error, "cannot connect to the election port");
                        if !std::mem::replace(&mut is_known, true) {
                            self.report(false);
                        }
                    }
                },
            }
            pause = (2 * pause).clamp(PAUSE_MIN, PAUSE_MAX);
        }
    }

    /// Waits for the next try. A reason to connect at once cuts it short.
    async fn occasion(&self, pause: Duration) {
        sleep(pause.min(PAUSE_MIN)).await;
        let _ = timeout(pause.saturating_sub(PAUSE_MIN), self.link.bell.rung()).await;
    }

    async fn dial(&self) -> io::Result<Arrived> {
        let Common { dialer, settings, .. } = &*self.common;
        // The server may have got another address: by the old one, another may answer.
        dialer.forget(&self.addresses);
        let mut stream = dialer.dial(&self.addresses, settings.connect_timeout).await?;
        let hello = stream.write_all(&self.hello);
        timeout(settings.handshake_timeout, hello).await.map_err(io::Error::from)??;
        let remote = stream.peer_addr()?;
        Ok(Arrived { stream, remote, input: BytesMut::new() })
    }

    /// Uses a connection, and newer ones in its place, until there is none; true when the last one
    /// was there for some time.
    async fn use_up(&self, mut connection: Arrived) -> bool {
        loop {
            let Arrived { stream, remote, mut input } = connection;
            info!(%remote, "election port connected");
            let stream = Arc::new(stream);
            let since = Instant::now();
            self.link.outgoing.connect(stream.clone());
            self.report(true);
            tokio::select! {
                Err(ended) = self.converse(&stream, &mut input) => {
                    self.link.outgoing.disconnect();
                    self.report(false);
                    match ended {
                        Ended::Wire(error) => warn!(%remote, %error, "election port closed"),
                        ended => debug!(%remote, reason = %ended, "election port closed"),
                    }
                    return since.elapsed() >= SETTLED;
                }
                newer = self.newer() => {
                    if newer.remote.ip() != remote.ip() {
                        warn!(old = %remote, new = %newer.remote, "a server has come from another \
                            address: it has moved, or two say that they have this number");
                    }
                    connection = newer;
                }
            }
        }
    }

    /// Waits for a connection to be used in place of the one there is.
    async fn newer(&self) -> Arrived {
        if !self.makes_connection() {
            return self.link.arrived().await;
        }
        sleep(SETTLED).await;
        self.link.bell.still();
        loop {
            self.link.bell.rung().await;
            if let Ok(newer) = self.dial().await {
                return newer;
            }
        }
    }

    async fn converse(
        &self,
        stream: &TcpStream,
        input: &mut BytesMut,
    ) -> Result<Infallible, Ended> {
        let outgoing = &self.link.outgoing;
        loop {
            self.hear(input)?;
            let all_sent = outgoing.send()?;
            tokio::select! {
                () = outgoing.woken() => {}
                ready = stream.writable(), if !all_sent => ready?,
                ready = stream.readable() => {
                    ready?;
                    input.reserve(READ_SIZE);
                    match stream.try_read_buf(input) {
                        Ok(0) => return Err(Ended::ByRemote),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }

    /// Reports what came whole.
    fn hear(&self, input: &mut BytesMut) -> Result<(), Ended> {
        while let Some(frame) = wire::decode(input)? {
            match frame {
                Frame::Notification(notification) => {
                    let from = self.server;
                    (self.common.sink)(PeerEvent::Notification { from, notification });
                }
                Frame::Unreadable => debug!("a notification cannot be read"),
            }
        }
        Ok(())
    }
}
