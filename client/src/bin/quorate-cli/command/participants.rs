//! Who stands in line for a lock.

use quorate_client::recipes::Participant;
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome},
    output::{Row, Screen, escape},
};

#[derive(Serialize)]
struct Line {
    holds: bool,
    session: String,
    token: i64,
    id: String,
    path: String,
}

impl Row for Line {
    const HEADER: &'static [&'static str] = &["HOLDS", "SESSION", "TOKEN", "ID", "NODE"];

    fn cells(&self) -> Vec<String> {
        let Self { holds, session, token, id, path } = self;
        let holds = if *holds { "yes" } else { "" }.to_owned();
        let id = if id.is_empty() { "-" } else { id };
        let safe = |text: &str| escape::name(text).into_owned();
        vec![holds, session.clone(), token.to_string(), safe(id), safe(path)]
    }
}

/// Lists them in their order; the first `places` hold it. Ends with 1 if there is nobody.
pub(super) fn show(participants: &[Participant], places: usize, screen: &Screen) -> Outcome {
    let lines: Vec<_> = participants
        .iter()
        .enumerate()
        .map(|(place, participant)| Line {
            holds: place < places,
            session: participant.session.to_string(),
            token: participant.token.get(),
            id: escape::line(&participant.data, 60),
            path: participant.path.clone(),
        })
        .collect();
    screen.rows(&lines)?;
    if lines.is_empty() { Err(Failure::No(None)) } else { Ok(()) }
}
