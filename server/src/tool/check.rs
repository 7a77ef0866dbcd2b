//! `quorate-server check`.

use std::env;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::assignment;
use crate::config::{self, Note};
use crate::zab::Member;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration
    #[arg(value_name = "zoo.cfg")]
    file: PathBuf,

    /// Sets a key of the configuration, as for the server
    #[arg(short = 'D', value_name = "name=value", value_parser = assignment)]
    define: Vec<(String, String)>,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let (settings, notes) = config::load(Some(&self.file), env::vars_os(), &self.define)?;
        for note in notes {
            match note {
                Note::Warning(text) => writeln!(out, "warning: {text}")?,
                Note::Info(text) => writeln!(out, "{text}")?,
            }
        }
        let id = settings.server_id;
        match settings.ensemble {
            Some(ensemble) => {
                let servers = &ensemble.configuration.servers;
                let voting = servers.values().filter(|s| s.member == Member::Participant).count();
                let observing = servers.len() - voting;
                writeln!(out, "server {id} of an ensemble: {voting} vote, {observing} observe")?;
            }
            None => writeln!(out, "server {id}, alone")?,
        }
        writeln!(out, "dataDir: {}", settings.storage.data_dir.display())?;
        if settings.storage.log_dir != settings.storage.data_dir {
            writeln!(out, "dataLogDir: {}", settings.storage.log_dir.display())?;
        }
        writeln!(out, "{} can be used", self.file.display())?;
        Ok(())
    }
}
