//! `quorate-server dump`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use quorate_protocol::Decode;
use serde_json::Value;

use super::show::{self, Line, Style};
use super::{Format, absolute, random};
use crate::storage::checkpoint::{self, Checkpoint};
use crate::storage::fs::{Fs, OverlayFs, RealFs};
use crate::storage::log::inspect::{self, Entry, SegmentReader};
use crate::txn::TxnRecord;
use crate::zookeeper_files::log::{End, LogReader};
use crate::zookeeper_files::{self, Named, epochs, snapshot};

/// Arguments of `dump`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Files: segments of the log (*.log), checkpoints (*.redb), ZooKeeper's log.* and snapshot.*;
    /// or folders of them: a dataDir, quorate, log, version-2
    #[arg(required = true, value_name = "file or folder")]
    paths: Vec<PathBuf>,

    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,

    /// Print the data of nodes, too, in base64
    #[arg(short, long)]
    data: bool,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let style = Style { format: self.output, with_data: self.data };
        let dump = Dump { fs: Arc::new(OverlayFs::new(Arc::new(RealFs))), style };
        for path in &self.paths {
            let path = absolute(path)?;
            if path.is_dir() { dump.folder(&path, out) } else { dump.file(&path, out) }?;
        }
        Ok(())
    }
}

struct Dump {
    /// Nothing that is opened is changed.
    fs: Arc<dyn Fs>,
    style: Style,
}

impl Dump {
    /// Everything in a folder of either kind, or in those below that have names of ours.
    fn folder(&self, dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for dir in [dir.to_owned(), dir.join("quorate"), dir.join(zookeeper_files::FOLDER)] {
            for generation in checkpoint::generations(&*self.fs, &dir)? {
                files.push(checkpoint::path(&dir, generation));
            }
            for logs in [dir.clone(), dir.join("log")] {
                let numbers = inspect::segments(&*self.fs, &logs)?;
                files.extend(numbers.iter().map(|number| logs.join(format!("{number:016x}.log"))));
            }
            let named = [
                zookeeper_files::snapshots(&*self.fs, &dir)?,
                zookeeper_files::logs(&*self.fs, &dir)?,
            ];
            if named.iter().any(|files| !files.is_empty()) {
                self.epochs(&dir, out)?;
            }
            files.extend(named.into_iter().flatten().map(|named| named.path));
        }
        if files.is_empty() {
            bail!("there are no files of Quorate or of ZooKeeper in {}", dir.display());
        }
        files.iter().try_for_each(|file| self.file(file, out))
    }

    fn epochs(&self, dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
        let epochs::Epochs { accepted, current, .. } = epochs::read(&*self.fs, dir)?;
        let line = Line::new("epochs").with("accepted", accepted).with("current", current);
        Ok(line.print(self.style.format, out)?)
    }

    fn file(&self, path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let dir = path.parent().unwrap_or(Path::new("/"));
        let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 16);
        if let Some(named) = Named::snapshot(path) {
            self.snapshot(&named, out)
        } else if Named::log(path).is_some() {
            self.zookeeper_log(path, out)
        } else if let Some(number) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok())
        {
            self.segment(dir, number, out)
        } else if let Some(generation) = checkpoint::generation(path) {
            self.checkpoint(dir, generation, out)
        } else {
            bail!(
                "{} has no name of a file of Quorate ({:016x}.log, checkpoint-1.redb) or of \
                 ZooKeeper (log.1, snapshot.1, snapshot.1.gz)",
                path.display(),
                1
            );
        }
    }

    fn segment(&self, dir: &Path, number: u64, out: &mut dyn Write) -> anyhow::Result<()> {
        let format = self.style.format;
        let mut reader = SegmentReader::open(self.fs.clone(), dir, number)?;
        let info = reader.info();
        let promises = &info.promises;
        header("segment", &info.path)
            .with("number", info.number)
            .with("database", format!("{:016x}", info.database))
            .with(
                "continues",
                info.continues.map(|(segment, offset)| format!("{segment}@{offset}")),
            )
            .with("generation", info.generation)
            .hex("previous", info.previous)
            .hex("committed", info.committed)
            .with("accepted_epoch", promises.accepted_epoch)
            .with("current_epoch", promises.current_epoch)
            .with("incomplete", promises.incomplete)
            .print(format, out)?;
        while let Some((offset, entry)) = reader.read()? {
            let at = |kind| Line::new(kind).with("offset", offset);
            let line = match entry {
                Entry::Transaction { zxid, bytes } => match TxnRecord::from_bytes(bytes) {
                    Ok(record) => {
                        show::transaction(&record, Some(offset), self.style, out)?;
                        continue;
                    }
                    Err(error) => show::undecodable(bytes, &error.to_string())
                        .with("offset", offset)
                        .hex("zxid", zxid),
                },
                Entry::Mark { synced, committed } => {
                    at("mark").with("synced", synced).hex("committed", committed)
                }
                Entry::AcceptedEpoch(epoch) => at("accepted_epoch").with("epoch", epoch),
                Entry::CurrentEpoch(epoch) => at("current_epoch").with("epoch", epoch),
                Entry::Configuration(text) => {
                    at("configuration").with("text", String::from_utf8_lossy(text))
                }
                Entry::Seal(next) => at("seal").with("next", next),
            };
            line.print(format, out)?;
        }
        if let Some(offset) = reader.torn() {
            Line::new("torn").with("offset", offset).print(format, out)?;
        }
        Ok(())
    }

    fn checkpoint(&self, dir: &Path, generation: u64, out: &mut dyn Write) -> anyhow::Result<()> {
        let path = checkpoint::path(dir, generation);
        let checkpoint = Checkpoint::open(self.fs.clone(), dir, generation)?;
        let checkpoint = checkpoint.with_context(|| format!("{} is missing", path.display()))?;
        header("checkpoint", &path)
            .with("generation", generation)
            .with("database", format!("{:016x}", checkpoint.database()))
            .print(self.style.format, out)?;
        match checkpoint.load(random()?)? {
            Some(tree) => Ok(show::tree(&tree, self.style, out)?),
            None => Ok(()),
        }
    }

    fn snapshot(&self, named: &Named, out: &mut dyn Write) -> anyhow::Result<()> {
        let snapshot = snapshot::read(&*self.fs, named, random()?)?;
        let digest = snapshot.digest;
        header("snapshot", &named.path)
            .with("bytes", snapshot.bytes)
            .hex("exact_from", snapshot.exact_from)
            .with("digest_zxid", digest.map_or(Value::Null, |(zxid, _)| zxid.to_string().into()))
            .with("digest", digest.map(|(_, digest)| format!("{digest:#x}")))
            .print(self.style.format, out)?;
        Ok(show::tree(&snapshot.tree, self.style, out)?)
    }

    fn zookeeper_log(&self, path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut reader = LogReader::open(&*self.fs, path)?;
        header("log", path).print(self.style.format, out)?;
        let mut count = 0_u64;
        while let Some(entry) = reader.read()? {
            count += 1;
            match TxnRecord::from_bytes(reader.bytes()) {
                Ok(record) => show::transaction(&record, Some(entry.offset), self.style, out)?,
                Err(error) => show::undecodable(reader.bytes(), &error.to_string())
                    .with("offset", entry.offset)
                    .hex("zxid", entry.zxid)
                    .print(self.style.format, out)?,
            }
        }
        let torn = match reader.end() {
            Some(End::Torn(offset)) => Some(offset),
            _ => None,
        };
        let line = Line::new("end").with("transactions", count).with("torn", torn);
        Ok(line.print(self.style.format, out)?)
    }
}

/// The line that says of which file the next are.
fn header(kind: &'static str, path: &Path) -> Line {
    Line::new(kind).with("file", path.display().to_string())
}
