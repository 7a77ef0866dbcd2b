//! The command line as typed, made one that clap reads.
//!
//! `Compat:` zkCli has options of one dash and many letters, which clap does not know.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser};

use crate::{
    command::Verb,
    failure::{Failure, Outcome},
    output::{Colours, Format},
    session::{Target, read_client_configuration},
};

/// zkCli's options in front of the command.
const LONG_IN_FRONT: [&str; 4] =
    ["-server", "-timeout", "-client-configuration", "-waitforconnection"];
/// Options in front of the command that are followed by a value.
const WITH_VALUE: [&str; 7] =
    ["-server", "-timeout", "-client-configuration", "-output", "-o", "-auth", "-color"];
/// zkCli's options of `reconfig`.
const LONG_OF_RECONFIG: [&str; 4] = ["-file", "-members", "-add", "-remove"];

/// Talks to a Quorate or ZooKeeper ensemble.
///
/// Without a command it is a shell. Commands and options are those of ZooKeeper's zkCli, and more.
#[derive(Debug, Parser)]
#[command(name = "quorate-cli", version, args_conflicts_with_subcommands = false)]
pub(crate) struct Invocation {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What stands in front of the command.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Servers, and a path that all others are below: `host:port,host:port/chroot`. Also `-server`.
    #[arg(long, env = "QUORATE_SERVER_LIST", default_value = "localhost:2181")]
    server: String,
    /// The session's timeout in milliseconds. Also `-timeout`.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=2_000_000_000))]
    timeout: u64,
    /// Take a server that can only read, if there is no other.
    #[arg(short = 'r', long)]
    read_only: bool,
    /// Wait for a connection as long as `--timeout` says; otherwise 5 s. Also `-waitforconnection`.
    #[arg(long)]
    waitforconnection: bool,
    /// Settings of ZooKeeper's Java clients. Also `-client-configuration`.
    #[arg(long, value_name = "FILE")]
    client_configuration: Option<PathBuf>,
    /// An identity, as `addauth` takes it: `digest:user:password`. May be given again.
    #[arg(long, value_name = "SCHEME:AUTH", env = "QUORATE_AUTH", hide_env_values = true, action = ArgAction::Append)]
    auth: Vec<String>,
    /// How answers are written.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// Whether colours are used.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) color: Colours,
}

impl Options {
    /// Where to connect to, and how.
    pub(crate) fn target(&self) -> Outcome<Target> {
        let mut target = Target {
            servers: self.server.clone(),
            session_timeout: Duration::from_millis(self.timeout),
            patient: self.waitforconnection,
            read_only: self.read_only,
            identities: Vec::new(),
            max_buffer: None,
            request_timeout: None,
        };
        for identity in &self.auth {
            // The proof itself may be a secret, and is not repeated.
            let (scheme, proof) = identity.split_once(':').ok_or_else(|| {
                Failure::usage("--auth takes scheme:auth, for instance digest:user:password")
            })?;
            target.identities.push((scheme.to_owned(), proof.to_owned()));
        }
        if let Some(file) = &self.client_configuration {
            read_client_configuration(&mut target, file)?;
        }
        Ok(target)
    }
}

/// The arguments, the program's name first, with zkCli's long options spelled in clap's way.
pub(crate) fn in_claps_words(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut verb: Option<OsString> = None;
    let mut value_next = false;
    let mut first = true;
    let spelled = |argument: OsString| {
        let is_value = std::mem::take(&mut value_next);
        if std::mem::take(&mut first) || is_value {
            return argument;
        }
        let Some(text) = argument.to_str() else { return argument };
        match &verb {
            None if text.starts_with('-') => {
                let single = text.strip_prefix('-').filter(|rest| rest.starts_with('-'));
                value_next = WITH_VALUE.contains(&single.unwrap_or(text));
                doubled(text, &LONG_IN_FRONT).unwrap_or(argument)
            }
            None => {
                verb = Some(argument.clone());
                argument
            }
            Some(verb) if verb == "reconfig" => {
                doubled(text, &LONG_OF_RECONFIG).unwrap_or(argument)
            }
            Some(_) => argument,
        }
    };
    arguments.into_iter().map(spelled).collect()
}

fn doubled(text: &str, known: &[&str]) -> Option<OsString> {
    known.contains(&text).then(|| format!("-{text}").into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(line: &str) -> Result<Invocation, clap::Error> {
        let words = line.split(' ').map(OsString::from);
        Invocation::try_parse_from(in_claps_words(words))
    }

    #[test]
    fn clap_agrees_with_itself() {
        Invocation::command().debug_assert();
    }

    #[test]
    fn options_of_zkcli_are_taken() {
        let invocation =
            parsed("zk -server h:1,h:2/app -timeout 500 -r -waitforconnection get -s -server /a");
        // What stands behind the command is the command's.
        assert!(invocation.is_err());
        let invocation =
            parsed("zk -server h:1,h:2/app -timeout 500 -r -waitforconnection get -s /a").unwrap();
        let target = invocation.options.target().unwrap();
        assert_eq!(target.servers, "h:1,h:2/app");
        assert_eq!(target.session_timeout, Duration::from_millis(500));
        assert!(target.read_only && target.patient);
        assert_eq!(target.addresses().unwrap(), ["h:1", "h:2"]);
        assert!(matches!(invocation.verb, Some(Verb::Get(_))));
    }

    #[test]
    fn a_value_is_no_option() {
        let words = ["zk", "--server", "-server", "-o", "json", "set", "/a", "-server"];
        assert_eq!(in_claps_words(words.map(OsString::from)), words.map(OsString::from));
    }

    #[test]
    fn an_identity_has_a_scheme() {
        let invocation = parsed("zk --auth digest:u:p --auth sasl:x whoami").unwrap();
        let identities = invocation.options.target().unwrap().identities;
        assert_eq!(identities[0], ("digest".to_owned(), "u:p".to_owned()));
        let refused = parsed("zk --auth secret whoami").unwrap().options.target().unwrap_err();
        let said = refused.message().unwrap();
        assert!(said.contains("scheme:auth") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn every_verb_of_zkcli_is_taken_with_its_flags() {
        for line in [
            "addauth digest user:password",
            "addauth ip",
            "addWatch -m PERSISTENT /a",
            "addWatch -m persistent_recursive /a",
            "config -c -w -s",
            "create /a",
            "create -s -e /a data",
            "create -c /a data world:anyone:cdrwa",
            "create -t 1000 /a data",
            "create -se /a",
            "delete -v 3 /a",
            "delete -v -1 /a",
            "deleteall /a -b 10",
            "rmr /a",
            "delquota -n /a",
            "delquota /a",
            "get -s -w -b /a",
            "get -x /a",
            "get /a -s",
            "get /a watch",
            "getAcl -s /a",
            "getAllChildrenNumber /a",
            "getEphemerals",
            "getEphemerals /a",
            "listquota /a",
            "ls -s -w /a",
            "ls -R /a",
            "ls /a watch",
            "reconfig -s -v 100000000 -remove 2,3",
            "reconfig -add server.4=h:1:2;3",
            "reconfig -members server.1=h:1:2;3",
            "reconfig -file members.cfg",
            "removewatches /a -c -l",
            "removewatches /a -d",
            "removewatches /a -a",
            "set /a data -s -v 3 -b",
            "set -s /a data",
            "set /a -5",
            "setAcl -s -v 1 -R /a world:anyone:r",
            "setquota -n 5 /a",
            "setquota -B 5 /a",
            "stat -w /a",
            "stat /a watch",
            "sync /a",
            "version",
            "whoami",
        ] {
            let result = parsed(&format!("zk -server h {line}"));
            assert!(result.is_ok(), "{line}: {}", result.unwrap_err());
        }
    }

    #[test]
    fn what_zkcli_refuses_is_refused() {
        for line in [
            "get",
            "create",
            "create -c -e /a",
            "create -c -s /a",
            "create -t 5 -e /a",
            "create -t 5 -c /a",
            "setquota /a",
            "setquota -n 1 -b 2 /a",
            "delquota -n -b /a",
            "addWatch -m ALWAYS /a",
            "reconfig",
            "reconfig -file x -add y",
            "reconfig -file x -members y",
            "reconfig -v 1 -members x -remove 1",
            "delete -v x /a",
            "nonsense",
        ] {
            assert!(parsed(&format!("zk {line}")).is_err(), "{line}");
        }
    }
}
