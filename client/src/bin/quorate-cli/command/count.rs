use clap::Args;
use serde::Serialize;

use crate::{failure::Outcome, session::Context};

/// Counts all nodes below a node.
#[derive(Debug, Args)]
pub(crate) struct GetAllChildrenNumber {
    path: String,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a str,
    count: i64,
}

impl GetAllChildrenNumber {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let count = context.client().await?.count_below(&self.path).await?;
        let document = Document { path: &self.path, count: count.into() };
        context.screen.answer(&document, |screen| screen.line(&count.to_string()))?;
        Ok(())
    }
}
