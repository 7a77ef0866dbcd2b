//! Where clients connect, which a change of the ensemble's servers may move.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use tokio::{net::TcpListener, sync::watch, task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use super::listener::{bind, next_connection};
use crate::{
    config::{self, ClientAddress},
    runtime::Shared,
    zab::HostPort,
};

/// Pause between two tries to listen at an address that is taken.
const RETRY: Duration = Duration::from_millis(200);

/// Where clients are to connect, as the configuration in force says; `None` while it says nothing.
pub type Moves = watch::Sender<Option<HostPort>>;

/// The socket that clients connect to.
pub struct Door {
    address: ClientAddress,
    backlog: Option<u32>,
    /// None while it is not possible to listen at the address.
    listener: Option<TcpListener>,
    /// Whether it was said that it is not.
    has_complained: bool,
    moves: watch::Receiver<Option<HostPort>>,
}

impl Door {
    /// Listens at this address, until the other value that is returned says another.
    ///
    /// # Errors
    /// When the address cannot be bound; the error names it.
    pub fn open(address: ClientAddress, backlog: Option<u32>) -> anyhow::Result<(Self, Moves)> {
        let listener = Some(bind(address, backlog)?);
        let (to, moves) = watch::channel(None);
        Ok((Self { address, backlog, listener, has_complained: false, moves }, to))
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        let listener = self.listener.as_ref().context("nothing is listened to")?;
        listener.local_addr().context("ask for the listening address")
    }

    /// Waits for the next client, wherever the door is by then; its socket belongs to no runtime
    /// yet. Nobody is lost when this is given up, but a move is.
    pub(super) async fn next(&mut self, shared: &Shared) -> (std::net::TcpStream, SocketAddr) {
        loop {
            if self.listener.is_none() {
                self.listen(shared);
            }
            tokio::select! {
                accepted = accepted(self.listener.as_ref()) => {
                    if let Some(accepted) = accepted {
                        return accepted;
                    }
                }
                to = next_move(&mut self.moves) => self.leave_for(to).await,
            }
        }
    }

    fn listen(&mut self, shared: &Shared) {
        match bind(self.address, self.backlog) {
            Ok(listener) => {
                info!(address = %self.address, "listening for clients where the configuration says");
                if let Ok(address) = listener.local_addr() {
                    *shared.client_address.write() = address;
                }
                self.listener = Some(listener);
                self.has_complained = false;
            }
            Err(error) if !self.has_complained => {
                warn!(error = format!("{error:#}"), "cannot listen; trying on");
                self.has_complained = true;
            }
            // The same again, several times a second.
            Err(_) => {}
        }
    }

    /// Listens no longer where it does, if the server is to be elsewhere.
    async fn leave_for(&mut self, to: HostPort) {
        let place = format!("{}:{}", to.host, to.port);
        match spawn_blocking(move || config::client_address(&to)).await {
            Ok(Ok(address)) if address != self.address => {
                self.address = address;
                // First, since the other one may be the same port.
                self.listener = None;
                self.has_complained = false;
            }
            Ok(Err(expected)) => {
                warn!("clients are to connect at {place}, which is not {expected}: staying");
            }
            _ => {}
        }
    }
}

/// The next client; `None` after a pause if there is no place to wait for one.
async fn accepted(listener: Option<&TcpListener>) -> Option<(std::net::TcpStream, SocketAddr)> {
    if let Some(listener) = listener {
        return Some(next_connection(listener).await);
    }
    sleep(RETRY).await;
    None
}

async fn next_move(moves: &mut watch::Receiver<Option<HostPort>>) -> HostPort {
    while moves.changed().await.is_ok() {
        if let Some(to) = moves.borrow_and_update().clone() {
            return to;
        }
    }
    // A server alone stays where it is.
    std::future::pending().await
}
