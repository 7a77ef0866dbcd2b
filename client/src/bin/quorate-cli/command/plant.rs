//! Writes many nodes: what `cp` and `import` have in common.

use std::collections::VecDeque;

use clap::Args;
use quorate_client::{Acl, Answer, Client, Created, Error, Stat};

use super::payload;
use crate::{
    failure::{Failure, Outcome},
    output::note,
};

/// How many writes are under way at once.
const WINDOW: usize = 128;

/// What is done about nodes that are there already.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Manner {
    /// Replace the data of nodes that are there already.
    #[arg(long, conflicts_with = "skip_existing")]
    overwrite: bool,
    /// Leave nodes that are there already as they are.
    #[arg(long)]
    skip_existing: bool,
    /// Give the nodes the ACLs too. Without it everybody may do everything.
    #[arg(long)]
    acl: bool,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Manner {
    /// Whether ACLs are of interest.
    pub(super) fn with_acl(self) -> bool {
        self.acl
    }
}

/// A node to write.
pub(super) struct Seed {
    pub(super) path: String,
    pub(super) data: Option<Vec<u8>>,
    pub(super) acl: Vec<Acl>,
}

/// How many nodes were written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) created: u64,
    pub(super) replaced: u64,
    pub(super) skipped: u64,
}

/// Writes nodes, each before those below it. Missing nodes above the first are created.
///
/// # Errors
/// At the first that is refused; those in front of it are written by then.
pub(super) async fn plant(client: &Client, seeds: &[Seed], manner: Manner) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let Some((first, rest)) = seeds.split_first() else { return Ok(tally) };
    // Requests are carried out in order, so nothing below the first can come before it.
    create_with_parents(client, first, manner, &mut tally).await?;
    let mut pending: VecDeque<(&Seed, Answer<Created>)> = VecDeque::new();
    let mut rest = rest.iter();
    loop {
        while pending.len() < WINDOW {
            let Some(seed) = rest.next() else { break };
            client.ready().await;
            pending.push_back((seed, create(client, seed, manner).send()));
        }
        let Some((seed, answer)) = pending.pop_front() else { break };
        match answer.await {
            Ok(_) => tally.created += 1,
            Err(error) => replace(client, seed, manner, error, &mut tally).await?,
        }
    }
    Ok(tally)
}

fn create<'a>(
    client: &'a Client,
    seed: &'a Seed,
    manner: Manner,
) -> quorate_client::Call<'a, quorate_client::request::Create<'a>> {
    let call = client.create(&seed.path, payload(seed.data.as_deref()));
    if manner.acl && !seed.acl.is_empty() { call.acl(&seed.acl) } else { call }
}

async fn create_with_parents(
    client: &Client,
    seed: &Seed,
    manner: Manner,
    tally: &mut Tally,
) -> Outcome {
    if seed.path == "/" {
        // It is there always, and holds what is not to be lost.
        tally.skipped += 1;
        return Ok(());
    }
    make_parents(client, &seed.path).await?;
    match create(client, seed, manner).await {
        Ok(_) => {
            tally.created += 1;
            Ok(())
        }
        Err(error) => replace(client, seed, manner, error, tally).await,
    }
}

/// Creates the nodes above that are missing: persistent ones, which stay as what is below them does.
async fn make_parents(client: &Client, path: &str) -> Outcome {
    for (slash, _) in path.match_indices('/').skip(1) {
        match client.create(&path[..slash], quorate_client::Payload::NULL).await {
            Err(error) if !error.is_node_exists() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// What is done when a node could not be created.
async fn replace(
    client: &Client,
    seed: &Seed,
    manner: Manner,
    error: Error,
    tally: &mut Tally,
) -> Outcome {
    if !error.is_node_exists() {
        return Err(error.into());
    }
    if manner.skip_existing {
        tally.skipped += 1;
        return Ok(());
    }
    if !manner.overwrite {
        note("--overwrite replaces what is there, --skip-existing leaves it.");
        return Err(error.into());
    }
    let _: Stat = client.set(&seed.path, payload(seed.data.as_deref())).await?;
    if manner.acl && !seed.acl.is_empty() {
        client.set_acl(&seed.path, &seed.acl).await?;
    }
    tally.replaced += 1;
    Ok(())
}

/// Says what was done, or what would be.
pub(super) fn report(
    seeds: &[Seed],
    tally: Option<Tally>,
    screen: &crate::output::Screen,
) -> Outcome {
    #[derive(serde::Serialize)]
    struct Document {
        created: u64,
        replaced: u64,
        skipped: u64,
    }
    let Some(Tally { created, replaced, skipped }) = tally else {
        let paths: Vec<_> = seeds.iter().map(|seed| &*seed.path).collect();
        screen.answer(&paths, |screen| {
            paths.iter().try_for_each(|path| screen.line(&crate::output::escape::name(path)))
        })?;
        return Ok(());
    };
    screen.answer(&Document { created, replaced, skipped }, |screen| {
        screen.line(&format!("{created} created, {replaced} replaced, {skipped} left as they were"))
    })?;
    Ok(())
}

/// Refuses an empty set, which is a mistake rather than work.
pub(super) fn not_empty(seeds: &[Seed]) -> Outcome {
    if seeds.is_empty() { Err(Failure::no("There is nothing to write.")) } else { Ok(()) }
}
