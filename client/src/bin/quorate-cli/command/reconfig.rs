use std::path::PathBuf;

use clap::{ArgGroup, Args};
use quorate_client::ErrorCode;
use serde::Serialize;

use super::read_file;
use crate::{
    failure::{Failure, Outcome},
    output::{StatView, escape, note},
    session::Context,
};

/// Changes which servers the ensemble has.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["file", "members", "add", "remove"]))]
pub(crate) struct Reconfig {
    /// Show the Stat too.
    #[arg(short = 's')]
    stat: bool,
    /// Only if the configuration has this version, in hexadecimal as `config` shows it.
    #[arg(short = 'v', value_parser = hexadecimal)]
    version: Option<i64>,
    /// The whole new membership, from a file. Also `-file`.
    #[arg(long, conflicts_with_all = ["members", "add", "remove"])]
    file: Option<PathBuf>,
    /// The whole new membership: `server.N=host:port:port;port,...`. Also `-members`.
    #[arg(long, conflicts_with_all = ["add", "remove"])]
    members: Option<String>,
    /// Servers to add or change: `server.N=host:port:port;port,...`. Also `-add`.
    #[arg(long)]
    add: Option<String>,
    /// Servers to remove, by their numbers. Also `-remove`.
    #[arg(long, value_parser = numbers)]
    remove: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    config: &'a str,
    stat: StatView,
}

impl Reconfig {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        // `Compat:` zkCli lowers all of these.
        let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_lowercase());
        let members = match &self.file {
            Some(file) => {
                Some(members_of(&String::from_utf8_lossy(&read_file(file)?)).ok_or_else(|| {
                    Failure::usage(format!("{} has no line server.N=...", file.display()))
                })?)
            }
            None => lower(&self.members),
        };
        let (joining, leaving) = (lower(&self.add), lower(&self.remove));
        let client = context.client().await?;
        let mut call = client.reconfig();
        if let Some(members) = &members {
            call = call.members(members);
        }
        if let Some(joining) = &joining {
            call = call.joining(joining);
        }
        if let Some(leaving) = &leaving {
            call = call.leaving(leaving);
        }
        if let Some(version) = self.version {
            call = call.version(version);
        }
        let node = call.await.inspect_err(note_reason)?;
        let config = String::from_utf8_lossy(&node.data);
        let document = Document { config: &config, stat: node.stat.into() };
        context.screen.answer(&document, |screen| {
            screen.line("Committed new configuration:")?;
            screen.line(&escape::data(config.as_bytes()))?;
            if self.stat { screen.stat(&node.stat) } else { Ok(()) }
        })?;
        Ok(())
    }
}

/// What a refusal has to do with the ensemble, where the code alone does not tell.
fn note_reason(error: &quorate_client::Error) {
    match error.code() {
        Some(ErrorCode::NoAuth) => note(
            "Changing the servers takes the permission w on /zookeeper/config, which at first only \
             the super user has: --auth digest:super:PASSWORD",
        ),
        Some(ErrorCode::BadArguments) => note(
            "Servers are server.N=host:quorumPort:electionPort[:participant|:observer]\
             [;[host:]clientPort], each address its own, and somebody must vote",
        ),
        _ if !error.surely_not_done() => {
            note("`config` shows whether it was done; the servers it removed may have left.");
        }
        _ => {}
    }
}

fn numbers(text: &str) -> Result<String, String> {
    if text.split(',').any(|number| number.trim().parse::<u32>().is_err()) {
        return Err("not the numbers of servers, separated by commas".to_owned());
    }
    Ok(text.to_owned())
}

fn hexadecimal(text: &str) -> Result<i64, String> {
    i64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16)
        .map_err(|_| "not a configuration version (hexadecimal)".to_owned())
}

/// The lines of a file that tell of servers, weights and groups, separated by commas.
fn members_of(file: &str) -> Option<String> {
    let lines = file.lines().map(str::trim);
    let wanted = |line: &&str| {
        ["server.", "weight.", "group."].iter().any(|prefix| line.starts_with(prefix))
    };
    let members: Vec<_> = lines.filter(wanted).collect();
    (!members.is_empty()).then(|| members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_the_lines_of_servers() {
        let file = "# x\nserver.1=a:1:2;3\n\nserver.2=b:1:2;3\nversion=5\n";
        assert_eq!(members_of(file).unwrap(), "server.1=a:1:2;3,server.2=b:1:2;3");
        assert_eq!(members_of("tickTime=5"), None);
        assert_eq!(hexadecimal("100000000"), Ok(0x1_0000_0000));
        assert_eq!(hexadecimal("0x1f"), Ok(0x1f));
        assert!(hexadecimal("x").is_err());
    }
}
