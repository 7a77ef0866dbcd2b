//! Numbers with a meaning of their own: zxids, session ids, xids.

use std::fmt;

/// A transaction's place in the one order of all writes: the leader's epoch in the high 32 bits,
/// a counter in the low 32. Printed in hexadecimal with `0x`, as operators know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The zxid of the `counter`-th transaction of `epoch`.
    #[expect(clippy::cast_possible_wrap, reason = "the wire carries the same 64 bits as signed")]
    pub const fn new(epoch: u32, counter: u32) -> Self {
        Self(((epoch as u64) << 32 | counter as u64) as i64)
    }

    /// The epoch of the leader that proposed it.
    #[expect(clippy::cast_sign_loss, reason = "the high half")]
    pub const fn epoch(self) -> u32 {
        (self.0 as u64 >> 32) as u32
    }

    /// Its number within the epoch, counted from 1.
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the low half")]
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The zxid after this one in the same epoch; `None` when the epoch's counter is used up.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        if self.counter() == u32::MAX { None } else { Some(Self(self.0 + 1)) }
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A session's id: 64 opaque bits, 0 meaning none. Printed in hexadecimal with `0x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: what a client asks with for a new one, and the owner of a persistent node.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A client's number for one of its requests; the server echoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Xid(pub i32);

impl Xid {
    /// A watch event.
    pub const EVENT: Self = Self(-1);
    /// A ping; the server answers any ping with it, whatever the request's own xid was.
    pub const PING: Self = Self(-2);
    /// What Java, C and kazoo send `auth` with.
    pub const AUTH: Self = Self(-4);
    /// What Java and C send `setWatches` with.
    pub const SET_WATCHES: Self = Self(-8);
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zxid_has_an_epoch_and_a_counter() {
        let zxid = Zxid::new(3, 0xffff_fffe);
        assert_eq!((zxid.epoch(), zxid.counter()), (3, 0xffff_fffe));
        assert_eq!(zxid.next(), Some(Zxid::new(3, u32::MAX)));
        assert_eq!(zxid.next().and_then(Zxid::next), None);
        assert_eq!(zxid.to_string(), "0x3fffffffe");
        assert_eq!(SessionId(-1).to_string(), "0xffffffffffffffff");
    }
}
