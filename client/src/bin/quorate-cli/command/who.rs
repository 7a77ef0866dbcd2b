use clap::Args;
use quorate_client::SessionId;
use serde::Serialize;

use super::tree::session_of;
use crate::{
    failure::{Failure, Outcome},
    four_letter::{self, Connection},
    output::{Row, escape, note},
    session::Context,
};

/// Shows whose an ephemeral node is: its session, and the client's address by the servers' `cons`.
///
/// All servers named by --server are asked, as each knows its own clients only.
#[derive(Debug, Args)]
pub(crate) struct Who {
    /// A node, or a session's id (0x...).
    node: String,
}

#[derive(Serialize)]
struct Owner {
    session: String,
    /// None when no server knows a connection of the session.
    client: Option<String>,
    server: Option<String>,
    /// The session's timeout in milliseconds.
    timeout_ms: Option<String>,
    /// What it did last.
    last_operation: Option<String>,
}

impl Row for Owner {
    const HEADER: &'static [&'static str] =
        &["SESSION", "CLIENT", "SERVER", "TIMEOUT_MS", "LAST_OPERATION"];

    fn cells(&self) -> Vec<String> {
        let or_none =
            |text: &Option<String>| escape::name(text.as_deref().unwrap_or("-")).into_owned();
        let Self { session, client, server, timeout_ms, last_operation } = self;
        let mut cells = vec![session.clone()];
        cells.extend([client, server, timeout_ms, last_operation].map(or_none));
        cells
    }
}

impl Who {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let session = self.session(context).await?.to_string();
        let mut owner = Owner {
            session: session.clone(),
            client: None,
            server: None,
            timeout_ms: None,
            last_operation: None,
        };
        let mut unasked = Vec::new();
        for address in context.target.addresses()? {
            let tls = context.target.tls.as_ref();
            match four_letter::ask(tls, &address, "cons").await {
                Ok(answer) => {
                    if let Some(found) = connection_of(&answer, &session) {
                        owner.timeout_ms = found.facts.get("to").cloned();
                        owner.last_operation = found.facts.get("lop").cloned();
                        owner.client = Some(found.address);
                        owner.server = Some(address);
                        break;
                    }
                }
                Err(why) => unasked.push(format!("{address} {why}")),
            }
        }
        let found = owner.client.is_some();
        context.screen.rows(&[owner])?;
        if found {
            return Ok(());
        }
        for why in &unasked {
            note(&escape::name(why));
        }
        Err(Failure::no("No server that was asked has a connection of this session."))
    }

    async fn session(&self, context: &mut Context) -> Outcome<SessionId> {
        if let Some(digits) = self.node.strip_prefix("0x") {
            let id = u64::from_str_radix(digits, 16)
                .map_err(|_| Failure::usage("a session's id is 0x and hexadecimal digits"))?;
            return Ok(SessionId(id.cast_signed()));
        }
        let client = context.client().await?;
        let stat = client.get(&self.node).await?.stat;
        let path = escape::name(&self.node);
        session_of(stat.ephemeral_owner.0)
            .ok_or_else(|| Failure::no(format!("{path} is not ephemeral: it is nobody's")))
    }
}

fn connection_of(cons: &str, session: &str) -> Option<Connection> {
    let of_session =
        |connection: &Connection| connection.facts.get("sid").is_some_and(|sid| sid == session);
    four_letter::connections(cons).into_iter().find(of_session)
}
