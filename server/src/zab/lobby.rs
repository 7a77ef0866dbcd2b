//! Those who have connected to this server's quorum port and are not a leader's learners yet.

use std::collections::BTreeMap;

use super::{context::Greeting, settings::Settings, types::LinkId};

/// For how long a learner may wait for this server to learn that it leads. As long as it would
/// try to connect if it were refused.
const PATIENCE_MS: i64 = 500;

/// Links of which nothing but a greeting is known.
#[derive(Debug, Default)]
pub(super) struct Lobby(BTreeMap<LinkId, Guest>);

#[derive(Debug)]
struct Guest {
    since_ms: i64,
    greeting: Option<Greeting>,
}

impl Lobby {
    pub(super) fn enter(&mut self, link: LinkId, now_ms: i64) {
        self.0.insert(link, Guest { since_ms: now_ms, greeting: None });
    }

    pub(super) fn contains(&self, link: LinkId) -> bool {
        self.0.contains_key(&link)
    }

    /// Whether it was there.
    pub(super) fn leave(&mut self, link: LinkId) -> bool {
        self.0.remove(&link).is_some()
    }

    /// Notes a greeting, and says until when its sender may wait.
    pub(super) fn greet(&mut self, link: LinkId, greeting: Greeting, now_ms: i64) -> i64 {
        self.0.insert(link, Guest { since_ms: now_ms, greeting: Some(greeting) });
        now_ms + PATIENCE_MS
    }

    /// Takes out those who have said who they are.
    pub(super) fn greeted(&mut self) -> Vec<(LinkId, Greeting)> {
        let greeted: Vec<_> =
            self.0.iter().filter_map(|(link, guest)| Some((*link, guest.greeting?))).collect();
        self.0.retain(|_, guest| guest.greeting.is_none());
        greeted
    }

    /// Takes out those who have waited, or been silent, for too long.
    pub(super) fn expired(&mut self, now_ms: i64, settings: &Settings) -> Vec<LinkId> {
        let is_expired = |guest: &Guest| {
            let limit_ms = guest.greeting.map_or(settings.init_ms(), |_| PATIENCE_MS);
            now_ms - guest.since_ms >= limit_ms
        };
        let expired: Vec<_> =
            self.0.iter().filter(|(_, guest)| is_expired(guest)).map(|(link, _)| *link).collect();
        self.0.retain(|_, guest| !is_expired(guest));
        expired
    }
}
