//! The redb file: its tables, its transactions, and what its errors mean.

use std::path::Path;
use std::sync::Arc;

use quorate_protocol::{Decode, DecodeError, Encode};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::backend::{Backend, Failure, Shared};
use super::{CheckpointError, Written};
use crate::storage::fs::Fs;
use crate::tree::{BuildError, CheckpointHead, SlotImage, Tree, TreeBuilder};

/// Images of slots, each with the CRC-32C of slot number and image behind it.
const NODES: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("nodes");
/// Everything else, by name.
const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// The id of the log that the checkpoint belongs to, 8 bytes.
pub(super) const DATABASE: &str = "database";
/// A [`CheckpointHead`]; absent until there was a first checkpoint.
const HEAD: &str = "head";

/// What redb may keep in memory: the tree itself is there already.
const CACHE_BYTES: usize = 8 << 20;

type Result<T> = std::result::Result<T, redb::Error>;

/// The open file.
///
/// redb would note at the end where it has free pages, load that the next time, and believe it
/// whatever the disk has made of it. So it is kept from doing so: it finds the file as a crash
/// leaves it, verifies the checksum of every page, and finds out for itself.
#[derive(Debug)]
pub(super) struct OpenFile {
    redb: Database,
    shared: Arc<Shared>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// What a readable file holds.
pub(super) enum Loaded {
    /// No tree was written yet.
    Nothing,
    Tree(Box<Tree>),
    Damage(Damage),
}

/// Why head and slots are not a tree.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error(transparent)]
    Head(#[from] DecodeError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("slot {slot} has a wrong checksum")]
    Checksum { slot: u32 },
}

impl OpenFile {
    /// Opens a file that redb has made, and verifies its pages, or an empty one to be made one.
    pub(super) fn open(fs: &dyn Fs, path: &Path) -> std::result::Result<Self, CheckpointError> {
        let file = fs.open(path).map_err(CheckpointError::from)?;
        let (backend, shared) = Backend::new(file);
        let redb = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        let redb = redb.map_err(|error| explain(&shared, path, &error.into()))?;
        Ok(Self { redb, shared })
    }

    /// Notes the log's id in a new file, and that there is no tree yet.
    pub(super) fn initialize(&self, database: u64) -> Result<()> {
        let transaction = self.begin()?;
        transaction.open_table(NODES)?;
        transaction.open_table(META)?.insert(DATABASE, &database.to_le_bytes()[..])?;
        Ok(transaction.commit()?)
    }

    /// A value that is not a node.
    pub(super) fn meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let meta = self.redb.begin_read()?.open_table(META)?;
        Ok(meta.get(name)?.map(|value| value.value().to_vec()))
    }

    /// The tree, as of one moment, whatever is written meanwhile.
    pub(super) fn load(&self, seed: u64) -> Result<Loaded> {
        let reading = self.redb.begin_read()?;
        let meta = reading.open_table(META)?;
        let Some(head) = meta.get(HEAD)? else {
            return Ok(Loaded::Nothing);
        };
        let mut builder = match begin(head.value(), seed) {
            Ok(builder) => builder,
            Err(damage) => return Ok(Loaded::Damage(damage)),
        };
        let nodes = reading.open_table(NODES)?;
        for entry in nodes.range::<u32>(..)? {
            let (slot, value) = entry?;
            let slot = slot.value();
            let pushed = match unseal(slot, value.value()) {
                Some(image) => builder.push(slot, image).map_err(Damage::Build),
                None => Err(Damage::Checksum { slot }),
            };
            if let Err(damage) = pushed {
                return Ok(Loaded::Damage(damage));
            }
        }
        Ok(match builder.finish() {
            Ok(tree) => Loaded::Tree(Box::new(tree)),
            Err(error) => Loaded::Damage(error.into()),
        })
    }

    /// Writes what `next` gives, until it gives nothing, and the head; nothing if it gives up.
    pub(super) fn write(
        &self,
        head: &CheckpointHead,
        mut next: impl FnMut() -> Option<Vec<SlotImage>>,
    ) -> Result<Option<Written>> {
        let mut written = Written { zxid: head.zxid, slots: 0, bytes: 0 };
        let transaction = self.begin()?;
        {
            let mut nodes = transaction.open_table(NODES)?;
            let mut value = Vec::new();
            loop {
                let Some(chunk) = next() else { return Ok(None) };
                if chunk.is_empty() {
                    break;
                }
                for (slot, image) in chunk {
                    written.slots += 1;
                    let Some(image) = image else {
                        nodes.remove(slot)?;
                        continue;
                    };
                    seal(slot, &image, &mut value);
                    nodes.insert(slot, &value[..])?;
                    written.bytes += value.len() as u64;
                }
            }
            transaction.open_table(META)?.insert(HEAD, &head.to_bytes()[..])?;
        }
        transaction.commit()?;
        Ok(Some(written))
    }

    /// See [`super::Checkpoint::write_alone`].
    pub(super) fn leave_alone(&self) {
        self.shared.leave_alone();
    }

    /// What an error of redb comes from.
    pub(super) fn explain(&self, path: &Path, error: &redb::Error) -> CheckpointError {
        explain(&self.shared, path, error)
    }

    /// One phase: the next start verifies all pages anyway, and so finds out which of two trees is
    /// whole. To a file written in two phases redb would trust without looking.
    fn begin(&self) -> Result<redb::WriteTransaction> {
        let mut transaction = self.redb.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(false);
        Ok(transaction)
    }
}

fn explain(shared: &Shared, path: &Path, error: &redb::Error) -> CheckpointError {
    match shared.take_failure() {
        Some(Failure { error, is_harmless: true }) => CheckpointError::Full(error),
        Some(Failure { error, is_harmless: false }) => CheckpointError::Io(error),
        None => CheckpointError::damaged(path, error),
    }
}

fn begin(head: &[u8], seed: u64) -> std::result::Result<TreeBuilder, Damage> {
    Ok(TreeBuilder::new(CheckpointHead::from_bytes(head)?, seed)?)
}

/// The image as it is kept: a flipped bit in it must not become data.
fn seal(slot: u32, image: &[u8], value: &mut Vec<u8>) {
    value.clear();
    value.extend_from_slice(image);
    value.extend_from_slice(&checksum(slot, image).to_le_bytes());
}

fn unseal(slot: u32, value: &[u8]) -> Option<&[u8]> {
    let (image, sum) = value.split_last_chunk()?;
    (u32::from_le_bytes(*sum) == checksum(slot, image)).then_some(image)
}

fn checksum(slot: u32, image: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&slot.to_le_bytes()), image)
}
