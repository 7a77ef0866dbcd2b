//! Which sessions a learner has heard of.

use quorate_protocol::SessionId;

/// Bytes to a session.
pub(super) const ENTRY: usize = 12;

/// The sessions in a learner's `PING`: those whose clients it has heard of since the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardSessions<'a>(&'a [[u8; ENTRY]]);

impl<'a> HeardSessions<'a> {
    /// The sessions in what [`Message::Ping`](crate::zab::Message::Ping) carries. An incomplete
    /// one at the end is left out; decoded packets have none.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }
}

impl Iterator for HeardSessions<'_> {
    /// Session, and its timeout in milliseconds.
    type Item = (SessionId, i32);

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.0.split_first()?;
        self.0 = rest;
        let (session, timeout_ms) = entry.split_first_chunk().expect("12 bytes");
        let timeout_ms = timeout_ms.try_into().expect("4 bytes");
        Some((SessionId(i64::from_be_bytes(*session)), i32::from_be_bytes(timeout_ms)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for HeardSessions<'_> {}

/// The bytes of a session.
pub(super) fn entry(session: SessionId, timeout_ms: i32) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..8].copy_from_slice(&session.0.to_be_bytes());
    bytes[8..].copy_from_slice(&timeout_ms.to_be_bytes());
    bytes
}
