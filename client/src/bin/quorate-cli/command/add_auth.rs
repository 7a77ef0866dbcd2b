use clap::Args;

use crate::{failure::Outcome, session::Context};

/// Adds an identity to the session.
///
/// It ends with the session: without a shell, use `--auth` in front of the command.
#[derive(Debug, Args)]
pub(crate) struct AddAuth {
    /// The scheme: `digest`, say.
    scheme: String,
    /// The proof: `user:password` for `digest`.
    #[arg(default_value = "")]
    auth: String,
}

impl AddAuth {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        client.add_auth(&self.scheme, self.auth.clone()).await?;
        Ok(())
    }
}
