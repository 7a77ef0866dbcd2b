//! `quorate-server import`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use super::{absolute, random, settings};
use crate::migrate::{MigrateError, Source, history, import};
use crate::storage::fs::{Fs, RealFs};
use crate::storage::layout::Layout;
use crate::storage::log;

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration whose dataDir and dataLogDir ZooKeeper's files are in, and the imported
    /// data goes to unless --to names another folder
    #[arg(value_name = "zoo.cfg", required_unless_present = "from", conflicts_with_all = ["from", "logs"])]
    file: Option<PathBuf>,

    /// ZooKeeper's dataDir
    #[arg(long, value_name = "dataDir", requires = "to")]
    from: Option<PathBuf>,

    /// ZooKeeper's dataLogDir, when it is another folder
    #[arg(long, value_name = "dataLogDir", requires = "from")]
    logs: Option<PathBuf>,

    /// The dataDir of the server that is to have the data
    #[arg(long, value_name = "dataDir")]
    to: Option<PathBuf>,

    /// Its dataLogDir, when it is to be another folder
    #[arg(long, value_name = "dataLogDir", requires = "to")]
    to_logs: Option<PathBuf>,

    /// Where files are damaged or missing, take what is whole before that, and give up the rest
    ///
    /// Not for a server of an ensemble: the others have everything. Let it begin with empty folders.
    #[arg(long)]
    accept_loss: bool,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let (mut from, mut options, mut is_member) = (None, log::Options::default(), false);
        if let Some(file) = &self.file {
            let settings = settings(Some(file))?;
            is_member = settings.ensemble.is_some();
            options.segment_bytes = settings.storage.segment_bytes;
            from =
                Some((absolute(&settings.storage.data_dir)?, absolute(&settings.storage.log_dir)?));
        } else if let Some(data) = &self.from {
            from = Some((absolute(data)?, absolute(self.logs.as_ref().unwrap_or(data))?));
        }
        let Some((data, logs)) = from else { bail!("zoo.cfg or --from is missing") };
        if self.accept_loss && is_member {
            bail!(
                "a loss cannot be accepted at a server of an ensemble, where it could take from the \
                 others what this one has acknowledged: move ZooKeeper's files away, start with \
                 empty folders, and the leader sends everything"
            );
        }
        let (to, to_logs) = match &self.to {
            Some(to) => (absolute(to)?, absolute(self.to_logs.as_ref().unwrap_or(to))?),
            None => (data.clone(), logs.clone()),
        };
        let layout = Layout::new(&to, &to_logs);
        let history = history::Settings { accept_loss: self.accept_loss, seed: random()? };
        let settings =
            import::Settings { layout: layout.clone(), log: options, database: random()?, history };
        let source = Source::below(&*fs, &data, &logs)?;
        let report = match import::import(&fs, &source, &settings) {
            Err(error @ MigrateError::Lost(_)) => bail!(
                "{error}. Nothing was imported. Restore ZooKeeper's files from a copy, or take what \
                 is whole with --accept-loss"
            ),
            imported => imported?,
        };
        print(&report, &layout, out)
    }
}

fn print(report: &history::Report, layout: &Layout, out: &mut dyn Write) -> anyhow::Result<()> {
    for damage in &report.skipped {
        writeln!(out, "passed over: {damage}")?;
    }
    for (file, offset) in &report.torn {
        writeln!(out, "interrupted write: {} ends at offset {offset}", file.display())?;
    }
    for loss in &report.losses {
        writeln!(out, "LOST: {loss}")?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    let snapshot = report.snapshot.as_ref();
    let snapshot = snapshot.map_or_else(|| "none".into(), |path| path.display().to_string());
    writeln!(out, "snapshot: {snapshot}")?;
    writeln!(out, "logs: {}, transactions behind the snapshot: {}", report.logs, report.replayed)?;
    writeln!(out, "last zxid: {}", report.last_zxid)?;
    let history::Report { nodes, sessions, ephemerals, .. } = report;
    writeln!(out, "nodes: {nodes}, of them ephemeral: {ephemerals}, sessions: {sessions}")?;
    let compared = report.digests_compared;
    writeln!(out, "digest: {:#x}, compared with ZooKeeper's {compared} times", report.digest)?;
    let (data, log) = (layout.data(), layout.log());
    writeln!(out, "written to {} and {}", data.display(), log.display())?;
    Ok(())
}
