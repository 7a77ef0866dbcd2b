//! The command line as typed, made one that clap reads.
//!
//! `Compat:` zkCli has options of one dash and many letters, which clap does not know.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser};

use crate::{
    client_configuration::{self, ClientConfiguration},
    command::Verb,
    failure::{Failure, Outcome},
    output::{Colours, Format},
    security::{self, TlsFiles},
    session::Target,
};

/// zkCli's options in front of the command.
const LONG_IN_FRONT: [&str; 4] =
    ["-server", "-timeout", "-client-configuration", "-waitforconnection"];
/// Options in front of the command that are followed by a value.
const WITH_VALUE: [&str; 13] = [
    "-server",
    "-timeout",
    "-client-configuration",
    "-output",
    "-o",
    "-auth",
    "-color",
    "-tls-ca",
    "-tls-cert",
    "-tls-key",
    "-tls-server-name",
    "-sasl",
    "-sasl-password-file",
];
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
    #[arg(long, env = "QUORATE_CLI_SERVER", default_value = "localhost:2181")]
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
    #[arg(long, value_name = "SCHEME:AUTH", env = "QUORATE_CLI_AUTH", hide_env_values = true, action = ArgAction::Append)]
    auth: Vec<String>,
    #[command(flatten)]
    tls: TlsOptions,
    /// Prove to be this user by SASL DIGEST-MD5. The password is taken from
    /// `--sasl-password-file`, or from the variable `QUORATE_CLI_SASL_PASSWORD`.
    #[arg(long, value_name = "USER", env = "QUORATE_CLI_SASL_USER")]
    sasl: Option<String>,
    /// A file whose only line is the password of `--sasl`.
    #[arg(long, value_name = "FILE", requires = "sasl")]
    sasl_password_file: Option<PathBuf>,
    /// How answers are written.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// Whether colours are used.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) color: Colours,
}

/// How connections are encrypted. Any of these encrypts them. Files are PEM.
#[derive(Debug, Args)]
struct TlsOptions {
    /// Encrypt connections, and trust whom the system trusts.
    #[arg(long)]
    tls: bool,
    /// Encrypt connections, and trust the certificates in this file.
    #[arg(long, value_name = "FILE", env = "QUORATE_CLI_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// Show the certificate in this file to servers that ask who the client is.
    #[arg(long, value_name = "FILE", env = "QUORATE_CLI_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, if it is not in the same file.
    #[arg(long, value_name = "FILE", env = "QUORATE_CLI_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name in the servers' certificates, if it is not that in `--server`.
    #[arg(long, value_name = "NAME", env = "QUORATE_CLI_TLS_SERVER_NAME")]
    tls_server_name: Option<String>,
}

impl TlsOptions {
    /// The files, those of a client configuration replaced by those named here; none if
    /// connections are not encrypted.
    fn files(&self, configured: Option<TlsFiles>) -> Option<TlsFiles> {
        let Self { tls, tls_ca, tls_cert, tls_key, tls_server_name } = self;
        let named = *tls || tls_ca.is_some() || tls_cert.is_some() || tls_server_name.is_some();
        let mut files = match configured {
            None if !named => return None,
            configured => configured.unwrap_or_default(),
        };
        if tls_ca.is_some() {
            files.trusted.clone_from(tls_ca);
        }
        if tls_cert.is_some() {
            (files.certificate, files.key) = (tls_cert.clone(), tls_key.clone());
        }
        files.server_name.clone_from(tls_server_name);
        Some(files)
    }
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
            tls: None,
            sasl: None,
        };
        for identity in &self.auth {
            // The proof itself may be a secret, and is not repeated.
            let (scheme, proof) = identity.split_once(':').ok_or_else(|| {
                Failure::usage("--auth takes scheme:auth, for instance digest:user:password")
            })?;
            target.identities.push((scheme.to_owned(), proof.to_owned()));
        }
        let configured = match &self.client_configuration {
            Some(file) => client_configuration::read(file)?,
            None => ClientConfiguration::default(),
        };
        target.max_buffer = configured.max_buffer;
        target.request_timeout = configured.request_timeout;
        if let Some(files) = self.tls.files(configured.tls) {
            target.tls = Some(files.load()?);
        }
        if let Some(user) = &self.sasl {
            let environment = std::env::var("QUORATE_CLI_SASL_PASSWORD").ok();
            let file = self.sasl_password_file.as_deref();
            target.sasl = Some(security::digest_md5(user, file, environment)?);
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
    fn addresses_have_ports() {
        let target = |servers| {
            parsed(&format!("zk --server {servers} version")).unwrap().options.target().unwrap()
        };
        for (servers, address) in
            [("a", "a:2181"), ("a:1/app", "a:1"), ("[fe80::1]", "[fe80::1]:2181")]
        {
            assert_eq!(target(servers).addresses().unwrap(), [address]);
        }
        let service = target("zk+srv://a");
        assert!(service.addresses().unwrap_err().to_string().contains("zk+srv://a"));
    }

    #[test]
    fn a_value_is_no_option() {
        let words = ["zk", "--server", "-server", "-o", "json", "set", "/a", "-server"];
        assert_eq!(in_claps_words(words.map(OsString::from)), words.map(OsString::from));
    }

    #[test]
    fn any_option_of_tls_encrypts() {
        let files = |line: &str, configured| {
            parsed(&format!("zk {line} ls /")).unwrap().options.tls.files(configured)
        };
        assert_eq!(files("-r", None), None);
        assert_eq!(files("--tls", None), Some(TlsFiles::default()));
        let configured = TlsFiles {
            trusted: Some("t".into()),
            certificate: Some("both".into()),
            ..TlsFiles::default()
        };
        assert_eq!(files("-r", Some(configured.clone())), Some(configured.clone()));
        let files = files("--tls-cert c --tls-key k", Some(configured)).unwrap();
        assert_eq!(files.trusted, Some("t".into()));
        assert_eq!((files.certificate, files.key), (Some("c".into()), Some("k".into())));
        assert!(parsed("zk --tls-key k ls /").is_err());
        assert!(parsed("zk --sasl-password-file f ls /").is_err());
        let words = ["zk", "--tls-key", "-server", "--sasl", "-server"];
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
