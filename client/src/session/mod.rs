//! The session: what to do when, as a state machine without sockets, clock or randomness of its
//! own.
//!
//! It decides which server to try and when, what to say first on a connection, when to ping, when
//! a connection is dead, when the session is lost, and when calls may pass. It does not see calls
//! and their answers; [`crate::io`] feeds it, performs its effects, and sorts the calls out.
//!
//! ```text
//!            Start          Resolved         Connected        Answered
//!   Idle ──────────> Resolving ────> Connecting ────> Greeting ────────> Up
//!                        ^               │ Failed, too slow │ refused    │ Failed, silent
//!                        │               v                  v            v
//!                        └─────────── Resting <──────────────────────────┘
//! ```
//!
//! A client that proves its identity by SASL does so between `Greeting` and `Up`, in `Proving`.
//!
//! Time is counted from the client's start. After each [`step`](Session::step) the driver performs
//! the effects in order, and gives [`Input::Timer`] when [`deadline`](Session::deadline) has come.
//!
//! Invariants: there is a transport exactly in `Greeting`, `Proving` and `Up` (in
//! `Connecting` it is being made); a session that is lost is never named to a server again.

mod effect;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, ops::RangeInclusive, sync::Arc, time::Duration};

pub(crate) use effect::{Effect, Endpoint, Greeting, Input};
use quorate_protocol::{SessionId, Zxid, record::ConnectResponse};

use crate::{
    error::Disconnect,
    retry::{backoff, jittered},
    state::{SessionPassword, SessionTicket, State, Status},
};

/// Since the client's start.
pub(crate) type Time = Duration;

/// Pauses between rounds of attempts.
const PAUSES: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(5);

/// Pauses between searches for a server that can write.
const SEARCH_PAUSES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);

/// An attempt gets at least this long, however many servers there are.
const ATTEMPT_MIN: Duration = Duration::from_millis(500);

/// So many attempts are made at least before the session has timed out.
const ATTEMPTS: u32 = 3;

/// A connection that lasted this long was a good one: the next attempt comes at once.
const STABLE: Duration = Duration::from_secs(1);

/// What the client was told to be.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The session timeout to ask for.
    pub(crate) timeout: Duration,
    /// Whether a server that can only read will do.
    pub(crate) read_only: bool,
    /// Whether a lost session is followed by a new one.
    pub(crate) reopen: bool,
    /// How long calls wait for a connection.
    pub(crate) patience: Duration,
    /// Whether it proves its identity before anything else.
    pub(crate) proves: bool,
    /// A session to carry on with, and its password.
    pub(crate) resume: Option<(SessionId, SessionPassword)>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Resolving,
    /// Until the next round.
    Resting {
        until: Time,
    },
    Connecting {
        endpoint: Endpoint,
        until: Time,
    },
    Greeting {
        endpoint: Endpoint,
        until: Time,
    },
    /// There is a session, and it is not used yet.
    Proving {
        endpoint: Endpoint,
        until: Time,
        read_only: bool,
    },
    Up {
        endpoint: Endpoint,
        since: Time,
        /// There only while the server cannot write.
        search: Option<Search>,
    },
    Ended,
}

/// The search for a server that can write.
#[derive(Debug)]
struct Search {
    next: Time,
    failures: u32,
    /// An answer is awaited.
    probing: bool,
}

/// The state machine.
pub(crate) struct Session {
    settings: Settings,
    random: fastrand::Rng,
    phase: Phase,
    status: Status,
    password: SessionPassword,
    /// Whether a server that can write has seen the session. `Compat:` as in Java, others are not
    /// told of one that none has.
    seen_by_writer: bool,
    last_zxid: Zxid,
    /// The servers of the last resolution, and those of this round still to be tried.
    known: Vec<Endpoint>,
    round: VecDeque<Endpoint>,
    /// Where the last connection was: tried last in the next round.
    last: Option<Endpoint>,
    /// To be tried before all others.
    preferred: Option<Endpoint>,
    /// Rounds and connections in a row that came to nothing.
    failures: u32,
    heard: Time,
    sent: Time,
    /// When the connection was lost, or the client started; none while `Up`.
    out_since: Option<Time>,
    /// Whether calls were told that the outage lasts too long.
    impatient: bool,
    cause: Option<Arc<Disconnect>>,
}

impl Session {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let (session, password) =
            settings.resume.unwrap_or((SessionId::NONE, SessionPassword::default()));
        // One to be resumed is this client's first.
        let session_number = u64::from(session != SessionId::NONE);
        let session_timeout = settings.timeout;
        Self {
            random: fastrand::Rng::with_seed(seed),
            phase: Phase::Idle,
            status: Status { session, session_number, session_timeout, ..Status::NEW },
            password,
            seen_by_writer: session != SessionId::NONE,
            last_zxid: Zxid::ZERO,
            known: Vec::new(),
            round: VecDeque::new(),
            last: None,
            preferred: None,
            failures: 0,
            heard: Time::ZERO,
            sent: Time::ZERO,
            out_since: Some(Time::ZERO),
            impatient: false,
            cause: None,
            settings,
        }
    }

    /// What was last published.
    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// The session, for whoever is to carry on with it.
    pub(crate) fn ticket(&self) -> SessionTicket {
        let Status { session: id, session_timeout: timeout, .. } = self.status;
        SessionTicket { id, password: self.password, timeout }
    }

    /// The highest zxid of an answer.
    pub(crate) fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Why there is no connection, when there is none.
    pub(crate) fn cause(&self) -> Option<&Arc<Disconnect>> {
        self.cause.as_ref()
    }

    /// An answer carried this zxid. `Compat:` those of events do not count.
    pub(crate) fn seen(&mut self, zxid: Zxid) {
        self.last_zxid = self.last_zxid.max(zxid);
    }

    /// Bytes came from the server.
    pub(crate) fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// Bytes went to the server.
    pub(crate) fn sent(&mut self, now: Time) {
        self.sent = now;
    }

    /// When the session has to be taken for lost if nothing is heard.
    pub(crate) fn expiry(&self) -> Time {
        self.heard + self.status.session_timeout
    }

    /// When [`Input::Timer`] is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let phase = match &self.phase {
            Phase::Idle | Phase::Ended => return None,
            Phase::Resolving => None,
            Phase::Resting { until }
            | Phase::Connecting { until, .. }
            | Phase::Greeting { until, .. }
            | Phase::Proving { until, .. } => Some(*until),
            Phase::Up { search, .. } => {
                let search = search.as_ref().filter(|search| !search.probing);
                let alive = self.ping_due().min(self.silence_due());
                Some(search.map_or(alive, |search| search.next.min(alive)))
            }
        };
        let patience = self
            .out_since
            .filter(|_| !self.impatient)
            .and_then(|since| since.checked_add(self.settings.patience));
        let expiry = (self.has_session() && self.out_since.is_some()).then(|| self.expiry());
        [phase, patience, expiry].into_iter().flatten().min()
    }

    /// Takes in what happened and appends what is to be done.
    pub(crate) fn step(&mut self, now: Time, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Start => {
                (self.heard, self.sent, self.out_since) = (now, now, Some(now));
                self.resolve(effects);
            }
            Input::Resolved(endpoints) => self.resolved(now, endpoints, effects),
            Input::Unresolved(cause) => self.unresolved(now, cause, effects),
            Input::Connected => self.connected(effects),
            Input::Answered(response) => self.answered(now, &response, effects),
            Input::Proved => self.proved(now, effects),
            Input::Failed(cause) => self.failed(now, cause, effects),
            Input::Probed { endpoint, writes } => self.probed(now, endpoint, writes, effects),
            Input::Timer => self.timer(now, effects),
            Input::Close => self.end(Arc::new(Disconnect::Closed), effects),
        }
    }

    fn ping_due(&self) -> Time {
        self.sent + self.status.session_timeout / 3
    }

    fn silence_due(&self) -> Time {
        self.heard + self.status.session_timeout * 2 / 3
    }

    fn has_session(&self) -> bool {
        self.status.session != SessionId::NONE && self.status.state != State::Lost
    }

    fn resolve(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Resolving;
        effects.push(Effect::Resolve);
    }

    fn resolved(&mut self, now: Time, endpoints: Vec<Endpoint>, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Resolving) {
            return;
        }
        self.known.clone_from(&endpoints);
        let mut round = endpoints;
        self.random.shuffle(&mut round);
        // Stable, so the order is otherwise as drawn.
        round.sort_by_key(|endpoint| (endpoint.rank, Some(endpoint) == self.last.as_ref()));
        self.round = round.into();
        if let Some(preferred) = self.preferred.take() {
            self.round.push_front(preferred);
        }
        self.try_next(now, effects);
    }

    fn unresolved(&mut self, now: Time, cause: Disconnect, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Resolving) {
            self.cause = Some(Arc::new(cause));
            self.rest(now);
            let _ = effects;
        }
    }

    fn try_next(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(endpoint) = self.round.pop_front() else {
            self.rest(now);
            return;
        };
        // `Compat:` as in Java, all servers together get one session timeout.
        let servers = u32::try_from(self.known.len().max(1)).unwrap_or(u32::MAX);
        // A server that takes connections and does not answer must not cost the session, even alone.
        // Nor all the time that calls wait, if that is less: there are others to be tried.
        let within = match self.settings.patience {
            Duration::ZERO => self.status.session_timeout,
            patience => self.status.session_timeout.min(patience),
        };
        let share = within / servers.max(ATTEMPTS);
        let until = now + share.max(ATTEMPT_MIN);
        effects.push(Effect::Connect(endpoint.clone()));
        self.phase = Phase::Connecting { endpoint, until };
    }

    /// Pauses before the next round, the longer the more came to nothing.
    fn rest(&mut self, now: Time) {
        let pause = match self.failures {
            // The connection was good. Clients of a server that died do not come all at once.
            0 => PAUSES.start().mul_f64(self.random.f64()),
            failures => jittered(backoff(&PAUSES, failures - 1), &mut self.random),
        };
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Resting { until: now + pause };
    }

    fn connected(&mut self, effects: &mut Vec<Effect>) {
        let Phase::Connecting { endpoint, until } = &self.phase else { return };
        self.phase = Phase::Greeting { endpoint: endpoint.clone(), until: *until };
        let known = self.has_session() && self.seen_by_writer;
        effects.push(Effect::Greet(Greeting {
            last_zxid: self.last_zxid,
            timeout: self.settings.timeout,
            session: if known { self.status.session } else { SessionId::NONE },
            password: if known { self.password } else { SessionPassword::default() },
            read_only: self.settings.read_only,
        }));
    }

    fn answered(&mut self, now: Time, response: &ConnectResponse, effects: &mut Vec<Effect>) {
        let Phase::Greeting { endpoint, until } = &self.phase else { return };
        let (endpoint, until) = (endpoint.clone(), *until);
        let asked = self.has_session() && self.seen_by_writer;
        let granted = u64::try_from(response.timeout_ms).ok().filter(|&ms| ms > 0);
        let Some(granted) = granted.filter(|_| response.session_id != SessionId::NONE) else {
            let cause = if asked { Disconnect::Expired } else { Disconnect::Refused };
            if asked {
                self.lose_session(effects);
            }
            self.failed(now, cause, effects);
            return;
        };
        self.heard = now;
        if !asked || response.session_id != self.status.session {
            // A server may give another session instead of refusing the one asked for.
            if asked {
                self.lose_session(effects);
            }
            if matches!(self.phase, Phase::Ended) {
                return;
            }
            self.status.session = response.session_id;
            self.status.session_number += 1;
            self.seen_by_writer = false;
            effects.push(Effect::NewSession(self.status.session_number));
        }
        self.password = response.passwd.into();
        self.status.session_timeout = Duration::from_millis(granted);
        let read_only = response.read_only == Some(true);
        self.seen_by_writer |= !read_only;
        if self.settings.proves {
            self.phase = Phase::Proving { endpoint, until, read_only };
            effects.push(Effect::Prove);
        } else {
            self.up(now, endpoint, read_only, effects);
        }
    }

    fn proved(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Phase::Proving { endpoint, read_only, .. } = &self.phase else { return };
        let (endpoint, read_only) = (endpoint.clone(), *read_only);
        self.up(now, endpoint, read_only, effects);
    }

    fn up(&mut self, now: Time, endpoint: Endpoint, read_only: bool, effects: &mut Vec<Effect>) {
        let first = self.status.state == State::Connecting;
        let search = read_only.then(|| Search {
            next: now + *SEARCH_PAUSES.start(),
            failures: 0,
            probing: false,
        });
        self.status.server = Some(endpoint.addr);
        self.last = Some(endpoint.clone());
        self.phase = Phase::Up { endpoint, since: now, search };
        (self.out_since, self.impatient, self.cause) = (None, false, None);
        effects.push(Effect::Restore);
        effects.push(Effect::Open);
        self.publish(
            match (read_only, first) {
                (true, _) => State::ReadOnly,
                (false, true) => State::Connected,
                (false, false) => State::Reconnected,
            },
            effects,
        );
    }

    /// An attempt failed or the connection ended.
    fn failed(&mut self, now: Time, cause: Disconnect, effects: &mut Vec<Effect>) {
        let cause = Arc::new(cause);
        if matches!(*cause, Disconnect::AuthFailed) {
            self.end(cause, effects);
            return;
        }
        match &self.phase {
            Phase::Connecting { .. } | Phase::Greeting { .. } | Phase::Proving { .. } => {
                effects.push(Effect::Disconnect(Arc::clone(&cause)));
                self.cause = Some(cause);
                self.try_next(now, effects);
            }
            Phase::Up { since, .. } => {
                if now >= *since + STABLE {
                    self.failures = 0;
                }
                self.out_since = Some(now);
                self.cause = Some(Arc::clone(&cause));
                effects.push(Effect::Disconnect(cause));
                self.publish(State::Suspended, effects);
                self.rest(now);
                // Without any patience the calls are to know at once.
                self.check_outage(now, effects);
            }
            Phase::Idle | Phase::Resolving | Phase::Resting { .. } | Phase::Ended => {}
        }
    }

    fn probed(&mut self, now: Time, endpoint: Endpoint, writes: bool, effects: &mut Vec<Effect>) {
        let Phase::Up { search: Some(search), .. } = &mut self.phase else { return };
        search.probing = false;
        search.next = now + backoff(&SEARCH_PAUSES, search.failures);
        search.failures = search.failures.saturating_add(1);
        if writes {
            self.preferred = Some(endpoint);
            self.failed(now, Disconnect::FoundReadWrite, effects);
        }
    }

    fn timer(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.check_outage(now, effects);
        match &mut self.phase {
            Phase::Resting { until } if now >= *until => self.resolve(effects),
            Phase::Connecting { endpoint, until }
            | Phase::Greeting { endpoint, until }
            | Phase::Proving { endpoint, until, .. }
                if now >= *until =>
            {
                let cause = Disconnect::Slow(endpoint.to_string());
                self.failed(now, cause, effects);
            }
            Phase::Up { .. } => self.keep_alive(now, effects),
            _ => {}
        }
    }

    fn keep_alive(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if now >= self.silence_due() {
            self.failed(now, Disconnect::Silent, effects);
            return;
        }
        if now >= self.ping_due() {
            self.sent = now;
            effects.push(Effect::Ping);
        }
        if let Phase::Up { endpoint, search: Some(search), .. } = &mut self.phase
            && now >= search.next
            && !search.probing
        {
            let others: Vec<_> = self.known.iter().filter(|other| *other != endpoint).collect();
            match self.random.choice(others) {
                Some(other) => {
                    search.probing = true;
                    effects.push(Effect::Probe(other.clone()));
                }
                None => search.next = now + *SEARCH_PAUSES.end(),
            }
        }
    }

    /// Gives up what an outage may not outlast.
    fn check_outage(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(since) = self.out_since else { return };
        if self.has_session() && now >= self.expiry() {
            self.lose_session(effects);
            if matches!(self.phase, Phase::Greeting { .. } | Phase::Proving { .. }) {
                // The server was asked for the session that is lost.
                self.failed(now, Disconnect::Expired, effects);
            }
        }
        if !self.impatient
            && !matches!(self.phase, Phase::Ended)
            && now >= since.saturating_add(self.settings.patience)
        {
            self.impatient = true;
            effects.push(Effect::GiveUpCalls);
        }
    }

    fn lose_session(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::LoseSession);
        self.publish(State::Lost, effects);
        if !self.settings.reopen {
            self.end(Arc::new(Disconnect::Expired), effects);
        }
    }

    fn end(&mut self, cause: Arc<Disconnect>, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Ended) {
            self.phase = Phase::Ended;
            self.cause = Some(Arc::clone(&cause));
            (self.status.state, self.status.server) = (State::Closed, None);
            effects.push(Effect::End(cause));
        }
    }

    fn publish(&mut self, state: State, effects: &mut Vec<Effect>) {
        if self.status.state != state || state.is_connected() {
            self.status.state = state;
            if !state.is_connected() {
                self.status.server = None;
            }
            effects.push(Effect::Publish(self.status));
        }
    }
}
