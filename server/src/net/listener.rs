//! Sockets that clients connect to.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use bytes::BytesMut;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, debug, field, info_span, warn};

use super::{Conn, Connection, Ended, handshake::handshake};
use crate::{
    admin::ConnectionStats,
    config::ClientAddress,
    runtime::{Clock, Input, Shared},
    watch::ConnId,
};

/// Connections that may wait to be accepted, unless set otherwise.
const BACKLOG: i32 = 1024;
/// Pause after `accept` failed, which happens when the process has no file descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Binds a listening socket.
///
/// # Errors
/// When the address cannot be bound; the error names it.
pub fn bind(address: ClientAddress, backlog: Option<u32>) -> anyhow::Result<TcpListener> {
    let backlog = backlog.map_or(BACKLOG, |backlog| i32::try_from(backlog).unwrap_or(i32::MAX));
    let socket = match address {
        ClientAddress::One(address) => listen(address, backlog),
        // One socket for both families; a machine without IPv6 has only the other.
        ClientAddress::All(port) => {
            listen((Ipv6Addr::UNSPECIFIED, port).into(), backlog).or_else(|error| {
                let no_v6 = error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error());
                if no_v6 {
                    listen((Ipv4Addr::UNSPECIFIED, port).into(), backlog)
                } else {
                    Err(error)
                }
            })
        }
    };
    let socket = socket.with_context(|| {
        format!("listen for clients on {address} (is another server running there?)")
    })?;
    TcpListener::from_std(socket.into()).context("register the listening socket")
}

fn listen(address: SocketAddr, backlog: i32) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// Accepts clients until `stop`, a task for each.
pub async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let ids = AtomicU64::new(1);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                let id = ConnId(ids.fetch_add(1, Ordering::Relaxed));
                // A dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d.
                let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                let span = info_span!("client", conn = id.0, %remote, session = field::Empty);
                let stop = stop.clone();
                tasks.spawn(serve(shared.clone(), stream, id, remote, stop).instrument(span));
            }
            Err(error) => {
                warn!(%error, "cannot accept a client; is the limit on open files too low?");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// One client, from its first byte to its last.
async fn serve(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    id: ConnId,
    remote: SocketAddr,
    stop: CancellationToken,
) {
    let auth = shared.settings.auth.initial_ids(remote.ip()).into();
    let stats = ConnectionStats::new(remote, Clock::wall_ms());
    let conn = Arc::new(Conn::new(id, stats, auth, shared.clock.now_ms()));
    let clients = &shared.settings.clients;
    if !shared.conns.admit(&conn, clients.max_connections_per_ip, clients.max_connections) {
        shared.stats.connection_rejected.add(1);
        warn!("too many connections from this address (maxClientCnxns) or in all (maxCnxns)");
        return;
    }
    shared.watches.add_connection(id);
    let ended = tokio::select! {
        ended = converse(&shared, &conn, &mut stream) => ended,
        () = stop.cancelled() => Ok(()),
    };
    if let Err(ended) = ended {
        debug!(reason = %ended, "connection ended");
    }
    shared.conns.remove(&conn);
    shared.watches.remove_connection(id);
    shared.stats.abandon(conn.in_flight() as u64);
    shared.pipeline.submit_one(&shared, Input::Gone(conn));
    // Bytes the client still sends must not turn the last reply into a reset.
    let _ = stream.shutdown().await;
}

async fn converse(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    stream: &mut TcpStream,
) -> Result<(), Ended> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::new();
    let Some(session) = handshake(shared, conn, stream, &mut input).await? else {
        return Ok(());
    };
    Span::current().record("session", field::display(session));
    Connection::new(shared.clone(), conn.clone(), session, input).serve(stream).await
}
