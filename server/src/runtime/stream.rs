//! What brings a learner to where its leader is: a snapshot if need be, then the log.

use std::sync::Arc;

use bytes::BytesMut;
use quorate_protocol::{Encode, Zxid};
use tracing::{debug, info, warn};

use super::{core::Event, pipeline::Input, shared::Shared};
use crate::{
    net::{End, peers::Link},
    peer::{
        packet::{self, Packet},
        snapshot::SnapshotWriter,
    },
    storage::{
        checkpoint::CheckpointError,
        log::{LogReader, ReadError},
    },
    tree::Tree,
    zab::{Message, SyncPlan},
};

/// Bytes made at a time.
const PIECE: usize = 256 << 10;

/// A stream to a learner. Reads files, so it belongs on a thread of its own.
pub struct Stream {
    /// Where to.
    pub link: Arc<Link>,
    state: State,
    /// To be sent at least.
    until: Zxid,
    piece: BytesMut,
    /// How many bytes were sent.
    bytes: usize,
}

enum State {
    Planned(SyncPlan),
    Snapshot(Box<SnapshotWriter<Tree>>, Zxid),
    Log { sent: Zxid, reader: Option<LogReader> },
}

/// How far a stream has come.
enum Progress {
    /// There is more to come.
    More,
    /// Everything up to there was sent, which is all there is.
    CaughtUp(Zxid),
}

/// Why a stream ended before its time.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    /// The log cannot be read, or has let go what the learner needs.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl StreamError {
    /// Whether durable data is gone: to go on would be to vouch for it, and to send the same
    /// learner away again and again.
    fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Log(ReadError::Corruption(_)) | Self::Checkpoint(CheckpointError::Damaged { .. })
        )
    }
}

impl Stream {
    pub(super) fn begin(link: Arc<Link>, plan: SyncPlan, until: Zxid) -> Self {
        Self::new(link, State::Planned(plan), until)
    }

    /// A stream that goes on behind one that has ended.
    pub(super) fn go_on(link: Arc<Link>, sent: Zxid) -> Self {
        Self::new(link, State::Log { sent, reader: None }, sent)
    }

    fn new(link: Arc<Link>, state: State, until: Zxid) -> Self {
        Self { link, state, until, piece: BytesMut::new(), bytes: 0 }
    }

    /// Sends the next piece as soon as there is room for it; false when the stream has ended,
    /// because it has caught up or because of its link or a failure.
    pub fn advance(&mut self, shared: &Shared) -> bool {
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        let next = self.next(shared, &mut piece);
        let goes_on = match next {
            Ok(Progress::CaughtUp(upto)) => {
                let link = self.link.id;
                info!(link = link.0, %upto, bytes = self.bytes, "a learner has caught up");
                shared.submit(Input::Ensemble(Event::CaughtUp { link, upto }));
                false
            }
            Ok(Progress::More) if self.link.outbox.push(&piece) => {
                self.bytes += piece.len();
                shared.submit(Input::Ensemble(Event::Progress(self.link.id)));
                true
            }
            Ok(Progress::More) => {
                debug!(link = self.link.id.0, "the link of a stream has ended");
                false
            }
            Err(error) if error.is_damage() => {
                shared.process.halt("what this server vouches for is not on its disk", Some(&error))
            }
            Err(error) => {
                let link = self.link.id.0;
                warn!(link, %error, "a learner cannot be brought up to date this way");
                // It comes again.
                self.link.outbox.end(End::Now);
                false
            }
        };
        self.piece = piece;
        goes_on
    }

    /// Appends the next piece to `out`.
    fn next(&mut self, shared: &Shared, out: &mut BytesMut) -> Result<Progress, StreamError> {
        match &mut self.state {
            State::Planned(plan) => {
                self.state = begin(shared, *plan, out)?;
                Ok(Progress::More)
            }
            State::Snapshot(writer, zxid) => {
                if !writer.write(out, PIECE) {
                    self.state = State::Log { sent: *zxid, reader: None };
                }
                Ok(Progress::More)
            }
            State::Log { sent, reader } => {
                let upto = self.until.max(shared.streamable());
                if *sent >= upto {
                    return Ok(Progress::CaughtUp(*sent));
                }
                let reader = match reader {
                    Some(reader) => reader,
                    None => reader.insert(shared.log_source.open(*sent)?),
                };
                while out.len() < PIECE
                    && let Some((zxid, txn)) = reader.next(upto)?
                {
                    packet::put_proposal(out, zxid, txn);
                    packet::put_commit(out, zxid);
                    *sent = zxid;
                }
                Ok(Progress::More)
            }
        }
    }
}

/// The first packet, and what follows.
fn begin(shared: &Shared, plan: SyncPlan, out: &mut BytesMut) -> Result<State, StreamError> {
    let (message, sent) = match plan {
        SyncPlan::Diff { after } => (Message::Diff { last: shared.streamable() }, after),
        SyncPlan::Trunc { to } => (Message::Trunc { to }, to),
        SyncPlan::Snap => return begin_snapshot(shared, out),
    };
    match shared.log_source.open(sent) {
        Ok(reader) => {
            Packet::Zab(message).encode(out);
            Ok(State::Log { sent, reader: Some(reader) })
        }
        Err(ReadError::Gone { .. }) => begin_snapshot(shared, out),
        Err(error) => Err(error.into()),
    }
}

fn begin_snapshot(shared: &Shared, out: &mut BytesMut) -> Result<State, StreamError> {
    let tree = shared.checkpoints.load(shared.tree_seed)?;
    let tree = tree.unwrap_or_else(|| Tree::new(shared.tree_seed));
    let zxid = tree.last_zxid();
    // While this server itself gets a new beginning, the checkpoint may be the one of before. A learner
    // that has more would give that up for nothing, since the log does not go on from there.
    shared.log_source.open(zxid)?;
    info!(%zxid, "a learner gets a snapshot");
    Packet::Zab(Message::Snap { zxid }).encode(out);
    Ok(State::Snapshot(Box::new(SnapshotWriter::new(tree)), zxid))
}
