use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use clap::Args;
use regex::Regex;
use serde::Serialize;

use super::find::compiled;
use crate::{
    failure::{Failure, Outcome},
    output::{Screen, escape},
    session::Context,
    walk::{self, Want},
};

const PATH: Style = AnsiColor::Magenta.on_default();
const MATCH: Style = AnsiColor::Red.on_default().bold();

/// Lists the lines of all data below that match a regular expression.
///
/// Ends with 1 when there are none.
#[derive(Debug, Args)]
pub(crate) struct Grep {
    /// Letters of both cases are the same.
    #[arg(short = 'i')]
    ignore_case: bool,
    /// Show paths only.
    #[arg(short = 'l')]
    paths_only: bool,
    path: String,
    pattern: String,
}

#[derive(Serialize)]
struct Found<'a> {
    path: &'a str,
    line: usize,
    /// None when the data is not UTF-8: it is not shown.
    text: Option<String>,
}

impl Grep {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let pattern = compiled(&self.pattern, self.ignore_case)?;
        let client = context.client().await?;
        let want = Want { data: true, ..Want::default() };
        let tree = walk::read(&client, &self.path, want).await?;
        let mut found: Vec<Found<'_>> = Vec::new();
        for entry in tree.preorder() {
            let text = String::from_utf8_lossy(entry.data.as_deref().unwrap_or_default());
            // The lossy text of UTF-8 is the data itself.
            let shown = matches!(text, Cow::Borrowed(_));
            let lines = text.lines().enumerate().filter(|(_, line)| pattern.is_match(line));
            let limit = if self.paths_only || !shown { 1 } else { usize::MAX };
            found.extend(lines.take(limit).map(|(number, line)| Found {
                path: &entry.path,
                line: number + 1,
                text: shown.then(|| line.to_owned()),
            }));
        }
        context.screen.answer(&found, |screen| {
            found.iter().try_for_each(|found| screen.line(&self.shown(found, &pattern, screen)))
        })?;
        tree.check()?;
        if found.is_empty() { Err(Failure::No(None)) } else { Ok(()) }
    }

    fn shown(&self, found: &Found<'_>, pattern: &Regex, screen: &Screen) -> String {
        let path = screen.paint(PATH, &escape::name(found.path));
        if self.paths_only {
            return path;
        }
        let Some(line) = &found.text else { return format!("{path}: binary data matches") };
        let (mut text, mut end) = (String::new(), 0);
        for part in pattern.find_iter(line).filter(|part| !part.is_empty()) {
            text.push_str(&escape::name(&line[end..part.start()]));
            text.push_str(&screen.paint(MATCH, &escape::name(part.as_str())));
            end = part.end();
        }
        text.push_str(&escape::name(&line[end..]));
        format!("{path}:{}: {text}", found.line)
    }
}
