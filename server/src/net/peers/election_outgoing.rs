//! What is to be said to one server by the election port: only ever the newest.

use std::{io, sync::Arc};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::Notify};

/// A queue of one. A notification replaces one that waits; the last one sent is sent again on a
/// new connection, since it may be lost.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<Bytes>,
    last: Option<Bytes>,
    /// What the socket has not taken yet of the last one.
    rest: Bytes,
    socket: Option<Arc<TcpStream>>,
}

impl Outgoing {
    /// Says it: at once and by the caller's thread, if the socket takes it. False when there is
    /// no connection.
    pub(super) fn say(&self, frame: Bytes) -> bool {
        let mut state = self.state.lock();
        state.waiting = Some(frame);
        if state.socket.is_none() {
            return false;
        }
        // A failure is found by the connection's task too.
        let sent = matches!(state.send(), Ok(true));
        drop(state);
        if !sent {
            self.wake.notify_one();
        }
        true
    }

    /// There is a new connection.
    pub(super) fn connect(&self, socket: Arc<TcpStream>) {
        let state = &mut *self.state.lock();
        state.socket = Some(socket);
        state.rest = Bytes::new();
        if state.waiting.is_none() {
            state.waiting.clone_from(&state.last);
        }
    }

    /// There is none any more.
    pub(super) fn disconnect(&self) {
        self.state.lock().socket = None;
    }

    /// Sends what the socket takes now; true when that was everything.
    pub(super) fn send(&self) -> io::Result<bool> {
        self.state.lock().send()
    }

    /// Waits until there is something that could not be sent at once. Cancel safe.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl State {
    fn send(&mut self) -> io::Result<bool> {
        let Some(socket) = &self.socket else { return Ok(true) };
        loop {
            if self.rest.is_empty() {
                let Some(next) = self.waiting.take() else { return Ok(true) };
                self.last = Some(next.clone());
                self.rest = next;
            }
            match socket.try_write(&self.rest) {
                Ok(sent) => self.rest.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    /// Both ends of a connection.
    async fn connection() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Arc::new(here), listener.accept().await.unwrap().0)
    }

    async fn flush(outgoing: &Outgoing, here: &TcpStream) {
        while !outgoing.send().unwrap() {
            here.writable().await.unwrap();
        }
    }

    async fn received(mut there: TcpStream) -> Vec<u8> {
        let mut all = Vec::new();
        there.read_to_end(&mut all).await.unwrap();
        all
    }

    #[tokio::test]
    async fn the_newest_replaces_what_waits_and_the_last_is_said_again() {
        let outgoing = Outgoing::default();
        assert!(!outgoing.say(Bytes::from_static(b"one")));
        assert!(!outgoing.say(Bytes::from_static(b"two")));
        for _ in 0..2 {
            let (here, there) = connection().await;
            outgoing.connect(here.clone());
            flush(&outgoing, &here).await;
            outgoing.disconnect();
            drop(here);
            assert_eq!(received(there).await, b"two");
        }
    }

    #[tokio::test]
    async fn a_frame_that_was_begun_is_sent_to_its_end() {
        let outgoing = Outgoing::default();
        let (here, there) = connection().await;
        outgoing.connect(here.clone());
        here.writable().await.unwrap();
        let long = Bytes::from(vec![1; 16 << 20]);
        outgoing.say(long.clone());
        outgoing.say(Bytes::from_static(b"dropped"));
        outgoing.say(Bytes::from_static(b"newest"));
        let there = tokio::spawn(received(there));
        flush(&outgoing, &here).await;
        outgoing.disconnect();
        drop(here);
        let all = there.await.unwrap();
        assert!(all.strip_prefix(&long[..]) == Some(b"newest"));
    }
}
