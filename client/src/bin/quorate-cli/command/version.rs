use clap::Args;
use serde::Serialize;

use crate::{failure::Outcome, session::Context};

/// Shows the version of this program.
#[derive(Debug, Args)]
pub(crate) struct Version {}

#[derive(Serialize)]
struct Document {
    version: &'static str,
}

impl Version {
    #[expect(clippy::unused_async, reason = "all commands are called alike")]
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let document = Document { version: env!("CARGO_PKG_VERSION") };
        context.screen.answer(&document, |screen| {
            screen.line(&format!("quorate-cli version: {}", document.version))
        })?;
        Ok(())
    }
}
