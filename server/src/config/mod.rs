//! Settings: as written, then as meant.
//!
//! [`load`] gathers what the file, the environment and the arguments say ([`written`]), judges
//! each key by the table of all keys ([`keys`]), and makes [`Settings`] of it, or the list of all
//! that is wrong. It reads files and looks up names; it changes nothing and logs nothing: what
//! there is to say is returned as notes, because how to log is among the settings.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

mod address;
pub mod dynamic;
mod ensemble;
mod key_table;
pub mod keys;
pub mod properties;
mod reader;
mod settings;
mod value;
pub mod written;

pub use ensemble::EnsembleSettings;
pub use reader::{Note, Problem};
pub use settings::{
    ClientAddress, ClientSettings, ConnectionThrottle, ContainerSettings, Limits, LocalSessions,
    LogFormat, LogSettings, SessionPassword, SessionSettings, Settings, StorageSettings,
    TreeSettings,
};

use crate::zab::HostPort;
use reader::Reader;
use written::Written;

/// The configuration that holds when no file is given: for a first try, so on loopback only.
pub const BUILT_IN: &str = "\
tickTime=2000
dataDir=quorate-data
clientPort=2181
clientPortAddress=127.0.0.1
";

/// Why there are no settings.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable(PathBuf, io::Error),
    /// The file is not in the syntax of properties.
    Syntax(PathBuf, properties::BadEscape),
    /// Keys or values that keep the server from starting, at least one; and what was noted, which
    /// may explain them: a key that is missing may be there under a wrong name.
    Problems(Vec<Problem>, Vec<Note>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "cannot read the configuration {}: {error}", path.display())
            }
            Self::Syntax(path, error) => {
                write!(f, "{}:{}: {}", path.display(), error.line, error)
            }
            Self::Problems(problems, notes) => {
                f.write_str("cannot start with this configuration:")?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))?;
                notes.iter().try_for_each(|note| match note {
                    Note::Warning(warning) => write!(f, "\n  warning: {warning}"),
                    Note::Info(_) => Ok(()),
                })
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Where the address for clients in a server's line has a server listen. Looks its name up.
///
/// # Errors
/// When the name has no address; the error says what was expected.
pub fn client_address(of_line: &HostPort) -> Result<ClientAddress, Cow<'static, str>> {
    address::of_line(of_line)
}

/// Settings from a file, if one is given, from variables of the environment, and from `-D`
/// arguments, each `name=value`; the later outdo the earlier.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    arguments: &[(String, String)],
) -> Result<(Settings, Vec<Note>), ConfigError> {
    let mut written = Written::default();
    match file {
        Some(path) => {
            let bytes = fs::read(path).map_err(|e| ConfigError::Unreadable(path.to_owned(), e))?;
            let properties =
                properties::parse(&bytes).map_err(|e| ConfigError::Syntax(path.to_owned(), e))?;
            written.add_file(path, properties);
        }
        None => written.add_built_in(
            properties::parse(BUILT_IN.as_bytes()).expect("the built-in configuration is valid"),
        ),
    }
    // A variable that is not UTF-8 cannot be one of ours.
    written.add_environment(
        environment.into_iter().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    );
    for (name, value) in arguments {
        written.add_argument(name, value);
    }
    let mut reader = Reader::new(&written);
    let mut settings = Settings::read(&mut reader);
    if let (Some(ensemble), Some(path)) = (&mut settings.ensemble, file) {
        ensemble.file = std::path::absolute(path).ok();
    }
    if reader.problems.is_empty() {
        return Ok((settings, reader.notes));
    }
    let (problems, notes) = reader.into_problems();
    Err(ConfigError::Problems(problems, notes))
}

#[cfg(test)]
mod tests;
