//! What a client tells of its connection and session.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use quorate_protocol::SessionId;
use tokio::{sync::watch, time::Instant};
use tokio_stream::wrappers::WatchStream;

/// Where a client stands, in the words of Apache Curator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// There was no connection yet.
    Connecting,
    /// The first connection is up.
    Connected,
    /// The connection is lost. The session may still be alive, and may expire any moment from
    /// [`SessionDeadline::earliest`] on: whoever relies on an ephemeral node should pause.
    Suspended,
    /// A connection is up again. [`Status::session_number`] tells whether the session is another.
    Reconnected,
    /// The connection is to a server that can only read.
    ReadOnly,
    /// The session has ended, or must be taken for ended: its ephemeral nodes are not to be
    /// relied on. A new session is being opened, unless the client was told not to.
    Lost,
    /// The client was closed, or its identity was refused. Nothing comes after this.
    Closed,
}

impl State {
    /// Whether calls can be answered now.
    pub fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::Reconnected | Self::ReadOnly)
    }
}

/// A client's state, and the session it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// The session; none before there is one. When it is lost, it is named until the next is open.
    pub session: SessionId,
    /// How many sessions were opened. It grows by one with each, so that the loss of a session
    /// shows even to those who slept through [`State::Lost`].
    pub session_number: u64,
    /// The session's timeout as the server granted it.
    pub session_timeout: Duration,
    /// The server the connection is to; none while there is no connection.
    pub server: Option<SocketAddr>,
}

impl Status {
    pub(crate) const NEW: Self = Self {
        state: State::Connecting,
        session: SessionId::NONE,
        session_number: 0,
        session_timeout: Duration::ZERO,
        server: None,
    };
}

/// What it takes to carry on with a session elsewhere, or to end it: see
/// [`ClientBuilder::session`](crate::ClientBuilder::session).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTicket {
    /// The session.
    pub id: SessionId,
    /// Its password.
    pub password: SessionPassword,
    /// Its timeout as the server granted it.
    pub timeout: Duration,
}

/// The password of a session. Whoever has it can take the session over, so it does not show in
/// logs: `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionPassword([u8; 16]);

impl SessionPassword {
    /// As the server gave it.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for SessionPassword {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for SessionPassword {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SessionPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionPassword(hidden)")
    }
}

/// Between which moments the session ends if nothing is heard any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionDeadline {
    /// Before this the servers do not let it expire: counted from when the last request was sent
    /// of which an answer arrived. Clocks of this machine and the servers must run equally fast.
    pub earliest: Instant,
    /// At this this client gives it up and says [`State::Lost`]: counted from when the server was
    /// last heard. Servers may keep it for longer: they round up, and begin anew with a new leader.
    pub latest: Instant,
}

/// A stream of a client's states: the present one, then each change. States that follow each other
/// faster than they are taken are left out, but a lost session always shows as [`State::Lost`].
/// Ends behind [`State::Closed`].
#[derive(Debug)]
pub struct States {
    statuses: WatchStream<Status>,
    shown: Option<Status>,
    /// To come behind a loss that nobody saw.
    next: Option<Status>,
}

impl States {
    pub(crate) fn new(receiver: watch::Receiver<Status>) -> Self {
        Self { statuses: WatchStream::new(receiver), shown: None, next: None }
    }

    fn show(&mut self, status: Status) -> State {
        self.shown = Some(status);
        status.state
    }
}

impl Stream for States {
    type Item = State;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<State>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(self.show(next)));
        }
        if self.shown.is_some_and(|shown| shown.state == State::Closed) {
            return Poll::Ready(None);
        }
        let Poll::Ready(status) = Pin::new(&mut self.statuses).poll_next(cx) else {
            return Poll::Pending;
        };
        let Some(status) = status else { return Poll::Ready(None) };
        let missed_loss = self.shown.is_some_and(|shown| {
            shown.session_number > 0
                && shown.state != State::Lost
                && status.session_number > shown.session_number
        });
        if missed_loss {
            self.next = Some(status);
            return Poll::Ready(Some(State::Lost));
        }
        Poll::Ready(Some(self.show(status)))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[test]
    fn a_password_does_not_show() {
        let password = SessionPassword::from(*b"0123456789abcdef");
        let (id, timeout) = (SessionId(7), Duration::from_secs(1));
        let shown = format!("{:?}", SessionTicket { id, password, timeout });
        assert!(shown.contains("hidden") && !shown.contains("48"), "{shown}");
    }

    #[tokio::test]
    async fn a_lost_session_shows_even_if_it_passed_unseen() {
        let (sender, receiver) = watch::channel(Status::NEW);
        let mut states = States::new(receiver);
        let send = |state, session_number| {
            sender.send_replace(Status { state, session_number, ..Status::NEW });
        };
        assert_eq!(states.next().await, Some(State::Connecting));
        send(State::Connected, 1);
        assert_eq!(states.next().await, Some(State::Connected));
        send(State::Suspended, 1);
        send(State::Lost, 1);
        send(State::Reconnected, 2);
        assert_eq!(states.next().await, Some(State::Lost));
        assert_eq!(states.next().await, Some(State::Reconnected));
        send(State::Lost, 2);
        assert_eq!(states.next().await, Some(State::Lost));
        send(State::Reconnected, 3);
        assert_eq!(states.next().await, Some(State::Reconnected));
        send(State::Closed, 3);
        assert_eq!(states.next().await, Some(State::Closed));
        assert_eq!(states.next().await, None);
    }
}
