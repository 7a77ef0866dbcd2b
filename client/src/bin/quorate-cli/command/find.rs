use clap::Args;
use regex::{Regex, RegexBuilder};

use crate::{
    failure::{Failure, Outcome},
    output::escape,
    session::Context,
    walk::{self, Want},
};

/// Lists the nodes below whose path matches a regular expression.
///
/// Ends with 1 when there are none.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Letters of both cases are the same.
    #[arg(short = 'i')]
    ignore_case: bool,
    /// Only ephemeral nodes.
    #[arg(short = 'e')]
    ephemeral: bool,
    path: String,
    #[arg(default_value = "")]
    pattern: String,
}

/// A regular expression, with an error that says what is wrong with it.
pub(super) fn compiled(pattern: &str, ignore_case: bool) -> Outcome<Regex> {
    let regex = RegexBuilder::new(pattern).case_insensitive(ignore_case).build();
    regex.map_err(|error| Failure::usage(error.to_string()))
}

impl Find {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let pattern = compiled(&self.pattern, self.ignore_case)?;
        let client = context.client().await?;
        let tree = walk::read(&client, &self.path, Want::default()).await?;
        let found: Vec<&str> = tree
            .preorder()
            .filter(|entry| !self.ephemeral || super::tree::is_ephemeral(entry))
            .map(|entry| &*entry.path)
            .filter(|path| pattern.is_match(path))
            .collect();
        context.screen.answer(&found, |screen| {
            found.iter().try_for_each(|path| screen.line(&escape::name(path)))
        })?;
        tree.check()?;
        if found.is_empty() { Err(Failure::No(None)) } else { Ok(()) }
    }
}
