use clap::Args;

use crate::{failure::Outcome, session::Context};

/// Shows the version of this program.
#[derive(Debug, Args)]
pub(crate) struct Version {}

impl Version {
    #[expect(clippy::unused_async, reason = "all commands are called alike")]
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        context.screen.line(&format!("quorate-cli version: {}", env!("CARGO_PKG_VERSION")))?;
        Ok(())
    }
}
