//! Where this server listens for others, which may change while it runs.

use std::{net::TcpListener, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use super::{
    Ports,
    common::Common,
    election_port::ElectionPort,
    ports::{self, ELECTIONS, LEARNERS},
    quorum_port,
};
use crate::zab::{HostPort, Server};

/// Pause between two tries to listen at an address that is taken.
const RETRY: Duration = Duration::from_millis(200);

/// Both ports.
pub(super) struct Listening {
    election: Mutex<Place>,
    quorum: Mutex<Place>,
}

/// Where one of them is.
struct Place {
    addresses: Vec<HostPort>,
    /// Ends listening there.
    stop: CancellationToken,
}

impl Listening {
    /// Where the settings say.
    pub(super) fn new(common: &Common) -> Self {
        let own = common.settings.server;
        let place = |addresses| Mutex::new(Place { addresses, stop: common.stop.child_token() });
        Self {
            election: place(common.election_addresses(own)),
            quorum: place(common.quorum_addresses(own)),
        }
    }

    /// Listens with these sockets.
    pub(super) fn start(&self, common: &Arc<Common>, election: &Arc<ElectionPort>, ports: Ports) {
        election.listen(ports.election, &self.election.lock().stop);
        quorum_port::start(common, ports.quorum, &self.quorum.lock().stop);
    }

    /// Listens where this line of the own server says, and not any more where it does not.
    /// Connections that are there stay.
    pub(super) fn go_to(&self, common: &Arc<Common>, election: &Arc<ElectionPort>, own: &Server) {
        let port = election.clone();
        move_to(common, &self.election, &own.election, ELECTIONS, move |sockets, stop| {
            port.listen(sockets, stop);
        });
        let shared = common.clone();
        move_to(common, &self.quorum, &own.quorum, LEARNERS, move |sockets, stop| {
            quorum_port::start(&shared, sockets, stop);
        });
    }
}

fn move_to(
    common: &Arc<Common>,
    place: &Mutex<Place>,
    addresses: &[HostPort],
    whom: &'static str,
    listen: impl FnOnce(Vec<TcpListener>, &CancellationToken) + Send + 'static,
) {
    let mut place = place.lock();
    if place.addresses == addresses {
        return;
    }
    let stop = common.stop.child_token();
    std::mem::replace(&mut place.stop, stop.clone()).cancel();
    place.addresses = addresses.to_vec();
    let (addresses, on_all) = (addresses.to_vec(), common.settings.listen_on_all);
    let span = info_span!(parent: None, "listen", whom);
    let listening = stop.clone();
    let task = async move {
        loop {
            let wanted = addresses.clone();
            match spawn_blocking(move || ports::bind(&wanted, whom, on_all)).await {
                Ok(Ok(sockets)) => {
                    info!("listening where the configuration says now");
                    return listen(sockets, &listening);
                }
                Ok(Err(error)) => warn!(error = format!("{error:#}"), "cannot listen; trying on"),
                Err(_) => return,
            }
            sleep(RETRY).await;
        }
    };
    common.spawn_until(stop, task.instrument(span));
}
