//! Sockets that clients connect to.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bytes::BytesMut;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, debug, field, info_span, warn};

use super::{Conn, Connection, Door, Ended, handshake::handshake};
use crate::{
    admin::ConnectionStats,
    config::ClientAddress,
    runtime::{Input, Shared},
    watch::ConnId,
};

/// Connections that may wait to be accepted, unless set otherwise.
const BACKLOG: i32 = 1024;
/// Bytes taken of what a client sent behind its last request.
const IN_VAIN_MAX: usize = 256 << 10;
/// Pause after `accept` failed, which happens when the process has no file descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Binds a listening socket.
///
/// # Errors
/// When the address cannot be bound; the error names it.
pub(super) fn bind(address: ClientAddress, backlog: Option<u32>) -> anyhow::Result<TcpListener> {
    let backlog = backlog.map_or(BACKLOG, |backlog| i32::try_from(backlog).unwrap_or(i32::MAX));
    let socket = match address {
        ClientAddress::One(address) => listen(address, backlog),
        ClientAddress::All(port) => listen_on_all(port, backlog),
    };
    let socket = socket.with_context(|| {
        format!("listen for clients on {address} (is another server running there?)")
    })?;
    TcpListener::from_std(socket.into()).context("register the listening socket")
}

/// A socket that listens on all interfaces: one for both families. A machine without IPv6 has
/// only the other.
pub(super) fn listen_on_all(port: u16, backlog: i32) -> io::Result<Socket> {
    listen((Ipv6Addr::UNSPECIFIED, port).into(), backlog).or_else(|error| {
        if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) {
            listen((Ipv4Addr::UNSPECIFIED, port).into(), backlog)
        } else {
            Err(error)
        }
    })
}

/// A socket that listens there.
pub(super) fn listen(address: SocketAddr, backlog: i32) -> io::Result<Socket> {
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

/// Accepts clients until `stop`, a task for each, on `threads` in turn.
pub async fn accept(
    shared: Arc<Shared>,
    mut door: Door,
    threads: Vec<Handle>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    for (number, thread) in (1..).zip(threads.iter().cycle()) {
        let (stream, remote) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = door.next(&shared) => accepted,
        };
        let id = ConnId(number);
        let span = info_span!("client", conn = id.0, %remote, session = field::Empty);
        let task = serve(shared.clone(), stream, id, remote, stop.clone()).instrument(span);
        tasks.spawn_on(task, thread);
    }
}

/// Waits for somebody to connect; the socket belongs to no runtime yet.
pub(super) async fn next_connection(listener: &TcpListener) -> (std::net::TcpStream, SocketAddr) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, remote)| Ok((stream.into_std()?, remote))) {
            // A dual-stack socket shows IPv4 addresses as ::ffff:a.b.c.d.
            Ok((stream, remote)) => {
                return (stream, SocketAddr::new(remote.ip().to_canonical(), remote.port()));
            }
            // One that gave up before it was accepted says nothing about the next one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "cannot accept a connection; is the limit on open files too low?");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Lets a client in; none when there are too many.
pub fn admit(shared: &Shared, id: ConnId, remote: SocketAddr) -> Option<Arc<Conn>> {
    let auth = shared.settings.auth.initial_ids(remote.ip()).into();
    let stats = ConnectionStats::new(remote, shared.clock.wall_ms());
    let conn = Arc::new(Conn::new(id, stats, auth, shared.clock.now_ms()));
    let clients = &shared.settings.clients;
    if !shared.conns.admit(&conn, clients.max_connections_per_ip, clients.max_connections) {
        shared.stats.connection_rejected.add(1);
        warn!("too many connections from this address (maxClientCnxns) or in all (maxCnxns)");
        return None;
    }
    shared.watches.add_connection(id);
    Some(conn)
}

/// Forgets a client that was let in.
pub fn dismiss(shared: &Shared, conn: Arc<Conn>) {
    shared.conns.remove(&conn);
    shared.watches.remove_connection(conn.id);
    // From here on nothing is kept for it; the pipeline learns that behind its last request.
    conn.outbox.close();
    shared.pipeline.submit_one(shared, Input::Gone(conn));
}

/// One client, from its first byte to its last.
async fn serve(
    shared: Arc<Shared>,
    stream: std::net::TcpStream,
    id: ConnId,
    remote: SocketAddr,
    stop: CancellationToken,
) {
    let Some(conn) = admit(&shared, id, remote) else { return };
    let ended = tokio::select! {
        ended = converse(&shared, &conn, stream) => ended,
        () = stop.cancelled() => Ok(()),
    };
    if let Err(ended) = ended {
        debug!(reason = %ended, "connection ended");
        if matches!(ended, Ended::ByClient | Ended::Io(_)) {
            shared.stats.connection_drop_count.add(1);
        }
        if matches!(ended, Ended::TooMuch(_)) {
            shared.stats.large_requests_rejected.add(1);
        }
    }
    dismiss(&shared, conn);
}

async fn converse(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    stream: std::net::TcpStream,
) -> Result<(), Ended> {
    // Now it belongs to the thread that this task runs on.
    let mut stream = TcpStream::from_std(stream)?;
    stream.set_nodelay(true)?;
    if shared.settings.clients.tcp_keep_alive {
        SockRef::from(&stream).set_keepalive(true)?;
    }
    let mut input = BytesMut::new();
    let session = handshake(shared, conn, &mut stream, &mut input).await;
    let stream = Arc::new(stream);
    let ended = match session {
        Ok(Some(session)) => {
            Span::current().record("session", field::display(session));
            Connection::new(shared.clone(), conn.clone(), session, input).serve(&stream).await
        }
        ended => ended.map(|_| ()),
    };
    say_goodbye(&stream);
    ended
}

/// Ends the stream behind the last reply. The outbox may hold the socket a little longer; the
/// client need not wait for that. What it has sent in vain is taken: a socket closed with bytes
/// unread is reset, and the reset may overtake the reply.
fn say_goodbye(stream: &TcpStream) {
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
    let mut in_vain = [0; 4096];
    for _ in 0..IN_VAIN_MAX / in_vain.len() {
        if !matches!(stream.try_read(&mut in_vain), Ok(1..)) {
            return;
        }
    }
}
