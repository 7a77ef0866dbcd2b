//! Load on any server that ZooKeeper's clients can use, and how fast it is answered.

mod mix;
mod run;

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use self::{
    mix::{Kind, Mix},
    run::Results,
};
use crate::{
    failure::{Failure, Outcome},
    output::{Row, escape, note},
    session::Context,
};

/// Puts load on the ensemble and shows rates and latencies. Works on nodes of its own, which are
/// deleted at the end.
///
/// Each connection has a session of its own. Latencies are from when a request is handed to the
/// client until its answer is there.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What is done, and in which proportion: create, set, get, exists, ls, delete-create, sync.
    #[arg(long, default_value = "get=90,set=10")]
    mix: Mix,
    /// How long, once all nodes are there.
    #[arg(long = "for", default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How many sessions.
    #[arg(short = 'c', long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// How many requests of each session are under way at once.
    #[arg(short = 'i', long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// How many nodes are read and written.
    #[arg(short = 'n', long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    nodes: u32,
    /// Bytes of data of each.
    #[arg(short = 's', long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    size: u32,
    /// The node below which all happens. It is created, and must not be there yet.
    #[arg(long, default_value = "/quorate-bench")]
    path: String,
    /// Put all connections to one server each, in turn, as they come in --server. Otherwise each
    /// picks one.
    #[arg(long)]
    spread: bool,
}

#[derive(Serialize)]
struct Line {
    operation: &'static str,
    count: u64,
    errors: u64,
    per_second: f64,
    /// Milliseconds.
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Row for Line {
    const HEADER: &'static [&'static str] = &[
        "OPERATION",
        "COUNT",
        "ERRORS",
        "PER_SECOND",
        "P50_MS",
        "P90_MS",
        "P99_MS",
        "P99.9_MS",
        "MAX_MS",
    ];

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.operation.to_owned(),
            self.count.to_string(),
            self.errors.to_string(),
            format!("{:.0}", self.per_second),
        ];
        let ms = [self.p50, self.p90, self.p99, self.p999, self.max];
        cells.extend(ms.map(|ms| format!("{ms:.3}")));
        cells
    }
}

impl Bench {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        client.create(&self.path, "").await.inspect_err(|error| {
            if error.is_node_exists() {
                note(&format!(
                    "{} is left from another run, or is not for this: delete it, or choose another --path.",
                    escape::name(&self.path)
                ));
            }
        })?;
        let results = run::run(&self, &context.target, &client).await;
        // Whatever came of it, the nodes are not wanted any more.
        let cleared = client.delete_recursive(&self.path).await;
        let results = results?;
        cleared?;
        context.screen.rows(&lines(&results))?;
        match results.first_error {
            None => Ok(()),
            Some(error) => {
                context.screen.flush()?;
                note("Some requests failed; the first:");
                Err(Failure::Client(error))
            }
        }
    }
}

/// A line for each kind, and one for all.
fn lines(results: &Results) -> Vec<Line> {
    let mut all = results.tallies[0].clone();
    for tally in &results.tallies[1..] {
        all.add(tally);
    }
    let kinds = Kind::ALL.iter().zip(&results.tallies);
    let used = kinds.filter(|(_, tally)| tally.latencies.len() + tally.errors > 0);
    let mut lines: Vec<_> =
        used.map(|(kind, tally)| line(kind.name(), tally, results.elapsed)).collect();
    if lines.len() > 1 {
        lines.push(line("all", &all, results.elapsed));
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "counts and times of a benchmark")]
fn line(operation: &'static str, tally: &run::Tally, elapsed: Duration) -> Line {
    let count = tally.latencies.len();
    let at = |quantile| tally.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    Line {
        operation,
        count,
        errors: tally.errors,
        per_second: count as f64 / elapsed.as_secs_f64(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: tally.latencies.max() as f64 / 1000.0,
    }
}
