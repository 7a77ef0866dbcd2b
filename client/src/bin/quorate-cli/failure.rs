//! Why a command ends without having done what it was asked to, in words for people, and the exit
//! code that tells scripts the same.

use std::io;

use quorate_client::{ErrorCode, ErrorKind};

use crate::output::escape;

/// What a command comes to.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command failed. See `docs/cli.md` for the exit codes.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was done, and the answer is no: nothing was found, trees differ, something is wrong. The
    /// text says what has not been said yet, if anything.
    No(Option<String>),
    /// The command is wrong in itself.
    Usage(String),
    /// The ensemble refused, or could not be asked.
    Client(quorate_client::Error),
    /// Something of this machine: a file, an editor.
    Local(anyhow::Error),
    /// A command that was run under a lock has said what there is to say, with this exit code; or
    /// a signal asks for it.
    Exit(u8),
    /// The person pressed Ctrl-C.
    Interrupted,
    /// Whoever reads the output has gone.
    OutputClosed,
}

impl Failure {
    /// The exit code that tells of a lock that was lost under a command.
    pub(crate) const LOCK_LOST: u8 = 10;

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::No(_) => 1,
            Self::Usage(_) => 2,
            Self::Client(error) => client_exit_code(error),
            Self::Local(_) => 9,
            Self::Exit(code) => *code,
            Self::Interrupted => 130,
            Self::OutputClosed => 141,
        }
    }

    /// What to say, if anything is left to say.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::No(text) => text.clone(),
            Self::Usage(text) => Some(text.clone()),
            Self::Client(error) => Some(client_message(error)),
            Self::Local(error) => Some(format!("{error:#}")),
            Self::Exit(_) | Self::Interrupted | Self::OutputClosed => None,
        }
    }

    /// A usage failure.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// A negative answer.
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self::No(Some(text.into()))
    }

    /// Whether the ensemble said that the node is not there.
    pub(crate) fn is_no_node(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_no_node())
    }
}

impl From<quorate_client::Error> for Failure {
    fn from(error: quorate_client::Error) -> Self {
        Self::Client(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Local(error)
    }
}

impl From<io::Error> for Failure {
    /// Of writing to the screen: other files say which they are.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Local(anyhow::Error::new(error).context("write the output"))
        }
    }
}

fn client_exit_code(error: &quorate_client::Error) -> u8 {
    use ErrorCode as Code;
    match (error.code(), error.kind()) {
        (Some(Code::NoNode), _) => 3,
        (Some(Code::NodeExists | Code::NotEmpty | Code::NoChildrenForEphemerals), _) => 4,
        (Some(Code::BadVersion), _) => 5,
        (Some(Code::NoAuth | Code::AuthFailed | Code::SessionClosedRequireSaslAuth), _)
        | (_, ErrorKind::AuthFailed) => 6,
        (
            _,
            ErrorKind::BadArgument(_)
            | ErrorKind::BadPath(_)
            | ErrorKind::BadConnectString(_)
            | ErrorKind::TooLarge { .. }
            | ErrorKind::Setup(_),
        ) => 2,
        _ if !error.surely_not_done() => 8,
        (
            _,
            ErrorKind::NotConnected(_)
            | ErrorKind::Timeout
            | ErrorKind::SessionLost
            | ErrorKind::Closed,
        ) => 7,
        _ => 1,
    }
}

/// `Compat:` the sentences are those of ZooKeeper's `CliWrapperException`, which scripts look for.
fn client_message(error: &quorate_client::Error) -> String {
    use ErrorCode as Code;
    // What has no path of its own is not about a node.
    let about = |what: &str| match error.path() {
        Some(path) => format!("{what}: {}", escape::name(path)),
        None => what.trim_end().to_owned(),
    };
    let sentence = match (error.code(), error.kind()) {
        (_, ErrorKind::MultiFailed { index, code }) => {
            return format!("Operation {} of the transaction failed: {code}", index + 1);
        }
        (Some(Code::NoNode), _) => about("Node does not exist"),
        (Some(Code::NodeExists), _) => about("Node already exists"),
        (Some(Code::NotEmpty), _) => about("Node not empty"),
        (Some(Code::NoChildrenForEphemerals), _) => about("Ephemerals cannot have children"),
        (Some(Code::NotReadOnly), _) => about("Not a read-only call"),
        (Some(Code::InvalidAcl), _) => about("Acl is not valid "),
        (Some(Code::NoAuth), _) => about("Insufficient permission "),
        (Some(Code::BadArguments), _) => about("Arguments are not valid "),
        (Some(Code::BadVersion), _) => {
            about("version No is not valid ") + " (somebody else has changed it; read it again)"
        }
        (Some(Code::QuotaExceeded), _) => about("Quota has exceeded "),
        (Some(Code::ReconfigInProgress), _) => {
            "Another reconfiguration is in progress -- try again when it is done".to_owned()
        }
        (Some(Code::NewConfigNoQuorum), _) => {
            "No quorum of new config is connected and up-to-date with the leader of last committed \
             config - try invoking reconfiguration after new servers are connected and synced"
                .to_owned()
        }
        (Some(Code::ReconfigDisabled), _) => {
            "Reconfiguration is switched off (reconfigEnabled=true in zoo.cfg switches it on)"
                .to_owned()
        }
        (Some(Code::Unimplemented), _) => {
            about("The server does not know this operation, or has it switched off")
        }
        (Some(Code::NoWatcher), _) => about("No watch of that kind is set"),
        (Some(Code::EphemeralOnLocalSession), _) => {
            "Unable to create ephemeral node on a local session".to_owned()
        }
        (_, ErrorKind::BadPath(why)) => format!("{}: {why}", about("Path is not valid")),
        (_, ErrorKind::Closed) => "Not connected (`connect` opens a session)".to_owned(),
        (Some(Code::AuthFailed), _) | (_, ErrorKind::AuthFailed) => {
            "The server refused the identity (scheme and auth of addauth, user and password of \
             --sasl), and takes no more of this session; in the shell `connect` opens a new one"
                .to_owned()
        }
        _ => chain(error),
    };
    if error.surely_not_done() {
        sentence
    } else {
        format!("{sentence}; whether it was done is unknown, read the node before trying again")
    }
}

/// The error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = source.source();
    }
    escape::name(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_codes_and_sentences() {
        let refused = |code| quorate_client::Error::from(ErrorKind::Refused(code));
        for (error, code, sentence) in [
            (refused(ErrorCode::NoNode), 3, "Node does not exist"),
            (refused(ErrorCode::NodeExists), 4, "Node already exists"),
            (refused(ErrorCode::NotEmpty), 4, "Node not empty"),
            (refused(ErrorCode::BadVersion), 5, "version No is not valid"),
            (refused(ErrorCode::NoAuth), 6, "Insufficient permission"),
            (ErrorKind::AuthFailed.into(), 6, "refused the identity"),
            (refused(ErrorCode::AuthFailed), 6, "refused the identity"),
            (refused(ErrorCode::BadArguments), 1, "Arguments are not valid"),
            (ErrorKind::BadArgument("x").into(), 2, "bad argument: x"),
            (ErrorKind::NotConnected(None).into(), 7, "not connected"),
            (ErrorKind::Timeout.into(), 7, "no answer in time"),
            (refused(ErrorCode::SystemError), 8, "whether it was done is unknown"),
            (refused(ErrorCode::QuotaExceeded), 1, "Quota has exceeded"),
        ] {
            let failure = Failure::from(error);
            assert_eq!(failure.exit_code(), code, "{failure:?}");
            let said = failure.message().unwrap();
            assert!(said.contains(sentence), "{said}");
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_nothing_to_talk_about() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit_code(), failure.message()), (141, None));
    }
}
