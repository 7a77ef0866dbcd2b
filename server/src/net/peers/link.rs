//! One connection of the quorum port, as the core sees it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::BytesMut;
use tokio::sync::Notify;

use super::PeerEvent;
use crate::{
    net::Outbox,
    peer::{FromLink, LinkDecoder, LinkError},
    zab::LinkId,
};

/// Bytes received on one link and not dealt with yet above which no more are read from it.
const RECEIVED_MAX: usize = 4 << 20;

/// A connection of the quorum port, at either end. The socket itself belongs to the link's task.
#[derive(Debug)]
pub struct Link {
    /// Never used again by another link of this process.
    pub id: LinkId,
    /// The other end.
    pub remote: SocketAddr,
    /// What waits to be sent.
    pub outbox: Outbox,
    received: AtomicUsize,
    room: Notify,
    forgotten: AtomicBool,
}

impl Link {
    /// A link whose other end may let so many bytes wait for it.
    pub fn new(id: LinkId, remote: SocketAddr, bytes_max: usize) -> Self {
        Self {
            id,
            remote,
            outbox: Outbox::new(bytes_max),
            received: AtomicUsize::new(0),
            room: Notify::new(),
            forgotten: AtomicBool::new(false),
        }
    }

    /// Notes that nobody wants to hear of it any more.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// Whether that was noted.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Whether more may be read.
    pub fn has_room(&self) -> bool {
        self.received.load(Ordering::Acquire) < RECEIVED_MAX
    }

    /// Waits until that changed. Cancel safe.
    pub(super) async fn room(&self) {
        self.room.notified().await;
    }
}

/// Bytes that came by a link and are not dealt with yet: while there are many, the link reads no
/// more. Dropped when they are.
#[derive(Debug, Default)]
pub struct Held(Option<(Arc<Link>, usize)>);

impl Held {
    pub(super) fn by(link: &Arc<Link>, bytes: usize) -> Self {
        link.received.fetch_add(bytes, Ordering::AcqRel);
        Self(Some((link.clone(), bytes)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((link, bytes)) = self.0.take() {
            let before = link.received.fetch_sub(bytes, Ordering::AcqRel);
            if before >= RECEIVED_MAX && before - bytes < RECEIVED_MAX {
                link.room.notify_one();
            }
        }
    }
}

/// What comes by a link, from bytes to events.
#[derive(Debug)]
pub struct LinkInput {
    link: Arc<Link>,
    decoder: LinkDecoder,
    /// What has come and is not an event yet, for others to append to.
    pub bytes: BytesMut,
}

impl LinkInput {
    /// Of a link by which `bytes` came already.
    pub fn new(link: Arc<Link>, decoder: LinkDecoder, bytes: BytesMut) -> Self {
        Self { link, decoder, bytes }
    }

    /// Reports everything that is whole, unless nobody wants to hear of the link any more.
    ///
    /// # Errors
    /// When what came cannot be understood; the link is to be ended then.
    pub fn take(&mut self, mut sink: impl FnMut(PeerEvent)) -> Result<(), LinkError> {
        let link = &self.link;
        let mut report = |event| {
            if !link.is_forgotten() {
                sink(event);
            }
        };
        while let Some(came) = self.decoder.next(&mut self.bytes)? {
            let id = link.id;
            report(match came {
                FromLink::Packets(bytes) => {
                    let held = Held::by(link, bytes.len());
                    PeerEvent::Packets { link: id, bytes, held }
                }
                FromLink::Snapshot { zxid, tree } => PeerEvent::Snapshot { link: id, zxid, tree },
            });
        }
        if self.decoder.is_in_snapshot() {
            report(PeerEvent::Progress { link: link.id });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_dealt_with_holds_up_the_reading() {
        let link = Arc::new(Link::new(LinkId(1), ([127, 0, 0, 1], 2888).into(), 0));
        let a = Held::by(&link, RECEIVED_MAX - 1);
        assert!(link.has_room());
        let b = Held::by(&link, RECEIVED_MAX);
        assert!(!link.has_room());
        drop(a);
        assert!(!link.has_room());
        drop(b);
        assert!(link.has_room());
        link.room().await;
    }
}
