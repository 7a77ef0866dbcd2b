//! The load itself.

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_client::{Client, Error, Servers};
use tokio::{task::JoinSet, time::Instant};

use super::{
    Bench,
    mix::{Kind, Mix},
};
use crate::{failure::Outcome, session::Target};

/// How many creates are under way while the nodes are made.
const WINDOW: usize = 256;
/// Microseconds, to three digits.
const DIGITS: u8 = 3;
/// Requests that fail are not made faster than this, or a lost ensemble is a busy loop.
const PAUSE: Duration = Duration::from_millis(10);

/// What came of the operations of a kind.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// In microseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) errors: u64,
}

impl Tally {
    fn new() -> Self {
        Self { latencies: Histogram::new(DIGITS).expect("three digits are allowed"), errors: 0 }
    }

    fn record(&mut self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        // Not `saturating_record`, which does not grow.
        self.latencies.record(took).expect("it grows as it must");
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies).expect("it grows as it must");
        self.errors += other.errors;
    }
}

/// What came of all, by the order of [`Kind::ALL`].
pub(super) struct Results {
    pub(super) tallies: Vec<Tally>,
    pub(super) elapsed: Duration,
    pub(super) first_error: Option<Error>,
}

impl Results {
    fn new() -> Self {
        let tallies = Kind::ALL.iter().map(|_| Tally::new()).collect();
        Self { tallies, elapsed: Duration::ZERO, first_error: None }
    }

    fn add(&mut self, other: Self) {
        for (tally, other) in self.tallies.iter_mut().zip(&other.tallies) {
            tally.add(other);
        }
        self.elapsed = self.elapsed.max(other.elapsed);
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// What all workers work by.
struct Plan {
    mix: Mix,
    path: String,
    nodes: Vec<String>,
    data: Vec<u8>,
    /// The next number of a node to create.
    next: AtomicU64,
    done: AtomicU64,
    end: Instant,
}

/// Makes the nodes, opens the sessions, and puts on the load.
pub(super) async fn run(bench: &Bench, target: &Target, client: &Client) -> Outcome<Results> {
    let data: Vec<u8> = (0..bench.size).map(|i| b'a' + (i % 26) as u8).collect();
    let nodes: Vec<_> = (0..bench.nodes).map(|i| format!("{}/n{i}", bench.path)).collect();
    make_nodes(client, &nodes, &data).await?;
    let hosts = client.hosts();
    let servers: Vec<_> = match hosts.servers() {
        Servers::Hosts(servers) if bench.spread => {
            servers.iter().map(|server| format!("{server}{}", hosts.chroot())).collect()
        }
        _ => vec![hosts.to_string()],
    };
    let mut clients = Vec::new();
    for servers in servers.iter().cycle().take(bench.connections as usize) {
        clients.push(target.at(servers).connect().await?);
    }
    let start = Instant::now();
    let plan = Arc::new(Plan {
        mix: bench.mix.clone(),
        path: bench.path.clone(),
        nodes,
        data,
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        end: start + bench.duration,
    });
    let mut workers = JoinSet::new();
    for client in &clients {
        for _ in 0..bench.in_flight {
            workers.spawn(work(Arc::clone(&plan), client.clone()));
        }
    }
    let mut results = collect(workers, &plan, bench.duration).await;
    results.elapsed = start.elapsed();
    for client in clients {
        // A session that cannot be closed ends with its timeout.
        let _ = client.close().await;
    }
    Ok(results)
}

async fn make_nodes(client: &Client, nodes: &[String], data: &[u8]) -> Result<(), Error> {
    for window in nodes.chunks(WINDOW) {
        client.ready().await;
        let answers: Vec<_> = window.iter().map(|node| client.create(node, data).send()).collect();
        for answer in answers {
            answer.await?;
        }
    }
    Ok(())
}

/// Waits for the workers, and shows on a terminal how far they are.
async fn collect(mut workers: JoinSet<Results>, plan: &Plan, duration: Duration) -> Results {
    let bar = progress_bar(duration);
    let mut results = Results::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            finished = workers.join_next() => match finished {
                None => break,
                Some(finished) => results.add(finished.expect("workers do not panic")),
            },
            _ = ticks.tick() => {
                let left = plan.end.saturating_duration_since(Instant::now());
                let passed = duration.saturating_sub(left);
                bar.set_position(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
                let done = plan.done.load(Ordering::Relaxed);
                bar.set_message(format!("{done} done"));
            }
        }
    }
    bar.finish_and_clear();
    results
}

fn progress_bar(duration: Duration) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {msg}").expect("the template is right");
    let length = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    ProgressBar::new(length).with_style(style)
}

/// One request after the other, until the time is over.
async fn work(plan: Arc<Plan>, client: Client) -> Results {
    let mut results = Results::new();
    loop {
        let start = Instant::now();
        if start >= plan.end {
            return results;
        }
        let kind = plan.mix.draw(|below| fastrand::u32(..below));
        let outcome = perform(kind, &plan, &client).await;
        let place = Kind::ALL.iter().position(|other| *other == kind).expect("it is one of all");
        let tally = &mut results.tallies[place];
        match outcome {
            Ok(()) => {
                tally.record(start.elapsed());
                plan.done.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                tally.errors += 1;
                results.first_error.get_or_insert(error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn perform(kind: Kind, plan: &Plan, client: &Client) -> Result<(), Error> {
    let node = &*plan.nodes[fastrand::usize(..plan.nodes.len())];
    match kind {
        Kind::Get => client.get(node).await.map(|_| ()),
        Kind::Set => client.set(node, &plan.data).await.map(|_| ()),
        Kind::Exists => client.exists(node).await.map(|_| ()),
        Kind::Ls => client.children(&plan.path).await.map(|_| ()),
        Kind::Create => {
            let number = plan.next.fetch_add(1, Ordering::Relaxed);
            client.create(&format!("{}/c{number}", plan.path), &plan.data).await.map(|_| ())
        }
        Kind::DeleteCreate => {
            client.multi().delete(node, -1).create(node, &plan.data).await.map(|_| ())
        }
        Kind::Sync => client.sync(&plan.path).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_any_length_are_kept() {
        let mut tally = Tally::new();
        for took in [Duration::ZERO, Duration::from_millis(3), Duration::from_secs(90)] {
            tally.record(took);
        }
        let mut all = Tally::new();
        all.add(&tally);
        assert_eq!(all.latencies.min(), 1);
        let off = |quantile, micros: u64| {
            all.latencies.value_at_quantile(quantile).abs_diff(micros) * 1000 / micros
        };
        assert_eq!((off(0.5, 3_000), off(1.0, 90_000_000)), (0, 0));
    }
}
