//! The command line.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use quorate_jepsen::{
    checker::{self, Verdict},
    history::History,
    nemesis::Kinds,
    report,
    run::{self, Options},
    target::{self, Target},
    workload,
};
use tokio::signal::unix::{SignalKind, signal};

/// Tests ensembles of real processes under faults.
///
/// Exit status: 0 if everything checked holds, 1 if something is violated, 2 if that could not be
/// found out.
#[derive(Parser)]
#[command(name = "quorate-jepsen", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts an ensemble, lets clients and faults loose on it, and checks what happened
    Run(Run),
    /// Checks the history of an earlier run again
    Check {
        /// The file of the history
        history: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Whose servers
    #[arg(long, value_enum, default_value = "quorate")]
    target: target::Kind,

    /// The binary of quorate-server [default: the one beside this program]
    #[arg(long)]
    server_binary: Option<PathBuf>,

    /// The class path of ZooKeeper [default: what tests/clients/install has installed]
    #[arg(long)]
    class_path: Option<String>,

    /// How many servers: 3, 5 or 7
    #[arg(long, default_value_t = 3)]
    servers: usize,

    /// What the clients do
    #[arg(long, value_enum)]
    workload: workload::Kind,

    /// Faults, between commas: kinds as in docs/jepsen.md, or the groups kill, pause, partition,
    /// link, all, none
    #[arg(long, default_value = "all")]
    nemesis: String,

    /// How long faults go on
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    time: Duration,

    /// What workload and faults follow from [default: drawn]
    #[arg(long)]
    seed: Option<u64>,

    /// How many clients
    #[arg(long, default_value_t = 10)]
    clients: usize,

    /// Steps of all clients together in a second
    #[arg(long, default_value_t = 200.0)]
    rate: f64,

    /// The folder for the history and the servers' files [default: a new one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(run) => measure(run),
        Command::Check { history } => judge(&history),
    };
    match result {
        Ok(verdict) => ExitCode::from(report::exit_code(verdict)),
        Err(error) => {
            say(&format!("quorate-jepsen: {error:#}"));
            ExitCode::from(report::exit_code(Verdict::Unknown))
        }
    }
}

fn measure(arguments: Run) -> anyhow::Result<Verdict> {
    let options = options(arguments)?;
    say(&format!("seed {}, files in {}", options.seed, options.dir.display()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let traces = runtime.block_on(async {
        tokio::select! {
            traces = run::run(&options) => traces,
            // The processes end with the run.
            signal = interrupted() => signal.and(Err(anyhow::anyhow!("interrupted"))),
        }
    })?;
    let mut verdict = judge(&traces.history)?;
    if let Some(trouble) = traces.trouble {
        say(&format!("and: {trouble:#}: INVALID"));
        verdict = Verdict::Invalid;
    }
    say(&format!("history: {}", traces.history.display()));
    for log in traces.logs {
        say(&format!("log: {}", log.display()));
    }
    Ok(verdict)
}

fn options(arguments: Run) -> anyhow::Result<Options> {
    let target = match (arguments.target, arguments.server_binary, arguments.class_path) {
        (target::Kind::Quorate, Some(binary), _) => {
            Target::Quorate(binary.canonicalize().context("find the server's binary")?)
        }
        (target::Kind::Zookeeper, _, Some(class_path)) => Target::Zookeeper(class_path),
        (kind, ..) => Target::find(kind)?,
    };
    let kinds: Kinds = arguments.nemesis.parse().map_err(anyhow::Error::msg).context("nemesis")?;
    Ok(Options {
        target,
        servers: arguments.servers,
        workload: arguments.workload,
        nemesis: (kinds.0, arguments.nemesis),
        time: arguments.time,
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        clients: arguments.clients,
        rate: arguments.rate,
        dir: run::lasting_folder(arguments.dir.as_deref())?,
    })
}

fn judge(history: &std::path::Path) -> anyhow::Result<Verdict> {
    let history = History::read(history)?;
    let findings = checker::check(&history);
    say(&report::text(&history, &findings));
    Ok(findings.verdict(history.settings.target))
}

async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a report is what the program is for")]
fn say(text: &str) {
    println!("{text}");
}
