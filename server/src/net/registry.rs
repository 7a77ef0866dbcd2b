//! All client connections of the server.

use std::{net::IpAddr, sync::Arc};

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
}

impl Registry {
    /// Adds a connection, unless its address or the server has as many already as are allowed.
    pub fn admit(&self, conn: &Arc<Conn>, per_address: Option<u32>, in_all: Option<u32>) -> bool {
        if in_all.is_some_and(|most| self.conns.len() >= most as usize) {
            return false;
        }
        let mut count = self.addresses.entry(conn.stats.remote.ip()).or_insert(0);
        if per_address.is_some_and(|most| *count >= most) {
            return false;
        }
        *count += 1;
        drop(count);
        self.conns.insert(conn.id, conn.clone());
        true
    }

    /// Forgets a connection that was admitted.
    pub fn remove(&self, conn: &Arc<Conn>) {
        self.conns.remove(&conn.id);
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
