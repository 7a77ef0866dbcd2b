//! What comes by a link of the quorum port, cut into what can be worked on.

use bytes::{Bytes, BytesMut};
use quorate_protocol::Zxid;

use super::{
    PacketError,
    packet::{peek_packet, snapshot_announced},
    snapshot::{Received, SnapshotError, SnapshotReceiver},
};
use crate::tree::Tree;

/// What came.
#[derive(Debug)]
pub enum FromLink {
    /// One or more whole packets. A `SNAP` is the last of them: its snapshot is next.
    Packets(Bytes),
    /// The snapshot that was announced. See [`SnapshotReceiver`] on how exact it is.
    Snapshot {
        /// Its last transaction.
        zxid: Zxid,
        /// The tree.
        tree: Box<Tree>,
    },
}

/// Bytes that are nothing a link carries. Nothing behind them can be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No packet.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// No snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Cuts the bytes of a link into packets and snapshots.
#[derive(Debug)]
pub struct LinkDecoder {
    limit: usize,
    peer: Peer,
}

/// Who is at the other end.
#[derive(Debug)]
enum Peer {
    Learner,
    Leader { seed: u64, snapshot: Option<(Zxid, Box<SnapshotReceiver>)> },
}

impl LinkDecoder {
    /// A decoder of what a learner sends. No packet's data is longer than `limit`.
    pub fn from_learner(limit: usize) -> Self {
        Self { limit, peer: Peer::Learner }
    }

    /// A decoder of what a leader sends: snapshots among the packets. Nothing in them is longer
    /// than `limit` either; for `seed` see [`Tree::new`].
    pub fn from_leader(limit: usize, seed: u64) -> Self {
        Self { limit, peer: Peer::Leader { seed, snapshot: None } }
    }

    /// Whether a snapshot has begun and is not complete.
    pub fn is_in_snapshot(&self) -> bool {
        matches!(self.peer, Peer::Leader { snapshot: Some(_), .. })
    }

    /// Takes from the beginning of `input` what has come and is complete; `None` when that is
    /// nothing (but bytes of a snapshot can be gone from `input` all the same). Packets share the
    /// memory of `input`.
    ///
    /// # Errors
    /// When the stream cannot be understood any further.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<FromLink>, LinkError> {
        if let Peer::Leader { snapshot, .. } = &mut self.peer
            && let Some((zxid, receiver)) = snapshot
        {
            let zxid = *zxid;
            return Ok(match receiver.receive(input)? {
                Received::Incomplete => None,
                Received::Tree(tree) => {
                    *snapshot = None;
                    Some(FromLink::Snapshot { zxid, tree })
                }
            });
        }
        let end = self.whole_packets(input)?;
        Ok((end > 0).then(|| FromLink::Packets(input.split_to(end).freeze())))
    }

    /// How many bytes in front are whole packets, up to one that announces a snapshot.
    fn whole_packets(&mut self, input: &[u8]) -> Result<usize, LinkError> {
        let mut end = 0;
        loop {
            let rest = &input[end..];
            let length = match peek_packet(rest, self.limit) {
                Ok(None) => return Ok(end),
                // What is in front of it is not lost.
                Err(_) if end > 0 => return Ok(end),
                Ok(Some(length)) => length,
                Err(error) => return Err(error.into()),
            };
            end += length;
            if let Peer::Leader { seed, snapshot } = &mut self.peer
                && let Some(zxid) = snapshot_announced(rest)
            {
                let receiver = SnapshotReceiver::new(zxid, self.limit, *seed);
                *snapshot = Some((zxid, Box::new(receiver)));
                return Ok(end);
            }
        }
    }
}
