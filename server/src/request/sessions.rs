//! Which sessions may write.
//!
//! A session is open from the moment its first transaction is prepared, closing from the moment
//! its last one is, and unknown once that was applied; with local sessions, a while later. Timeouts are none of this module's
//! business: whoever finds a session expired asks for its end as its client would.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use quorate_protocol::{ErrorCode, SessionId, Zxid};

use super::{outstanding::pop_up_to, prepare::Settings};
use crate::{session::server_of, tree::Tree};

/// The sessions there are, with what is proposed but not applied yet.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Never iterated.
    known: HashMap<SessionId, Standing, FixedState>,
    /// Ends of sessions that are not applied yet, in zxid order.
    closing: VecDeque<(Zxid, SessionId)>,
    /// With local sessions, those that ended last, the oldest first: they are still known, as
    /// closing.
    ended: VecDeque<SessionId>,
    /// What a write of an unknown session is answered.
    unknown: ErrorCode,
    /// Servers have local sessions, and this is the number of this one.
    local_of: Option<u8>,
}

/// So many sessions that have ended are told from local ones of other servers. A server that forwards
/// a write of such a one does not know of its end yet, and it is about to learn of it.
const REMEMBERED: usize = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Closing,
}

impl Sessions {
    pub(super) fn new(tree: &Tree, settings: &Settings) -> Self {
        let unknown = if settings.in_ensemble {
            ErrorCode::SessionExpired
        } else {
            ErrorCode::UnknownSession
        };
        let known = tree.sessions().keys().map(|&session| (session, Standing::Open)).collect();
        let (closing, ended, local_of) =
            (VecDeque::new(), VecDeque::new(), settings.local_sessions_of);
        Self { known, closing, ended, unknown, local_of }
    }

    /// Whether the session, which may be a local one of this server, may write.
    ///
    /// `Compat:` `SessionTrackerImpl.checkSession`; an ensemble's tracker says `SESSIONEXPIRED`
    /// for unknown sessions too, and with local sessions takes what another server has named for
    /// one that is local there; there even when it has ended a moment ago.
    pub(super) fn check(&self, session: SessionId, is_local: bool) -> Result<(), ErrorCode> {
        match self.known.get(&session) {
            Some(Standing::Open) => Ok(()),
            Some(Standing::Closing) => Err(ErrorCode::SessionExpired),
            None if is_local || self.may_be_local_elsewhere(session) => Ok(()),
            None => Err(self.unknown),
        }
    }

    fn may_be_local_elsewhere(&self, session: SessionId) -> bool {
        self.local_of.is_some_and(|own| server_of(session) != own)
    }

    /// Whether the session may own a node.
    ///
    /// `Compat:` `checkGlobalSession`, which has no word for an unknown session.
    pub(super) fn check_owner(&self, session: SessionId, is_local: bool) -> Result<(), ErrorCode> {
        match self.known.get(&session) {
            Some(Standing::Open) => Ok(()),
            None if is_local => Err(ErrorCode::EphemeralOnLocalSession),
            Some(Standing::Closing) | None => Err(ErrorCode::SessionExpired),
        }
    }

    pub(super) fn open(&mut self, session: SessionId) {
        self.known.insert(session, Standing::Open);
    }

    /// The transaction `zxid` ends the session.
    pub(super) fn close(&mut self, session: SessionId, zxid: Zxid) {
        if let Some(standing) = self.known.get_mut(&session) {
            *standing = Standing::Closing;
            self.closing.push_back((zxid, session));
        }
    }

    /// The transactions up to `zxid` were applied.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while let Some((_, session)) = pop_up_to(zxid, &mut self.closing) {
            self.ended.push_back(session);
        }
        let remembered = if self.local_of.is_some() { REMEMBERED } else { 0 };
        while self.ended.len() > remembered {
            let forgotten = self.ended.pop_front().expect("there are some");
            self.known.remove(&forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Named by server 2.
    const SESSION: SessionId = SessionId(2 << 56 | 7);

    fn sessions(local_sessions_of: Option<u8>) -> Sessions {
        let settings = Settings { in_ensemble: true, local_sessions_of, ..Settings::default() };
        Sessions::new(&Tree::new(0), &settings)
    }

    #[test]
    fn a_session_that_has_ended_does_not_pass_for_a_local_one() {
        let mut sessions = sessions(Some(1));
        assert_eq!(sessions.check(SESSION, false), Ok(()), "it may be local at server 2");
        sessions.open(SESSION);
        sessions.close(SESSION, Zxid(5));
        sessions.applied(Zxid(5));
        assert_eq!(sessions.check(SESSION, false), Err(ErrorCode::SessionExpired));
        for number in 0..REMEMBERED {
            let other = SessionId(3 << 56 | i64::try_from(number).unwrap());
            let zxid = Zxid(6 + i64::try_from(number).unwrap());
            sessions.open(other);
            sessions.close(other, zxid);
            sessions.applied(zxid);
        }
        assert_eq!(sessions.known.len(), REMEMBERED, "the oldest are forgotten");
    }

    #[test]
    fn without_local_sessions_nothing_is_remembered() {
        let mut sessions = sessions(None);
        sessions.open(SESSION);
        sessions.close(SESSION, Zxid(5));
        sessions.applied(Zxid(5));
        assert_eq!((sessions.known.len(), sessions.ended.len()), (0, 0));
    }
}
