//! What happens to bytes on the way from one node to another.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;

use super::Node;

/// What happens to bytes of one direction between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// Whether they arrive.
    pub state: State,
    /// How much later than without the proxy.
    pub delay: Duration,
}

/// Whether bytes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Yes.
    #[default]
    Passes,
    /// Not now. They wait, as TCP sends again what got lost, and arrive when the link is healed,
    /// unless an end has given up meanwhile. Nobody is told anything.
    Silent,
    /// No: connections are closed, and new ones as soon as they are made.
    Closed,
}

impl Link {
    /// Bytes pass at once.
    pub const UP: Self = Self { state: State::Passes, delay: Duration::ZERO };
    /// Bytes vanish.
    pub const SILENT: Self = Self { state: State::Silent, delay: Duration::ZERO };
    /// Connections break.
    pub const CLOSED: Self = Self { state: State::Closed, delay: Duration::ZERO };

    /// Bytes pass `delay` later.
    pub const fn delayed(delay: Duration) -> Self {
        Self { state: State::Passes, delay }
    }
}

/// The two directions of a connection, as its proxy watches them.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// From who connects to who accepts.
    pub(super) there: watch::Receiver<Link>,
    /// The other way.
    pub(super) back: watch::Receiver<Link>,
}

/// The links between all nodes.
#[derive(Debug)]
pub(super) struct Links(BTreeMap<(Node, Node), watch::Sender<Link>>);

impl Links {
    /// Links between the clients and `servers`, and between these. All pass.
    pub(super) fn new(servers: usize) -> Self {
        let nodes = || std::iter::once(Node::Clients).chain((0..servers).map(Node::Server));
        let pairs = nodes().flat_map(|a| nodes().map(move |b| (a, b))).filter(|(a, b)| a != b);
        Self(pairs.map(|pair| (pair, watch::Sender::new(Link::UP))).collect())
    }

    /// The links a connection from `from` to `to` is subject to.
    pub(super) fn route(&self, from: Node, to: Node) -> Route {
        Route { there: self.0[&(from, to)].subscribe(), back: self.0[&(to, from)].subscribe() }
    }

    pub(super) fn set(&self, from: Node, to: Node, link: Link) {
        self.0[&(from, to)].send_replace(link);
    }

    pub(super) fn heal(&self) {
        for link in self.0.values() {
            link.send_replace(Link::UP);
        }
    }
}
