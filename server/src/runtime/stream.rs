//! What brings a learner to where its leader is: a snapshot if need be, then the log.

use std::sync::Arc;

use bytes::BytesMut;
use quorate_protocol::{Encode, Zxid};
use tracing::info;

use super::shared::Shared;
use crate::{
    net::peers::Link,
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
}

enum State {
    Planned(SyncPlan),
    Snapshot(Box<SnapshotWriter<Tree>>, Zxid),
    Log { sent: Zxid, reader: Option<LogReader> },
}

/// How far a stream has come.
pub enum Progress {
    /// There is more to come.
    More,
    /// Everything up to there was sent, which is all there is.
    CaughtUp(Zxid),
}

/// Why a stream ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The log cannot be read, or has let go what the learner needs.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Stream {
    pub(super) fn begin(link: Arc<Link>, plan: SyncPlan, until: Zxid) -> Self {
        Self { link, state: State::Planned(plan), until }
    }

    /// A stream that goes on behind one that has ended.
    pub(super) fn go_on(link: Arc<Link>, sent: Zxid) -> Self {
        Self { link, state: State::Log { sent, reader: None }, until: sent }
    }

    /// Appends the next piece to `out`.
    ///
    /// # Errors
    /// The learner cannot be brought up to date this way; its link is to be closed, and it comes
    /// again.
    pub fn next(&mut self, shared: &Shared, out: &mut BytesMut) -> Result<Progress, StreamError> {
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

/// The first packet, and what follows. What was planned from what the log once had is a snapshot
/// when the log's beginning has been let go since.
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
    info!(%zxid, "a learner gets a snapshot");
    Packet::Zab(Message::Snap { zxid }).encode(out);
    Ok(State::Snapshot(Box::new(SnapshotWriter::new(tree)), zxid))
}
