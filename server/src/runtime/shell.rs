//! What the core has done by others: whatever takes sockets, files or time.

use crate::{
    tree::Tree,
    zab::{Configs, LinkId, ServerId, election::Notification},
};

use super::stream::Stream;

/// The hands of the core. Everything returns at once; what comes of it is a later input. The
/// running server has tasks and threads behind it, a simulation a queue of events.
pub trait Shell: Send + Sync {
    /// Sends a notification by the election port.
    fn notify(&self, to: ServerId, notification: &Notification);

    /// Reaches the servers of these configurations, and is reached where they say.
    fn configure(&self, configs: &Configs);

    /// Connects to a leader's quorum port; an earlier try is given up.
    fn connect(&self, leader: ServerId);

    /// Ends a link once what waits in its outbox has left.
    fn close(&self, link: LinkId);

    /// Runs a stream to its end.
    fn synchronize(&self, stream: Stream);

    /// Steps the core at this time of the monotonic clock at the latest.
    fn wake_at(&self, at_ms: i64);

    /// Writes a tree that came from a leader as a new checkpoint.
    fn install(&self, tree: Box<Tree>);

    /// The log stands on the checkpoint written last by [`Self::install`]: it counts.
    fn installed(&self);
}
