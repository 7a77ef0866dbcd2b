use clap::Args;
use serde::Serialize;

use crate::{failure::Outcome, output::escape, session::Context};

/// Shows the identities the session has.
#[derive(Debug, Args)]
pub(crate) struct WhoAmI {}

#[derive(Serialize)]
struct Identity<'a> {
    scheme: &'a str,
    user: &'a str,
}

impl WhoAmI {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let mut ids = context.client().await?.whoami().await?;
        ids.sort_unstable();
        let identities: Vec<_> =
            ids.iter().map(|id| Identity { scheme: &id.scheme, user: &id.id }).collect();
        context.screen.answer(&identities, |screen| {
            screen.line("Auth scheme: User")?;
            for Identity { scheme, user } in &identities {
                screen.line(&format!("{}: {}", escape::name(scheme), escape::name(user)))?;
            }
            Ok(())
        })?;
        Ok(())
    }
}
