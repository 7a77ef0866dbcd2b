//! Quotas: limits of the number of nodes and bytes below a node. ZooKeeper keeps them as nodes
//! below `/zookeeper/quota`, which its clients write.

use std::{collections::BTreeMap, fmt};

use clap::{ArgGroup, Args};
use quorate_client::Client;
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome},
    output::{escape, note},
    session::Context,
    walk::{self, Want},
};

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// Limits what may be below a node.
///
/// A soft limit that is exceeded is logged by the servers; a hard one refuses what would exceed it
/// (`enforceQuota=true` in zoo.cfg).
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("limit").required(true).args(["count", "bytes", "hard_count", "hard_bytes"]))]
pub(crate) struct SetQuota {
    /// Nodes, soft.
    #[arg(short = 'n', allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
    count: Option<i64>,
    /// Bytes, soft.
    #[arg(short = 'b', allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..))]
    bytes: Option<i64>,
    /// Nodes, hard.
    #[arg(short = 'N', allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
    hard_count: Option<i64>,
    /// Bytes, hard.
    #[arg(short = 'B', allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..))]
    hard_bytes: Option<i64>,
    path: String,
}

/// Shows the limits of a node, and what is there.
#[derive(Debug, Args)]
pub(crate) struct ListQuota {
    path: String,
}

/// Removes limits of a node: all, or one.
#[derive(Debug, Args)]
pub(crate) struct DelQuota {
    /// Nodes, soft.
    #[arg(short = 'n', conflicts_with_all = ["bytes", "hard_count", "hard_bytes"])]
    count: bool,
    /// Bytes, soft.
    #[arg(short = 'b', conflicts_with_all = ["hard_count", "hard_bytes"])]
    bytes: bool,
    /// Nodes, hard.
    #[arg(short = 'N', conflicts_with = "hard_bytes")]
    hard_count: bool,
    /// Bytes, hard.
    #[arg(short = 'B')]
    hard_bytes: bool,
    path: String,
}

/// Limits, or what is there: `count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=10`. -1 is none.
///
/// `Compat:` the `=` behind the bytes lets servers before 3.7 overlook the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figures {
    count: i64,
    bytes: i64,
    /// The hard limits, and whatever else is there.
    more: BTreeMap<String, i64>,
}

const HARD_COUNT: &str = "countHardLimit";
const HARD_BYTES: &str = "byteHardLimit";

impl Figures {
    const NONE: Self = Self { count: -1, bytes: -1, more: BTreeMap::new() };

    fn read(data: &[u8]) -> Outcome<Self> {
        let text = String::from_utf8_lossy(data);
        let mut figures = Self::NONE;
        for pair in text.split([',', ';']) {
            let mut parts = pair.split('=');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
            let value = value.parse().map_err(|_| {
                Failure::no(format!("The quota cannot be read: {}", escape::name(&text)))
            })?;
            match key {
                "count" => figures.count = value,
                "bytes" => figures.bytes = value,
                other => {
                    figures.more.insert(other.to_owned(), value);
                }
            }
        }
        Ok(figures)
    }

    fn set(&mut self, key: &str, value: i64) {
        self.more.insert(key.to_owned(), value);
    }

    fn hard(&self, key: &str) -> i64 {
        self.more.get(key).copied().unwrap_or(-1)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)?;
        if !self.more.is_empty() {
            f.write_str("=")?;
        }
        self.more.iter().try_for_each(|(key, value)| write!(f, ";{key}={value}"))
    }
}

fn quota_of(path: &str) -> String {
    format!("{ROOT}{}", if path == "/" { "" } else { path })
}

impl SetQuota {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        if self.path.starts_with(ROOT) {
            return Err(Failure::usage(format!("cannot set a quota under the path: {ROOT}")));
        }
        if client.exists(&self.path).await?.is_none() {
            return Err(client.get(&self.path).await.err().map_or_else(
                || Failure::no(format!("{} does not exist.", escape::name(&self.path))),
                Failure::from,
            ));
        }
        self.refuse_nested(&client).await?;
        let limits = format!("{}/{LIMITS}", quota_of(&self.path));
        let stats = format!("{}/{STATS}", quota_of(&self.path));
        let created = {
            let mut figures = Figures::NONE;
            self.put_into(&mut figures);
            client.create(&limits, figures.to_string()).with_parents().await
        };
        match created {
            Ok(_) => {
                client.create(&stats, "count=0,bytes=0").await?;
            }
            Err(error) if error.is_node_exists() => {
                let node = client.get(&limits).await?;
                let mut figures = Figures::read(&node.data)?;
                self.put_into(&mut figures);
                client.set(&limits, figures.to_string()).version(node.stat.version).await?;
            }
            Err(error) => return Err(error.into()),
        }
        self.note_exceeded(&client, &limits, &stats).await
    }

    fn put_into(&self, figures: &mut Figures) {
        figures.count = self.count.unwrap_or(figures.count);
        figures.bytes = self.bytes.unwrap_or(figures.bytes);
        let (count, bytes) = (figures.hard(HARD_COUNT), figures.hard(HARD_BYTES));
        figures.set(HARD_COUNT, self.hard_count.unwrap_or(count));
        figures.set(HARD_BYTES, self.hard_bytes.unwrap_or(bytes));
    }

    /// `Compat:` a path has at most one quota: none above another.
    async fn refuse_nested(&self, client: &Client) -> Outcome {
        let quota = quota_of(&self.path);
        for (slash, _) in quota.match_indices('/').skip(2) {
            let above = &quota[..slash];
            if client.exists(&format!("{above}/{LIMITS}")).await?.is_some() {
                return Err(self.nested("parent", above));
            }
        }
        match walk::read(client, &quota, Want::default()).await {
            Err(failure) if failure.is_no_node() => Ok(()),
            Err(failure) => Err(failure),
            Ok(tree) => {
                let limits = |entry: &&walk::Entry| entry.name() == LIMITS && entry.depth > 1;
                match tree.preorder().find(limits) {
                    None => Ok(()),
                    Some(found) => {
                        Err(self
                            .nested("child", &found.path[..found.path.len() - LIMITS.len() - 1]))
                    }
                }
            }
        }
    }

    fn nested(&self, relation: &str, quota: &str) -> Failure {
        let other = escape::name(quota.strip_prefix(ROOT).unwrap_or(quota)).into_owned();
        let path = escape::name(&self.path);
        Failure::no(format!("{path} has a {relation} {other} which has a quota"))
    }

    /// Warns when there is more already than the limits allow.
    async fn note_exceeded(&self, client: &Client, limits: &str, stats: &str) -> Outcome {
        let limits = Figures::read(&client.get(limits).await?.data)?;
        let there = Figures::read(&client.get(stats).await?.data)?;
        let exceeds = |limit: i64, there: i64| limit > -1 && limit < there;
        for (what, soft, hard, there) in [
            ("count", limits.count, limits.hard(HARD_COUNT), there.count),
            ("bytes", limits.bytes, limits.hard(HARD_BYTES), there.bytes),
        ] {
            if exceeds(soft, there) || exceeds(hard, there) {
                note(&format!(
                    "[Warning]: the {what} quota you create is less than the existing {what}:{there}"
                ));
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a str,
    limits: View,
    there: View,
}

#[derive(Serialize)]
struct View {
    count: i64,
    bytes: i64,
    #[serde(flatten)]
    more: BTreeMap<String, i64>,
}

impl From<Figures> for View {
    fn from(figures: Figures) -> Self {
        Self { count: figures.count, bytes: figures.bytes, more: figures.more }
    }
}

impl ListQuota {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let quota = quota_of(&self.path);
        let read = async |name: &str| -> Outcome<Figures> {
            Figures::read(&client.get(&format!("{quota}/{name}")).await?.data)
        };
        let path = escape::name(&self.path);
        let missing = |failure: Failure| match failure {
            failure if failure.is_no_node() => {
                Failure::no(format!("quota for {path} does not exist."))
            }
            failure => failure,
        };
        let (limits, there) =
            (read(LIMITS).await.map_err(missing)?, read(STATS).await.map_err(missing)?);
        let lines = format!("Output quota for {path} {limits}\nOutput stat for {path} {there}");
        let document = Document { path: &self.path, limits: limits.into(), there: there.into() };
        if context.screen.format() == crate::output::Format::Table {
            note(&format!("absolute path is {}", escape::name(&format!("{quota}/{LIMITS}"))));
        }
        context.screen.answer(&document, |screen| screen.line(&lines))?;
        Ok(())
    }
}

impl DelQuota {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let quota = quota_of(&self.path);
        let limits = format!("{quota}/{LIMITS}");
        let Some(_) = client.exists(&limits).await? else {
            let path = escape::name(&self.path);
            return Err(Failure::no(format!("Quota does not exist for {path}")));
        };
        if !(self.count || self.bytes || self.hard_count || self.hard_bytes) {
            return delete(&client, &quota).await;
        }
        let node = client.get(&limits).await?;
        let mut figures = Figures::read(&node.data)?;
        if self.count {
            figures.count = -1;
        }
        if self.bytes {
            figures.bytes = -1;
        }
        if self.hard_count {
            figures.set(HARD_COUNT, -1);
        }
        if self.hard_bytes {
            figures.set(HARD_BYTES, -1);
        }
        client.set(&limits, figures.to_string()).version(node.stat.version).await?;
        Ok(())
    }
}

/// Deletes a quota, and the nodes above that are of no more use.
async fn delete(client: &Client, quota: &str) -> Outcome {
    for name in client.children(quota).await?.names {
        client.delete(&format!("{quota}/{name}")).await?;
    }
    let mut node = quota;
    while node != ROOT {
        match client.delete(node).await {
            Err(error) if error.code() == Some(quorate_client::ErrorCode::NotEmpty) => break,
            Err(error) if !error.is_no_node() => return Err(error.into()),
            _ => {}
        }
        node = &node[..node.rfind('/').unwrap_or_default()];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_zookeeper() {
        for text in ["count=5,bytes=-1", "count=-1,bytes=7=;byteHardLimit=-1;countHardLimit=10"] {
            assert_eq!(Figures::read(text.as_bytes()).unwrap().to_string(), text);
        }
        assert!(Figures::read(b"count=x").is_err());
    }
}
