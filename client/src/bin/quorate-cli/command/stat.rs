use clap::Args;
use quorate_client::{ErrorCode, ErrorKind, WatcherType};

use super::note_old_watch;
use crate::{
    failure::{Failure, Outcome},
    output::StatView,
    session::Context,
};

/// Shows a node's Stat.
#[derive(Debug, Args)]
pub(crate) struct StatOf {
    /// Watch the node, which need not be there (in the shell).
    #[arg(short = 'w')]
    watch: bool,
    path: String,
    /// Any word: the old way to ask for a watch.
    #[arg(hide = true)]
    old_watch: Option<String>,
}

impl StatOf {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        note_old_watch("stat", self.old_watch.is_some());
        let client = context.client().await?;
        let stat = if self.watch || self.old_watch.is_some() {
            let (stat, watch) = client.exists(&self.path).watch().await?;
            context.show_event(&self.path, WatcherType::Data, watch);
            stat
        } else {
            client.exists(&self.path).await?
        };
        let Some(stat) = stat else { return Err(self.missing(&client).await) };
        context.screen.answer(&StatView::from(stat), |screen| screen.stat(&stat))?;
        Ok(())
    }

    /// The error of a read of the node, which names it.
    async fn missing(&self, client: &quorate_client::Client) -> Failure {
        match client.get(&self.path).await {
            Err(error) => error.into(),
            // It was created just now.
            Ok(_) => quorate_client::Error::from(ErrorKind::Refused(ErrorCode::NoNode)).into(),
        }
    }
}
