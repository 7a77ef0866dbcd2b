//! How addresses are found and transports are made.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};

use crate::hosts::Host;

/// What a connection runs on.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A future that a [`Connector`] makes.
pub type Connecting<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Finds servers and makes transports to them. The default is the system's resolver and TCP;
/// implement it to go through a proxy, a simulated network, or whatever else carries bytes.
pub trait Connector: Send + Sync + 'static {
    /// The addresses of a host. Called again before each round of attempts, so that servers may
    /// move.
    fn resolve(&self, host: &Host) -> Connecting<Vec<SocketAddr>> {
        let host = host.clone();
        Box::pin(async move {
            let found = lookup_host((host.name(), host.port())).await?;
            Ok(found.collect())
        })
    }

    /// A transport to the server at `addr`, which was found by `name`.
    fn connect(&self, name: Arc<str>, addr: SocketAddr) -> Connecting<Box<dyn Transport>>;
}

/// Plain TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Connector for Tcp {
    fn connect(&self, _: Arc<str>, addr: SocketAddr) -> Connecting<Box<dyn Transport>> {
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            // Requests are gathered before they are written.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}
