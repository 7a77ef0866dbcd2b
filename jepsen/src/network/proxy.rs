//! A listener that connects through to one port, and carries bytes as the links allow.

use std::{collections::VecDeque, future::pending, net::SocketAddr, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    handshake,
    link::{Link, Route, State},
};

/// Bytes on the way of one direction; with more, who sends them has to wait.
const WINDOW: usize = 1 << 20;

/// How long a refused connection is tried again.
const KNOCKING: Duration = Duration::from_millis(500);

/// The port behind a proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    pub(super) port: Port,
}

/// What a port is for, as far as it matters to who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// Clients look for another server at once when they are not served here.
    Client,
    /// A learner comes as soon as it has heard of a leader, whose port may not be open yet. Refused,
    /// it would try again; accepted and hung up on, which is all a proxy can do, it would
    /// look for another leader. So the proxy tries again for it.
    Quorum,
    /// The address in the handshake is to be replaced by this one.
    Election(SocketAddr),
}

/// Accepts connections and carries them to `target`, for ever.
pub(super) async fn run(listener: TcpListener, target: Target, route: Route) {
    let mut connections = JoinSet::new();
    loop {
        // Failing to accept is about the connection that is to be accepted, not about the others.
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(carry(stream, target, route.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(target: Target) -> io::Result<TcpStream> {
    let patience = if target.port == Port::Quorum { KNOCKING } else { Duration::ZERO };
    let end = Instant::now() + patience;
    loop {
        match TcpStream::connect(target.addr).await {
            Err(_) if Instant::now() < end => sleep(Duration::from_millis(5)).await,
            result => return result,
        }
    }
}

/// Carries one connection until both directions have ended, one has failed, or a link is closed.
async fn carry(near: TcpStream, target: Target, route: Route) -> io::Result<()> {
    let (mut there, mut back) = (route.there.clone(), route.back.clone());
    let closed = async {
        let closed = |link: &Link| link.state == State::Closed;
        // The senders live as long as the network.
        tokio::select! {
            _ = there.wait_for(closed) => {}
            _ = back.wait_for(closed) => {}
        }
    };
    let carried = async {
        // A peer that cannot be reached is not connected to either.
        for mut link in [route.there.clone(), route.back.clone()] {
            let _ = link.wait_for(|link| link.state != State::Silent).await;
        }
        let far = connect(target).await?;
        for stream in [&near, &far] {
            stream.set_nodelay(true)?;
        }
        let readdress = match target.port {
            Port::Election(addr) => Some(addr),
            Port::Client | Port::Quorum => None,
        };
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::try_join!(
            pump(near_read, far_write, route.there, readdress),
            pump(far_read, near_write, route.back, None),
        )?;
        Ok(())
    };
    tokio::select! {
        () = closed => Ok(()),
        result = carried => result,
    }
}

/// A piece on the way.
struct Piece {
    due: Instant,
    bytes: Bytes,
}

/// Carries one direction until its end, which is passed on.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
    readdress: Option<SocketAddr>,
) -> io::Result<()> {
    let mut window: VecDeque<Piece> = VecDeque::new();
    let mut on_the_way = 0;
    let mut buffer = vec![0; 64 * 1024];
    let mut open = true;
    if let Some(addr) = readdress {
        let bytes = Bytes::from(handshake::readdressed(&mut from, addr).await?);
        on_the_way = bytes.len();
        window.push_back(Piece { due: arrival(&link), bytes });
    }
    while open || !window.is_empty() {
        let passes = link.borrow_and_update().state == State::Passes;
        let due = window.front().map(|piece| piece.due);
        let delivery = async {
            match due {
                Some(due) if passes => sleep_until(due).await,
                _ => pending().await,
            }
        };
        tokio::select! {
            _ = link.changed() => {}
            // While a link is silent nothing is taken in either: the sender notices at last.
            read = from.read(&mut buffer), if open && passes && on_the_way < WINDOW => {
                let n = read?;
                open = n > 0;
                on_the_way += n;
                let bytes = Bytes::copy_from_slice(&buffer[..n]);
                window.push_back(Piece { due: arrival(&link), bytes });
            }
            () = delivery => {
                let piece = window.pop_front().expect("what is due is there");
                on_the_way -= piece.bytes.len();
                if piece.bytes.is_empty() {
                    to.shutdown().await?;
                } else {
                    to.write_all(&piece.bytes).await?;
                }
            }
        }
    }
    Ok(())
}

/// When a piece that was read now is to arrive.
fn arrival(link: &watch::Receiver<Link>) -> Instant {
    Instant::now() + link.borrow().delay
}
