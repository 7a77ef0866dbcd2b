//! Opens the log of the process: what is logged, and in which form.
//!
//! Everything goes to standard error, a line for each event, which the service manager keeps;
//! standard output stays free. Where an event happens is told by spans (connection, session),
//! which both forms show.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogFormat, LogSettings};

/// Opens the log for the whole process; a second time is an error.
pub fn init(settings: &LogSettings) -> Result<(), TryInitError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&settings.level))
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    match settings.format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    }
}
