//! Names for new sessions.

use quorate_protocol::SessionId;

/// Ids for the sessions a server process opens.
///
/// The server's number in the top byte keeps servers apart, the time of the start below it keeps
/// apart what one server names in its lives. Neither is a proof (a clock can be set back), so
/// whoever asks for an id says which ones are taken.
#[derive(Debug, Clone)]
pub struct SessionIds {
    next: i64,
}

impl SessionIds {
    /// Ids of the server `server_id`, whose process began at `start_ms`.
    ///
    /// Compat: `SessionTrackerImpl.initializeNextSessionId`, fed there with the time since the
    /// machine's start. A clock that goes on across restarts repeats itself less.
    pub fn new(server_id: u8, start_ms: i64) -> Self {
        let start = (start_ms.cast_unsigned() << 24) >> 8;
        Self { next: (start | u64::from(server_id) << 56).cast_signed() }
    }

    /// The next id that is not taken.
    pub fn next(&mut self, mut is_taken: impl FnMut(SessionId) -> bool) -> SessionId {
        loop {
            let id = SessionId(self.next);
            self.next = self.next.wrapping_add(1);
            // 0 asks for a new session, and MIN as an owner marks a container in snapshots.
            if id.0 != 0 && id.0 != i64::MIN && !is_taken(id) {
                return id;
            }
        }
    }
}

/// The number of the server that named a session.
pub fn server_of(session: SessionId) -> u8 {
    session.0.to_be_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_is_made_of_server_and_time() {
        for (server, start_ms, first) in [
            (1, 0x0000_1234_5678, 0x0100_1234_5678_0000),
            (1, 0x1_ff00_1234_5678, 0x0100_1234_5678_0000),
            (255, 1, 0xff00_0000_0001_0000_u64),
            (0, 0, 1),
            (128, 0, 0x8000_0000_0000_0001),
        ] {
            let mut ids = SessionIds::new(server, start_ms);
            assert_eq!(ids.next(|_| false), SessionId(first.cast_signed()));
            assert_eq!(ids.next(|_| false), SessionId(first.cast_signed() + 1));
            assert_eq!(server_of(SessionId(first.cast_signed())), server);
        }
    }

    #[test]
    fn ids_taken_are_passed_over() {
        let mut ids = SessionIds::new(1, 7);
        let first = ids.clone().next(|_| false);
        assert_eq!(ids.next(|id| id.0 < first.0 + 3), SessionId(first.0 + 3));
    }
}
