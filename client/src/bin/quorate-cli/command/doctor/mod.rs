//! What goes wrong in practice, looked for: `doctor/servers.rs` by what servers say, and
//! `doctor/nodes.rs` in the tree.

mod nodes;
mod servers;

use clap::Args;
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome},
    output::{Row, escape, note},
    session::Context,
};

/// Looks for what goes wrong in practice. Ends with 1 if there is a problem; warnings are none.
///
/// Servers named by --server are asked by four-letter words, and the tree is read for nodes that
/// are too big. Nothing is written, unless --probe is given.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Do not read the tree.
    #[arg(long)]
    no_tree: bool,
    /// Write, and delete again, an ephemeral node, to compare clocks and measure a write.
    #[arg(long)]
    probe: bool,
    /// From how many watches of a server on to warn.
    #[arg(long, default_value_t = 100_000)]
    max_watches: u64,
    /// From how many transactions behind the leader on to warn.
    #[arg(long, default_value_t = 1000)]
    max_behind: u32,
    /// From how many bytes of a node's data on to warn.
    #[arg(long, default_value_t = 512 * 1024)]
    max_data: i32,
    /// From how many children of a node on to warn.
    #[arg(long, default_value_t = 10_000)]
    max_children: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Problem,
    Warning,
    Ok,
}

/// Something that was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    check: &'static str,
    text: String,
}

impl Finding {
    fn new(level: Level, check: &'static str, text: impl Into<String>) -> Self {
        Self { level, check, text: text.into() }
    }
}

impl Row for Finding {
    const HEADER: &'static [&'static str] = &["LEVEL", "CHECK", "FINDING"];

    fn cells(&self) -> Vec<String> {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "WARNING",
            Level::Problem => "PROBLEM",
        };
        vec![level.to_owned(), self.check.to_owned(), escape::name(&self.text).into_owned()]
    }
}

impl Doctor {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let facts = servers::ask_all(&context.target).await?;
        let mut findings = servers::examine(&facts, &self);
        if facts.iter().any(servers::Facts::serves) {
            findings.extend(self.examine_tree(context).await);
        }
        findings.sort_by_key(|finding| finding.level);
        context.screen.rows(&findings)?;
        let problems = findings.iter().filter(|finding| finding.level == Level::Problem).count();
        if problems == 0 {
            return Ok(());
        }
        context.screen.flush()?;
        note(&format!("{problems} problems."));
        Err(Failure::No(None))
    }

    async fn examine_tree(&self, context: &mut Context) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |check, outcome: Outcome<Vec<Finding>>| match outcome {
            Ok(found) => findings.extend(found),
            Err(failure) => {
                let why = failure.message().unwrap_or_default();
                findings.push(Finding::new(Level::Problem, check, why));
            }
        };
        if !self.no_tree {
            let found = async { nodes::examine(&context.client().await?, self).await };
            add("nodes", found.await);
        }
        if self.probe {
            let found = async { probe(&context.client().await?).await };
            add("clock", found.await);
        }
        findings
    }
}

/// How far clocks may be apart before somebody wonders about times.
const CLOCK_MS: i64 = 2000;

/// Compares the leader's clock with this machine's, by a node it created.
async fn probe(client: &quorate_client::Client) -> Outcome<Vec<Finding>> {
    let start = tokio::time::Instant::now();
    let created = client.create("/quorate-doctor-", "").ephemeral().sequential().await?;
    let took = start.elapsed();
    client.delete(&created.path).await?;
    let ahead = created.stat.ctime - crate::clock::now().as_millisecond();
    let far = ahead.abs() > CLOCK_MS;
    let text = if far {
        let (is_ahead, ahead) = (ahead > 0, ahead.unsigned_abs());
        let direction = if is_ahead { "ahead of" } else { "behind" };
        format!("the leader's clock is {ahead} ms {direction} this machine's")
    } else {
        "the leader's clock agrees with this machine's within 2 s".to_owned()
    };
    Ok(vec![
        Finding::new(if far { Level::Warning } else { Level::Ok }, "clock", text),
        Finding::new(
            if took.as_millis() > 500 { Level::Warning } else { Level::Ok },
            "write",
            format!("a write took {:.1} ms", took.as_secs_f64() * 1000.0),
        ),
    ])
}
