//! What the core hears of other servers.

use std::sync::Arc;

use bytes::Bytes;
use quorate_protocol::Zxid;

use super::{Held, Link};
use crate::{
    tree::Tree,
    zab::{LinkId, ServerId, election::Notification},
};

/// Takes what happens. Called on the threads of the connections, and in the order of what happened
/// on each; it may call [`Peers`](super::Peers), and should not block for long.
pub type Sink = Arc<dyn Fn(PeerEvent) + Send + Sync>;

/// Something that happened on a connection to another server.
///
/// Of a link, `Accepted` or `Connected` comes first and `Closed` last. When the core closes a link
/// or gives up connecting to a leader, an event may be under way already.
#[derive(Debug)]
pub enum PeerEvent {
    /// A notification came by the election port. Nobody has checked whether `from` is a member.
    Notification {
        /// Who says that he sent it.
        from: ServerId,
        /// What it says.
        notification: Notification,
    },
    /// The election port is connected to a configured server, maybe anew; or is not any more, or
    /// could not be.
    Reachable {
        /// The server.
        server: ServerId,
        /// Whether it is there.
        up: bool,
    },
    /// A learner has connected to the quorum port, and its first packet is one that introduces a
    /// learner.
    Accepted {
        /// The new link.
        link: Arc<Link>,
    },
    /// The connection to the leader is there.
    Connected {
        /// Whose quorum port it goes to.
        leader: ServerId,
        /// The new link.
        link: Arc<Link>,
    },
    /// The connection to the leader could not be made in time.
    ConnectFailed {
        /// Whose quorum port was tried.
        leader: ServerId,
    },
    /// A link has ended, and not because the core closed it.
    Closed {
        /// The link.
        link: LinkId,
    },
    /// Packets came.
    Packets {
        /// By this link.
        link: LinkId,
        /// Whole packets, one behind the other.
        bytes: Bytes,
        /// To be kept as long as they are not dealt with.
        held: Held,
    },
    /// More of a snapshot came, and it is not complete yet.
    Progress {
        /// By this link.
        link: LinkId,
    },
    /// A snapshot came, behind the packet that announced it.
    Snapshot {
        /// By this link.
        link: LinkId,
        /// The last transaction in it.
        zxid: Zxid,
        /// What it holds.
        tree: Box<Tree>,
    },
}
