use clap::Args;
use serde::Serialize;

use super::note_lone_watch;
use crate::{
    failure::{Failure, Outcome},
    output::{StatView, escape},
    session::Context,
};

/// The node that holds the configuration.
const NODE: &str = "/zookeeper/config";

/// Shows the ensemble's configuration.
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// Show the version and the servers' client addresses only.
    #[arg(short = 'c')]
    clients: bool,
    /// Watch the configuration (in the shell).
    #[arg(short = 'w')]
    watch: bool,
    /// Show the Stat too.
    #[arg(short = 's')]
    stat: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    version: &'a str,
    servers: Vec<&'a str>,
    clients: String,
    stat: StatView,
}

impl Config {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        if self.watch {
            if !client.chroot_path().is_empty() {
                return Err(Failure::usage(
                    "the configuration cannot be watched below a path: connect without one",
                ));
            }
            match &mut context.watches {
                Some(watches) => {
                    let (_, watch) = client.get(NODE).watch().await?;
                    watches.add_one_shot(NODE, quorate_client::WatcherType::Data, watch);
                }
                None => note_lone_watch(),
            }
        }
        let node = client.config().await?;
        let text = String::from_utf8_lossy(&node.data);
        let document = Document {
            version: version(&text),
            servers: text.lines().filter(|line| line.starts_with("server.")).collect(),
            clients: clients(&text),
            stat: node.stat.into(),
        };
        context.screen.answer(&document, |screen| {
            if self.clients {
                screen.line(&format!(
                    "{} {}",
                    document.version,
                    escape::name(&document.clients)
                ))?;
            } else {
                screen.line(&escape::data(&node.data))?;
            }
            if self.stat { screen.stat(&node.stat) } else { Ok(()) }
        })?;
        Ok(())
    }
}

fn version(config: &str) -> &str {
    config.lines().find_map(|line| line.strip_prefix("version=")).unwrap_or_default().trim()
}

/// The client addresses of the servers, separated by commas.
fn clients(config: &str) -> String {
    let address = |line: &str| {
        let (_, client) = line.strip_prefix("server.")?.split_once(';')?;
        // A port alone is one of all addresses.
        let all = client.bytes().all(|byte| byte.is_ascii_digit());
        Some(if all { format!("0.0.0.0:{client}") } else { client.to_owned() })
    };
    config.lines().map(str::trim).filter_map(address).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_where_to_connect() {
        let config = "server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2;9\nversion=1000\n";
        assert_eq!(clients(config), "0.0.0.0:3,0.0.0.0:9");
        assert_eq!(version(config), "1000");
    }
}
