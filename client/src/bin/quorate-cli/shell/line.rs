//! A line of the shell, understood.

use clap::{Parser, Subcommand, ValueEnum};

use crate::{command::Verb, output::Format};

/// The shell's commands. `help COMMAND` tells more of one.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_help_flag = false)]
pub(super) struct Line {
    /// How the answer is written.
    #[arg(short, long, global = true, value_enum)]
    pub(super) output: Option<Format>,
    #[command(subcommand)]
    pub(super) order: Order,
}

/// A command, or something about the shell itself.
#[derive(Debug, Subcommand)]
pub(super) enum Order {
    #[command(flatten)]
    Verb(Verb),
    /// Ends the session.
    Close,
    /// Opens a new session, there or with the same servers. The one before ends.
    Connect {
        /// `host:port,host:port/chroot`.
        server: Option<String>,
    },
    /// Shows the last lines with their numbers.
    History,
    /// Shows, or says, whether events of watches are shown.
    #[command(name = "printwatches")]
    PrintWatches { on: Option<OnOff> },
    /// Ends the shell.
    #[command(alias = "exit")]
    Quit,
    /// Does a line again, by its number in `history`.
    Redo { number: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnOff {
    On,
    Off,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_agrees_with_itself() {
        Line::command().debug_assert();
    }

    #[test]
    fn words_of_the_shell_are_taken() {
        for line in [
            "quit",
            "exit",
            "close",
            "connect",
            "connect h:1",
            "history",
            "redo 3",
            "printwatches",
            "printwatches off",
            "ls / -o json",
            "get -s /a",
        ] {
            let result = Line::try_parse_from(line.split(' '));
            assert!(result.is_ok(), "{line}: {}", result.unwrap_err());
        }
        assert!(Line::try_parse_from(["redo"]).is_err());
    }
}
