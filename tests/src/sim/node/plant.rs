//! Mistakes that are planted in all servers of a run, around them, to see that the checks find
//! what they are there for.

use std::{iter, ops::Range, path::Path, sync::Arc};

use bytes::BytesMut;
use quorate_protocol::{
    Decode, Decoder, OpCode, Xid, Zxid,
    record::{EventType, ReplyHeader, WatcherEvent},
};
use quorate_server::{
    config::Settings,
    peer::packet::{self, Packet, decode_from_leader},
    storage::{
        fs::{File, Fs, Lock, Result},
        layout::Layout,
        log::{Batch, Log, LogError, Options},
    },
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
    /// What a checkpoint consists of is not made durable before it has its name.
    SyncsNoCheckpoint,
    /// A sync that failed is taken for done, as a second one would be.
    IgnoresFailedSyncs,
    /// A server with an empty disk believes that it has all of the first epoch.
    VotesWhenEmpty,
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
    /// Clients are told of what has changed when they have already been shown it.
    TellsLate,
}

/// What stands in front of a client's frames.
const LENGTH: usize = 4;

/// The kinds of packets that say how a learner is brought up to date.
const DIFF: [u8; 4] = [0, 0, 0, 13];
const TRUNC: [u8; 4] = [0, 0, 0, 14];

impl Plant {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::SyncsNothing,
        Self::SyncsNoFolder,
        Self::SyncsNoCheckpoint,
        Self::IgnoresFailedSyncs,
        Self::VotesWhenEmpty,
        Self::IsItsOwnQuorum,
        Self::CutsNothing,
        Self::HearsItsOwnPings,
        Self::TakesClientsFromTheFuture,
        Self::ForgetsMissedEvents,
        Self::LosesEvents,
        Self::TellsLate,
    ];

    /// Whether it is in how a server understands its clients.
    pub(super) fn concerns_clients(self) -> bool {
        matches!(self, Self::TakesClientsFromTheFuture | Self::ForgetsMissedEvents)
    }

    /// The disk as a server with the mistake uses it.
    pub(super) fn disk(self, disk: Arc<dyn Fs>) -> Arc<dyn Fs> {
        match self {
            Self::SyncsNothing
            | Self::SyncsNoFolder
            | Self::SyncsNoCheckpoint
            | Self::IgnoresFailedSyncs => Arc::new(Liar { disk, plant: self }),
            _ => disk,
        }
    }

    /// What a server with the mistake finds on its disk.
    pub(super) fn furnish(self, disk: &Arc<dyn Fs>, layout: &Layout) {
        if self == Self::VotesWhenEmpty {
            // A disk that fails meanwhile is not furnished.
            let _ = begin_in_first_epoch(disk, layout);
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
        match self {
            Self::LosesEvents => sort_events(frames).0,
            Self::TellsLate => {
                let (mut answers, events) = sort_events(frames);
                answers.extend(events);
                answers
            }
            _ => frames.into(),
        }
    }
}

/// Gives an empty disk a log without transactions, whose server has joined epoch 1.
fn begin_in_first_epoch(disk: &Arc<dyn Fs>, layout: &Layout) -> std::result::Result<(), LogError> {
    disk.create_dir(&layout.log())?;
    if disk.list(&layout.log())?.is_empty() {
        let options = Options { segment_bytes: 64 << 10 };
        let mut log = Log::create(disk.clone(), &layout.log(), options, 1, 1, Zxid::ZERO)?;
        let mut promises = Batch::new();
        promises.push_accepted_epoch(1);
        promises.push_current_epoch(1);
        log.append(&mut promises)?;
        log.sync()?;
    }
    Ok(())
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

/// Puts what a server sends to a client apart: events of children, and all else.
fn sort_events(mut frames: BytesMut) -> (Vec<u8>, Vec<u8>) {
    let (mut others, mut events) = (Vec::new(), Vec::new());
    while let Some(frame) = take_frame(&mut frames) {
        let mut payload = Decoder::new(&frame[LENGTH..]);
        let is_event = ReplyHeader::decode(&mut payload)
            .is_ok_and(|header| header.xid == Xid::EVENT)
            && WatcherEvent::decode(&mut payload)
                .is_ok_and(|event| event.kind == EventType::NodeChildrenChanged);
        if is_event { &mut events } else { &mut others }.extend_from_slice(&frame);
    }
    (others, events)
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
struct LiarsFile {
    file: Box<dyn File>,
    syncs: bool,
}

impl Liar {
    fn wrap(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        let is_checkpoint = path.to_string_lossy().contains("redb");
        match self.plant {
            Plant::SyncsNoCheckpoint if !is_checkpoint => file,
            Plant::SyncsNoFolder => file,
            plant => Box::new(LiarsFile { file, syncs: plant == Plant::IgnoresFailedSyncs }),
        }
    }
}

impl Fs for Liar {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        Ok(self.wrap(path, self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        Ok(self.wrap(path, self.disk.open(path)?))
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
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_at(offset, data)
    }

    fn size(&self) -> Result<u64> {
        self.file.size()
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.file.set_size(size)
    }

    fn sync_data(&self) -> Result<()> {
        if self.syncs {
            let _ = self.file.sync_data();
        }
        Ok(())
    }
}
