//! Connecting to the leader.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug, field, info_span};

use super::{PeerEvent, common::Common, link_task::LinkTask};
use crate::{peer::LinkDecoder, zab::ServerId};

/// Pause after a try that failed: the leader may be about to start.
const RETRY: Duration = Duration::from_millis(20);
/// How long one try may take. The system sends the packet that was lost again after a second.
const TRY: Duration = Duration::from_secs(1);

/// Makes one attempt at a time.
#[derive(Debug, Default)]
pub(super) struct Connector {
    /// Ends the attempt under way.
    cancel: Mutex<CancellationToken>,
}

impl Connector {
    /// Begins an attempt, in place of the one before.
    pub(super) fn connect(&self, common: &Arc<Common>, leader: ServerId) {
        let cancel = common.stop.child_token();
        std::mem::replace(&mut *self.cancel.lock(), cancel.clone()).cancel();
        // Asked for by whoever drives the core, which has nothing to do with it.
        let span = info_span!(parent: None, "leader", %leader, link = field::Empty);
        common.spawn(run(common.clone(), leader, cancel).instrument(span));
    }

    /// Gives up the attempt under way.
    pub(super) fn abandon(&self) {
        self.cancel.lock().cancel();
    }
}

async fn run(common: Arc<Common>, leader: ServerId, cancel: CancellationToken) {
    let within = common.settings.leader_timeout;
    let stream = tokio::select! {
        stream = timeout(within, dial(&common, leader)) => stream,
        () = cancel.cancelled() => return,
    };
    let settings = &common.settings;
    let decoder = LinkDecoder::from_leader(settings.packet_max, settings.seed);
    let task = stream
        .ok()
        .and_then(|stream| LinkTask::new(&common, stream, decoder, BytesMut::new()).ok().flatten());
    let Some(task) = task else {
        debug!("cannot connect to the leader");
        return (common.sink)(PeerEvent::ConnectFailed { leader });
    };
    let link = task.link().clone();
    Span::current().record("link", link.id.0);
    (common.sink)(PeerEvent::Connected { leader, link });
    task.serve().await.log();
}

/// Tries until it is connected.
async fn dial(common: &Common, leader: ServerId) -> TcpStream {
    loop {
        let addresses = common.quorum_addresses(leader);
        match common.dialer.dial(&addresses, TRY).await {
            Ok(stream) => return stream,
            Err(error) => debug!(%error, "the leader does not take the connection"),
        }
        sleep(RETRY).await;
    }
}
