//! The server's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use quorate_server::config::{self, Note};
use quorate_server::runtime::Server;
use quorate_server::{admin, logging, tool};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// A coordination service that every ZooKeeper client can use.
///
/// Settings come from the file, from variables of the environment (`tickTime` from
/// `QUORATE_TICK_TIME`, `4lw.commands.whitelist` from `QUORATE_4LW_COMMANDS_WHITELIST`), and from
/// -D arguments; the later outdo the earlier.
#[derive(Parser)]
#[command(
    name = "quorate-server",
    version = admin::full_version(),
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<tool::Command>,

    /// The configuration, in ZooKeeper's syntax; without it the server listens on port 2181 of
    /// the loopback address and keeps its data in ./quorate-data
    #[arg(value_name = "zoo.cfg")]
    file: Option<PathBuf>,

    /// Sets a key of the configuration, or one of ZooKeeper's system properties
    #[arg(short = 'D', value_name = "name=value", value_parser = tool::assignment)]
    define: Vec<(String, String)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(command) => command.run(),
        None => run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the log may not be open")]
            {
                eprintln!("quorate-server: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (settings, notes) =
        config::load(arguments.file.as_deref(), std::env::vars_os(), &arguments.define)?;
    logging::init(&settings.log)?;
    tracing::info!("Quorate, as ZooKeeper {}", admin::full_version());
    for note in notes {
        match note {
            Note::Warning(text) => tracing::warn!("{text}"),
            Note::Info(text) => tracing::info!("{text}"),
        }
    }
    // Connections have threads of their own; this one accepts them and looks at the time.
    let runtime = Builder::new_current_thread().enable_all().build().context("start")?;
    runtime.block_on(async {
        let server = Server::start(settings)?;
        stop_signal().await?;
        server.stop().await;
        Ok(())
    })
}

/// Waits until somebody wants the server to end.
async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definitions_as_java_takes_them() {
        Arguments::command().debug_assert();
        let parsed =
            Arguments::try_parse_from(["quorate-server", "zoo.cfg", "-Da.b=c=d", "-D", "e="]);
        let parsed = parsed.unwrap();
        assert_eq!(parsed.file, Some(PathBuf::from("zoo.cfg")));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parsed.define, [pair("a.b", "c=d"), pair("e", "")]);
        assert!(parsed.command.is_none());
        let dump = Arguments::try_parse_from(["quorate-server", "dump", "log.1"]).unwrap();
        assert!(matches!(dump.command, Some(tool::Command::Dump(_))));
        for wrong in ["-Da", "-D=b"] {
            assert!(Arguments::try_parse_from(["quorate-server", wrong]).is_err());
        }
    }
}
