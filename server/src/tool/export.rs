//! `quorate-server export`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use super::{Folders, absolute, random};
use crate::migrate::export;
use crate::storage::fs::{Fs, OverlayFs, RealFs};
use crate::storage::log;
use crate::storage::recovery::{self, Extent, OnLoss};

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    folders: Folders,

    /// The dataDir of the ZooKeeper server that is to have the data; version-2 is made in it
    #[arg(long, value_name = "dataDir")]
    to: PathBuf,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let layout = self.folders.layout()?;
        let to = absolute(&self.to)?;
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let overlay: Arc<dyn Fs> = Arc::new(OverlayFs::new(fs.clone()));
        let settings = recovery::Settings {
            layout: layout.clone(),
            log: log::Options::default(),
            database: 0,
            tree_seed: random()?,
            // What is behind the last known commit goes into ZooKeeper's log.
            replay: Extent::Committed,
            on_loss: OnLoss::Refuse,
        };
        if overlay.list(&layout.log())?.is_empty() {
            bail!("there is no data of Quorate in {}", layout.log().display());
        }
        let recovered = recovery::open(&overlay, &settings)?;
        let report = export::export(&fs, &recovered, &to, &layout)?;
        writeln!(out, "snapshot zxid: {}, {} bytes", report.snapshot_zxid, report.bytes)?;
        writeln!(out, "transactions in the log behind it: {}", report.logged)?;
        writeln!(out, "last zxid: {}", report.last_zxid)?;
        writeln!(out, "nodes: {}, sessions: {}", report.nodes, report.sessions)?;
        writeln!(out, "digest: {:#x}", report.digest)?;
        let export::Report { accepted_epoch, current_epoch, .. } = report;
        writeln!(out, "accepted epoch: {accepted_epoch}, current epoch: {current_epoch}")?;
        writeln!(out, "written to {}", to.join("version-2").display())?;
        Ok(())
    }
}
