//! A node that is kept there.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use quorate_protocol::{SessionId, Stat, Zxid, path};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Client,
    error::{Error, ErrorKind},
    recipes::{Loss, loss},
    state::{State, Status},
    watch::WatchStream,
};

/// How long to wait after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// How many of its own former sessions are remembered: a server may still hold a node of theirs.
const SESSIONS: usize = 16;

/// How often a failing deletion is tried again when the node is given up.
const CLOSE_ATTEMPTS: usize = 10;

/// Whether a [`PersistentNode`] is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Presence {
    /// It is being created.
    Absent,
    /// It is there, with the data last set.
    Present {
        /// The transaction that created it: another one when it was created again.
        czxid: Zxid,
        /// The session it belongs to; none if it outlives sessions.
        owner: SessionId,
    },
    /// Somebody else's ephemeral node is in its place. It is created when that one goes.
    Occupied {
        /// Whose session it belongs to.
        owner: SessionId,
    },
    /// The last attempt failed; there will be others.
    Failing(Error),
    /// It was given up.
    Closed,
}

/// Settings of a [`PersistentNode`]; [`start`](Self::start) makes it.
#[derive(Debug)]
#[must_use = "settings alone do nothing"]
pub struct PersistentNodeBuilder {
    client: Client,
    path: String,
    data: Bytes,
    ephemeral: bool,
}

impl PersistentNodeBuilder {
    /// It outlives its session, and this program's crash. It is deleted all the same when it is given up. Nobody can tell
    /// whose it is: of several who keep such a node at one path each takes it for its own, and deletes it when it gives up.
    pub fn outlive_session(mut self) -> Self {
        self.ephemeral = false;
        self
    }

    /// Begins to keep the node, and waits until it is there or cannot be created.
    ///
    /// # Errors
    /// When the path is none, the client is closed, or the first attempt to create the node fails.
    /// [`ErrorCode::NodeExists`](quorate_protocol::ErrorCode::NodeExists) is none of these: see
    /// [`Presence::Occupied`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the node up.
    pub async fn start(self) -> Result<PersistentNode, Error> {
        let Self { client, path, data, ephemeral } = self;
        path::validate(&path)?;
        let events = client.watch(&path).await?;
        let (wanted, wanted_seen) = watch::channel(Some(data));
        let (presence_sender, presence) = watch::channel(Presence::Absent);
        let statuses = client.status();
        let keeper = Keeper {
            client: client.clone(),
            path: path.clone(),
            ephemeral,
            wanted: wanted_seen,
            presence: presence_sender,
            events,
            statuses,
            sessions: VecDeque::new(),
        };
        let task = client.spawn(keeper.run());
        let mut node = PersistentNode { client, path, wanted, presence, task };
        let found = node.presence.wait_for(|now| !matches!(now, Presence::Absent)).await;
        match found.as_deref() {
            Ok(Presence::Failing(error)) => return Err(error.clone()),
            Ok(Presence::Closed) | Err(_) => return Err(ErrorKind::Closed.into()),
            Ok(_) => {}
        }
        drop(found);
        Ok(node)
    }
}

/// A node that is kept there: created again when somebody deletes it, when the session is lost with it, with data that
/// is set again when somebody else sets it. Curator's `PersistentNode`. It is ephemeral, unless told otherwise.
///
/// Dropping this deletes the node; [`close`](Self::close) waits until that is done.
///
/// # Delivery
/// After the loss of a session, and after a deletion, the node is missing for a moment. A node that one of this value's
/// own former sessions has left is replaced at once. An ephemeral node of somebody else is left alone: it goes first.
#[derive(Debug)]
pub struct PersistentNode {
    client: Client,
    path: String,
    /// `None` to give it up.
    wanted: watch::Sender<Option<Bytes>>,
    presence: watch::Receiver<Presence>,
    task: JoinHandle<()>,
}

impl PersistentNode {
    /// A node with this data, to be kept at a path. Parents that are missing are created as containers.
    pub fn builder(client: &Client, path: &str, data: impl Into<Bytes>) -> PersistentNodeBuilder {
        let (client, path) = (client.clone(), path.to_owned());
        PersistentNodeBuilder { client, path, data: data.into(), ephemeral: true }
    }

    /// Where it is kept.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The data it has, or shall have soon.
    pub fn data(&self) -> Bytes {
        self.wanted.borrow().clone().unwrap_or_default()
    }

    /// Gives it other data. That is done in the background; of data set in quick succession only the last counts.
    pub fn set(&self, data: impl Into<Bytes>) {
        self.wanted.send_replace(Some(data.into()));
    }

    /// Whether it is there now, and changes of that.
    pub fn presence(&self) -> watch::Receiver<Presence> {
        self.presence.clone()
    }

    /// Waits until the node may not be there any more, and tells why, before its session can have expired: see [`Loss`]. At
    /// once while it is not there. It comes back by itself: [`presence`](Self::presence) tells when, and the next `lost` is of
    /// the node that is there then.
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        let mut presence = self.presence.clone();
        let Presence::Present { czxid, owner } = *presence.borrow_and_update() else {
            return Loss::Deleted;
        };
        let is_same = |now: &Presence| matches!(now, Presence::Present { czxid: other, .. } if *other == czxid);
        let has_gone = async {
            match presence.wait_for(|now| !is_same(now)).await {
                Ok(_) => Loss::Deleted,
                Err(_) => Loss::Closed,
            }
        };
        if owner == SessionId::NONE {
            return has_gone.await;
        }
        let status = *self.client.status().borrow();
        if status.session != owner {
            return Loss::Session;
        }
        let client = self.client.in_session(status.session_number);
        tokio::select! {
            biased;
            loss = loss::of_session(&client) => loss,
            loss = has_gone => loss,
        }
    }

    /// Stops keeping the node, and leaves it there: for one that is to outlive its session, until somebody deletes it.
    pub fn leave_there(self) {
        self.task.abort();
    }

    /// Deletes the node, and waits until it is gone.
    ///
    /// # Errors
    /// When it could not be deleted. If it is ephemeral it goes with the session then.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the deletion to the background.
    pub async fn close(self) -> Result<(), Error> {
        let Self { wanted, presence, task, .. } = self;
        wanted.send_replace(None);
        // It ends by itself, unless the runtime does.
        let _ = task.await;
        match &*presence.borrow() {
            Presence::Failing(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

/// What is at the path.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    owner: SessionId,
    czxid: Zxid,
    version: i32,
    has_data: bool,
}

/// What the keeper wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted<'a> {
    /// The node shall be there.
    there: bool,
    ephemeral: bool,
    session: SessionId,
    former: &'a VecDeque<SessionId>,
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create,
    Set { version: i32 },
    Delete { version: i32 },
    Rest,
    Yield,
    End,
}

fn decide(found: Option<&Found>, wanted: &Wanted<'_>) -> Step {
    let Some(found) = found else {
        return if wanted.there { Step::Create } else { Step::End };
    };
    let version = found.version;
    let is_mine = if wanted.ephemeral {
        found.owner == wanted.session || wanted.former.contains(&found.owner)
    } else {
        found.owner == SessionId::NONE
    };
    match (is_mine, wanted.there) {
        (false, true) => Step::Yield,
        (false, false) => Step::End,
        (true, false) => Step::Delete { version },
        // It would go with its session.
        (true, true) if wanted.ephemeral && found.owner != wanted.session => {
            Step::Delete { version }
        }
        (true, true) if !found.has_data => Step::Set { version },
        (true, true) => Step::Rest,
    }
}

/// The task: looks at the path and does what is to be done, until there is nothing, then waits for a reason to look again.
/// All it does depends on what it saw alone, so that a lost answer costs another look and nothing else.
struct Keeper {
    client: Client,
    path: String,
    ephemeral: bool,
    wanted: watch::Receiver<Option<Bytes>>,
    presence: watch::Sender<Presence>,
    events: WatchStream,
    statuses: watch::Receiver<Status>,
    sessions: VecDeque<SessionId>,
}

impl Keeper {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            while self.events.try_next().is_some() {}
            self.statuses.mark_unchanged();
            let data = self.data();
            match self.step(data.as_ref()).await {
                Ok(Some(presence)) => {
                    failures = 0;
                    let is_over = matches!(presence, Presence::Closed);
                    self.presence.send_replace(presence);
                    if is_over || !self.wait(data.is_some(), None).await {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, path = self.path, "node is not as it shall be");
                    self.presence.send_replace(Presence::Failing(error));
                    let is_too_often = data.is_none() && failures >= CLOSE_ATTEMPTS;
                    if is_too_often || !self.wait(data.is_some(), Some(PAUSE)).await {
                        return;
                    }
                }
            }
        }
    }

    /// The data the node shall have; `None` when it shall not be there.
    fn data(&mut self) -> Option<Bytes> {
        let is_dropped = self.wanted.has_changed().is_err();
        self.wanted.borrow_and_update().clone().filter(|_| !is_dropped)
    }

    /// Until there is a reason to look again; false when there will be none. `is_wanted` is what the last look went by:
    /// that it was given up is a reason, once.
    async fn wait(&mut self, is_wanted: bool, pause: Option<Duration>) -> bool {
        let pause = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            item = self.events.next() => item.is_some(),
            _ = self.wanted.changed(), if is_wanted => true,
            // Another session, or none.
            _ = self.statuses.changed() => self.statuses.borrow().state != State::Closed,
            () = pause => true,
        }
    }

    /// Looks, and does one thing; what there is when there is nothing to do.
    async fn step(&mut self, data: Option<&Bytes>) -> Result<Option<Presence>, Error> {
        let session = self.client.session_id();
        let found = self.look(data).await?;
        let wanted = Wanted {
            there: data.is_some(),
            ephemeral: self.ephemeral,
            session,
            former: &self.sessions,
        };
        let done = match decide(found.as_ref(), &wanted) {
            Step::End => return Ok(Some(Presence::Closed)),
            Step::Rest => {
                let found = found.expect("one that rests was found");
                return Ok(Some(Presence::Present { czxid: found.czxid, owner: found.owner }));
            }
            Step::Yield => {
                let owner = found.map_or(SessionId::NONE, |found| found.owner);
                return Ok(Some(Presence::Occupied { owner }));
            }
            Step::Create => {
                self.presence.send_if_modified(|presence| {
                    let was_there = matches!(presence, Presence::Present { .. });
                    *presence = if was_there { Presence::Absent } else { presence.clone() };
                    was_there
                });
                self.create(session, data.expect("a node that shall be there has data")).await
            }
            Step::Set { version } => {
                let data = data.expect("a node that shall be there has data");
                self.client.set(&self.path, data).version(version).await.map(drop)
            }
            Step::Delete { version } => self.client.delete(&self.path).version(version).await,
        };
        match done {
            Err(error) if is_settled_by_a_look(&error) => Ok(None),
            done => done.map(|()| None),
        }
    }

    async fn look(&self, data: Option<&Bytes>) -> Result<Option<Found>, Error> {
        match self.client.get(&self.path).linearizable().await {
            Ok(node) => {
                let Stat { ephemeral_owner: owner, czxid, version, .. } = node.stat;
                let has_data = data.is_some_and(|data| *data == node.data);
                Ok(Some(Found { owner, czxid, version, has_data }))
            }
            Err(error) if error.is_no_node() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&mut self, session: SessionId, data: &Bytes) -> Result<(), Error> {
        if self.ephemeral && !self.sessions.contains(&session) {
            self.sessions.truncate(SESSIONS - 1);
            self.sessions.push_front(session);
        }
        let create = self.client.create(&self.path, data);
        let create = if self.ephemeral { create.ephemeral() } else { create };
        create.with_parents().await.map(drop)
    }
}

/// Whether the error says no more than that the node is not as it was, or may not be.
fn is_settled_by_a_look(error: &Error) -> bool {
    error.is_no_node()
        || error.is_node_exists()
        || error.is_bad_version()
        || matches!(error.kind(), ErrorKind::ConnectionLost(_) | ErrorKind::SessionLost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: SessionId = SessionId(2);
    const FORMER: SessionId = SessionId(1);
    const OTHER: SessionId = SessionId(9);

    fn decided(owner: Option<SessionId>, has_data: bool, there: bool, ephemeral: bool) -> Step {
        let found = owner.map(|owner| Found { owner, czxid: Zxid(5), version: 7, has_data });
        let former = VecDeque::from([FORMER]);
        decide(found.as_ref(), &Wanted { there, ephemeral, session: MINE, former: &former })
    }

    #[test]
    fn an_ephemeral_node_is_kept_in_the_present_session() {
        let check = |owner, has_data, step| assert_eq!(decided(owner, has_data, true, true), step);
        check(None, false, Step::Create);
        check(Some(MINE), true, Step::Rest);
        check(Some(MINE), false, Step::Set { version: 7 });
        check(Some(FORMER), true, Step::Delete { version: 7 });
        check(Some(OTHER), false, Step::Yield);
        check(Some(SessionId::NONE), false, Step::Yield);
    }

    #[test]
    fn a_node_that_outlives_sessions_is_nobodys() {
        let check = |owner, has_data, step| assert_eq!(decided(owner, has_data, true, false), step);
        check(None, false, Step::Create);
        check(Some(SessionId::NONE), true, Step::Rest);
        check(Some(SessionId::NONE), false, Step::Set { version: 7 });
        check(Some(OTHER), true, Step::Yield);
    }

    #[test]
    fn what_is_given_up_goes_and_nothing_else() {
        let check =
            |owner, ephemeral, step| assert_eq!(decided(owner, false, false, ephemeral), step);
        check(None, true, Step::End);
        check(Some(MINE), true, Step::Delete { version: 7 });
        check(Some(FORMER), true, Step::Delete { version: 7 });
        check(Some(OTHER), true, Step::End);
        check(Some(SessionId::NONE), true, Step::End);
        check(Some(SessionId::NONE), false, Step::Delete { version: 7 });
        check(Some(OTHER), false, Step::End);
    }
}
