use clap::Args;

use super::children::bracketed;
use crate::{
    failure::{Failure, Outcome},
    session::Context,
};

/// Lists this session's ephemeral nodes.
#[derive(Debug, Args)]
pub(crate) struct GetEphemerals {
    /// Only those whose path begins so.
    #[arg(default_value = "/")]
    path: String,
}

impl GetEphemerals {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        if !self.path.starts_with('/') {
            return Err(Failure::usage("Path must start with / character"));
        }
        let mut paths = context.client().await?.ephemerals(&self.path).await?;
        paths.sort_unstable();
        context.screen.answer(&paths, |screen| screen.line(&bracketed(&paths)))?;
        Ok(())
    }
}
