use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{DataArgument, access::AclList, payload};
use crate::{failure::Outcome, output::escape, session::Context};

/// Creates a node.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Ephemeral: it goes with the session, so at once when there is no shell.
    #[arg(short = 'e')]
    ephemeral: bool,
    /// Sequential: a number is put behind its name.
    #[arg(short = 's')]
    sequential: bool,
    /// A container: it goes when its last child has gone.
    #[arg(short = 'c', conflicts_with_all = ["ephemeral", "sequential"])]
    container: bool,
    /// It goes when it has had no children and was not written for so many milliseconds.
    #[arg(short = 't', value_name = "TTL", allow_negative_numbers = true, value_parser = ttl,
        conflicts_with_all = ["ephemeral", "container"])]
    ttl: Option<u64>,
    /// Create the nodes above that are missing too, as containers.
    #[arg(long)]
    parents: bool,
    path: String,
    #[command(flatten)]
    data: DataArgument,
    /// Who may do what: `scheme:id:permissions,...`, permissions being letters of cdrwa.
    acl: Option<AclList>,
}

/// The longest TTL, in milliseconds: a server keeps them in 40 bits.
const MAX_TTL: u64 = (1 << 40) - 1;

fn ttl(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(ttl @ 1..=MAX_TTL) => Ok(ttl),
        _ => Err(format!("ttl must be positive and cannot be larger than: {MAX_TTL}")),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    created: &'a str,
}

impl Create {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let data = self.data.bytes()?;
        let client = context.client().await?;
        let mut call = client.create(&self.path, payload(data.as_deref()));
        if self.ephemeral {
            call = call.ephemeral();
        }
        if self.sequential {
            call = call.sequential();
        }
        if self.container {
            call = call.container();
        }
        if let Some(ttl) = self.ttl {
            call = call.ttl(Duration::from_millis(ttl));
        }
        if let Some(AclList(acl)) = &self.acl {
            call = call.acl(acl);
        }
        let created = if self.parents { call.with_parents().await? } else { call.await? };
        let document = Document { created: &created.path };
        context.screen.answer(&document, |screen| {
            screen.line(&format!("Created {}", escape::name(&created.path)))
        })?;
        Ok(())
    }
}
