//! When sessions expire.
//!
//! A session expires at the end of the tick in which its timeout runs out, so that sessions come
//! in groups and a busy one does not move all the time. A session that is heard of only has that
//! noted. It stays in its bucket until the bucket's time has come and is put into a later one
//! then, which happens about once per timeout however often it is heard of.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use quorate_protocol::SessionId;

/// Whether a session can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It can.
    Open,
    /// Its end is proposed: it writes no more, and being heard of does not keep it.
    Closing,
}

#[derive(Debug)]
struct Session {
    timeout_ms: i32,
    heard_ms: i64,
    state: State,
    /// The bucket it is in. Invariant: `<= expires_at` while the session is open. A bucket may
    /// also hold ids whose session is elsewhere or gone; they are dropped when its time comes.
    filed_at: i64,
}

/// Watches over the sessions of an ensemble, or of a standalone server. Driven by whoever leads,
/// with the time of a clock that is never set.
#[derive(Debug)]
pub struct Tracker {
    tick_ms: i64,
    sessions: HashMap<SessionId, Session, FixedState>,
    buckets: BTreeMap<i64, Vec<SessionId>>,
}

impl Tracker {
    /// A tracker of no sessions whose buckets are `tick_ms` wide.
    ///
    /// # Panics
    /// When `tick_ms` is not positive: the configuration does not let that through.
    pub fn new(tick_ms: i64) -> Self {
        assert!(tick_ms > 0, "tickTime is {tick_ms} ms");
        Self { tick_ms, sessions: HashMap::default(), buckets: BTreeMap::new() }
    }

    /// Follows a session that was opened, or known before a restart, or came back with another
    /// timeout: it has its full timeout from now on. A session that is closing stays so.
    pub fn open(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) {
        let expires_at = self.expires_at(now_ms, timeout_ms);
        let session = self.sessions.entry(id).or_insert(Session {
            timeout_ms,
            heard_ms: now_ms,
            state: State::Open,
            filed_at: i64::MAX,
        });
        if session.state == State::Closing {
            return;
        }
        session.timeout_ms = timeout_ms;
        session.heard_ms = now_ms;
        if expires_at < session.filed_at {
            session.filed_at = expires_at;
            self.buckets.entry(expires_at).or_default().push(id);
        }
    }

    /// Notes that a session was heard of at `heard_ms`; reports may come late and out of order.
    /// False when the session is not open.
    pub fn touch(&mut self, id: SessionId, heard_ms: i64) -> bool {
        match self.sessions.get_mut(&id) {
            Some(session) if session.state == State::Open => {
                session.heard_ms = session.heard_ms.max(heard_ms);
                true
            }
            _ => false,
        }
    }

    /// Gives every open session its full timeout again: for a while none of them could be heard of.
    pub fn touch_all(&mut self, now_ms: i64) {
        for session in self.sessions.values_mut() {
            session.heard_ms = session.heard_ms.max(now_ms);
        }
    }

    /// Notes that the end of a session is proposed. False when it was not open.
    pub fn start_closing(&mut self, id: SessionId) -> bool {
        match self.sessions.get_mut(&id) {
            Some(session) if session.state == State::Open => {
                session.state = State::Closing;
                true
            }
            _ => false,
        }
    }

    /// Takes back every proposed end: those proposals came to nothing. The sessions have their
    /// full timeout again.
    pub fn reopen_closing(&mut self, now_ms: i64) {
        let closing = self.sessions.iter().filter(|(_, session)| session.state == State::Closing);
        let mut closing: Vec<_> = closing.map(|(&id, session)| (id, session.timeout_ms)).collect();
        // Ordered, because the map is not and the buckets keep the order of their sessions.
        closing.sort_unstable();
        for (id, timeout_ms) in closing {
            self.sessions.remove(&id);
            self.open(id, timeout_ms, now_ms);
        }
    }

    /// Forgets a session that has ended.
    pub fn remove(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// What is known of a session; `None` when there is none.
    pub fn state(&self, id: SessionId) -> Option<State> {
        self.sessions.get(&id).map(|session| session.state)
    }

    /// The timeout of a session that is there.
    pub fn timeout_ms(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).map(|session| session.timeout_ms)
    }

    /// The open sessions whose time has come, in order of time and id. They are closing from now
    /// on; each is named once.
    pub fn expired(&mut self, now_ms: i64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry()
            && *bucket.key() <= now_ms
        {
            let (time, mut ids) = bucket.remove_entry();
            ids.sort_unstable();
            for id in ids {
                self.look_at(id, time, now_ms, &mut expired);
            }
        }
        expired
    }

    /// Expires a session found in the bucket of `time`, or puts it where it belongs by now.
    fn look_at(&mut self, id: SessionId, time: i64, now_ms: i64, expired: &mut Vec<SessionId>) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.state == State::Closing || session.filed_at != time {
            return;
        }
        let expires_at = self.expires_at(session.heard_ms, session.timeout_ms);
        let session = self.sessions.get_mut(&id).expect("found above");
        if expires_at <= now_ms {
            session.state = State::Closing;
            expired.push(id);
        } else {
            session.filed_at = expires_at;
            self.buckets.entry(expires_at).or_default().push(id);
        }
    }

    /// When [`Self::expired`] should be called next: before, it has nothing to name.
    pub fn next_expiry_ms(&self) -> Option<i64> {
        self.buckets.first_key_value().map(|(&time, _)| time)
    }

    /// The open sessions by the time at which they expire if they are not heard of again, each
    /// with its timeout.
    pub fn listing(&self) -> BTreeMap<i64, Vec<(SessionId, i32)>> {
        let mut listing: BTreeMap<i64, Vec<(SessionId, i32)>> = BTreeMap::new();
        for (&id, session) in &self.sessions {
            if session.state == State::Open {
                let at = self.expires_at(session.heard_ms, session.timeout_ms);
                listing.entry(at).or_default().push((id, session.timeout_ms));
            }
        }
        for sessions in listing.values_mut() {
            sessions.sort_unstable();
        }
        listing
    }

    /// How many sessions there are, closing ones included.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn expires_at(&self, heard_ms: i64, timeout_ms: i32) -> i64 {
        ((heard_ms + i64::from(timeout_ms)) / self.tick_ms + 1) * self.tick_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(-2);

    #[test]
    fn an_end_that_came_to_nothing_is_taken_back() {
        let mut tracker = Tracker::new(100);
        tracker.open(SessionId(1), 200, 0);
        tracker.open(SessionId(2), 200, 0);
        assert_eq!(tracker.expired(300), [SessionId(1), SessionId(2)]);
        tracker.remove(SessionId(2));
        tracker.reopen_closing(1000);
        assert_eq!(tracker.state(SessionId(1)), Some(State::Open));
        assert_eq!(tracker.state(SessionId(2)), None);
        assert_eq!(tracker.expired(1200), []);
        assert_eq!(tracker.expired(1300), [SessionId(1)]);
    }

    #[test]
    fn a_session_expires_at_the_end_of_its_tick() {
        let mut tracker = Tracker::new(1000);
        tracker.open(A, 3000, 500);
        assert_eq!(tracker.next_expiry_ms(), Some(4000));
        assert_eq!(tracker.expired(3999), []);
        assert_eq!(tracker.expired(4000), [A]);
        assert_eq!(tracker.state(A), Some(State::Closing));
        assert_eq!(tracker.expired(100_000), []);
        assert_eq!(tracker.next_expiry_ms(), None);
        tracker.remove(A);
        assert_eq!(tracker.state(A), None);
    }

    #[test]
    fn being_heard_of_keeps_a_session() {
        let mut tracker = Tracker::new(1000);
        tracker.open(A, 3000, 0);
        assert!(tracker.touch(A, 3500));
        assert!(tracker.touch(A, 1500));
        assert_eq!(tracker.expired(6999), []);
        assert_eq!(tracker.expired(7000), [A]);
        assert!(!tracker.touch(A, 7000));
        assert!(!tracker.touch(B, 7000));
    }

    #[test]
    fn all_can_be_given_their_timeout_again() {
        let mut tracker = Tracker::new(1000);
        tracker.open(A, 3000, 0);
        tracker.open(B, 5000, 0);
        tracker.touch_all(10_000);
        assert_eq!(tracker.expired(13_999), []);
        assert_eq!(tracker.expired(14_000), [A]);
        assert_eq!(tracker.expired(16_000), [B]);
    }

    #[test]
    fn a_closing_session_neither_expires_nor_comes_back() {
        let mut tracker = Tracker::new(1000);
        tracker.open(A, 3000, 0);
        assert!(tracker.start_closing(A));
        assert!(!tracker.start_closing(A));
        assert!(!tracker.touch(A, 1));
        tracker.open(A, 9000, 1);
        assert_eq!(tracker.state(A), Some(State::Closing));
        assert_eq!(tracker.expired(100_000), []);
    }

    #[test]
    fn coming_back_with_a_shorter_timeout_counts_at_once() {
        let mut tracker = Tracker::new(1000);
        tracker.open(A, 30_000, 0);
        tracker.open(A, 2000, 100);
        assert_eq!(tracker.listing(), BTreeMap::from([(3000, vec![(A, 2000)])]));
        assert_eq!(tracker.expired(3000), [A]);
        tracker.remove(A);
        // What is left of it in its first bucket does not touch a later session.
        tracker.open(A, 50_000, 3000);
        assert_eq!(tracker.expired(53_999), []);
        assert_eq!(tracker.expired(54_000), [A]);
    }

    #[test]
    fn a_server_that_slept_names_all_in_order() {
        let mut tracker = Tracker::new(1000);
        tracker.open(A, 3000, 0);
        tracker.open(B, 3000, 0);
        tracker.open(SessionId(3), 1000, 0);
        assert_eq!(tracker.expired(1_000_000), [SessionId(3), B, A]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Open(i64, i32),
        Touch(i64),
        Close(i64),
        Remove(i64),
        Wait(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 0..5_i64;
        prop_oneof![
            2 => (id.clone(), 1..50_i32).prop_map(|(id, timeout)| Step::Open(id, timeout)),
            4 => id.clone().prop_map(Step::Touch),
            1 => id.clone().prop_map(Step::Close),
            1 => id.prop_map(Step::Remove),
            6 => (0..30_i64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Against the rule itself: a session expires when its own time has come, and not before.
        #[test]
        fn every_session_expires_exactly_at_its_time(
            steps in prop::collection::vec(step(), 1..200),
            tick in 1..20_i64,
        ) {
            let mut tracker = Tracker::new(tick);
            // Session -> (timeout, expires at, closing).
            let mut model: BTreeMap<i64, (i32, i64, bool)> = BTreeMap::new();
            let mut now = 0;
            let at = |now: i64, timeout: i32| ((now + i64::from(timeout)) / tick + 1) * tick;
            for step in steps {
                match step {
                    Step::Open(id, timeout) => {
                        tracker.open(SessionId(id), timeout, now);
                        let entry = model.entry(id).or_insert((0, 0, false));
                        if !entry.2 {
                            *entry = (timeout, at(now, timeout), false);
                        }
                    }
                    Step::Touch(id) => {
                        let open = model.get_mut(&id).filter(|session| !session.2);
                        prop_assert_eq!(tracker.touch(SessionId(id), now), open.is_some());
                        if let Some(session) = open {
                            session.1 = at(now, session.0);
                        }
                    }
                    Step::Close(id) => {
                        let open = model.get_mut(&id).filter(|session| !session.2);
                        prop_assert_eq!(tracker.start_closing(SessionId(id)), open.is_some());
                        if let Some(session) = open {
                            session.2 = true;
                        }
                    }
                    Step::Remove(id) => {
                        tracker.remove(SessionId(id));
                        model.remove(&id);
                    }
                    Step::Wait(ms) => {
                        now += ms;
                        let mut expired = tracker.expired(now);
                        expired.sort_unstable();
                        let due: Vec<_> = model
                            .iter_mut()
                            .filter(|(_, session)| !session.2 && session.1 <= now)
                            .map(|(&id, session)| {
                                session.2 = true;
                                SessionId(id)
                            })
                            .collect();
                        prop_assert_eq!(expired, due);
                    }
                }
            }
            // Nothing is left behind once everything has ended.
            for &id in model.keys() {
                tracker.remove(SessionId(id));
            }
            prop_assert_eq!(tracker.expired(i64::MAX), []);
            prop_assert!(tracker.is_empty() && tracker.buckets.is_empty());
        }
    }
}
