//! Leadership for as long as it can be kept.

use std::time::Duration;

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Leadership;
use crate::{
    Client,
    error::{Error, ErrorKind},
    recipes::{
        Participant,
        line::{Entry, Line, Rule},
        lock::Guard,
    },
};

/// After a failure to stand for election.
const PAUSE: Duration = Duration::from_millis(500);

/// Stands for election until it is closed or dropped, and tells whether it leads: see the
/// [module](super). When it may have lost the leadership, it is no leader at once, and stands
/// again behind all others.
///
/// `Compat:` Apache Curator's `LeaderLatch`.
#[derive(Debug)]
pub struct LeaderLatch {
    line: Line,
    leadership: watch::Receiver<Option<Leadership>>,
    stop: DropGuard,
    task: JoinHandle<Result<(), Error>>,
}

impl LeaderLatch {
    /// Stands for election with this folder for the participants, as `id`, from now on.
    ///
    /// # Errors
    /// When `folder` is no path, or the root.
    pub fn start(client: &Client, folder: &str, id: &str) -> Result<Self, Error> {
        let line = Line::new(client, folder, "latch-")?.with_data(id.to_owned().into());
        let (sender, leadership) = watch::channel(None);
        let stop = CancellationToken::new();
        let task = client.spawn(stand(line.clone(), sender, stop.clone()));
        Ok(Self { line, leadership, stop: stop.drop_guard(), task })
    }

    /// Whether it leads.
    pub fn is_leader(&self) -> bool {
        self.leadership.borrow().is_some()
    }

    /// The leadership while it has it, and the changes of that. Its sender goes when the latch is
    /// closed, or the client.
    pub fn leadership(&self) -> watch::Receiver<Option<Leadership>> {
        self.leadership.clone()
    }

    /// Waits until it leads.
    ///
    /// # Errors
    /// When the client is closed.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn wait(&self) -> Result<Leadership, Error> {
        let mut leadership = self.leadership.clone();
        let leads = leadership.wait_for(Option::is_some).await;
        match leads.as_deref() {
            Ok(Some(leadership)) => Ok(leadership.clone()),
            _ => Err(ErrorKind::Closed.into()),
        }
    }

    /// Who leads (the first) and who waits for it, in order. The first may not know it yet.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn participants(&self) -> Result<Vec<Participant>, Error> {
        self.line.participants().await
    }

    /// Who leads, if somebody does.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn leader(&self) -> Result<Option<Participant>, Error> {
        Ok(self.participants().await?.into_iter().next())
    }

    /// Steps down and stands no more, and waits until that is sure.
    ///
    /// # Errors
    /// When it led and had lost that before, or the client has ended.
    ///
    /// # Cancel safety
    /// Dropping the future steps down in the background.
    pub async fn close(self) -> Result<(), Error> {
        let Self { stop, task, .. } = self;
        drop(stop);
        task.await.unwrap_or_else(|_| Err(ErrorKind::Closed.into()))
    }
}

/// Stands for election again and again.
async fn stand(
    line: Line,
    leadership: watch::Sender<Option<Leadership>>,
    stop: CancellationToken,
) -> Result<(), Error> {
    loop {
        let entered = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            entered = line.enter(Rule::Alone, true) => entered,
        };
        let guard = match entered {
            Ok(Entry::In(seat)) => Guard::new(seat),
            Ok(Entry::Busy) => unreachable!("the patient are not turned away"),
            Err(error) if error.is_session_lost() => return Err(error),
            Err(error) => {
                tracing::warn!(folder = line.folder(), %error, "cannot stand for election");
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(PAUSE) => continue,
                }
            }
        };
        tracing::info!(path = guard.path(), token = %guard.token(), "leads");
        leadership.send_replace(Some(Leadership::of(&guard)));
        let loss = tokio::select! {
            () = stop.cancelled() => None,
            loss = guard.lost() => Some(loss),
        };
        // Before anybody else can lead.
        leadership.send_replace(None);
        tracing::info!(path = guard.path(), ?loss, "leads no more");
        if loss.is_none() {
            return guard.release().await;
        }
    }
}
