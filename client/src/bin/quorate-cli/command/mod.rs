//! The commands, a file each.
#![expect(clippy::struct_excessive_bools, reason = "they are flags")]

mod access;
mod add_auth;
mod bench;
mod children;
mod config;
mod copy;
mod count;
mod create;
mod delete;
mod diff;
mod doctor;
mod du;
mod edit;
mod elect;
mod ephemerals;
mod export;
mod find;
mod get;
mod grep;
mod guarded;
mod import;
mod lock;
mod participants;
mod plant;
mod quota;
mod reconfig;
mod set;
mod stat;
mod status;
mod sync;
mod tree;
mod version;
mod watch;
mod watches;
mod who;
mod whoami;

use std::io::Read;

use anyhow::Context as _;
use clap::Subcommand;
use quorate_client::{Client, Payload};

use crate::{
    failure::{Failure, Outcome},
    session::Context,
};

macro_rules! verbs {
    ($($(#[$attribute:meta])* $name:ident($arguments:ty),)*) => {
        /// All commands that need no shell. The names of zkCli's are zkCli's.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Verb {
            $($(#[$attribute])* $name($arguments),)*
        }

        impl Verb {
            /// Does it.
            pub(crate) async fn run(self, context: &mut Context) -> Outcome {
                match self {
                    $(Self::$name(arguments) => arguments.run(context).await,)*
                }
            }
        }
    };
}

verbs! {
    #[command(name = "addauth")]
    AddAuth(add_auth::AddAuth),
    #[command(name = "addWatch")]
    AddWatch(watches::AddWatch),
    Bench(bench::Bench),
    Config(config::Config),
    Cp(copy::Cp),
    Create(create::Create),
    Delete(delete::Delete),
    #[command(name = "deleteall", alias = "rmr")]
    DeleteAll(delete::DeleteAll),
    #[command(name = "delquota")]
    DelQuota(quota::DelQuota),
    Diff(diff::Diff),
    Doctor(doctor::Doctor),
    Du(du::Du),
    Edit(edit::Edit),
    Elect(elect::Elect),
    Export(export::Export),
    Find(find::Find),
    Get(get::Get),
    #[command(name = "getAcl")]
    GetAcl(access::GetAcl),
    #[command(name = "getAllChildrenNumber")]
    GetAllChildrenNumber(count::GetAllChildrenNumber),
    #[command(name = "getEphemerals")]
    GetEphemerals(ephemerals::GetEphemerals),
    Grep(grep::Grep),
    Import(import::Import),
    #[command(name = "listquota")]
    ListQuota(quota::ListQuota),
    Lock(lock::Lock),
    Ls(children::Ls),
    Reconfig(reconfig::Reconfig),
    #[command(name = "removewatches")]
    RemoveWatches(watches::RemoveWatches),
    Set(set::Set),
    #[command(name = "setAcl")]
    SetAcl(access::SetAcl),
    #[command(name = "setquota")]
    SetQuota(quota::SetQuota),
    Stat(stat::StatOf),
    Status(status::Status),
    Sync(sync::Sync),
    Tree(tree::Tree),
    Version(version::Version),
    Watch(watch::Watch),
    Who(who::Who),
    #[command(name = "whoami")]
    WhoAmI(whoami::WhoAmI),
}

impl Verb {
    /// Whether it decides itself what a signal means.
    pub(crate) fn heeds_signals(&self) -> bool {
        matches!(self, Self::Lock(_) | Self::Elect(_))
    }
}

/// A node's data, from the command line or a file.
#[derive(Debug, clap::Args)]
struct DataArgument {
    /// The data.
    #[arg(allow_negative_numbers = true)]
    data: Option<String>,
    /// Take the data from a file instead; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    from_file: Option<std::path::PathBuf>,
    /// The data is base64.
    #[arg(short = 'b')]
    base64: bool,
}

impl DataArgument {
    /// The bytes; none when nothing was given.
    fn bytes(&self) -> Outcome<Option<Vec<u8>>> {
        let given = match (&self.data, &self.from_file) {
            (Some(data), _) => Some(data.clone().into_bytes()),
            (None, Some(file)) => Some(read_file(file)?),
            (None, None) => None,
        };
        match given {
            Some(text) if self.base64 => decode_base64(&text).map(Some),
            given => Ok(given),
        }
    }
}

/// A file's bytes; `-` is standard input.
fn read_file(file: &std::path::Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).context("read standard input")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    }
    Ok(bytes)
}

fn decode_base64(text: &[u8]) -> Outcome<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let packed: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map_err(|error| Failure::usage(format!("not base64: {error}")))
}

/// Where something is: a path here, or `zk://host:port,host:port/path` in another ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    servers: Option<String>,
    path: String,
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (servers, path) = match text.strip_prefix("zk://") {
            None => (None, text),
            Some(rest) => match rest.split_once('/') {
                None => (Some(rest), "/"),
                Some((servers, _)) => (Some(servers), &rest[servers.len()..]),
            },
        };
        if !path.starts_with('/') || servers == Some("") {
            return Err("not a /path or zk://host:port/path".to_owned());
        }
        Ok(Self { servers: servers.map(str::to_owned), path: path.to_owned() })
    }
}

impl Place {
    /// A client of its ensemble.
    async fn client(&self, context: &mut Context) -> Outcome<Client> {
        match &self.servers {
            None => context.client().await,
            Some(servers) => context.target.at(servers).connect().await,
        }
    }

    /// Ends a client that is not the context's.
    async fn done(&self, client: Client) {
        if self.servers.is_some() {
            // A session that cannot be closed ends with its timeout.
            let _ = client.close().await;
        }
    }
}

/// The payload of data that may be null.
fn payload(data: Option<&[u8]>) -> Payload<'_> {
    data.map_or(Payload::NULL, Payload::from)
}

/// A path below another.
fn joined(parent: &str, below: &str) -> String {
    match (parent, below) {
        (parent, "") => parent.to_owned(),
        ("/", below) => format!("/{below}"),
        (parent, below) => format!("{parent}/{below}"),
    }
}

/// Says that a third word is out of fashion, as zkCli does.
fn note_old_watch(verb: &str, given: bool) {
    if given {
        crate::output::note(&format!(
            "'{verb} path [watch]' has been deprecated. Please use '{verb} -w path' instead."
        ));
    }
}

/// Says that a watch is of no use where the command is all there is.
pub(crate) fn note_lone_watch() {
    crate::output::note(
        "The watch has ended with the command; `watch` shows events, and so does the shell.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_here_or_elsewhere() {
        let place = |text: &str| text.parse::<Place>().map(|place| (place.servers, place.path));
        assert_eq!(place("/a/b").unwrap(), (None, "/a/b".into()));
        assert_eq!(place("zk://h:1,i:2/a/b").unwrap(), (Some("h:1,i:2".into()), "/a/b".into()));
        assert_eq!(place("zk://h").unwrap(), (Some("h".into()), "/".into()));
        assert!(place("a").is_err());
        assert!(place("zk:///a").is_err());
    }

    #[test]
    fn paths_are_joined() {
        assert_eq!(joined("/", "a/b"), "/a/b");
        assert_eq!(joined("/x", "a"), "/x/a");
        assert_eq!(joined("/x", ""), "/x");
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        assert_eq!(decode_base64(b"aGVs\nbG8=\n").unwrap(), b"hello");
        assert_eq!(decode_base64(b"!").unwrap_err().exit_code(), 2);
    }
}
