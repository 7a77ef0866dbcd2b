use std::{env, fs, io::Write, path::Path, process::ExitStatus};

use anyhow::{Context as _, anyhow};
use clap::Args;

use crate::{
    failure::{Failure, Outcome},
    output::{escape, note},
    session::Context,
};

/// Changes a node's data in an editor: `$VISUAL`, `$EDITOR` or vi.
///
/// If somebody else changes it meanwhile nothing is written, and the edited text is kept in a file
/// whose name is said. Ends with 5 then.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Create the node if it is not there.
    #[arg(long)]
    create: bool,
    path: String,
}

impl Edit {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let before = match client.get(&self.path).await {
            Ok(node) => Some(node),
            Err(error) if error.is_no_node() && self.create => None,
            Err(error) => return Err(error.into()),
        };
        let old = before.as_ref().map(|node| node.data.clone()).unwrap_or_default();
        let file = temporary_file(&self.path, &old)?;
        let status = run_editor(file.path()).await?;
        if !status.success() {
            return Err(Failure::Local(anyhow!(
                "the editor ended with {status}; nothing was written"
            )));
        }
        let new = fs::read(file.path())
            .with_context(|| format!("read {} after the editor", file.path().display()))?;
        if before.is_some() && new == old {
            note("Nothing was changed.");
            return Ok(());
        }
        let written = match &before {
            Some(node) => client.set(&self.path, new).version(node.stat.version).await.map(|_| ()),
            None => client.create(&self.path, new).await.map(|_| ()),
        };
        if let Err(error) = written {
            let kept = file.into_temp_path().keep().map_err(|error| anyhow!(error))?;
            note(&format!("Your text is in {}.", kept.display()));
            return Err(error.into());
        }
        Ok(())
    }
}

/// A file that only its owner can read, with the data in it.
fn temporary_file(path: &str, data: &[u8]) -> Outcome<tempfile::NamedTempFile> {
    // The node's extension, if it has one, tells the editor the language.
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let plain = extension.chars().all(|c| c.is_ascii_alphanumeric());
    let suffix =
        if plain && !extension.is_empty() { format!(".{extension}") } else { String::new() };
    let mut file = tempfile::Builder::new()
        .prefix("quorate-edit-")
        .suffix(&suffix)
        .tempfile()
        .context("make a temporary file for the editor")?;
    file.write_all(data).and_then(|()| file.flush()).context("write the temporary file")?;
    Ok(file)
}

/// Runs the editor on this terminal. Its command may have arguments.
async fn run_editor(file: &Path) -> Outcome<ExitStatus> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
        .unwrap_or_else(|| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let program = words.next().expect("it is not blank");
    let status = tokio::process::Command::new(program).args(words).arg(file).status().await;
    Ok(status.with_context(|| format!("run the editor {}", escape::name(&editor)))?)
}
