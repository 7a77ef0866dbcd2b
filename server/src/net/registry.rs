//! All client connections of the server.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, mapref::entry::Entry};
use quorate_protocol::SessionId;

use super::conn::Conn;
use crate::watch::ConnId;

/// Connections by id, by session and counted by address.
#[derive(Debug, Default)]
pub struct Registry {
    conns: DashMap<ConnId, Arc<Conn>>,
    /// The newest connection of each session that has one.
    sessions: DashMap<SessionId, Arc<Conn>>,
    /// How many connections each address has.
    addresses: DashMap<IpAddr, u32>,
    /// How many there are, those included that are about to be refused.
    count: AtomicUsize,
}

impl Registry {
    /// Adds a connection, unless its address or the server has as many already as are allowed.
    pub fn admit(&self, conn: &Arc<Conn>, per_address: Option<u32>, in_all: Option<u32>) -> bool {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let admitted = in_all.is_none_or(|most| before < most as usize)
            && self.admit_address(conn.stats.remote.ip(), per_address);
        if admitted {
            self.conns.insert(conn.id, conn.clone());
        } else {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        admitted
    }

    fn admit_address(&self, address: IpAddr, most: Option<u32>) -> bool {
        let mut count = self.addresses.entry(address).or_insert(0);
        let admitted = most.is_none_or(|most| *count < most);
        *count += u32::from(admitted);
        admitted
    }

    /// Forgets a connection that was admitted.
    pub fn remove(&self, conn: &Arc<Conn>) {
        self.conns.remove(&conn.id);
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(session) = conn.session() {
            self.detach(session, conn);
        }
        if let Entry::Occupied(mut count) = self.addresses.entry(conn.stats.remote.ip()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Makes `conn` the connection of `session`; returns the one that was it before.
    pub fn attach(&self, session: SessionId, conn: &Arc<Conn>) -> Option<Arc<Conn>> {
        let old = self.sessions.insert(session, conn.clone());
        if !self.conns.contains_key(&conn.id) {
            // It ended meanwhile, and whoever removed it may not have known of the session.
            self.detach(session, conn);
        }
        old.filter(|old| old.id != conn.id)
    }

    fn detach(&self, session: SessionId, conn: &Conn) {
        self.sessions.remove_if(&session, |_, owner| owner.id == conn.id);
    }

    /// The connection of a session.
    pub fn of_session(&self, session: SessionId) -> Option<Arc<Conn>> {
        self.sessions.get(&session).map(|conn| conn.clone())
    }

    /// The connection with this id.
    pub fn get(&self, id: ConnId) -> Option<Arc<Conn>> {
        self.conns.get(&id).map(|conn| conn.clone())
    }

    /// All connections, oldest first.
    pub fn all(&self) -> Vec<Arc<Conn>> {
        let mut all: Vec<_> = self.conns.iter().map(|entry| entry.value().clone()).collect();
        all.sort_unstable_by_key(|conn| conn.id);
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ConnectionStats;

    fn conn(id: u64, address: [u8; 4]) -> Arc<Conn> {
        let stats = ConnectionStats::new((address, 4000).into(), 0);
        Arc::new(Conn::new(ConnId(id), stats, Arc::from([]), 0))
    }

    #[test]
    fn an_address_and_the_server_have_their_bounds() {
        let (all, here, there) = (Registry::default(), [10, 0, 0, 1], [10, 0, 0, 2]);
        let admit = |conn: &Arc<Conn>| all.admit(conn, Some(2), Some(3));
        let first = conn(1, here);
        assert!(admit(&first) && admit(&conn(2, here)));
        assert!(!admit(&conn(3, here)), "two of an address");
        assert!(admit(&conn(4, there)));
        assert!(!admit(&conn(5, there)), "three in all");
        all.remove(&first);
        assert!(admit(&conn(6, there)));
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_session_belongs_to_its_newest_connection_that_is_there() {
        let (all, session) = (Registry::default(), SessionId(7));
        let [old, new] = [1, 2].map(|id| conn(id, [10, 0, 0, 1]));
        let owner = || all.of_session(session).map(|conn| conn.id);
        for conn in [&old, &new] {
            assert!(all.admit(conn, None, None));
            conn.stats.attach(session, 1000);
        }
        assert!(all.attach(session, &old).is_none());
        assert_eq!(all.attach(session, &new).map(|conn| conn.id), Some(old.id));
        all.remove(&old);
        assert_eq!(owner(), Some(new.id));
        all.remove(&new);
        assert_eq!(owner(), None);
        all.attach(session, &new);
        assert_eq!(owner(), None, "it ended before it got its session");
    }
}
