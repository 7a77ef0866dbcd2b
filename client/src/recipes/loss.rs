//! When what stands on a session may be lost: in time, and why.

use quorate_protocol::Zxid;
use tokio::time::{Instant, sleep_until};

use crate::{
    Client, EventType, State,
    client::NO_SESSION,
    error::{Error, ErrorKind},
    state::Status,
};

/// The part of a session's timeout by which a loss is told early: for clocks that do not run
/// equally fast, and to stop in time.
const MARGIN: u32 = 10;

/// Why a holding of a recipe may be held no more: a lock, a leadership, a membership, a node.
///
/// All of them have a `lost()` that waits for this. It resolves before the servers can let the
/// session expire: a tenth of its timeout earlier than that, counted from the last sign of life
/// that they have confirmed. That holds as long as this process runs and its clock is about as
/// fast as the servers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The session has ended, or must be taken for ended.
    Session,
    /// Nothing was heard of the servers for so long that the session is about to expire.
    Silence,
    /// Its node is not there any more: somebody deleted it.
    Deleted,
    /// The client was closed.
    Closed,
}

/// A node that stands for a holding: that very one, and no other that has its path later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldNode<'a> {
    pub(crate) path: &'a str,
    pub(crate) czxid: Zxid,
}

/// Waits until what stands on this node, of the session the client is bound to, may be lost.
pub(crate) async fn of_node(client: &Client, node: HeldNode<'_>) -> Loss {
    tokio::select! {
        biased;
        loss = of_session(client) => loss,
        () = deleted(client, node) => Loss::Deleted,
    }
}

/// Waits until what stands on the session that the client is bound to may be lost.
pub(crate) async fn of_session(client: &Client) -> Loss {
    tokio::select! {
        biased;
        () = session_ended(client) => match client.state() {
            State::Closed => Loss::Closed,
            _ => Loss::Session,
        },
        () = silence(client) => Loss::Silence,
    }
}

/// Waits until the session of a bound client has ended.
pub(crate) async fn session_ended(client: &Client) {
    let number = client.view().session();
    let mut status = client.status();
    // Without a sender the client has ended.
    let _ = status.wait_for(|status| has_ended(number, status)).await;
}

/// What a future in a session answers, or that the session has ended first.
pub(crate) async fn while_in_session<T>(
    client: &Client,
    future: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::select! {
        value = future => Ok(value),
        () = session_ended(client) => Err(ErrorKind::SessionLost.into()),
    }
}

/// Whether a session has ended, by its number.
///
/// A client can be bound to a session a moment before its status shows that one. What the status
/// says of the session before, its loss above all, is not about this one.
fn has_ended(number: u64, status: &Status) -> bool {
    let is_over = number == NO_SESSION || status.session_number > number;
    let is_lost = status.session_number == number && status.state == State::Lost;
    is_over || is_lost || status.state == State::Closed
}

/// Waits until the session may soon expire.
async fn silence(client: &Client) {
    loop {
        let margin = client.session_timeout() / MARGIN;
        let deadline = client.session_deadline().earliest - margin;
        if deadline <= Instant::now() {
            return;
        }
        sleep_until(deadline).await;
    }
}

/// Waits until the node has gone; for ever, when that is told otherwise.
async fn deleted(client: &Client, HeldNode { path, czxid }: HeldNode<'_>) {
    loop {
        match client.get(path).watch().await {
            // Another one in its place.
            Ok((node, _)) if node.stat.czxid != czxid => return,
            Ok((_, watch)) => match watch.await {
                Ok(event) if event.kind == EventType::NodeDeleted => return,
                // Its data has changed: somebody has left a note.
                Ok(_) => {}
                Err(_) => break,
            },
            Err(error) if error.is_no_node() => return,
            // The connection was away for long, or the client ends.
            Err(error) if error.is_retryable() && !error.is_session_lost() => {
                if client.wait_connected().await.is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_not_ended_by_what_is_said_of_the_one_before() {
        let status = |state, session_number| Status { state, session_number, ..Status::NEW };
        let check = |number, state, shown, expected| {
            assert_eq!(has_ended(number, &status(state, shown)), expected, "{number} {state:?}");
        };
        check(2, State::Connected, 2, false);
        check(2, State::Suspended, 2, false);
        check(2, State::Lost, 2, true);
        check(2, State::Reconnected, 3, true);
        check(2, State::Closed, 2, true);
        // The status is not there yet.
        check(1, State::Connecting, 0, false);
        check(2, State::Lost, 1, false);
        check(2, State::Connecting, 1, false);
        // Bound while there was none.
        check(NO_SESSION, State::Lost, 1, true);
        check(NO_SESSION, State::Connecting, 0, true);
    }
}
