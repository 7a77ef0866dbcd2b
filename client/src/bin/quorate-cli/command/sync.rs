use clap::Args;
use serde::Serialize;

use crate::{failure::Outcome, session::Context};

/// Waits until the server has everything that was committed before.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    path: String,
}

#[derive(Serialize)]
struct Document<'a> {
    synced: &'a str,
}

impl Sync {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        context.client().await?.sync(&self.path).await?;
        let document = Document { synced: &self.path };
        context.screen.answer(&document, |screen| screen.line("Sync is OK"))?;
        Ok(())
    }
}
