//! Exports, in two formats: `export/json.rs` and `export/archive.rs`.

pub(super) mod archive;
pub(super) mod json;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use quorate_client::Acl;

use super::copy::is_of_the_system;
use crate::{
    failure::Outcome,
    output::note,
    session::Context,
    walk::{self, Want},
};

/// Writes a node and all below to a file. Ephemeral nodes are left out, and so are the ensemble's
/// own below /zookeeper, unless the path is one of them.
///
/// The file is not of one moment: nodes are read one after the other.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file's format; otherwise its name tells: a tar archive if it ends with .tar, else JSON.
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Write the ACLs too.
    #[arg(long)]
    acl: bool,
    path: String,
    /// The file; `-` is standard output.
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    Json,
    Tar,
}

/// A node in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exported {
    /// Below the node that was exported; empty for that node itself.
    pub(super) below: String,
    /// None is null.
    pub(super) data: Option<Vec<u8>>,
    /// Empty if the export has none.
    pub(super) acl: Vec<Acl>,
    /// When its data was written, in milliseconds since 1970.
    pub(super) mtime: i64,
}

impl Export {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let want = Want { data: true, acl: self.acl, depth: None };
        let tree = walk::read(&client, &self.path, want).await?;
        tree.check()?;
        let whole = !is_of_the_system(&self.path);
        let nodes: Vec<Exported> = tree
            .preorder()
            .filter(|entry| !super::tree::is_ephemeral(entry))
            .filter(|entry| !(whole && is_of_the_system(&entry.path)))
            .map(|entry| Exported {
                below: entry.below(&self.path).to_owned(),
                data: entry.data.as_ref().map(|data| data.to_vec()),
                acl: entry.acl.clone(),
                mtime: entry.stat.mtime,
            })
            .collect();
        let bytes = match self.format() {
            FileFormat::Json => json::written(&self.path, &nodes)?,
            FileFormat::Tar => archive::written(&nodes)?,
        };
        if self.file.as_os_str() == "-" {
            return Ok(context.screen.bytes(&bytes)?);
        }
        replace_file(&self.file, &bytes)?;
        note(&format!("{} nodes are in {}.", nodes.len(), self.file.display()));
        Ok(())
    }

    fn format(&self) -> FileFormat {
        let by_name = self.file.extension().is_some_and(|extension| extension == "tar");
        self.format.unwrap_or(if by_name { FileFormat::Tar } else { FileFormat::Json })
    }
}

/// Writes a file so that there is the old one or the new one at any time.
fn replace_file(file: &Path, bytes: &[u8]) -> Outcome {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let write = || -> anyhow::Result<()> {
        let mut temporary = tempfile::Builder::new()
            .prefix(".quorate-export-")
            .permissions(permissions_of(file))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    };
    Ok(write().with_context(|| format!("write {}", file.display()))?)
}

/// Those of the file that is replaced; only the owner's for a new one, as data may be secret.
fn permissions_of(file: &Path) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).map_or_else(|_| fs::Permissions::from_mode(0o600), |old| old.permissions())
}
