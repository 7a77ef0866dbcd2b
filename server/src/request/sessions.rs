//! Which sessions may write.
//!
//! A session is open from the moment its first transaction is prepared, closing from the moment
//! its last one is, and unknown once that was applied. Timeouts are none of this module's
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
    /// What a write of an unknown session is answered.
    unknown: ErrorCode,
    /// Servers have local sessions, and this is the number of this one.
    local_of: Option<u8>,
}

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
        Self { known, closing: VecDeque::new(), unknown, local_of: settings.local_sessions_of }
    }

    /// Whether the session, which may be a local one of this server, may write.
    ///
    /// `Compat:` `SessionTrackerImpl.checkSession`; an ensemble's tracker says `SESSIONEXPIRED`
    /// for unknown sessions too, and with local sessions takes what another server has named for
    /// one that is local there.
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
            self.known.remove(&session);
        }
    }
}
