//! Mistakes that are planted in all servers of a run, around them, to see that the checks find
//! what they are there for.

use std::{iter, ops::Range, path::Path, sync::Arc};

use bytes::BytesMut;
use quorate_protocol::{
    Decode, Decoder, OpCode, Xid,
    record::{EventType, ReplyHeader, WatcherEvent},
};
use quorate_server::{
    config::Settings,
    peer::packet::{self, Packet, decode_from_leader},
    storage::fs::{File, Fs, Lock, Result},
    zab::Message,
};

use crate::sim::server::Command;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// None.
    Nothing,
    /// What is to be made durable is not: everything is acknowledged and promised too early.
    SyncsNothing,
    /// Names are not made durable: of segments, of snapshots, of what takes their place.
    SyncsNoFolder,
    /// A server counts its own vote as a majority.
    IsItsOwnQuorum,
    /// A learner keeps what its leader wants to have cut off.
    CutsNothing,
    /// A leader takes its pings for their answers: it does not notice that nobody follows it any
    /// more, and what proves to it that it leads proves nothing.
    HearsItsOwnPings,
    /// A server takes clients that have seen what it has not.
    TakesClientsFromTheFuture,
    /// A client that moves to another server is not told what it has missed meanwhile.
    ForgetsMissedEvents,
    /// Clients are not told of children that change.
    LosesEvents,
}

/// What stands in front of a client's frames.
const LENGTH: usize = 4;

/// The kinds of packets that say how a learner is brought up to date.
const DIFF: [u8; 4] = [0, 0, 0, 13];
const TRUNC: [u8; 4] = [0, 0, 0, 14];

impl Plant {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::SyncsNothing,
        Self::SyncsNoFolder,
        Self::IsItsOwnQuorum,
        Self::CutsNothing,
        Self::HearsItsOwnPings,
        Self::TakesClientsFromTheFuture,
        Self::ForgetsMissedEvents,
        Self::LosesEvents,
    ];

    /// Whether it is in how a server understands its clients.
    pub(super) fn concerns_clients(self) -> bool {
        matches!(self, Self::TakesClientsFromTheFuture | Self::ForgetsMissedEvents)
    }

    /// The disk as a server with the mistake uses it.
    pub(super) fn disk(self, disk: Arc<dyn Fs>) -> Arc<dyn Fs> {
        match self {
            Self::SyncsNothing | Self::SyncsNoFolder => Arc::new(Liar { disk, plant: self }),
            _ => disk,
        }
    }

    /// The settings of a server with the mistake.
    pub(super) fn settings(self, settings: &mut Settings) {
        if self == Self::IsItsOwnQuorum
            && let Some(ensemble) = &mut settings.ensemble
        {
            let all = u32::try_from(ensemble.configuration.servers.len()).unwrap_or(u32::MAX);
            for (id, server) in &mut ensemble.configuration.servers {
                server.group = Some(1);
                server.weight = if *id == ensemble.me { all } else { 1 };
            }
        }
    }

    /// What a server with the mistake says.
    pub(super) fn commands(self, commands: &mut [Command]) {
        for command in commands {
            if let Command::Send { bytes, .. } = command
                && self == Self::CutsNothing
                && bytes.starts_with(&TRUNC)
            {
                bytes[..DIFF.len()].copy_from_slice(&DIFF);
            }
        }
    }

    /// What a server with the mistake answers a client.
    pub(super) fn answers(self, frames: BytesMut) -> Vec<u8> {
        if self == Self::LosesEvents { without_events(frames) } else { frames.into() }
    }
}

/// What a client has sent, as a server with a mistake understands it.
#[derive(Debug)]
pub(super) struct Misheard {
    plant: Plant,
    /// Of a frame that has not come whole.
    begun: BytesMut,
    is_connecting: bool,
}

/// Where the zxid stands in a frame that begins with it behind so much else.
const SEEN_OF_CONNECT: Range<usize> = 8..16;
const SEEN_OF_SET_WATCHES: Range<usize> = 12..20;
const OP: Range<usize> = 8..12;

impl Misheard {
    /// A connection has begun.
    pub(super) fn new(plant: Plant) -> Self {
        Self { plant, begun: BytesMut::new(), is_connecting: true }
    }

    /// What is understood of these bytes and of those before.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> BytesMut {
        self.begun.extend_from_slice(bytes);
        let mut heard = BytesMut::new();
        while let Some(mut frame) = take_frame(&mut self.begun) {
            self.change(&mut frame);
            heard.unsplit(frame);
        }
        heard
    }

    fn change(&mut self, frame: &mut [u8]) {
        if std::mem::take(&mut self.is_connecting) {
            if self.plant == Plant::TakesClientsFromTheFuture {
                frame[SEEN_OF_CONNECT].fill(0);
            }
        } else if self.plant == Plant::ForgetsMissedEvents {
            let [set_watches, set_watches2] =
                [OpCode::SetWatches, OpCode::SetWatches2].map(|op| op.wire().to_be_bytes());
            if frame[OP] == set_watches || frame[OP] == set_watches2 {
                frame[SEEN_OF_SET_WATCHES].copy_from_slice(&i64::MAX.to_be_bytes());
            }
        }
    }
}

/// The first frame of these, with its length.
fn take_frame(bytes: &mut BytesMut) -> Option<BytesMut> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    let whole = LENGTH + usize::try_from(length).expect("it fits");
    (bytes.len() >= whole).then(|| bytes.split_to(whole))
}

/// Leaves out the events of children that a server sends to a client.
fn without_events(mut frames: BytesMut) -> Vec<u8> {
    let mut left = Vec::new();
    while let Some(frame) = take_frame(&mut frames) {
        let mut payload = Decoder::new(&frame[LENGTH..]);
        let is_lost = ReplyHeader::decode(&mut payload)
            .is_ok_and(|header| header.xid == Xid::EVENT)
            && WatcherEvent::decode(&mut payload)
                .is_ok_and(|event| event.kind == EventType::NodeChildrenChanged);
        if !is_lost {
            left.extend_from_slice(&frame);
        }
    }
    left
}

/// What a leader with [`Plant::HearsItsOwnPings`] hears when it has sent this.
pub(super) fn echo(sent: &[u8]) -> BytesMut {
    let mut packets = Decoder::new(sent);
    let mut heard = BytesMut::new();
    while packets.remaining() > 0
        && let Ok(packet) = decode_from_leader(&mut packets)
    {
        if let Packet::Zab(Message::Ping { round, .. }) = packet {
            packet::put_ping_answer(&mut heard, round, iter::empty());
        }
    }
    heard
}

/// A disk that says it has done what it has not.
#[derive(Debug)]
struct Liar {
    disk: Arc<dyn Fs>,
    plant: Plant,
}

#[derive(Debug)]
struct LiarsFile(Box<dyn File>);

impl Liar {
    fn wrap(&self, file: Box<dyn File>) -> Box<dyn File> {
        if self.plant == Plant::SyncsNothing { Box::new(LiarsFile(file)) } else { file }
    }
}

impl Fs for Liar {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        Ok(self.wrap(self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        Ok(self.wrap(self.disk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        if self.plant == Plant::SyncsNoFolder { Ok(()) } else { self.disk.sync_dir(dir) }
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        self.disk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Lock>>> {
        self.disk.lock(path)
    }
}

impl File for LiarsFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write_at(offset, data)
    }

    fn size(&self) -> Result<u64> {
        self.0.size()
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.0.set_size(size)
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }
}
