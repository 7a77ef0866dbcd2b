//! How many operations a client library gets through a connection, and how long one takes.
//!
//! Both libraries do the same with one session at one server, in turn, so that what the machine does besides hits both.

mod quorate;
mod zookeeper;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use futures_util::{StreamExt, stream::FuturesUnordered};

const PATH: &str = "/bench-clients";

/// Measures Quorate's client beside the zookeeper-client crate.
#[derive(Parser)]
struct Arguments {
    /// The server, as HOST:PORT
    host: String,
    /// How long each measurement takes
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// How often each is repeated
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many operations are in flight where many are
    #[arg(long, default_value_t = 1000)]
    in_flight: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 128)]
    size: usize,
}

/// A library with an open session.
trait Library {
    const NAME: &'static str;
    type Client: Clone;

    async fn connect(host: &str) -> Result<Self::Client>;
    async fn create(client: &Self::Client, path: &str) -> Result<()>;
    /// An operation that is on its way as far as the library lets it be without being awaited.
    fn get(client: &Self::Client, path: &'static str) -> impl Future<Output = Result<()>>;
    fn set(
        client: &Self::Client,
        path: &'static str,
        data: &'static [u8],
    ) -> impl Future<Output = Result<()>>;
}

#[derive(Clone, Copy)]
enum Op {
    Get,
    Set,
}

struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for (what, op) in [("set", Op::Set), ("get", Op::Get)] {
        for in_flight in [1, arguments.in_flight] {
            let mut ours = Vec::new();
            let mut theirs = Vec::new();
            for _ in 0..arguments.rounds {
                ours.push(measure::<quorate::Quorate>(&arguments, op, in_flight).await?);
                theirs.push(measure::<zookeeper::ZooKeeper>(&arguments, op, in_flight).await?);
            }
            let (ours, theirs) = (median(ours), median(theirs));
            println!("{what}, {in_flight} in flight");
            show(quorate::Quorate::NAME, &ours);
            show(zookeeper::ZooKeeper::NAME, &theirs);
            println!(
                "  throughput x {:.2}, p50 x {:.2}",
                ours.per_second / theirs.per_second,
                ours.p50.as_secs_f64() / theirs.p50.as_secs_f64()
            );
        }
    }
    Ok(())
}

async fn measure<L: Library>(arguments: &Arguments, op: Op, in_flight: usize) -> Result<Measured> {
    let client = L::connect(&arguments.host).await.context(L::NAME)?;
    L::create(&client, PATH).await?;
    let data: &'static [u8] = vec![7; arguments.size].leak();
    let run = || async {
        let begin = Instant::now();
        match op {
            Op::Get => L::get(&client, PATH).await?,
            Op::Set => L::set(&client, PATH, data).await?,
        }
        anyhow::Ok(begin.elapsed())
    };
    let begin = Instant::now();
    let mut times = Vec::new();
    let mut flying: FuturesUnordered<_> = (0..in_flight).map(|_| run()).collect();
    while let Some(time) = flying.next().await {
        times.push(time?);
        if begin.elapsed() < arguments.time {
            flying.push(run());
        }
    }
    let per_second = times.len() as f64 / begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let quantile = |of_hundred: usize| times[(times.len() - 1) * of_hundred / 100];
    Ok(Measured { per_second, p50: quantile(50), p99: quantile(99) })
}

/// The one whose throughput is in the middle.
fn median(mut measured: Vec<Measured>) -> Measured {
    measured.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    measured.swap_remove(measured.len() / 2)
}

fn show(name: &str, measured: &Measured) {
    let Measured { per_second, p50, p99 } = measured;
    println!("  {name:<18} {per_second:>9.0}/s  p50 {p50:>10.1?}  p99 {p99:>10.1?}");
}
