//! Mistakes that are planted in all servers of a run, around them, to see that the checks find
//! what they are there for.

use std::{iter, path::Path, sync::Arc};

use bytes::BytesMut;
use quorate_protocol::Decoder;
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
}

/// The kinds of packets that say how a learner is brought up to date.
const DIFF: [u8; 4] = [0, 0, 0, 13];
const TRUNC: [u8; 4] = [0, 0, 0, 14];

impl Plant {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::SyncsNothing,
        Self::SyncsNoFolder,
        Self::IsItsOwnQuorum,
        Self::CutsNothing,
        Self::HearsItsOwnPings,
    ];

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
