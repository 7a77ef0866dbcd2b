//! Connections between the servers of an ensemble: the election port and the quorum port.
//!
//! Tasks that move bytes, and decide about nothing but connections. What the other servers say is
//! reported as [`PeerEvent`]s to a [`Sink`]; what is to be said to them goes into the outbox of a
//! [`Link`], or is a notification. The methods of [`Peers`] never wait, so the core calls them
//! under its lock.
//!
//! - **Election port** (`election_port`, `election_link`): one connection to each server, kept up
//!   all the time, with a queue of one notification.
//! - **Quorum port** (`quorum_port`, `connector`): a [`Link`] for each learner that has connected
//!   to this server, and one to the leader if it is another server (`link_task`).
//!
//! Nobody authenticates here: who can reach these ports can pretend to be any server, as with
//! ZooKeeper without SASL and TLS. He can disturb; but whatever he sends, however much or slowly,
//! ends his connection alone, and what he can have this process keep is bounded.

mod bell;
mod common;
mod connector;
mod dial;
mod election_link;
mod election_outgoing;
mod election_port;
mod event;
mod link;
mod link_task;
mod listening;
mod newcomers;
mod ports;
mod quorum_port;
mod settings;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    common::Common, connector::Connector, election_port::ElectionPort, listening::Listening,
};
use crate::{
    net::End,
    zab::{LinkId, Server, ServerId, election::Notification},
};

pub use event::{PeerEvent, Sink};
pub use link::{Held, Link, LinkInput};
pub use ports::Ports;
pub use quorum_port::{Refused, has_introduced_itself};
pub use settings::Settings;

/// The connections to the other servers.
pub struct Peers {
    common: Arc<Common>,
    election: Arc<ElectionPort>,
    connector: Connector,
    listening: Listening,
}

impl Peers {
    /// No connection yet, and nothing to report before [`Self::start`]. Tasks run until `stop`:
    /// those of the election port on the first of `threads`, links on all of them in turn.
    pub fn new(
        settings: Settings,
        threads: Vec<Handle>,
        tasks: TaskTracker,
        stop: CancellationToken,
        sink: Sink,
    ) -> Self {
        let common = Common::new(settings, sink, threads, tasks, stop);
        let election = ElectionPort::new(&common);
        let listening = Listening::new(&common);
        Self { common, election, connector: Connector::default(), listening }
    }

    /// Listens, and connects to everybody.
    pub fn start(&self, ports: Ports) {
        self.election.keep(&self.common.settings.servers);
        self.listening.start(&self.common, &self.election, ports);
    }

    /// Reaches these servers and no others from now on, and is reached where they say of this one.
    pub fn configure(&self, servers: &BTreeMap<ServerId, Server>) {
        let before = self.common.configure(servers.clone());
        if before == *servers {
            return;
        }
        self.election.keep(servers);
        if let Some(own) = servers.get(&self.common.settings.server) {
            self.listening.go_to(&self.common, &self.election, own);
        }
    }

    /// Sends a notification to a server, in place of one that waits. It may be lost.
    pub fn notify(&self, to: ServerId, notification: &Notification) {
        self.election.notify(to, notification);
    }

    /// Connects to the quorum port of a leader; an earlier attempt is given up. Answered by
    /// [`PeerEvent::Connected`] or [`PeerEvent::ConnectFailed`].
    pub fn connect(&self, leader: ServerId) {
        self.connector.connect(&self.common, leader);
    }

    /// Gives up an attempt to connect to a leader.
    pub fn abandon(&self) {
        self.connector.abandon();
    }

    /// A link, while it is there.
    pub fn link(&self, link: LinkId) -> Option<Arc<Link>> {
        self.common.links.get(link)
    }

    /// Ends a link behind what is in its outbox. Nothing is reported of it any more, but an event
    /// that is under way already.
    pub fn close(&self, link: LinkId) {
        if let Some(link) = self.link(link) {
            link.forget();
            link.outbox.end(End::AfterFlush);
        }
    }
}
