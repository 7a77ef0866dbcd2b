use clap::Args;
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome},
    four_letter::{self, NoAnswer},
    output::{Format, Row, escape, note},
    session::{Context, Target},
    survey::{self, Surveyed},
};

/// Shows each server named by --server: its mode, how far it is, how fast, how busy.
///
/// Ends with 1 unless all of them serve and one leads (or there is one that is alone).
#[derive(Debug, Args)]
pub(crate) struct Status {}

#[derive(Serialize)]
struct Line {
    server: String,
    mode: Option<String>,
    zxid: Option<String>,
    /// Transactions behind the leader.
    behind: Option<u32>,
    latency_ms: Option<String>,
    connections: Option<u64>,
    outstanding: Option<u64>,
    nodes: Option<u64>,
    version: Option<String>,
    problem: Option<String>,
    /// What the table shows in the place of a mode.
    #[serde(skip)]
    without_mode: &'static str,
}

impl Row for Line {
    const HEADER: &'static [&'static str] = &[
        "SERVER",
        "MODE",
        "ZXID",
        "BEHIND",
        "LATENCY_MS",
        "CONNECTIONS",
        "OUTSTANDING",
        "NODES",
        "VERSION",
    ];

    fn cells(&self) -> Vec<String> {
        fn cell(value: Option<&impl ToString>) -> String {
            value.map_or_else(|| "-".to_owned(), |value| escape::name(&value.to_string()).into())
        }
        let mode = self.mode.clone().unwrap_or_else(|| self.without_mode.to_owned());
        vec![
            escape::name(&self.server).into_owned(),
            escape::name(&mode).into_owned(),
            cell(self.zxid.as_ref()),
            cell(self.behind.as_ref()),
            cell(self.latency_ms.as_ref()),
            cell(self.connections.as_ref()),
            cell(self.outstanding.as_ref()),
            cell(self.nodes.as_ref()),
            cell(self.version.as_ref()),
        ]
    }
}

impl Status {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let surveyed = survey::survey(&context.target).await?;
        let lines: Vec<_> = surveyed.iter().map(|server| line(server, &surveyed)).collect();
        context.screen.rows(&lines)?;
        context.screen.flush()?;
        if context.screen.format() == Format::Table {
            for line in &lines {
                if let Some(problem) = &line.problem {
                    note(&escape::name(&format!("{} {problem}", line.server)));
                }
            }
            if let Some(text) = followers_of_leader(&context.target, &surveyed).await {
                context.screen.line(&text)?;
            }
        }
        if survey::leader(&surveyed).is_none() {
            return Err(Failure::no("No server leads: there is no quorum, or not all were named."));
        }
        if surveyed.iter().any(|server| server.answer.is_err()) {
            return Err(Failure::No(None));
        }
        Ok(())
    }
}

fn line(surveyed: &Surveyed, all: &[Surveyed]) -> Line {
    let server = surveyed.address.clone();
    match &surveyed.answer {
        Ok(found) => Line {
            server,
            mode: Some(found.mode.clone()),
            zxid: Some(found.zxid.to_string()),
            behind: survey::leader(all).and_then(|leader| survey::behind(found, leader)),
            latency_ms: Some(found.latency.clone()),
            connections: Some(found.connections),
            outstanding: Some(found.outstanding),
            nodes: Some(found.nodes),
            version: Some(found.version.clone()),
            problem: None,
            without_mode: "",
        },
        Err(why) => Line {
            server,
            mode: None,
            zxid: None,
            behind: None,
            latency_ms: None,
            connections: None,
            outstanding: None,
            nodes: None,
            version: None,
            problem: Some(why.to_string()),
            without_mode: if matches!(why, NoAnswer::NotServing) { "WAITING" } else { "DOWN" },
        },
    }
}

/// What the leader says of those who follow, if it allows `mntr`.
async fn followers_of_leader(target: &Target, surveyed: &[Surveyed]) -> Option<String> {
    let leads =
        |surveyed: &&Surveyed| surveyed.answer.as_ref().is_ok_and(|server| server.mode == "leader");
    let address = &surveyed.iter().find(leads)?.address;
    let answer = four_letter::ask(target.tls.as_ref(), address, "mntr").await.ok()?;
    let facts = four_letter::tab_lines(&answer);
    let (synced, observers) =
        (facts.get("zk_synced_followers")?, facts.get("zk_synced_observers")?);
    Some(format!("Synced with the leader: {synced} followers, {observers} observers."))
}
