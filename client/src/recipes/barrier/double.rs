//! A barrier at which a number of members gather, before and after.

use std::collections::BTreeMap;

use quorate_protocol::{ErrorCode, Stat, Zxid, path, record::EventType};
use uuid::Uuid;

use crate::{
    Client,
    create::join,
    error::{Error, ErrorKind},
    recipes::{
        Loss,
        loss::while_in_session,
        own_node::{OwnNode, delete},
    },
    watch::{WatchItem, WatchStream},
};

/// The node that says that all are there.
const READY: &str = "ready";

/// A barrier that lets its members pass when so many have entered, and again when all have left: Curator's
/// `DistributedDoubleBarrier`, kazoo's `DoubleBarrier`.
///
/// Members are ephemeral children of the node, `ready` beside them says that the barrier is open. One that comes later,
/// while the others are still inside, passes at once.
///
/// # Again and again
/// The same node may be used for one round after another. What a round leaves behind when all its members crash, one
/// node at most, is not taken for an open barrier by the next round. (Curator and kazoo do take it for one.)
#[derive(Debug, Clone)]
pub struct DoubleBarrier {
    client: Client,
    path: String,
    members: usize,
}

/// What a member that has entered does next.
#[derive(Debug, PartialEq, Eq)]
enum Enter {
    /// Goes on: the barrier is open.
    Pass,
    /// Opens the barrier.
    Open,
    /// Opens it, where an older round has left its `ready`.
    Reopen,
    Wait,
}

/// What a member that leaves does next.
#[derive(Debug, PartialEq, Eq)]
enum Leave {
    /// Goes on: all have left.
    Pass,
    /// Deletes its node, and what says that the barrier is open: it is the last.
    Close,
    /// Deletes its node.
    Delete,
    Wait,
}

/// Whether the barrier is open: a `ready` counts if a member is here that was there when it was written.
fn is_open(ready: Zxid, members: impl IntoIterator<Item = Zxid>) -> bool {
    members.into_iter().any(|member| member < ready)
}

fn enter(ready: Option<Zxid>, present: &[Zxid], wanted: usize) -> Enter {
    match ready {
        Some(ready) if is_open(ready, present.iter().copied()) => Enter::Pass,
        Some(_) if present.len() >= wanted => Enter::Reopen,
        None if present.len() >= wanted => Enter::Open,
        _ => Enter::Wait,
    }
}

/// `round` are those here who were there when the barrier was opened, in order. The first of them stays until it is alone:
/// as long as it is there, whoever comes late passes, and nobody else opens or closes the barrier. All others go at once, and
/// wait for the rest of the round. Nobody waits for those who came later: they may be of the next round, and wait themselves.
fn leave(round: &[String], own: &str, is_gone: bool) -> Leave {
    match round {
        [] if is_gone => Leave::Pass,
        _ if is_gone => Leave::Wait,
        [only] if only == own => Leave::Close,
        [first, ..] if first == own => Leave::Wait,
        _ => Leave::Delete,
    }
}

impl DoubleBarrier {
    /// A barrier for so many members at a path.
    ///
    /// # Errors
    /// When the path is none, or it is for nobody.
    pub fn new(client: &Client, path: &str, members: usize) -> Result<Self, Error> {
        path::validate(path)?;
        if members == 0 {
            return Err(ErrorKind::BadArgument("a barrier without members").into());
        }
        Ok(Self { client: client.clone(), path: path.to_owned(), members })
    }

    /// Enters, and waits until as many members have entered as there shall be.
    ///
    /// # Errors
    /// [`ErrorKind::SessionLost`] when the session ends first: this member is out then.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the barrier. To those who have passed already it looks as if this member had crashed.
    pub async fn enter(&self) -> Result<Entered, Error> {
        let mut events = self.client.watch(&self.path).recursive().await?;
        let path = join(&self.path, &Uuid::new_v4().to_string());
        let (own, stat) = OwnNode::create(&self.client, path, b"").await?;
        let ready_path = join(&self.path, READY);
        let mut seen = Seen { ready: &ready_path, entered: stat.czxid, opened: None };
        loop {
            seen.drain(&mut events);
            let (step, opened) = self.look(&own, stat.czxid, &ready_path).await?;
            // What the look shows was told before; what is told by now it may not show.
            let is_late = seen.drain(&mut events);
            if let Some(opened) = seen.opened {
                return Ok(self.entered(own, events, opened));
            }
            match step {
                Enter::Pass => return Ok(self.entered(own, events, opened)),
                _ if is_late => {}
                // The event, or the next look, shows it to this member as well.
                Enter::Open => match own.client().create(&ready_path, b"").repeatable().await {
                    Ok(created) => {
                        seen.drain(&mut events);
                        if seen.opened.is_some_and(|opened| opened < created.stat.czxid) {
                            // Somebody has opened and shut it since the look.
                            delete(own.client(), &ready_path).await?;
                        }
                    }
                    Err(error) if error.is_node_exists() => {}
                    Err(error) => return Err(error),
                },
                Enter::Reopen => match own.client().set(&ready_path, b"").repeatable().await {
                    Err(error) if !error.is_no_node() => return Err(error),
                    _ => {}
                },
                Enter::Wait => {
                    let item = while_in_session(own.client(), events.next()).await?;
                    seen.note(&item.ok_or(ErrorKind::Closed)?);
                }
            }
        }
    }

    fn entered(&self, own: OwnNode, events: WatchStream, opened: Zxid) -> Entered {
        let (client, path) = (self.client.clone(), self.path.clone());
        let round = Round { opened, of_round: BTreeMap::new() };
        Entered { client, path, own, events, round }
    }

    async fn look(
        &self,
        own: &OwnNode,
        czxid: Zxid,
        ready_path: &str,
    ) -> Result<(Enter, Zxid), Error> {
        let client = own.client();
        // In this order: who sees `ready` missing sees at least the members that were there then.
        let ready = client.exists(ready_path).send();
        let members = client.children(&self.path).send();
        let ready = ready.await?.map(|stat| stat.mzxid);
        let names = members.await?.names;
        let members = names.iter().filter(|name| *name != READY);
        let Some(ready) = ready else {
            // Their ages do not matter.
            let present = vec![Zxid::ZERO; members.count()];
            return Ok((enter(None, &present, self.members), Zxid::ZERO));
        };
        if is_open(ready, [czxid]) {
            return Ok((Enter::Pass, ready));
        }
        let ages = ages(client, &self.path, members).await?;
        let present: Vec<_> = ages.into_iter().flatten().collect();
        Ok((enter(Some(ready), &present, self.members), ready))
    }
}

/// What events tell a member that waits to enter: that the barrier was opened while it was there.
///
/// `Compat:` kazoo's members delete `ready` before all else when they leave, so whoever looks later does not find it. To open
/// the barrier again would be no help to them: the first of them waits until all names in the folder but its own are gone.
struct Seen<'a> {
    ready: &'a str,
    /// When this member's node was created.
    entered: Zxid,
    /// When the barrier was opened after that. Servers before 3.9 do not tell.
    opened: Option<Zxid>,
}

impl Seen<'_> {
    fn note(&mut self, item: &WatchItem) {
        let WatchItem::Event(event) = item else { return };
        let opens = matches!(event.kind, EventType::NodeCreated | EventType::NodeDataChanged);
        if opens && event.path == self.ready {
            self.opened = self.opened.or(event.zxid.filter(|zxid| is_open(*zxid, [self.entered])));
        }
    }

    /// Notes all that was told by now, and says whether there was anything.
    fn drain(&mut self, events: &mut WatchStream) -> bool {
        let mut is_any = false;
        while let Some(item) = events.try_next() {
            self.note(&item);
            is_any = true;
        }
        is_any
    }
}

/// When members were created; nothing of those who have gone.
async fn ages(
    client: &Client,
    parent: &str,
    names: impl Iterator<Item = &String>,
) -> Result<Vec<Option<Zxid>>, Error> {
    let paths: Vec<_> = names.map(|name| join(parent, name)).collect();
    let stats: Vec<_> = paths.iter().map(|path| client.exists(path).send()).collect();
    let mut ages = Vec::with_capacity(stats.len());
    for stat in stats {
        let stat: Option<Stat> = stat.await?;
        ages.push(stat.map(|stat| stat.czxid));
    }
    Ok(ages)
}

/// Who belongs to a round.
#[derive(Debug)]
struct Round {
    /// When the barrier was opened.
    opened: Zxid,
    /// Whether a member was there then, as far as it is known.
    of_round: BTreeMap<String, bool>,
}

impl Round {
    /// Those of these members who belong to the round, in order.
    async fn of(
        &mut self,
        client: &Client,
        parent: &str,
        mut members: Vec<String>,
    ) -> Result<Vec<String>, Error> {
        let is_new = |name: &&String| *name != READY && !self.of_round.contains_key(*name);
        let new: Vec<_> = members.iter().filter(is_new).cloned().collect();
        let ages = ages(client, parent, new.iter()).await?;
        let known = new.into_iter().zip(ages).filter_map(|(name, age)| Some((name, age?)));
        let opened = self.opened;
        self.of_round.extend(known.map(|(name, age)| (name, is_open(opened, [age]))));
        members.retain(|name| self.of_round.get(name).is_some_and(|is_of| *is_of));
        members.sort_unstable();
        Ok(members)
    }
}

fn drain(events: &mut WatchStream) {
    while events.try_next().is_some() {}
}

/// A member inside of a [`DoubleBarrier`]. Dropping it leaves without waiting for the others.
#[derive(Debug)]
#[must_use = "whoever drops it has left"]
pub struct Entered {
    client: Client,
    path: String,
    own: OwnNode,
    events: WatchStream,
    round: Round,
}

impl Entered {
    /// Waits until this member may be out, and tells why, before its session can have expired: see [`Loss`].
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        self.own.lost().await
    }

    /// Leaves, and waits until all have left who were there when the barrier opened.
    ///
    /// # Errors
    /// [`ErrorKind::SessionLost`] when the session ends before this member has left by itself.
    ///
    /// # Cancel safety
    /// Dropping the future leaves without waiting for the others.
    pub async fn leave(mut self) -> Result<(), Error> {
        let name = self.own.name().to_owned();
        loop {
            drain(&mut self.events);
            // After its own node is gone a member waits on even in another session.
            let client = if self.own.is_gone() { &self.client } else { self.own.client() };
            let members = match client.children(&self.path).await {
                Err(error) if error.is_no_node() => Vec::new(),
                children => children?.names,
            };
            let round = self.round.of(client, &self.path, members).await?;
            match leave(&round, &name, self.own.is_gone()) {
                Leave::Pass => return Ok(()),
                Leave::Close => self.close().await?,
                Leave::Delete => self.own.delete().await?,
                Leave::Wait if self.own.is_gone() => {
                    self.events.next().await.ok_or(ErrorKind::Closed)?;
                }
                Leave::Wait => {
                    let item = while_in_session(self.own.client(), self.events.next()).await?;
                    item.ok_or(ErrorKind::Closed)?;
                }
            }
        }
    }

    /// Deletes its node and `ready` at once, so that nobody who enters anew finds one without the other.
    async fn close(&mut self) -> Result<(), Error> {
        let ready = join(&self.path, READY);
        let multi = self.own.client().multi().delete(self.own.path(), -1).delete(&ready, -1);
        match multi.repeatable().await {
            Ok(_) => self.own.set_gone(),
            Err(error) => match error.kind() {
                // Done by an attempt whose answer was lost.
                ErrorKind::MultiFailed { index: 0, code: ErrorCode::NoNode } => self.own.set_gone(),
                // It was never open, or a member that goes by kazoo's rules has closed it.
                ErrorKind::MultiFailed { index: 1, code: ErrorCode::NoNode } => {
                    self.own.delete().await?;
                }
                _ => return Err(error),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zxids(numbers: &[i64]) -> Vec<Zxid> {
        numbers.iter().map(|number| Zxid(*number)).collect()
    }

    #[test]
    fn the_barrier_opens_when_all_are_there() {
        let check = |ready: Option<i64>, present: &[i64], expected| {
            assert_eq!(
                enter(ready.map(Zxid), &zxids(present), 2),
                expected,
                "{ready:?} {present:?}"
            );
        };
        check(None, &[1], Enter::Wait);
        check(None, &[1, 2], Enter::Open);
        check(None, &[1, 2, 3], Enter::Open);
        // Open; also for one that comes late.
        check(Some(3), &[1, 2], Enter::Pass);
        check(Some(3), &[1, 4], Enter::Pass);
        // Of another round, whose members are all gone.
        check(Some(3), &[4], Enter::Wait);
        check(Some(3), &[4, 5], Enter::Reopen);
        check(Some(6), &[4, 5], Enter::Pass);
    }

    #[test]
    fn the_first_member_leaves_last() {
        let check = |round: &[&str], is_gone, expected| {
            let round: Vec<_> = round.iter().map(ToString::to_string).collect();
            assert_eq!(leave(&round, "b", is_gone), expected, "{round:?}");
        };
        check(&["a", "b", "c"], false, Leave::Delete);
        check(&["a", "c"], true, Leave::Wait);
        check(&["b", "c"], false, Leave::Wait);
        check(&["b"], false, Leave::Close);
        check(&[], true, Leave::Pass);
        // It came late, and is not of the round.
        check(&["a"], false, Leave::Delete);
        check(&[], false, Leave::Delete);
    }
}
