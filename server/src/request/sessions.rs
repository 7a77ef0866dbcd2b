//! Which sessions may write.
//!
//! A session is open from the moment its first transaction is prepared, closing from the moment
//! its last one is, and unknown once that was applied. Timeouts are none of this module's
//! business: whoever finds a session expired asks for its end as its client would.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use quorate_protocol::{ErrorCode, SessionId, Zxid};

use super::outstanding::pop_up_to;
use crate::tree::Tree;

/// The sessions there are, with what is proposed but not applied yet.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Never iterated.
    known: HashMap<SessionId, Standing, FixedState>,
    /// Ends of sessions that are not applied yet, in zxid order.
    closing: VecDeque<(Zxid, SessionId)>,
    /// What a write of an unknown session is answered.
    unknown: ErrorCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Closing,
}

impl Sessions {
    pub(super) fn new(tree: &Tree, in_ensemble: bool) -> Self {
        let unknown =
            if in_ensemble { ErrorCode::SessionExpired } else { ErrorCode::UnknownSession };
        let known = tree.sessions().keys().map(|&session| (session, Standing::Open)).collect();
        Self { known, closing: VecDeque::new(), unknown }
    }

    /// Whether the session may write.
    ///
    /// `Compat:` `SessionTrackerImpl.checkSession`; an ensemble's tracker says `SESSIONEXPIRED`
    /// for unknown sessions too.
    pub(super) fn check(&self, session: SessionId) -> Result<(), ErrorCode> {
        match self.known.get(&session) {
            Some(Standing::Open) => Ok(()),
            Some(Standing::Closing) => Err(ErrorCode::SessionExpired),
            None => Err(self.unknown),
        }
    }

    /// Whether the session may own a node.
    ///
    /// `Compat:` `checkGlobalSession`, which has no word for an unknown session.
    pub(super) fn check_owner(&self, session: SessionId) -> Result<(), ErrorCode> {
        self.check(session).map_err(|_| ErrorCode::SessionExpired)
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
            self.known.remove(&session);
        }
    }
}
