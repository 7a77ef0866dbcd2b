//! What the binary does besides serving: ZooKeeper's files in and out, and a look at the data.
//!
//! Each command prints its report to standard output, for people or as JSON, and says by its exit
//! code how it went; why something could not be done goes to standard error, as always.

mod check;
mod dump;
mod export;
mod import;
mod show;
pub mod verify;

use std::env;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use crate::config::{self, Settings};
use crate::storage::layout::Layout;

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Says whether a server could start with a configuration, and what it would not heed of it
    ///
    /// Nothing is started or changed, so this can be asked while ZooKeeper runs with the same file.
    Check(check::Arguments),
    /// Takes over the data of a ZooKeeper server, whose files stay as they are
    ///
    /// A server that finds ZooKeeper's files in its folders, and none of its own, does this by
    /// itself at its first start. Stop ZooKeeper first.
    Import(import::Arguments),
    /// Writes the data as files that ZooKeeper starts with
    ///
    /// Stop the server first. Its own files stay as they are.
    Export(export::Arguments),
    /// Checks the data of a stopped server, and changes nothing
    ///
    /// Exits with 0 when the data is whole, with 1 when it is not, with 2 when that cannot be told.
    Verify(verify::Arguments),
    /// Prints what is in files of Quorate or of ZooKeeper, a line for each record
    Dump(dump::Arguments),
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs: an object for each record, one a line.
    Json,
}

/// Where the data of Quorate is.
#[derive(Debug, Args)]
struct Folders {
    /// The configuration that names the folders; without it, ./quorate-data
    #[arg(value_name = "zoo.cfg", conflicts_with_all = ["data", "logs"])]
    file: Option<PathBuf>,

    /// The folder that dataDir names
    #[arg(long, value_name = "dataDir")]
    data: Option<PathBuf>,

    /// The folder that dataLogDir names, when it is another one
    #[arg(long, value_name = "dataLogDir", requires = "data")]
    logs: Option<PathBuf>,
}

impl Folders {
    fn layout(&self) -> anyhow::Result<Layout> {
        let Some(data) = &self.data else {
            let storage = settings(self.file.as_deref())?.storage;
            return Ok(Layout::new(&absolute(&storage.data_dir)?, &absolute(&storage.log_dir)?));
        };
        let logs = self.logs.as_ref().unwrap_or(data);
        Ok(Layout::new(&absolute(data)?, &absolute(logs)?))
    }
}

/// The name and value of a `-D` argument.
///
/// # Errors
/// When there is no name, or no value.
pub fn assignment(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected name=value"),
    }
}

/// Settings as the server would have them.
fn settings(file: Option<&Path>) -> anyhow::Result<Settings> {
    Ok(config::load(file, env::vars_os(), &[])?.0)
}

/// The path from the root, so that the same folder has one name.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    let is_there = path.canonicalize();
    is_there.or_else(|_| std::path::absolute(path)).with_context(|| path.display().to_string())
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let mut out = BufWriter::new(io::stdout().lock());
        let done = self.run_to(&mut out);
        // Whoever reads the output may have seen enough.
        match done.and_then(|code| Ok(out.flush().map(|()| code)?)) {
            Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
            done => done,
        }
    }

    fn run_to(&self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(arguments) => arguments.run(out),
            Self::Import(arguments) => arguments.run(out),
            Self::Export(arguments) => arguments.run(out),
            Self::Verify(arguments) => return arguments.run(out),
            Self::Dump(arguments) => arguments.run(out),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(closed)
}

/// A number that nobody can guess.
fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("draw random numbers")?;
    Ok(u64::from_le_bytes(bytes))
}
