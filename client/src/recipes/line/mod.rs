//! Lines: contenders that wait for each other in a folder of ephemeral, sequential nodes.
//!
//! What all recipes with a line share: [`order`] says who stands where, [`contender`] what one of
//! them does next, and a [`Seat`] does it. A contender leaves no node behind, whatever becomes of
//! its future or its connection: its node carries a unique id by which it is found, and a task
//! removes it that goes on until the node has gone or the session has ended.

pub(crate) mod contender;
pub(crate) mod order;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use quorate_protocol::path;
use uuid::Uuid;

pub(crate) use self::order::Rule;
use self::{
    contender::{Contender, Effect, Failure, How, Input},
    order::in_order,
};
use crate::{
    Client, ErrorCode, OneShot, State,
    create::{join, protection_of},
    error::{Error, ErrorKind},
    recipes::loss::{self, HeldNode, Loss, while_in_session},
    request::Created,
};

/// Between attempts to remove a node.
const REST: Duration = Duration::from_millis(100);

/// Where contenders stand, and what their nodes look like.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    client: Client,
    folder: Arc<str>,
    /// What stands between the unique id and the number in their names.
    word: &'static str,
    data: Bytes,
}

/// Who stands in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Its node.
    pub path: String,
    /// What it wrote there: for leaders and locks an id by convention.
    pub data: Bytes,
    /// Its session.
    pub session: crate::SessionId,
    /// When it came, among all: its fencing token once it is in.
    pub token: super::FencingToken,
}

/// Whether a contender was admitted.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It is in as long as it keeps the seat.
    In(Seat),
    /// It would have had to wait, and has left.
    Busy,
}

impl Line {
    /// # Errors
    /// When `folder` is no path, or the root.
    pub(crate) fn new(client: &Client, folder: &str, word: &'static str) -> Result<Self, Error> {
        path::validate(folder)?;
        if folder == "/" {
            return Err(ErrorKind::BadArgument("the root cannot be a line").into());
        }
        Ok(Self { client: client.clone(), folder: folder.into(), word, data: Bytes::new() })
    }

    pub(crate) fn with_data(mut self, data: Bytes) -> Self {
        self.data = data;
        self
    }

    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// The same line, for contenders of this client.
    pub(crate) fn of_client(&self, client: &Client) -> Self {
        Self { client: client.clone(), ..self.clone() }
    }

    /// Stands in line until admitted; if not `patient`, only if that is at once. A contender that
    /// loses its place goes to the end of the line.
    ///
    /// # Errors
    /// As the client's calls; [`ErrorKind::SessionLost`] only of a client that is bound to a
    /// session.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line, in the background.
    pub(crate) async fn enter(&self, rule: Rule, patient: bool) -> Result<Entry, Error> {
        loop {
            if let Some(entry) = self.attempt(rule, patient).await? {
                return Ok(entry);
            }
        }
    }

    /// As [`enter`](Self::enter), but `None` when it lost its place: with its session, or because
    /// somebody deleted its node.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    ///
    /// # Cancel safety
    /// As [`enter`](Self::enter).
    pub(crate) async fn attempt(&self, rule: Rule, patient: bool) -> Result<Option<Entry>, Error> {
        let status = self.client.wait_connected().await?;
        let bound = self.client.view().session();
        if bound != 0 && bound != status.session_number {
            return Err(ErrorKind::SessionLost.into());
        }
        let mut seat = Seat::new(self, rule, patient);
        let error = match seat.be_admitted().await {
            Ok(Effect::Admit) => return Ok(Some(Entry::In(seat))),
            Ok(Effect::TurnAway) => return Ok(Some(Entry::Busy)),
            Ok(_) => ErrorKind::Refused(ErrorCode::NoNode).into(),
            Err(error) => match error.kind() {
                ErrorKind::SessionLost
                | ErrorKind::Refused(ErrorCode::SessionExpired | ErrorCode::UnknownSession) => {
                    error
                }
                _ => return Err(error),
            },
        };
        tracing::info!(folder = self.folder(), %error, "lost a place in line");
        Ok(None)
    }

    /// Who stands in line, in its order.
    ///
    /// # Errors
    /// As the client's calls; a folder that is not there is an empty line.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub(crate) async fn participants(&self) -> Result<Vec<Participant>, Error> {
        let names = match self.client.children(&self.folder).linearizable().await {
            Err(error) if error.is_no_node() => return Ok(Vec::new()),
            children => in_order(children?.names),
        };
        let paths: Vec<_> = names.iter().map(|name| join(&self.folder, name)).collect();
        let reads: Vec<_> = paths.iter().map(|path| self.client.get(path).send()).collect();
        let mut participants = Vec::with_capacity(reads.len());
        for (path, read) in paths.into_iter().zip(reads) {
            let node = match read.await {
                Err(error) if error.is_no_node() => continue,
                node => node?,
            };
            let (session, token) = (node.stat.ephemeral_owner, node.stat.czxid.into());
            participants.push(Participant { path, data: node.data, session, token });
        }
        Ok(participants)
    }
}

/// A contender's place in a line. Dropping it leaves the line, in the background.
pub(crate) struct Seat {
    /// `None` once it leaves.
    life: Option<Box<Life>>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.life.as_ref().and_then(|life| life.created.as_ref()).map(|node| &node.path);
        f.debug_struct("Seat").field("path", &path).finish_non_exhaustive()
    }
}

impl Seat {
    fn new(line: &Line, rule: Rule, patient: bool) -> Self {
        let life = Life {
            contender: Contender::new(rule, patient),
            client: line.client.in_this_session(),
            line: line.clone(),
            id: Uuid::new_v4(),
            created: None,
            watch: None,
        };
        Self { life: Some(Box::new(life)) }
    }

    async fn be_admitted(&mut self) -> Result<Effect, Error> {
        let life = self.life.as_mut().expect("it does not leave yet");
        let mut effect = Effect::Enter;
        loop {
            let input = match life.perform(&effect).await {
                Ok(input) => input,
                Err(error) => {
                    // What is to be done about it is done when the seat is dropped.
                    life.contender.step(Input::Failed(failure_of(&error)));
                    return Err(error);
                }
            };
            effect = life.contender.step(input);
            if matches!(effect, Effect::Admit | Effect::TurnAway | Effect::Missing) {
                return Ok(effect);
            }
        }
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("it has not left: leaving takes it")
    }

    /// Its node. Only of an admitted one.
    pub(crate) fn node(&self) -> &Created {
        self.life().created.as_ref().expect("it was admitted by its node")
    }

    /// The client, bound to the session of the node.
    pub(crate) fn client(&self) -> &Client {
        &self.life().client
    }

    /// Waits until the place may be lost. Only of an admitted one.
    pub(crate) async fn lost(&self) -> Loss {
        let Created { path, stat } = self.node();
        loss::of_node(self.client(), HeldNode { path, czxid: stat.czxid }).await
    }

    /// Leaves the line, and waits until the node has surely gone.
    ///
    /// # Errors
    /// When the node had gone before, with the session or by somebody else; or when it may not be
    /// deleted.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line in the background.
    pub(crate) async fn leave(mut self) -> Result<(), Error> {
        let life = self.life.take().expect("it has not left: leaving takes it");
        let path = life.created.as_ref().map(|node| node.path.clone());
        let leaving = life.client.clone().spawn(life.leave());
        let failed =
            |kind| Err(Error::new(kind).of(quorate_protocol::OpCode::Delete, path.as_deref()));
        match leaving.await {
            Ok(How::Left) => Ok(()),
            Ok(How::Taken) => failed(ErrorKind::Refused(ErrorCode::NoNode)),
            Ok(How::Expired) => failed(ErrorKind::SessionLost),
            Ok(How::Stuck) => failed(ErrorKind::Refused(ErrorCode::NoAuth)),
            Err(_) => failed(ErrorKind::Closed),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(life) = self.life.take() {
            life.client.clone().spawn(life.leave());
        }
    }
}

/// What a seat has while it is in line, and its clean-up afterwards.
struct Life {
    contender: Contender,
    /// Bound to the session the node is of.
    client: Client,
    line: Line,
    id: Uuid,
    created: Option<Created>,
    watch: Option<OneShot>,
}

impl Life {
    /// Removes the node.
    async fn leave(mut self) -> How {
        self.watch = None;
        let mut effect = self.contender.step(Input::Leave);
        loop {
            if let Effect::Gone(how) = effect {
                tracing::debug!(folder = self.line.folder(), id = %self.id, ?how, "left the line");
                return how;
            }
            let input = match self.perform(&effect).await {
                Ok(input) => input,
                Err(error) => {
                    tracing::debug!(folder = self.line.folder(), %error, "node stays for now");
                    Input::Failed(failure_of(&error))
                }
            };
            effect = self.contender.step(input);
        }
    }

    async fn perform(&mut self, effect: &Effect) -> Result<Input, Error> {
        let Self { client, line, .. } = self;
        Ok(match effect {
            Effect::Enter => {
                let path = join(&line.folder, line.word);
                let create = client.create(&path, &line.data).ephemeral().sequential();
                let created = create.with_parents().protected_by(self.id.into_bytes()).await?;
                let name = path::split(&created.path).map_or("", |(_, name)| name).to_owned();
                self.created = Some(created);
                Input::Entered(name)
            }
            Effect::List { watch: false } => {
                Input::Listed(client.children(&line.folder).await?.names)
            }
            Effect::List { watch: true } => {
                let (children, watch) = client.children(&line.folder).watch().await?;
                self.watch = Some(watch);
                Input::Listed(children.names)
            }
            Effect::Watch(name) => {
                // Unlike `exists` this sets no watch when the node has gone.
                match client.get(&join(&line.folder, name)).watch().await {
                    Ok((_, watch)) => {
                        self.watch = Some(watch);
                        Input::Watched(true)
                    }
                    Err(error) if error.is_no_node() => Input::Watched(false),
                    Err(error) => return Err(error),
                }
            }
            Effect::Await => {
                // A watch outlives its session, the contender's node does not.
                if let Some(watch) = &mut self.watch {
                    while_in_session(client, watch).await??;
                }
                self.watch = None;
                Input::Stirred
            }
            Effect::Find => {
                // The server asked now may not have seen what the one before did.
                let id = self.id.to_string();
                match client.children(&line.folder).linearizable().await {
                    Err(error) if error.is_no_node() => Input::Found(None),
                    children => {
                        let mut names = children?.names.into_iter();
                        Input::Found(names.find(|name| protection_of(name) == Some(&id)))
                    }
                }
            }
            Effect::Delete(name) => {
                client.delete(&join(&line.folder, name)).repeatable().await?;
                Input::Deleted
            }
            Effect::Rest => {
                tokio::time::sleep(REST).await;
                let mut status = client.status();
                let some_end = |state| matches!(state, State::Lost | State::Closed);
                // Without a client there is nothing to wait for.
                let _ = status
                    .wait_for(|status| status.state.is_connected() || some_end(status.state))
                    .await;
                Input::Rested
            }
            Effect::Admit | Effect::TurnAway | Effect::Missing | Effect::Gone(_) => {
                unreachable!("{effect:?} is nothing to be done")
            }
        })
    }
}

fn failure_of(error: &Error) -> Failure {
    if error.is_session_lost() {
        Failure::SessionEnded
    } else if error.is_no_node() {
        Failure::NoNode { before: error.surely_not_done() }
    } else if !error.surely_not_done() {
        Failure::Unknown
    } else if error.code().is_some() && !error.is_retryable() {
        Failure::Refused
    } else {
        Failure::NotDone
    }
}
