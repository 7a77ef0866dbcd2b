use clap::Args;

use super::DataArgument;
use crate::{
    failure::{Failure, Outcome},
    output::StatView,
    session::Context,
};

/// Replaces a node's data.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Show the Stat.
    #[arg(short = 's')]
    stat: bool,
    /// Only if the data has this version.
    #[arg(short = 'v', default_value_t = -1, allow_negative_numbers = true)]
    version: i32,
    path: String,
    #[command(flatten)]
    data: DataArgument,
}

impl Set {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let data = self.data.bytes()?;
        let data = data.ok_or_else(|| Failure::usage("set takes data, or --from-file"))?;
        let client = context.client().await?;
        let stat = client.set(&self.path, data).version(self.version).await?;
        if self.stat {
            context.screen.answer(&StatView::from(stat), |screen| screen.stat(&stat))?;
        }
        Ok(())
    }
}
