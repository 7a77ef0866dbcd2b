//! Completion of commands and paths.

use std::time::Duration;

use clap::CommandFactory;
use quorate_client::Client;
use rustyline::{
    Context, Helper,
    completion::{Completer, Pair},
    highlight::Highlighter,
    hint::Hinter,
    validate::Validator,
};
use tokio::runtime::Handle;

use super::{line::Line, words};
use crate::output::escape::is_unsafe;

/// How long the servers may take to name the children.
const PATIENCE: Duration = Duration::from_millis(800);

/// Completes the word being typed: the first a command, others that begin with `/` a path.
pub(super) struct Completion {
    runtime: Handle,
    client: Option<Client>,
    commands: Vec<String>,
}

impl Completion {
    pub(super) fn new(runtime: Handle) -> Self {
        let mut commands: Vec<String> = Line::command()
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        commands.push("help".to_owned());
        commands.sort_unstable();
        Self { runtime, client: None, commands }
    }

    /// Asks this client for children.
    pub(super) fn set_client(&mut self, client: Option<Client>) {
        self.client = client;
    }

    fn paths(&self, typed: &str) -> Vec<Pair> {
        let Some(client) = &self.client else { return Vec::new() };
        let (folder, beginning) = typed.split_at(typed.rfind('/').map_or(0, |slash| slash + 1));
        let parent = if folder == "/" { "/" } else { folder.trim_end_matches('/') };
        // Nothing is completed where nothing can be read.
        let children = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, client.children(parent)).await });
        let Ok(Ok(children)) = children else { return Vec::new() };
        candidates(folder, beginning, children.names)
    }
}

/// The children that begin so, with the folder in front, in quotes where they need them.
fn candidates(folder: &str, beginning: &str, mut names: Vec<String>) -> Vec<Pair> {
    names.retain(|name| name.starts_with(beginning) && !name.chars().any(is_unsafe));
    names.sort_unstable();
    let pair = |name: String| {
        let path = format!("{folder}{name}");
        let replacement = match path.contains(char::is_whitespace) {
            true if path.contains('"') => format!("'{path}'"),
            true => format!("\"{path}\""),
            false => path,
        };
        Pair { display: name, replacement }
    };
    names.into_iter().map(pair).collect()
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, word) = words::last(&line[..position]);
        let pairs = if word.starts_with('/') {
            self.paths(word)
        } else if line[..start].trim().is_empty() || line.trim_start().starts_with("help ") {
            let commands = self.commands.iter().filter(|command| command.starts_with(word));
            let pair = |command: &String| Pair {
                display: command.clone(),
                replacement: format!("{command} "),
            };
            commands.map(pair).collect()
        } else {
            Vec::new()
        };
        Ok((start, pairs))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_completed_in_order_and_quoted_where_needed() {
        let names = ["b", "ab", "a c", "a\x1b"].map(str::to_owned).to_vec();
        let found: Vec<_> = candidates("/x/", "a", names)
            .into_iter()
            .map(|pair| (pair.display, pair.replacement))
            .collect();
        let expected = [("a c", "\"/x/a c\""), ("ab", "/x/ab")];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn commands_are_completed() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let completion = Completion::new(runtime.handle().clone());
        let history = rustyline::history::DefaultHistory::new();
        let complete = |line: &str| {
            let context = Context::new(&history);
            let (start, pairs) = completion.complete(line, line.len(), &context).unwrap();
            (start, pairs.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>())
        };
        assert_eq!(
            complete("getA"),
            (0, vec!["getAcl ".to_owned(), "getAllChildrenNumber ".to_owned()])
        );
        assert_eq!(complete("help rec"), (5, vec!["reconfig ".to_owned()]));
        assert_eq!(complete("get x"), (4, vec![]));
        assert_eq!(complete("ls /"), (3, vec![]));
    }
}
