use clap::Args;

use crate::{failure::Outcome, session::Context};

/// Waits until the server has everything that was committed before.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    path: String,
}

impl Sync {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        context.client().await?.sync(&self.path).await?;
        context.screen.line("Sync is OK")?;
        Ok(())
    }
}
