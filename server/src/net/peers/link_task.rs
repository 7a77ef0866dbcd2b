//! One connection of the quorum port: its socket.
//!
//! Bytes received become whole packets and go to the core; what the core or a stream puts into the
//! outbox is sent. While the task rests, the core's thread sends a lone packet itself.

use std::{convert::Infallible, io, net::Shutdown, sync::Arc, time::Duration};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{net::TcpStream, time::timeout};
use tracing::{debug, warn};

use super::{Link, LinkInput, PeerEvent, common::Common};
use crate::{
    net::{End, connection::send},
    peer::{LinkDecoder, LinkError},
};

/// Bytes waiting to be sent above which the outbox is left alone.
const OUTPUT_HIGH: usize = 256 << 10;
/// Room made for the next bytes from the socket: it grows while reads fill it.
const READ_MIN: usize = 8 << 10;
const READ_MAX: usize = 256 << 10;
/// How long the other end may take for what is sent last.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a link ended, for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkEnded {
    /// The other end closed it.
    #[error("closed by the other server")]
    ByRemote,
    /// The core closed it.
    #[error("closed by this server")]
    ByCore,
    /// The other end leaves too much in the outbox, or what it needs cannot be sent.
    #[error("cut off: it does not take what waits for it, or a stream to it has failed")]
    CutOff,
    /// The other end did not take what was sent last.
    #[error("the other server does not take the last packets")]
    NotFlushed,
    /// This server ends.
    #[error("this server ends")]
    Stopped,
    /// What came cannot be understood.
    #[error(transparent)]
    Nonsense(#[from] LinkError),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LinkEnded {
    /// Tells the operator, if it is of interest.
    pub(super) fn log(&self) {
        match self {
            Self::CutOff | Self::NotFlushed | Self::Nonsense(_) => {
                warn!(reason = %self, "link closed");
            }
            _ => debug!(reason = %self, "link closed"),
        }
    }
}

/// The socket of a link, and what is known of its two streams of bytes.
pub(super) struct LinkTask {
    common: Arc<Common>,
    link: Arc<Link>,
    stream: Arc<TcpStream>,
    input: LinkInput,
    read_size: usize,
    out: BytesMut,
}

impl LinkTask {
    /// Makes a link of a connection; `input` came already. None when there are too many links.
    pub(super) fn new(
        common: &Arc<Common>,
        stream: TcpStream,
        decoder: LinkDecoder,
        input: BytesMut,
    ) -> io::Result<Option<Self>> {
        let remote = stream.peer_addr()?;
        let Some(link) = common.links.open(remote) else { return Ok(None) };
        let stream = Arc::new(stream);
        link.outbox.connect(stream.clone());
        let common = common.clone();
        let input = LinkInput::new(link.clone(), decoder, input);
        let out = BytesMut::new();
        Ok(Some(Self { common, link, stream, input, read_size: READ_MIN, out }))
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Serves the link until it ends.
    pub(super) async fn serve(mut self) -> LinkEnded {
        let common = self.common.clone();
        let ended = tokio::select! {
            Err(ended) = self.converse() => ended,
            () = common.stop.cancelled() => LinkEnded::Stopped,
        };
        if matches!(ended, LinkEnded::Stopped) {
            // What the core said last may be whom to follow now.
            self.link.outbox.take(&mut self.out);
            let _ = send(&self.stream, &mut self.out);
        }
        self.end();
        if !matches!(ended, LinkEnded::Stopped) {
            self.report(PeerEvent::Closed { link: self.link.id });
        }
        if matches!(ended, LinkEnded::ByCore | LinkEnded::Stopped) {
            let _ = timeout(GOODBYE, say_goodbye(&self.stream)).await;
        }
        // The outbox may hold the socket a little longer; the other end need not wait for that.
        let _ = SockRef::from(&*self.stream).shutdown(Shutdown::Both);
        ended
    }

    /// Nothing is kept for it from here on, and a stream to it ends.
    fn end(&self) {
        self.link.outbox.close();
        self.common.links.remove(self.link.id);
    }

    async fn converse(&mut self) -> Result<Infallible, LinkEnded> {
        self.decode()?;
        loop {
            let outbox = &self.link.outbox;
            let end = if self.out.len() < OUTPUT_HIGH {
                outbox.take(&mut self.out)
            } else {
                outbox.ended()
            };
            match end {
                None => {}
                Some(End::Now) => return Err(LinkEnded::CutOff),
                Some(End::AfterFlush) => {
                    let flushed = timeout(GOODBYE, self.flush()).await;
                    return Err(flushed.unwrap_or(LinkEnded::NotFlushed));
                }
            }
            send(&self.stream, &mut self.out)?;
            if self.out.is_empty() && !outbox.rest() {
                continue;
            }
            let may_read = self.link.has_room();
            tokio::select! {
                biased;
                () = outbox.woken() => {}
                ready = self.stream.writable(), if !self.out.is_empty() => ready?,
                ready = self.stream.readable(), if may_read => {
                    ready?;
                    self.receive()?;
                }
                () = self.link.room(), if !may_read => {}
            }
        }
    }

    /// Sends everything that waits.
    async fn flush(&mut self) -> LinkEnded {
        self.link.outbox.take(&mut self.out);
        loop {
            if let Err(error) = send(&self.stream, &mut self.out) {
                return error.into();
            }
            if self.out.is_empty() {
                return LinkEnded::ByCore;
            }
            if let Err(error) = self.stream.writable().await {
                return error.into();
            }
        }
    }

    /// Takes what has come.
    fn receive(&mut self) -> Result<(), LinkEnded> {
        let input = &mut self.input.bytes;
        input.reserve(self.read_size);
        let room = input.capacity() - input.len();
        match self.stream.try_read_buf(input) {
            Ok(0) => return Err(LinkEnded::ByRemote),
            Ok(read) if read == room => self.read_size = (2 * self.read_size).min(READ_MAX),
            Ok(read) if read < self.read_size / 4 => {
                self.read_size = (self.read_size / 2).max(READ_MIN);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.decode()
    }

    /// Hands over everything that is whole.
    fn decode(&mut self) -> Result<(), LinkEnded> {
        let Self { input, common, .. } = self;
        Ok(input.take(|event| (common.sink)(event))?)
    }

    fn report(&self, event: PeerEvent) {
        if !self.link.is_forgotten() {
            (self.common.sink)(event);
        }
    }
}

impl Drop for LinkTask {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends the stream behind what was sent last. What the other end has sent in vain is taken: a
/// socket closed with bytes unread is reset, and the reset may overtake what was sent.
async fn say_goodbye(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)?;
    let mut in_vain = BytesMut::with_capacity(READ_MIN);
    loop {
        in_vain.clear();
        match stream.try_read_buf(&mut in_vain) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
            Err(error) => return Err(error),
        }
    }
}
