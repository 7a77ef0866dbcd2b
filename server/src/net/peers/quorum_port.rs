//! The quorum port: learners connect to the leader.
//!
//! ZooKeeper opens this port on the leader alone. Here it is always open, and whoever introduces
//! himself as a learner becomes a link: a learner may have heard of the election's result before
//! the leader has, and only the core knows what to do with it.

use std::{io, sync::Arc};

use bytes::BytesMut;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug, error, field, info_span, warn};

use super::{
    PeerEvent, Settings,
    common::{Common, LINKS_MAX},
    dial::tune,
    link_task::LinkTask,
    newcomers::Newcomers,
};
use crate::{
    net::listener::next_connection,
    peer::{
        LinkDecoder,
        packet::{PacketError, PacketType, peek_packet},
    },
};

/// Connections that have not sent their first packet yet.
const NEWCOMERS_MAX: usize = 64;
/// Length of a learner's first packet: who it is, in a few dozen bytes.
const FIRST_PACKET_MAX: usize = 1024;
/// The kinds of a learner's first packet: `FOLLOWERINFO` and `OBSERVERINFO`.
const LEARNER_INFO: [i32; 2] = [11, 16];

/// Why nothing became of a connection.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Whoever it is, he does not want to learn.
    #[error("packet {0} is no learner's first packet")]
    NoLearner(PacketType),
    /// He says nothing.
    #[error("no first packet in time")]
    Silent,
    /// Others came after him.
    #[error("too many connections that have not introduced themselves")]
    TooManyNewcomers,
    /// He has gone.
    #[error("closed by the other end before its first packet")]
    Closed,
    /// What he says cannot be understood.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Listens until `stop`.
pub(super) fn start(
    common: &Arc<Common>,
    listeners: Vec<std::net::TcpListener>,
    stop: &CancellationToken,
) {
    let newcomers = Newcomers::new(NEWCOMERS_MAX);
    for listener in listeners {
        let port = Port { common: common.clone(), newcomers: newcomers.clone() };
        common.spawn_until(stop.clone(), async move { port.accept(listener).await });
    }
}

/// One listening socket.
struct Port {
    common: Arc<Common>,
    newcomers: Arc<Newcomers>,
}

impl Port {
    async fn accept(&self, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return error!(%error, "cannot listen on the quorum port"),
        };
        loop {
            let (stream, remote) = next_connection(&listener).await;
            let (common, newcomer) = (self.common.clone(), self.newcomers.admit());
            let span = info_span!("learner", %remote, link = field::Empty);
            let task = async move {
                let introduced = tokio::select! {
                    introduced = introduce(&common.settings, stream) => introduced,
                    () = newcomer.turned_out() => Err(Refused::TooManyNewcomers),
                    () = common.stop.cancelled() => return,
                };
                drop(newcomer);
                match introduced {
                    Ok((stream, input)) => serve(&common, stream, input).await,
                    Err(refused) => refused.log(),
                }
            };
            self.common.spawn(task.instrument(span));
        }
    }
}

impl Refused {
    fn log(&self) {
        match self {
            Self::Closed | Self::Io(_) => debug!(reason = %self, "refused"),
            _ => warn!(reason = %self, "refused a connection to the quorum port"),
        }
    }
}

/// Waits for the first packet.
async fn introduce(
    settings: &Settings,
    stream: std::net::TcpStream,
) -> Result<(TcpStream, BytesMut), Refused> {
    // Now it belongs to the thread that this task runs on.
    let mut stream = TcpStream::from_std(stream)?;
    tune(&stream)?;
    let mut input = BytesMut::new();
    let received = first_packet(&mut stream, &mut input);
    timeout(settings.first_packet_timeout, received).await.map_err(|_| Refused::Silent)??;
    Ok((stream, input))
}

/// Receives at least the first packet.
async fn first_packet(stream: &mut TcpStream, input: &mut BytesMut) -> Result<(), Refused> {
    loop {
        if has_introduced_itself(input)? {
            return Ok(());
        }
        if stream.read_buf(input).await? == 0 {
            return Err(Refused::Closed);
        }
    }
}

/// Whether a learner's first packet is there whole.
///
/// # Errors
/// When what came is none.
pub fn has_introduced_itself(input: &[u8]) -> Result<bool, Refused> {
    // Garbage is not waited for to become a packet.
    let kind = input.first_chunk().map(|kind| i32::from_be_bytes(*kind));
    if let Some(kind) = kind.filter(|kind| !LEARNER_INFO.contains(kind)) {
        return Err(Refused::NoLearner(PacketType(kind)));
    }
    Ok(peek_packet(input, FIRST_PACKET_MAX)?.is_some())
}

async fn serve(common: &Arc<Common>, stream: TcpStream, input: BytesMut) {
    let decoder = LinkDecoder::from_learner(common.settings.packet_max);
    match LinkTask::new(common, stream, decoder, input) {
        Ok(Some(task)) => {
            let link = task.link().clone();
            Span::current().record("link", link.id.0);
            (common.sink)(PeerEvent::Accepted { link });
            task.serve().await.log();
        }
        Ok(None) => warn!(most = LINKS_MAX, "refused a connection: too many learners"),
        Err(error) => debug!(%error, "connection ended"),
    }
}
