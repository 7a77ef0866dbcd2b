//! Lines from a terminal.

use std::{env, fs, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use parking_lot::Mutex;
use quorate_client::Client;
use rustyline::{
    CompletionType, Config, Editor, ExternalPrinter, error::ReadlineError, history::DefaultHistory,
};
use tokio::runtime::Handle;

use super::{completion::Completion, words};
use crate::{failure::Outcome, output::note, watches::Printer};

pub(super) struct Terminal {
    editor: Editor<Completion, DefaultHistory>,
    /// Where the history is kept, if there is a place.
    history: Option<PathBuf>,
}

impl Terminal {
    pub(super) fn open(runtime: Handle) -> Outcome<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .max_history_size(1000)
            .context("set up the history")?
            .build();
        let mut editor = Editor::with_config(config).context("set up the terminal")?;
        editor.set_helper(Some(Completion::new(runtime)));
        let history = history_file();
        if let Some(file) = history.as_ref().filter(|file| file.exists())
            && let Err(error) = editor.load_history(file)
        {
            note(&format!("The history in {} cannot be read: {error}", file.display()));
        }
        Ok(Self { editor, history })
    }

    /// Shows text while a line is being typed.
    pub(super) fn printer(&mut self) -> Outcome<Printer> {
        let printer = self.editor.create_external_printer().context("set up the terminal")?;
        let printer = Mutex::new(printer);
        Ok(Arc::new(move |text| {
            // When the terminal has gone, the next line is not read either.
            let _ = printer.lock().print(format!("{text}\n"));
        }))
    }

    /// Completes paths by this client.
    pub(super) fn complete_with(&mut self, client: Option<Client>) {
        if let Some(completion) = self.editor.helper_mut() {
            completion.set_client(client);
        }
    }

    /// The next line; none at the end.
    pub(super) fn read(&mut self, prompt: &str) -> Outcome<Option<String>> {
        loop {
            match self.editor.readline(prompt) {
                Ok(line) => {
                    self.remember(&line);
                    return Ok(Some(line));
                }
                // Ctrl-C gives up the line, not the shell.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => {
                    return Err(anyhow::Error::new(error).context("read the terminal").into());
                }
            }
        }
    }

    /// Keeps a line for the next shell, unless there is a secret in it.
    fn remember(&mut self, line: &str) {
        if is_secret(line) {
            return;
        }
        // A history that cannot be kept is no reason to stop.
        if self.editor.add_history_entry(line).unwrap_or(false)
            && let Some(file) = &self.history
        {
            let kept = file.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok());
            if !kept || self.editor.append_history(file).is_err() {
                note(&format!("The history cannot be kept in {}.", file.display()));
                self.history = None;
            }
        }
    }
}

/// Whether a line adds an identity.
fn is_secret(line: &str) -> bool {
    words::split(line).map_or(true, |words| words.iter().any(|word| word == "addauth"))
}

fn history_file() -> Option<PathBuf> {
    let folder = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder =
        folder.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/state")))?;
    Some(folder.join("quorate/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_remembered() {
        assert!(is_secret("addauth digest user:password"));
        assert!(is_secret("  addauth digest \"open quote"));
        assert!(!is_secret("get /addauth"));
    }
}
